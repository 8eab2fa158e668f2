"""Indexing by key: `apply` and its kin, with a short way for boxes.

`Transform` itself, and what it promises, is in `hubzarr.indexing.maps`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.indexing.compose import compose
from hubzarr.indexing.errors import InvalidIndexError
from hubzarr.indexing.keys import parse_key
from hubzarr.indexing.maps import Box, Transform, identity

__all__ = ["Transform", "apply", "apply_oindex", "apply_vindex", "identity"]


def apply(t: Transform, key: Any) -> Transform:
    """Return the view ``view[key]``, with NumPy's meaning of every key.

    Parameters
    ----------
    t : Transform
        The view to index.
    key : object
        Integers, slices of any step and sign, ``...``, None, boolean masks, arrays or
        lists of integers, or a tuple of these.

    Returns
    -------
    Transform
        A view of the same source.

    Raises
    ------
    OutOfBoundsError
        An index lies outside its axis.
    InvalidError
        Too many indices, a mask of another shape, arrays that don't broadcast.
    InvalidTypeError
        An element of a type that can't index, such as a float.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> apply(identity((10, 20)), (slice(2, 6), None, 3)).shape
    (4, 1)
    >>> apply(identity((10, 20)), ([1, 5, 5], slice(3))).shape
    (3, 3)
    """
    if t.box is not None:
        found = _apply_to_box(t, t.box, key)
        if found is not None:
            return found
    return compose(t, parse_key(key, t.shape))


def apply_oindex(t: Transform, key: Any) -> Transform:
    """Return the view by orthogonal indexing: each array selects along its own axis.

    Parameters
    ----------
    t : Transform
        The view to index.
    key : object
        As for `apply`; arrays and masks have one axis each.

    Returns
    -------
    Transform
        A view of the same source; its axes stay in the order of the key.

    Examples
    --------
    >>> from hubzarr.indexing import apply_oindex, identity
    >>> apply_oindex(identity((10, 20, 30)), ([1, 5], slice(None), [0, 7, 7])).shape
    (2, 20, 3)
    """
    steps = parse_key(key, t.shape)
    for element in key if type(key) is tuple else (key,):
        if not isinstance(element, slice) and np.ndim(element) > 1:
            raise InvalidIndexError(
                f"orthogonal indexing takes arrays of one axis, not of {np.ndim(element)}; "
                "give one array per axis, or use vindex"
            )
    return compose(t, steps, orthogonal=True)


def apply_vindex(t: Transform, key: Any) -> Transform:
    """Return the view by vectorised indexing: arrays select points, their axes come first.

    Parameters
    ----------
    t : Transform
        The view to index.
    key : object
        As for `apply`.

    Returns
    -------
    Transform
        A view of the same source: the axes of the broadcast arrays, then the rest.

    Examples
    --------
    >>> from hubzarr.indexing import apply_vindex, identity
    >>> apply_vindex(identity((10, 20, 30)), (slice(None), [1, 5], [0, 7])).shape
    (2, 10)
    """
    return compose(t, parse_key(key, t.shape), front=True)


def _apply_to_box(t: Transform, box: Box, key: Any) -> Transform | None:
    """Index a box by integers and unit-step slices; None where the general way must go.

    Nearly every access is of this kind, so this path does nothing that it needn't; all
    that is unusual, errors included, is left to the general way.
    """
    shape, axes = t.shape, t.axes
    if type(key) is not tuple:
        key = (key,)
    ndim = len(shape)
    bounds = list(box)
    kept_shape: list[int] = []
    kept_axes: list[int] = []
    v = 0
    for k in key:
        if k is Ellipsis:
            wider = _without_ellipsis(key, v, ndim)
            return None if wider is None else _apply_to_box(t, box, wider)
        if v >= ndim or axes[v] < 0:
            return None
        axis, size = axes[v], shape[v]
        v += 1
        if type(k) is int or isinstance(k, np.integer):
            i = int(k)
            if not -size <= i < size:
                return None
            first = bounds[axis][0] + (i + size if i < 0 else i)
            bounds[axis] = (first, first + 1)
            continue
        if type(k) is not slice or not (k.step is None or k.step == 1):
            return None
        if k.start is not None or k.stop is not None:
            try:
                low, high, _ = k.indices(size)
            except TypeError:
                return None
            if high <= low:
                low = high = 0
            first = bounds[axis][0]
            bounds[axis] = (first + low, first + high)
            size = high - low
        kept_shape.append(size)
        kept_axes.append(axis)
    if v < ndim:
        kept_shape += shape[v:]
        kept_axes += axes[v:]
    return Transform(tuple(kept_shape), tuple(bounds), tuple(kept_axes))


def _without_ellipsis(key: tuple[Any, ...], at: int, ndim: int) -> tuple[Any, ...] | None:
    after = key[at + 1 :]
    if any(k is Ellipsis for k in after):
        return None
    return key[:at] + (slice(None),) * (ndim - len(key) + 1) + after
