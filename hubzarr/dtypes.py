"""Dtypes by name, the small floats of the package ml_dtypes included: bfloat16 and 8 bits.

NumPy knows these once ml_dtypes was imported, and then gives most of them the kind ``"V"``
of structures, though they are numbers.  Whatever looks at kinds asks here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import numpy as np

from hubzarr.errors import UnsupportedError

__all__ = [
    "SMALL_FLOATS",
    "as_dtype",
    "from_torch",
    "is_small_float",
    "kind_of",
    "wide_dtype",
    "widened",
]

type Array = np.ndarray[Any, Any]

SMALL_FLOATS: Final = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
#: Numbers from here on belong to dtypes that are not NumPy's own.
_FOREIGN: Final = 256
_WIDE: Final = np.dtype(np.float32)


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """Give a dtype like `numpy.dtype`, which may not know the names of small floats yet.

    Parameters
    ----------
    dtype : dtype-like
        Or one of `SMALL_FLOATS`.

    Returns
    -------
    numpy.dtype

    Raises
    ------
    UnsupportedError
        The package ml_dtypes, which has the small floats, is missing.

    Examples
    --------
    >>> from hubzarr.dtypes import as_dtype
    >>> as_dtype("float32")
    dtype('float32')
    """
    if isinstance(dtype, str) and dtype in SMALL_FLOATS:
        return _small_float(dtype)
    made: np.dtype[Any] = np.dtype(dtype)
    return made


def _small_float(name: str) -> np.dtype[Any]:
    try:
        package = import_module("ml_dtypes")
    except ImportError as error:
        raise UnsupportedError(
            f"dtype {name} needs the package ml_dtypes: pip install 'hubzarr[bfloat16]'",
            package="ml_dtypes",
            extra="bfloat16",
        ) from error
    found: np.dtype[Any] = np.dtype(getattr(package, name))
    return found


def is_small_float(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is one of `SMALL_FLOATS`."""
    return dtype.num >= _FOREIGN and dtype.name in SMALL_FLOATS


def kind_of(dtype: np.dtype[Any]) -> str:
    """Give the kind of a dtype as in `numpy.dtype.kind`: small floats are ``"f"``.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.dtypes import kind_of
    >>> kind_of(np.dtype("uint8")), kind_of(np.dtype([("x", "f4")]))
    ('u', 'V')
    """
    return "f" if is_small_float(dtype) else dtype.kind


def from_torch(value: Any) -> Array | None:
    """Give a tensor of PyTorch of small floats, which NumPy can't take from it, as an array.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    numpy.ndarray or None
        With the tensor's bits; None for all that is no such tensor.

    Examples
    --------
    >>> from hubzarr.dtypes import from_torch
    >>> from_torch([1.5]) is None
    True
    """
    if not type(value).__module__.startswith("torch"):
        return None
    name = str(getattr(value, "dtype", "")).removeprefix("torch.")
    if name not in SMALL_FLOATS:
        return None
    dtype = as_dtype(name)
    torch = import_module("torch")
    bits = value.detach().cpu().view(torch.int16 if dtype.itemsize == 2 else torch.uint8)
    array: Array = bits.numpy().view(dtype)
    return array


def wide_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give float32, which holds every value of theirs, for small floats; else the dtype."""
    return _WIDE if is_small_float(dtype) else dtype


def widened(array: Array) -> Array:
    """Give an array of small floats as float32; any other as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.dtypes import widened
    >>> x = np.arange(3.0)
    >>> widened(x) is x
    True
    """
    if not is_small_float(array.dtype):
        return array
    if array.size > 1 and not any(array.strides):  # one value, broadcast, stays one
        return np.broadcast_to(array.flat[0].astype(_WIDE), array.shape)
    return array.astype(_WIDE)
