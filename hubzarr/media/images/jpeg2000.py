"""JPEG 2000 by Pillow; colour of more than 8 bits, which Pillow cuts off, by imagecodecs."""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.extras import need
from hubzarr.media.format import Header
from hubzarr.media.images import with_pillow
from hubzarr.media.images.writing import check, encoder

__all__ = ["decode", "encode", "header"]

type Array = np.ndarray[Any, Any]

_FORMATS = ("JPEG2000",)
_SIZE = b"\xff\x4f\xff\x51"  # start of the codestream, then the marker segment of sizes
_COMPONENTS = Struct(">HB").unpack_from  # number; bits less one, of the first
_SHORTS = np.dtype(np.uint16)


def _deep_colours(data: bytes) -> int:
    """Number of channels if they are several of 9 to 16 bits, else 0."""
    at = data.find(_SIZE)
    if at < 0 or at + 44 > len(data) or data.find(b"pclr", 0, at) >= 0:
        return 0
    components, depth = _COMPONENTS(data, at + 40)
    return components if components in (3, 4) and 8 <= depth < 16 else 0


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
    found = with_pillow.header(data, _FORMATS)
    channels = _deep_colours(data)
    return Header((*found.shape[:2], channels), _SHORTS, {}) if channels else found


def decode(data: bytes) -> Array:
    """Decode a JPEG 2000 file or codestream.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    numpy.ndarray
        ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` of uint8 or uint16.

    Raises
    ------
    SampleError
        The file is broken or truncated.
    """
    if not _deep_colours(data):
        return with_pillow.decode(data, _FORMATS)
    codecs = need("imagecodecs", extra="images", what="reading JPEG 2000 of 16-bit colour")
    try:
        array: Array = codecs.jpeg2k_decode(data)
    except (RuntimeError, ValueError, TypeError) as error:
        raise SampleError(f"broken JPEG 2000 file: {error}") from error
    return array.astype(_SHORTS, copy=False)


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
    array = np.ascontiguousarray(array, _SHORTS)
    settings = {"level": 0, "reversible": True, "codecformat": "jp2", **options}
    return bytes(codecs.jpeg2k_encode(array, **settings))
