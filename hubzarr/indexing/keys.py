"""Reading an index key: from what stands in ``a[...]`` to one checked step per axis."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hubzarr.errors import InvalidError, InvalidTypeError, OutOfBoundsError
from hubzarr.indexing.errors import IndexTypeError, InvalidIndexError

__all__ = ["Step", "parse_key"]

Pick = int | range | NDArray[np.intp] | EllipsisType | None

_ACCEPTED = "an integer, a slice, '...', None, or integers or booleans in an array or list"


class Step(NamedTuple):
    """One element of a key, checked against the axis that it selects from.

    Parameters
    ----------
    axis : int
        The axis, or -1 for an element that selects from none.
    pick : int, range, ndarray of intp, Ellipsis or None
        What it takes: one index, a slice, an index array, nothing (an ellipsis
        that stands for no axis, which still separates index arrays), or a new axis.

    Examples
    --------
    >>> from hubzarr.indexing.keys import parse_key
    >>> parse_key((-1, slice(None, None, 2)), (4, 5))
    [Step(axis=0, pick=3), Step(axis=1, pick=range(0, 5, 2))]
    """

    axis: int
    pick: Pick


def parse_key(key: Any, shape: tuple[int, ...]) -> list[Step]:
    """Return the steps of a key, ellipsis and masks written out, every axis covered once.

    Parameters
    ----------
    key : object
        What stands between the square brackets.
    shape : tuple of int
        The shape of what is indexed.

    Returns
    -------
    list of Step
        In the order of the key; axes that it leaves out follow as full ranges.

    Raises
    ------
    OutOfBoundsError
        An index lies outside its axis.
    InvalidError
        Too many indices, two ellipses, a mask of another shape, a step of zero.
    InvalidTypeError
        An element of a type that can't index, such as a float.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.indexing.keys import parse_key
    >>> parse_key(np.array([True, False, True]), (3, 2))
    [Step(axis=0, pick=array([0, 2])), Step(axis=1, pick=range(0, 2))]
    """
    elements = [_element(k) for k in (key if type(key) is tuple else (key,))]
    used = sum(_consumes(e) for e in elements)
    if used > len(shape):
        raise InvalidIndexError(
            f"too many indices: the array has {len(shape)} axes, but {used} were indexed; "
            f"its shape is {shape}"
        )
    if sum(e is Ellipsis for e in elements) > 1:
        raise InvalidIndexError("an index can only have a single '...'; write out the axes")
    steps: list[Step] = []
    axis = 0
    for element in elements:
        if element is Ellipsis:
            rest = len(shape) - used
            steps += [Step(a, range(shape[a])) for a in range(axis, axis + rest)]
            if not rest:
                steps.append(Step(-1, Ellipsis))
            axis += rest
        else:
            steps += _steps(element, axis, shape)
            axis += _consumes(element)
    steps += [Step(a, range(shape[a])) for a in range(axis, len(shape))]
    return steps


def _element(k: Any) -> Any:
    """Return `k` as an int, slice, None, Ellipsis, or an array of intp or bool."""
    kind = type(k)
    if kind is int or kind is slice or k is None or k is Ellipsis:
        return k
    if isinstance(k, (bool, np.bool_)):
        return np.array(k, dtype=bool)
    if isinstance(k, (str, bytes)):
        raise IndexTypeError(f"{k!r} can't index an array; use {_ACCEPTED}", index=k)
    if not hasattr(k, "__array__") or isinstance(k, np.generic):
        try:
            return operator.index(k)
        except TypeError:
            if not isinstance(k, Sequence):
                raise IndexTypeError(
                    f"{k!r} of type {kind.__name__} can't index an array; use {_ACCEPTED}"
                ) from None
    return _array_element(k)


def _array_element(k: Any) -> Any:
    try:
        array = np.asarray(k)
    except ValueError as error:
        raise InvalidError(f"a nested list in an index must be rectangular: {error}") from None
    if array.dtype == bool:
        return array
    if array.size == 0 and not hasattr(k, "__array__"):
        array = array.astype(np.intp)  # an empty list has no type of its own
    if array.dtype.kind not in "iu":
        raise IndexTypeError(
            f"an array of dtype {array.dtype} can't index an array; use integers or booleans"
        )
    return int(array) if array.ndim == 0 else array


def _consumes(element: Any) -> int:
    """Return how many axes an element selects from."""
    if element is None or element is Ellipsis:
        return 0
    if isinstance(element, np.ndarray) and element.dtype == bool:
        return element.ndim
    return 1


def _steps(element: Any, axis: int, shape: tuple[int, ...]) -> list[Step]:
    if element is None:
        return [Step(-1, None)]
    if type(element) is int:
        return [Step(axis, checked_int(element, axis, shape[axis]))]
    if type(element) is slice:
        return [Step(axis, checked_slice(element, shape[axis]))]
    if element.dtype == bool:
        return _mask_steps(element, axis, shape)
    return [Step(axis, _checked_array(element, axis, shape[axis]))]


def checked_int(index: int, axis: int, size: int) -> int:
    """Return a non-negative index, or raise `OutOfBoundsError`."""
    if not -size <= index < size:
        raise OutOfBoundsError(
            f"index {index} is out of bounds for axis {axis} with size {size}; "
            + (f"use {-size} to {size - 1}" if size else "the axis is empty"),
            axis=axis,
            index=index,
            size=size,
        )
    return index + size if index < 0 else index


def checked_slice(key: slice, size: int) -> range:
    """Return a slice as a range; of no or one element always with step 1."""
    try:
        found = range(*key.indices(size))
    except TypeError:
        raise InvalidTypeError(
            f"{key} has a bound that isn't an integer; use integers or None"
        ) from None
    except ValueError:
        raise InvalidError(f"{key} has step 0; use a step other than zero") from None
    if not found:
        return range(0)
    return found if len(found) > 1 else range(found[0], found[0] + 1)


def _checked_array(index: NDArray[Any], axis: int, size: int) -> NDArray[np.intp]:
    if index.size == 0:
        return np.zeros(index.shape, np.intp)
    low, high = int(index.min()), int(index.max())
    checked_int(low, axis, size)
    checked_int(high, axis, size)
    found = np.array(index, dtype=np.intp, order="C")  # a copy: the caller may change theirs
    if low < 0:
        found[found < 0] += size
    return found


def _mask_steps(mask: NDArray[np.bool_], axis: int, shape: tuple[int, ...]) -> list[Step]:
    if mask.ndim == 0:  # takes no axis, adds one of length 1 or 0
        return [Step(-1, np.zeros(int(mask), np.intp))]
    expected = shape[axis : axis + mask.ndim]
    if mask.shape != expected:
        where = f"axis {axis}" if mask.ndim == 1 else f"axes {axis} to {axis + mask.ndim - 1}"
        raise InvalidIndexError(
            f"a mask of shape {mask.shape} doesn't fit {where} of shape {expected}; "
            "a mask must have the shape of the axes that it selects from"
        )
    return [Step(axis + i, found) for i, found in enumerate(np.nonzero(mask))]
