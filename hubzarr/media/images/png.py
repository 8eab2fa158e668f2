"""PNG: the header from its chunks, pixels by libpng, or by Pillow where it can."""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media.extras import have, need
from hubzarr.media.format import Header, as_target
from hubzarr.media.images import with_pillow
from hubzarr.media.images.bombs import refuse_bomb
from hubzarr.media.images.exif import oriented, read_orientation, turned
from hubzarr.media.images.writing import check, encoder

__all__ = ["decode", "encode", "header"]

type Array = np.ndarray[Any, Any]

_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_END = b"\0\0\0\0IEND"
_IHDR = Struct(">IIBB").unpack_from  # width, height, bits, colour type
_CHUNK = Struct(">I4s").unpack_from
_BYTES = np.dtype(np.uint8)
_SHORTS = np.dtype(np.uint16)
_CHANNELS = {0: 0, 2: 3, 3: 3, 4: 4, 6: 4}  # by colour type; 0: no axis of channels
_GREYS = (0, 4)
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


class _Start(NamedTuple):
    height: int
    width: int
    channels: int
    bits: int
    orientation: int
    colours: int

    @property
    def last(self) -> tuple[int, ...]:
        """The axis of channels, if there is one."""
        return (self.channels,) if self.channels else ()

    @property
    def dtype(self) -> np.dtype[Any]:
        return _SHORTS if self.bits == 16 else _BYTES


def _parse(data: bytes) -> _Start:
    if not data.startswith(_START) or len(data) < 33:
        raise SampleError("broken PNG file: it does not begin as one")
    width, height, bits, colours = _IHDR(data, 16)
    if not (width and height and bits in _DEPTHS.get(colours, ())):
        raise SampleError(
            f"broken PNG file: {width} × {height} pixels of {bits} bits, colour type {colours}"
        )
    channels, orientation, at, size = _CHANNELS[colours], 1, 33, len(data)
    while at + 12 <= size:
        length, kind = _CHUNK(data, at)
        if kind == b"tRNS":
            channels = 4
        elif kind == b"eXIf":
            orientation = read_orientation(data, at + 8, min(at + 8 + length, size))
        elif kind == b"IEND":
            return _Start(height, width, channels, bits, orientation, colours)
        at += 12 + length
    raise SampleError("truncated PNG file: its last chunk is missing")


def header(data: bytes) -> Header:
    """Give shape and dtype of a PNG file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        With the orientation applied.

    Raises
    ------
    SampleError
        The header is broken or the file is truncated.
    """
    start = _parse(data)
    size = turned(start.height, start.width, start.orientation)
    return Header((*size, *start.last), start.dtype, {})


def decode(data: bytes, out: Array | None = None) -> Array:
    """Decode a PNG file; transparency of every sort becomes an alpha channel.

    Parameters
    ----------
    data : bytes
        The file.
    out : numpy.ndarray, optional
        Filled and returned if it is just what the file becomes and the decoder can.

    Returns
    -------
    numpy.ndarray
        ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` of uint8 or uint16.

    Raises
    ------
    SampleError
        The file is broken or truncated.
    """
    start = _parse(data)
    refuse_bomb((start.height, start.width, start.channels or 1), start.bits // 8, len(data))
    shape = (start.height, start.width, *start.last)
    # libpng gives grey with alpha as two channels.
    direct = start.orientation == 1 and not (start.channels == 4 and start.colours in _GREYS)
    target = as_target(out, shape, start.dtype) if direct else None
    plain = start.bits < 16 or not start.channels
    codecs = have("imagecodecs")
    if codecs is None and plain:
        array = with_pillow.decode_as_stored(data, ("PNG",))
    else:
        codecs = need("imagecodecs", extra="images", what="reading PNG files of 16-bit colour")
        try:
            array = codecs.png_decode(data, out=target)
        except (RuntimeError, ValueError, TypeError) as error:
            raise SampleError(f"broken PNG file: {error}") from error
    if array.ndim == 3 and array.shape[2] == 2:
        array = np.take(array, [0, 0, 0, 1], axis=2)
    if array.shape != shape:
        raise SampleError(
            f"broken PNG file: its header says {start.width} × {start.height} pixels of "
            f"{start.channels or 1} channels, its contents are {array.shape}"
        )
    return oriented(array, start.orientation)


_LEVEL = 6  # as Pillow and libpng have it
_encode_plain = encoder("png", "PNG", ("grey", "rgb", "rgba", "grey16", "bool"))


def encode(array: Array, **options: Any) -> bytes:
    """Encode an array as a PNG file.

    Parameters
    ----------
    array : numpy.ndarray
        ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` of uint8 or uint16, or ``(H, W)`` of bool.
    **options
        Of Pillow's writer, such as ``compress_level``.

    Returns
    -------
    bytes
        The file.
    """
    kinds = ("grey", "rgb", "rgba", "grey16", "rgb16", "rgba16", "bool")
    array, kind = check(array, "png", kinds)
    codecs = have("imagecodecs")
    deep_colour = kind in ("rgb16", "rgba16")
    if not deep_colour and (codecs is None or options.keys() - {"compress_level"}):
        return _encode_plain(array, **options)
    codecs = need("imagecodecs", extra="images", what="writing PNG files of 16-bit colour")
    if kind == "bool":
        array = array * np.uint8(255)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    try:
        return bytes(codecs.png_encode(array, level=options.get("compress_level", _LEVEL)))
    except (RuntimeError, ValueError, TypeError) as error:
        raise InvalidError(f"png file with {options} can't be written: {error}") from error
