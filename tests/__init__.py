"""A package, so that processes which a test spawns can import the test's functions."""
