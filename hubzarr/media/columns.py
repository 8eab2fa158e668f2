"""Points as columns with names: what the formats of points and meshes have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, SampleError

__all__ = ["column_names", "xyz"]

type Array = np.ndarray[Any, Any]

_USUAL = ("x", "y", "z")


def xyz(fields: Mapping[str, Any], what: str) -> Array:
    """Put the columns x, y and z together, as float64 of shape (points, 3).

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.columns import xyz
    >>> xyz({"x": np.ones(1), "y": np.ones(1), "z": np.zeros(1)}, "file")
    array([[1., 1., 0.]])
    """
    try:
        columns = [fields["x"], fields["y"], fields["z"]]
    except KeyError as error:
        raise SampleError(f"{what} without {error}; expected x, y and z") from error
    out = np.empty((len(columns[0]), 3), "f8")
    for place, column in enumerate(columns):
        out[:, place] = column
    return out


def column_names(array: Any, names: Sequence[str] | None) -> tuple[Array, tuple[str, ...]]:
    """Check points to write and name their columns.

    Parameters
    ----------
    array : array_like
        Numbers of shape (points, 3), or with more columns if `names` are given.
    names : sequence of str, optional
        Of the columns; ``x, y, z`` come first.

    Returns
    -------
    array : numpy.ndarray
        float32 or float64, little-endian, in C order.
    names : tuple of str

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.columns import column_names
    >>> column_names(np.zeros((2, 3)), None)[1]
    ('x', 'y', 'z')
    """
    points = np.asarray(array)
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in "fiu":
        raise SampleError(
            f"no points: {points.dtype} of shape {points.shape}; expected numbers of shape "
            f"(points, columns), columns x, y, z first"
        )
    largest = 4 if points.dtype.kind == "f" else 2  # what float32 holds exactly
    points = np.ascontiguousarray(points, "<f4" if points.dtype.itemsize <= largest else "<f8")
    width = points.shape[1]
    if names is None and width > len(_USUAL):
        # Reading gives x, y, z: more would be lost unless somebody asks for it by name
        raise SampleError(
            f"points of shape {points.shape}; expected (points, 3), or names=... of the columns"
        )
    given = _USUAL if names is None else tuple(names)
    words = all(name.isascii() and name.split() == [name] for name in given)
    if len(given) != width or len(set(given)) != width or not words:
        raise InvalidError(f"names={given}; expected {width} different words, one for each column")
    if given[:3] != _USUAL:
        raise InvalidError(f"names={given}; expected 'x', 'y', 'z' first")
    return points, given
