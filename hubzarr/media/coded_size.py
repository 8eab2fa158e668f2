"""The size of a picture that is coded as JPEG, JPEG-LS or JPEG 2000, from its own header.

Some decoders reserve memory for as many pixels as a garbled header claims before they
find out; whoever knows the size from elsewhere can compare first.
"""

from __future__ import annotations

import struct

__all__ = ["coded_size"]

_JPEG_2000 = b"\xff\x4f\xff\x51"  # start of codestream, then size
_NO_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])  # markers that stand alone
# Start of frame of every kind; the numbers between belong to other markers.
_SIZES = frozenset([*range(0xC0, 0xD0), 0xF7]) - {0xC4, 0xC8, 0xCC}


def coded_size(data: bytes) -> tuple[int, int] | None:
    """Give height and width, or None where the header doesn't tell.

    Parameters
    ----------
    data : bytes
        A codestream.

    Examples
    --------
    >>> from hubzarr.media.coded_size import coded_size
    >>> coded_size(bytes.fromhex("ffd8 ffc0 0011 08 0010 0020"))
    (16, 32)
    """
    if data[:2] == b"\xff\xd8":
        return _of_jpeg(data)
    start = data.find(_JPEG_2000, 0, 1000)  # after the boxes of a JP2 file, if it is one
    if start < 0 or start + 24 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    return bottom - top, right - left


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _SIZES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return height, width
        if marker == 0xFF:  # padding
            place += 1
        elif marker in _NO_LENGTH:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
