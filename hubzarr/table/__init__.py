"""Chunk tables and statistics, in pages: pure NumPy over content-addressed blocks."""
