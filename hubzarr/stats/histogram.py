"""Histogram counts of one chunk; counts of several chunks just add up."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.dtypes import widened
from hubzarr.errors import InvalidError

__all__ = ["histogram"]

type Array = np.ndarray[Any, Any]


def histogram(chunk: Array, edges: Any) -> Array:
    """Count the elements of a chunk that fall between edges.

    Parameters
    ----------
    chunk : numpy.ndarray
    edges : array-like
        Increasing; the last bin includes its right edge, NaN falls in none.

    Returns
    -------
    numpy.ndarray
        int64 counts, one fewer than edges, as `numpy.histogram` gives them.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import histogram
    >>> histogram(np.array([0, 1, 1, 3, 4]), [0, 1, 2, 4])
    array([1, 2, 2])
    """
    chunk, edges = widened(chunk), widened(np.asarray(edges))
    if edges.ndim != 1 or edges.size < 2 or not (edges[:-1] <= edges[1:]).all():
        raise InvalidError(
            "edges of a histogram don't increase; expected two or more numbers in order"
        )
    flat = chunk.ravel("K")
    if flat.dtype.kind in "biu" and flat.dtype.itemsize == 1:
        return _bytes(flat, edges)
    bins, ends = edges.size - 1, (edges[0], edges[-1])
    if ends[0] < ends[1] and np.isfinite(ends).all():
        # NumPy's shortcut for even bins corrects its rounding, so that counts stay the same.
        even = np.histogram_bin_edges(flat[:0], bins, ends)
        if np.array_equal(even, edges):
            return np.histogram(flat, bins, ends)[0].astype("i8", copy=False)
    return np.histogram(flat, edges)[0].astype("i8", copy=False)


def _bytes(flat: Array, edges: Array) -> Array:
    """Count each of the 256 values first."""
    signed = flat.dtype.kind == "i"
    counts = np.bincount(flat.view("u1"), minlength=256)
    values = np.arange(256, dtype="u1").view("i1" if signed else "u1").astype("i8")
    found: Array = np.histogram(values, edges, weights=counts)[0]
    return found.astype("i8")
