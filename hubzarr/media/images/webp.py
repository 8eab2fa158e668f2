"""WebP: the header from its first chunk, pixels by libwebp."""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.extras import have
from hubzarr.media.format import Header, as_target
from hubzarr.media.images import with_pillow
from hubzarr.media.images.exif import oriented, read_orientation, turned

__all__ = ["decode", "header"]

type Array = np.ndarray[Any, Any]

_BYTES = np.dtype(np.uint8)
_CHUNK = Struct("<4sI").unpack_from
_LONG = Struct("<I").unpack_from
_SHORTS = Struct("<HH").unpack_from
_ALPHA, _ANIMATION = 0x10, 0x02
_KEY_FRAME = b"\x9d\x01\x2a"


class _Start(NamedTuple):
    height: int
    width: int
    alpha: bool
    animated: bool
    orientation: int


def _parse(data: bytes) -> _Start:
    if not (data.startswith(b"RIFF") and data[8:12] == b"WEBP") or len(data) < 30:
        raise SampleError("broken WebP file: it does not begin as one")
    if _LONG(data, 4)[0] + 8 > len(data):
        raise SampleError("truncated WebP file: it is shorter than it says")
    kind = data[12:16]
    if kind == b"VP8 ":
        if data[23:26] != _KEY_FRAME:
            raise SampleError("broken WebP file: no key frame")
        width, height = _SHORTS(data, 26)
        return _Start(height & 0x3FFF, width & 0x3FFF, False, False, 1)
    if kind == b"VP8L":
        bits = _LONG(data, 21)[0]
        alpha = bool(bits >> 28 & 1)
        return _Start((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, alpha, False, 1)
    if kind == b"VP8X":
        flags = data[20]
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        animated = bool(flags & _ANIMATION)
        return _Start(height, width, bool(flags & _ALPHA), animated, _orientation(data))
    raise SampleError(f"broken WebP file: it begins with a chunk {bytes(kind)!r}")


def _orientation(data: bytes) -> int:
    at, size = 12, len(data)
    while at + 8 <= size:
        kind, length = _CHUNK(data, at)
        if kind == b"EXIF":
            start = at + 8
            if data.startswith(b"Exif\0\0", start):
                start += 6
            return read_orientation(data, start, min(at + 8 + length, size))
        at += 8 + length + (length & 1)
    return 1


def header(data: bytes) -> Header:
    """Give shape and dtype of a WebP file.

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
    height, width = turned(start.height, start.width, start.orientation)
    return Header((height, width, 4 if start.alpha else 3), _BYTES, {})


def decode(data: bytes, out: Array | None = None) -> Array:
    """Decode a WebP file: its first frame, RGB or RGBA, upright.

    Parameters
    ----------
    data : bytes
        The file.
    out : numpy.ndarray, optional
        Filled and returned if it is just what the file becomes and the decoder can.

    Returns
    -------
    numpy.ndarray
        ``(H, W, 3)`` or ``(H, W, 4)``.

    Raises
    ------
    SampleError
        The file is broken or truncated.
    """
    start = _parse(data)
    shape = (start.height, start.width, 4 if start.alpha else 3)
    target = as_target(out, shape, _BYTES) if start.orientation == 1 else None
    codecs = have("imagecodecs")
    if codecs is None or start.animated:
        array = with_pillow.decode_as_stored(data, ("WEBP",))
    else:
        try:
            array = codecs.webp_decode(data, hasalpha=start.alpha, out=target)
        except (RuntimeError, ValueError, TypeError) as error:
            raise SampleError(f"broken WebP file: {error}") from error
    if array.shape != shape:
        raise SampleError(
            f"broken WebP file: its header says {start.width} × {start.height} pixels"
            f"{' with alpha' if start.alpha else ''}, its contents are {array.shape}"
        )
    return oriented(array, start.orientation)
