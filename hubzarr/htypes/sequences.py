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
from itertools import accumulate, pairwise
from struct import Struct, error, pack, unpack_from

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
    dims = [n for shape in shapes for n in (*shape, *(_NO_AXIS,) * (ndim - len(shape)))]
    try:
        head = pack(
            f"<BBHI{count}Q{count * ndim}I",
            *(_VERSION, ndim, 0, count, *accumulate(map(len, blobs)), *dims),
        )
    except error as reason:
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
    ends, dims, start = _head(packed)
    blobs = [packed[start + a : start + b] for a, b in pairwise((0, *ends))]
    if not ends:
        return [], []
    ndim = len(dims) // len(ends)
    shapes = [dims[i * ndim : (i + 1) * ndim] for i in range(len(ends))]
    if _NO_AXIS in dims:
        shapes = [tuple(n for n in shape if n != _NO_AXIS) for shape in shapes]
    return blobs, shapes


def _head(packed: bytes) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Ends of the samples, the table of shapes in one row, offset of the samples."""
    try:
        version, ndim, zero, count = _HEAD.unpack_from(packed)
        if version != _VERSION or zero:
            raise DamagedError(f"a sequence of layout {version}; this release reads {_VERSION}")
        at = _HEAD.size + count * (8 + 4 * ndim)
        if at > len(packed):
            raise DamagedError(f"a sequence of {count} samples in {len(packed)} bytes")
        numbers = unpack_from(f"<{count}Q{count * ndim}I", packed, _HEAD.size)
    except error as reason:
        raise DamagedError(f"a sequence with a damaged head: {reason}") from reason
    ends = numbers[:count]
    at += -at % 8
    whole = at + (ends[-1] if count else 0)
    if whole != len(packed) or any(a > b for a, b in pairwise(ends)):
        raise DamagedError(f"a sequence of {whole} bytes by its head, but of {len(packed)}")
    return ends, numbers[count:], at
