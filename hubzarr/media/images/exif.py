"""The EXIF orientation: found in the bytes of a file, and applied to shapes and pixels."""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np

__all__ = ["oriented", "read_orientation", "turned"]

type Array = np.ndarray[Any, Any]

_ENDIANS = {b"II*\0": "<", b"MM\0*": ">"}
_LONG = {end: Struct(f"{end}I") for end in "<>"}
_SHORT = {end: Struct(f"{end}H") for end in "<>"}
_MAX_ENTRIES = 512  # of a directory; more is garbage


def read_orientation(data: bytes, start: int, stop: int) -> int:
    """Find the orientation in a block of EXIF; 1, which is upright, where it says nothing.

    Parameters
    ----------
    data : bytes
        A file.
    start, stop : int
        Where in it the block is, that begins with the byte order.

    Returns
    -------
    int
        1 to 8, see the EXIF standard.
    """
    end = _ENDIANS.get(data[start : start + 4])
    if end is None or stop - start < 14:
        return 1
    short = _SHORT[end].unpack_from
    at = start + int(_LONG[end].unpack_from(data, start + 4)[0])
    if at + 2 > stop:
        return 1
    count = min(short(data, at)[0], _MAX_ENTRIES, (stop - at - 2) // 12)
    tag = b"\x12\x01" if end == "<" else b"\x01\x12"
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if data.startswith(tag, entry):
            value = int(short(data, entry + 8)[0])
            return value if 1 <= value <= 8 else 1
    return 1


def turned(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Give height and width after the orientation was applied."""
    return (width, height) if orientation >= 5 else (height, width)


def oriented(array: Array, orientation: int) -> Array:
    """Apply an orientation to pixels ``(H, W, ...)``; 1 leaves the very array."""
    if orientation == 1:
        return array
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
