"""JPEG 2000: 8 and 16 bits by imagecodecs, and the rest, such as palettes, by Pillow.

Pillow would cut colour of 16 bits to 8, and decodes without letting other threads run.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Any, NamedTuple

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.extras import have, need
from hubzarr.media.format import Header, as_target
from hubzarr.media.images import with_pillow
from hubzarr.media.images.bombs import refuse_bomb
from hubzarr.media.images.writing import check, encoder

__all__ = ["decode", "encode", "header"]

type Array = np.ndarray[Any, Any]

_FORMATS = ("JPEG2000",)
_SIZE = b"\xff\x4f\xff\x51"  # start of the codestream, then the marker segment of sizes
_COMPONENTS = Struct(">H").unpack_from
_BOX = Struct(">IIII").unpack_from  # right, bottom, left, top
_COLOURS = Struct(">I").unpack_from
_DEPTHS: dict[int, np.dtype[Any]] = {
    7: np.dtype(np.uint8),
    15: np.dtype(np.uint16),
}  # bits less one; above: the sign
_SRGB, _GREY = 16, 17


class _Plain(NamedTuple):
    size: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]


def _plain(data: bytes) -> _Plain | None:
    """Channels and dtype of 8- or 16-bit grey or RGB(A); None for all that is harder."""
    at = data.find(_SIZE)
    if at < 0:
        return None
    boxes = data[:at]
    if b"pclr" in boxes:
        return None
    colours = boxes.find(b"colr")
    if colours >= 0 and (
        boxes[colours + 4] != 1 or _COLOURS(boxes, colours + 7)[0] not in (_SRGB, _GREY)
    ):
        return None
    components = _COMPONENTS(data, at + 40)[0]
    if components not in (1, 3, 4):
        return None
    each = data[at + 42 : at + 42 + 3 * components]  # depth and steps of each
    dtype = _DEPTHS.get(each[0])
    if dtype is None or each != bytes((each[0], 1, 1)) * components:
        return None
    right, bottom, left, top = _BOX(data, at + 8)
    if right <= left or bottom <= top:
        raise SampleError("broken JPEG 2000 file: it has no pixels")
    return _Plain((bottom - top, right - left), components, dtype)


def _checked(data: bytes) -> _Plain | None:
    try:
        return _plain(data)
    except (IndexError, error) as problem:
        raise SampleError("truncated JPEG 2000 file: it ends within its header") from problem


def header(data: bytes) -> Header:
    """Give shape and dtype of a JPEG 2000 file or codestream.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        Of what `decode` gives.

    Raises
    ------
    SampleError
        The header is broken.
    """
    plain = _checked(data)
    found = with_pillow.header(data, _FORMATS)
    if plain is None:
        return found
    size = found.shape[:2]
    return Header(size if plain.channels == 1 else (*size, plain.channels), plain.dtype, {})


def decode(data: bytes, out: Array | None = None) -> Array:
    """Decode a JPEG 2000 file or codestream.

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
    plain = _checked(data)
    if plain is not None:
        refuse_bomb((*plain.size, plain.channels), plain.dtype.itemsize, len(data))
    if plain is None:
        return with_pillow.decode(data, _FORMATS)
    if plain.channels == 1 or plain.dtype.itemsize == 1:
        codecs = have("imagecodecs")  # Pillow can do it, but lets no other thread run
        if codecs is None:
            return with_pillow.decode(data, _FORMATS)
    else:
        codecs = need("imagecodecs", extra="images", what="reading JPEG 2000 of 16-bit colour")
    shape = plain.size if plain.channels == 1 else (*plain.size, plain.channels)
    try:
        array: Array = codecs.jpeg2k_decode(data, out=as_target(out, shape, plain.dtype))
    except (RuntimeError, ValueError, TypeError) as problem:
        raise SampleError(f"broken JPEG 2000 file: {problem}") from problem
    if array.shape[2:] != shape[2:] or array.dtype != plain.dtype:
        raise SampleError(
            f"broken JPEG 2000 file: its contents are {array.shape} of {array.dtype}; "
            f"expected {plain.channels} channels of {plain.dtype}"
        )
    return array


_encode_plain = encoder("jpeg2000", "JPEG2000", ("grey", "rgb", "rgba", "grey16"))


def encode(array: Array, **options: Any) -> bytes:
    """Encode an array as a JPEG 2000 file, without loss unless options say so.

    Parameters
    ----------
    array : numpy.ndarray
        ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` of uint8 or uint16.
    **options
        Of Pillow's writer, such as ``quality_layers``; of imagecodecs' for 16-bit colour.

    Returns
    -------
    bytes
        The file.
    """
    kinds = ("grey", "rgb", "rgba", "grey16", "rgb16", "rgba16")
    array, kind = check(array, "jpeg2000", kinds)
    if kind not in ("rgb16", "rgba16"):
        return _encode_plain(array, **options)
    codecs = need("imagecodecs", extra="images", what="writing JPEG 2000 of 16-bit colour")
    array = np.ascontiguousarray(array, np.uint16)
    settings = {"level": 0, "reversible": True, "codecformat": "jp2", **options}
    return bytes(codecs.jpeg2k_encode(array, **settings))
