"""GIF: the header of the first frame from bytes; pixels by Pillow."""

from __future__ import annotations

from struct import Struct

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.format import Header
from hubzarr.media.images import with_pillow

__all__ = ["decode", "header"]

_SHORTS = Struct("<HH").unpack_from
_BOX = Struct("<HHHHB").unpack_from  # left, top, width, height, flags
_EXTENSION, _IMAGE = 0x21, 0x2C
_CONTROL = 0xF9
_BYTES = np.dtype(np.uint8)
_GREYS = bytes(level for level in range(256) for _ in "RGB")

decode = with_pillow.decoder("GIF")


def header(data: bytes) -> Header:
    """Give shape and dtype of the first frame of a GIF file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        Grey if the palette is nothing but greys in their order.

    Raises
    ------
    SampleError
        The header is broken, or there is no frame.
    """
    try:
        return Header(_shape(data), _BYTES, {})
    except (IndexError, ValueError) as error:
        raise SampleError("truncated GIF file: it ends before its first frame") from error


def _shape(data: bytes) -> tuple[int, ...]:
    if not data.startswith((b"GIF87a", b"GIF89a")) or len(data) < 14:
        raise SampleError("broken GIF file: it does not begin as one")
    width, height = _SHORTS(data, 6)
    flags, at, grey, transparent = data[10], 13, True, False
    if flags & 0x80:
        grey, at = _palette(data, at, flags)
    while True:
        kind = data[at]
        if kind == _EXTENSION:
            if data[at + 1] == _CONTROL and data[at + 2] >= 4 and data[at + 3] & 1:
                transparent = True
            at = _after_blocks(data, at + 2)
        elif kind == _IMAGE:
            left, top, wide, tall, flags = _BOX(data[at + 1 : at + 10].ljust(9, b"\0"))
            if flags & 0x80:
                grey, _ = _palette(data, at + 10, flags)
            # A frame may be larger than the screen that it is shown on.
            width, height = max(width, left + wide), max(height, top + tall)
            if not (width and height):
                raise SampleError(f"broken GIF file: {width} × {height} pixels")
            return (height, width, 4) if transparent else (height, width, *(() if grey else (3,)))
        elif kind == 0x3B:
            raise SampleError("broken GIF file: it has no frame")
        else:
            at += 1


def _palette(data: bytes, at: int, flags: int) -> tuple[bool, int]:
    """Whether a palette is nothing but greys in their order, and where it ends."""
    size = 3 << ((flags & 7) + 1)
    return data[at : at + size] == _GREYS[:size], at + size


def _after_blocks(data: bytes, at: int) -> int:
    while size := data[at]:
        at += 1 + size
    return at + 1
