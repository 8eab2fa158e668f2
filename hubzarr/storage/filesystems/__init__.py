"""All that fsspec reaches."""
