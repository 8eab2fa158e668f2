"""Users' values to arrays of a tensor's dtype, where that loses nothing that was said.

Integers may get smaller if they fit, integers may become floats, and floats may lose
digits but not overflow. Floats never become integers silently, nor numbers text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hubzarr.dtypes import from_torch, kind_of, widened
from hubzarr.errors import SampleError
from hubzarr.media import Sample

__all__ = ["as_array", "cast", "items_of"]

type Array = np.ndarray[Any, Any]

_NUMBERS = "biufc"


def as_array(value: Any) -> Array:
    """Give a value as an array: arrays of any library, numbers, nested lists.

    Parameters
    ----------
    value : object
        What a user appends.

    Returns
    -------
    numpy.ndarray
        Without a copy where that is possible; never of objects.

    Raises
    ------
    SampleError
        The value is no array, or a ragged one.
    """
    if type(value) is not np.ndarray:
        value = _converted(value)
    if value.dtype.hasobject:
        raise SampleError(
            "sample of Python objects; expected numbers, of one shape in each axis (for "
            "lists of arrays of different shapes there is htype='sequence[...]')"
        )
    return np.asarray(value)


def _converted(value: Any) -> Array:
    if type(value) in (bytes, bytearray):
        raise SampleError("bytes are no array; hub.Sample(data) is the sample of a file's bytes")
    if hasattr(value, "read") and hasattr(value, "close"):
        raise SampleError("an open file is no array; append hub.read(path)")
    if isinstance(value, np.ma.MaskedArray):
        raise SampleError("a masked array has no values in places; fill it, as in a.filled(0)")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise SampleError(f"an integer of {value.bit_length()} bits; expected one of at most 64")
    small = from_torch(value)
    if small is not None:
        return small
    # Tensors of PyTorch that need gradients or are on a GPU don't convert by themselves.
    detach = getattr(value, "detach", None)
    if detach is not None:
        value = detach().cpu()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SampleError(f"a {type(value).__name__} can't be an array: {error}") from error
    if array.dtype.hasobject and not isinstance(value, list | tuple | np.ndarray):
        raise SampleError(f"a {type(value).__name__} can't be an array; expected numbers")
    return array


def items_of(value: Any, htype: str) -> Any:
    """Give a sample that is a list of others, once it is sure that it can be gone through.

    Parameters
    ----------
    value : object
        What a user appends.
    htype : str
        Of the items, for the error.

    Returns
    -------
    list, tuple or numpy.ndarray
        The items.
    """
    if isinstance(value, list | tuple):
        return value
    if hasattr(value, "__array__") and not isinstance(value, Sample):
        value = as_array(value)
        if value.ndim:
            return value
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return list(value)
    raise SampleError(f"a {type(value).__name__} in place of a list of {htype} samples")


def cast(array: Array, dtype: np.dtype[Any]) -> Array:
    """Convert an array to a tensor's dtype.

    Parameters
    ----------
    array : numpy.ndarray
        Of any dtype but object.
    dtype : numpy.dtype
        Of the tensor.

    Returns
    -------
    numpy.ndarray
        The same array if it has that dtype.

    Raises
    ------
    SampleError
        A value doesn't fit.
    """
    given = array.dtype
    if given == dtype:
        return array
    if array.size == 0:
        return np.zeros(array.shape, dtype)
    if kind_of(given) not in _NUMBERS or kind_of(dtype) not in _NUMBERS:
        return _cast_other(array, dtype)
    array = widened(array)
    if np.can_cast(given, dtype, "safe"):
        return array.astype(dtype)
    if dtype.kind in "iub":
        return _to_integers(array, dtype)
    return _to_floats(array, dtype)


def _to_integers(array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype.kind in "fc":
        raise SampleError(
            f"values of {array.dtype} in a tensor of {dtype}; round them, as in "
            f"values.round().astype({dtype.name!r}), or create the tensor with "
            f"dtype={array.dtype.name!r}"
        )
    least, most = array.min(), array.max()
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if least < limits[0] or most > limits[1]:
        worst = least if least < limits[0] else most
        raise SampleError(
            f"value {worst} in a tensor of {dtype}, which goes from {limits[0]} to {limits[1]}; "
            f"create the tensor with dtype={array.dtype.name!r}"
            + (", or append values > 0" if dtype.kind == "b" else "")
        )
    return array.astype(dtype)


def _to_floats(array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype.kind == "c" and kind_of(dtype) == "f":
        raise SampleError(
            f"complex values in a tensor of {dtype}; append values.real, or create the tensor "
            f"with dtype={array.dtype.name!r}"
        )
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    large = dtype.itemsize > 2 or dtype.name == "bfloat16"
    if array.dtype.kind in "iu" and large:  # which hold every integer there is
        return result
    # Overflow gives infinity, or NaN in floats of 8 bits that know no infinity.
    if (~np.isfinite(result) & np.isfinite(array)).any():
        raise SampleError(
            f"values too large for a tensor of {dtype}; create it with dtype={array.dtype.name!r}"
        )
    return result


def _cast_other(array: Array, dtype: np.dtype[Any]) -> Array:
    """Cast times, fixed-length text and records: what comes out must be equal."""
    if array.dtype.kind == dtype.kind and np.can_cast(array.dtype, dtype, "same_kind"):
        result = array.astype(dtype)
        same = result == array
        if dtype.kind in "mM":
            same |= np.isnat(result) & np.isnat(array)
        if np.all(same):
            return result
    advice = "htype='text'" if array.dtype.kind == "U" else f"dtype={str(array.dtype)!r}"
    raise SampleError(
        f"values of {array.dtype} don't fit into a tensor of {dtype} without loss; convert them, "
        f"or create the tensor with {advice}"
    )
