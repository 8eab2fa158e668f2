"""JPEG: the header in microseconds from the bytes, pixels by libjpeg-turbo.

A file that lacks its end marker is truncated, which decoders differ about (imagecodecs
fills up with grey): here the header tells.
"""

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

_FORMATS = ("JPEG", "MPO")
_END = b"\xff\xd9"
_EXIF = b"Exif\0\0"
_FRAME = Struct(">HBHHB").unpack_from  # length, bits, height, width, components
_LENGTH = Struct(">H").unpack_from
_BYTES = np.dtype(np.uint8)
_SHORTS = np.dtype(np.uint16)
# Start of frame: all of 0xC0 to 0xCF but tables and reserved ones.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APP1, _SCAN = 0xE1, 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a segment


class _Frame(NamedTuple):
    height: int
    width: int
    components: int
    bits: int
    orientation: int

    @property
    def last(self) -> tuple[int, ...]:
        """The axis of channels, if there is one."""
        return () if self.components == 1 else (3,)

    @property
    def dtype(self) -> np.dtype[Any]:
        return _BYTES if self.bits <= 8 else _SHORTS


def _parse(data: bytes) -> _Frame:
    if not data.startswith(b"\xff\xd8"):
        raise SampleError("broken JPEG file: it does not begin as one")
    orientation, at, size = 1, 2, len(data)
    while at + 4 <= size:
        if data[at] != 0xFF:
            raise SampleError(f"broken JPEG file: no marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        if marker in _FRAMES:
            if at + 10 > size:
                break
            _, bits, height, width, components = _FRAME(data, at + 2)
            if data.rfind(_END, at) < 0:
                raise SampleError("truncated JPEG file: it has no end marker")
            if not (height and width and components in (1, 3, 4)):
                raise SampleError(
                    f"JPEG file of {width} × {height} pixels and {components} components; "
                    "expected at least one pixel, and 1, 3 or 4 components"
                )
            return _Frame(height, width, components, bits, orientation)
        length = _LENGTH(data, at + 2)[0]
        if marker == _APP1 and orientation == 1 and data.startswith(_EXIF, at + 4):
            orientation = read_orientation(data, at + 10, min(at + 2 + length, size))
        elif marker == _SCAN:
            raise SampleError("broken JPEG file: a scan comes before the header of its frame")
        at += 2 + length
    raise SampleError("truncated JPEG file: it ends before its size was told")


def header(data: bytes) -> Header:
    """Give shape and dtype of a JPEG file.

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
    frame = _parse(data)
    size = turned(frame.height, frame.width, frame.orientation)
    return Header((*size, *frame.last), frame.dtype, {})


def _target(frame: _Frame, out: Array | None) -> Array | None:
    """The array to decode into, if it is for pixels as they are stored."""
    if out is None or frame.orientation != 1:
        return None
    return as_target(out, (frame.height, frame.width, *frame.last), frame.dtype)


def decode(data: bytes, out: Array | None = None) -> Array:
    """Decode a JPEG file: grey or RGB, upright.

    Parameters
    ----------
    data : bytes
        The file.
    out : numpy.ndarray, optional
        Filled and returned if it is just what the file becomes and the decoder can.

    Returns
    -------
    numpy.ndarray
        ``(H, W)`` or ``(H, W, 3)``.

    Raises
    ------
    SampleError
        The file is broken or truncated.
    """
    frame = _parse(data)
    codecs = have("imagecodecs")
    if codecs is None or frame.components == 4:  # only Pillow knows Adobe's inverted CMYK
        array = with_pillow.decode_as_stored(data, _FORMATS)
    else:
        try:
            array = codecs.jpeg8_decode(data, out=_target(frame, out))
        except (RuntimeError, ValueError, TypeError) as error:
            raise SampleError(f"broken JPEG file: {error}") from error
    if array.shape[:2] != (frame.height, frame.width):
        raise SampleError(
            f"broken JPEG file: its header says {frame.width} × {frame.height} pixels, "
            f"it has {array.shape[1]} × {array.shape[0]}"
        )
    return oriented(array, frame.orientation)
