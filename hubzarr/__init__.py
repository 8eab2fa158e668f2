"""Named, versioned, numpy-like arrays of any size, stored as plain Zarr v3.

Nothing heavy is imported here: zarr, fsspec, dask and friends load on first use.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
