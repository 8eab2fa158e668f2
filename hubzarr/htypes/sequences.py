"""Several samples as one piece of bytes: how a row of ``sequence[...]`` is stored.

All numbers are unsigned and little-endian. With n samples and r the largest number of axes
that any of them has:

============  ==========  ==================================================================
offset        type        what
============  ==========  ==================================================================
0             uint8       version of this layout: 1
1             uint8       r
2             uint16      0
4             uint32      n
8             n × uint64  where each sample ends, counted from the start of the samples
8 + 8 n       n r uint32  shape of each sample, one after the other; a sample with fewer
                          than r axes has 0xFFFFFFFF for those it doesn't have
...           zeros       up to the next multiple of 8
...           bytes       the samples, one directly after the other
============  ==========  ==================================================================

What the bytes of a sample are is the same as outside a sequence: the elements of an array
in C order, little-endian, of the tensor's dtype; the untouched bytes of a file; text in
UTF-8; JSON in UTF-8; a URL in UTF-8. Polygons are such a sequence, too: one array
(points, 2 or 3) for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from struct import Struct, error

import numpy as np

from hubzarr.errors import DamagedError, SampleError
from hubzarr.htypes.shapes import Shape

__all__ = ["frame", "unframe"]

_VERSION = 1
_HEAD = Struct("<BBHI")
_NO_AXIS = 0xFFFFFFFF


def frame(blobs: Sequence[bytes], shapes: Sequence[Shape]) -> bytes:
    """Put samples into one piece of bytes.

    Parameters
    ----------
    blobs : sequence of bytes
        The samples.
    shapes : sequence of tuple of int
        As many shapes.

    Returns
    -------
    bytes
        In the layout of the module's table.

    Examples
    --------
    >>> from hubzarr.htypes import frame, unframe
    >>> packed = frame([b"abc", b"d"], [(3,), (1,)])
    >>> len(packed), unframe(packed)
    (36, ([b'abc', b'd'], [(3,), (1,)]))
    """
    count = len(blobs)
    ndim = max(map(len, shapes), default=0)
    ends = np.cumsum([len(blob) for blob in blobs], dtype="<u8").astype("<u8")
    try:
        table = np.array([s + (_NO_AXIS,) * (ndim - len(s)) for s in shapes], "<u4")
        head = _HEAD.pack(_VERSION, ndim, 0, count) + ends.tobytes() + table.tobytes()
    except (OverflowError, error) as reason:
        raise SampleError(f"samples too large for a sequence: {reason}") from reason
    return b"".join((head, bytes(-len(head) % 8), *blobs))


def unframe(packed: bytes) -> tuple[list[bytes], list[Shape]]:
    """Take samples apart that `frame` put together.

    Parameters
    ----------
    packed : bytes
        What `frame` gave.

    Returns
    -------
    list of bytes, list of tuple of int
        The samples and their shapes.

    Raises
    ------
    DamagedError
        The bytes are no such frame.

    Examples
    --------
    >>> from hubzarr.htypes import frame, unframe
    >>> unframe(frame([], []))
    ([], [])
    """
    ends, table, start = _head(packed)
    blobs = [packed[start + a : start + b] for a, b in pairwise((0, *ends))]
    if any(_NO_AXIS in row for row in table):
        return blobs, [tuple(n for n in row if n != _NO_AXIS) for row in table]
    return blobs, [tuple(row) for row in table]


def _head(packed: bytes) -> tuple[list[int], list[list[int]], int]:
    """Ends of the samples, rows of the table of shapes, offset of the samples."""
    try:
        version, ndim, zero, count = _HEAD.unpack_from(packed)
        if version != _VERSION or zero:
            raise DamagedError(f"a sequence of layout {version}; this release reads {_VERSION}")
        at = _HEAD.size + 8 * count
        ends = np.frombuffer(packed, "<u8", count, _HEAD.size)
        table = np.frombuffer(packed, "<u4", count * ndim, at).reshape(count, ndim)
    except (error, ValueError) as reason:
        raise DamagedError(f"a sequence with a damaged head: {reason}") from reason
    at += 4 * count * ndim
    at += -at % 8
    whole = int(ends[-1]) if count else 0
    if at + whole != len(packed) or (ends[1:] < ends[:-1]).any():
        raise DamagedError(f"a sequence of {at + whole} bytes by its head, but of {len(packed)}")
    return ends.tolist(), table.tolist(), at
