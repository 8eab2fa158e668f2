"""How MosaicML's MDS stores one value of each of its encodings.

Numbers are little-endian NumPy scalars; text is UTF-8; files of pictures are kept as they
are. An array of ``ndarray`` has, unless the encoding fixes them as in
``ndarray:uint8:3,4``, a byte for its dtype and a byte for its number of axes (upper six
bits) and the width of its sizes (lower two), and then the sizes. A ``pil`` picture has
width, height and length of its mode as uint32, the mode, and raw pixels.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from hubzarr.errors import UnsupportedError

__all__ = ["decode", "fixed_size", "is_file"]

_SCALARS = frozenset(
    f"{kind}{bits}" for kind in ("uint", "int", "float") for bits in (8, 16, 32, 64)
) - {"float8"}
_ARRAY_DTYPES = {
    8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 18: "float16", 32: "uint32",
    33: "int32", 34: "float32", 64: "uint64", 65: "int64", 66: "float64",
}  # fmt: skip
_SIZE_DTYPES = ("<u1", "<u2", "<u4", "<u8")
_FILES = ("jpeg", "png")
# A palette (P) is not stored with the picture: what is left are its numbers.
_PIXELS = {"L": 1, "P": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
_WIDE = {"I": "<i4", "F": "<f4", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2"}


def is_file(encoding: str) -> bool:
    """Whether values of an encoding are files of pictures.

    Examples
    --------
    >>> is_file("jpeg:90"), is_file("pil")
    (True, False)
    """
    return encoding.partition(":")[0] in _FILES


def fixed_size(encoding: str) -> int | None:
    """Bytes of a value, for encodings whose values are all of the same size.

    Examples
    --------
    >>> fixed_size("int"), fixed_size("float32"), fixed_size("ndarray:uint8:3,4"), fixed_size("str")
    (8, 4, 12, None)
    """
    name, _, rest = encoding.partition(":")
    if name == "int":
        return 8
    if name in _SCALARS:
        return np.dtype(name).itemsize
    dtype, _, shape = rest.partition(":")
    if name == "ndarray" and shape:
        return int(np.prod(_shape(shape))) * np.dtype(dtype).itemsize
    return None


def decode(encoding: str, data: bytes) -> Any:
    """A value from its bytes; files of pictures stay bytes.

    Raises
    ------
    ValueError
        The bytes don't suit the encoding.
    UnsupportedError
        The encoding is ``pkl`` or unknown.

    Examples
    --------
    >>> decode("str", b"text"), decode("str_int", b"12"), decode("ndarray", bytes([8, 4, 2, 5, 6]))
    ('text', 12, array([5, 6], dtype=uint8))
    """
    name, _, rest = encoding.partition(":")
    if name in _FILES or name == "bytes":
        return data
    if name in ("str", "str_decimal"):
        return data.decode()
    if name == "int" or name in _SCALARS:
        return np.frombuffer(data, "<i8" if name == "int" else np.dtype(name), count=1)[0]
    if name == "str_int":
        return int(data)
    if name == "str_float":
        return float(data)
    if name == "json":
        return json.loads(data)
    if name == "ndarray":
        return _array(data, rest)
    if name == "pil":
        return _picture(data)
    if name == "pkl":
        raise UnsupportedError(
            "values of the encoding 'pkl' are not read, because a pickle can run code; "
            "leave the column out with leave_out=[...]"
        )
    raise UnsupportedError(f"unknown MDS encoding {encoding!r}; leave it out with leave_out=[...]")


def _array(data: bytes, fixed: str) -> np.ndarray[Any, Any]:
    dtype_name, _, shape_text = fixed.partition(":")
    position = 0
    if not dtype_name:
        if data[:1] == b"" or data[0] not in _ARRAY_DTYPES:
            raise ValueError("an array of unknown dtype")
        dtype_name, position = _ARRAY_DTYPES[data[0]], 1
    if shape_text:
        shape = _shape(shape_text)
    else:
        if len(data) <= position:
            raise ValueError("an array without a shape")
        ndim, width = data[position] >> 2, data[position] & 3
        end = position + 1 + (ndim << width)
        shape = tuple(int(n) for n in np.frombuffer(data[position + 1 : end], _SIZE_DTYPES[width]))
        position = end
    return np.frombuffer(data[position:], np.dtype(dtype_name)).reshape(shape)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


def _picture(data: bytes) -> np.ndarray[Any, Any]:
    """Raw pixels as (height, width) or (height, width, channels)."""
    width, height, length = (int(x) for x in np.frombuffer(data[:12], "<u4"))
    mode, pixels = data[12 : 12 + length].decode("ascii"), data[12 + length :]
    if mode == "1":
        row = (width + 7) // 8
        bits = np.unpackbits(np.frombuffer(pixels, np.uint8).reshape(height, row), axis=1)
        return np.where(bits[:, :width], np.uint8(255), np.uint8(0))
    if mode in _WIDE:
        wide = np.frombuffer(pixels, _WIDE[mode]).reshape(height, width)
        return wide.astype(wide.dtype.newbyteorder("="), copy=False)
    if mode not in _PIXELS:
        raise ValueError(f"pixels of the mode {mode!r} are not read; store them as RGB")
    channels = _PIXELS[mode]
    shape = (height, width) if channels == 1 else (height, width, channels)
    array = np.frombuffer(pixels, np.uint8).reshape(shape)
    if mode == "CMYK":  # as Pillow converts it
        ink = 255 - array.astype(np.int32)
        return (ink[..., :3] * ink[..., 3:] // 255).astype(np.uint8)
    return array[..., (0, 0, 0, 1)] if mode == "LA" else array
