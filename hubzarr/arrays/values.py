"""Values to be written: to the array's dtype and the selection's shape, as NumPy does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hubzarr.dtypes import from_torch
from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["check_size", "elements", "fitted"]

#: NumPy counts elements in signed 64-bit integers.
MAX_SIZE = 2**63 - 1


def check_size(shape: tuple[int, ...]) -> None:
    """Refuse a shape of more elements than can be counted."""
    if math.prod(n for n in shape if n) > MAX_SIZE:
        raise InvalidError(
            f"shape {shape} has more than 2**63 - 1 elements, which NumPy can't index; choose "
            "smaller lengths, or several arrays"
        )


def fitted(
    value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], name: str
) -> np.ndarray[Any, Any]:
    """The value with a shape and dtype.

    Raises
    ------
    InvalidError
        It doesn't broadcast, or a number doesn't fit into the dtype.
    InvalidTypeError
        It can't become the dtype at all.
    """
    array = elements(value, dtype, name)
    if array.shape == shape:
        return array
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]  # as NumPy: leading axes of length 1 don't count
    try:
        return np.broadcast_to(array, shape)
    except ValueError as error:
        raise InvalidError(
            f"can't put values of shape {np.shape(value)} into a selection of {name} of shape "
            f"{shape}: they don't broadcast"
        ) from error


def elements(value: Any, dtype: np.dtype[Any], name: str) -> np.ndarray[Any, Any]:
    """The value as an array of a dtype; errors as for `fitted`."""
    try:
        if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
            small = from_torch(value)
            array = np.asarray(value) if small is None else small
            if array.dtype != dtype:
                _check_kinds(array.dtype, dtype, name)
                array = array.astype(dtype)
        else:
            array = np.asarray(value, dtype)
    except OverflowError as error:
        raise InvalidError(
            f"a value for {name} does not fit into {dtype}: {error}; use a wider dtype"
        ) from error
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidTypeError):
            raise
        raise InvalidTypeError(
            f"values of type {type(value).__name__} can't become {dtype} elements of {name}: "
            f"{error}"
        ) from error
    return array


def _check_kinds(given: np.dtype[Any], wanted: np.dtype[Any], name: str) -> None:
    """Refuse what NumPy refuses or only does with a warning about lost parts."""
    if given.kind == "c" and wanted.kind not in "cOSUT":
        raise InvalidTypeError(
            f"complex values can't become {wanted} elements of {name}: write .real or abs() of them"
        )
