"""Shapes of chunks and shards for those who don't want to think about them.

A *chunk* is what one read decodes at least, a *shard* what one object holds. Many
small objects are slow on every store, large chunks are slow to read one sample from;
so samples get chunks of their own, and shards gather them.

============================================  ==================  =====================
array                                         chunk               shard
============================================  ==================  =====================
under 1 MiB                                   all of it           none
samples of 256 B to 2 MiB, three axes or more about 64 KiB, or    about 8 MiB, along
                                              one sample          axis 0
larger samples                                a tile of 1 MiB     16 MiB at most
tables and all others                         1 MiB at most       about 16 MiB
============================================  ==================  =====================
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from operator import index
from typing import Any, Final, Literal

from hubzarr.codecs.document import data_type_of
from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["auto_chunks"]

type Shape = tuple[int, ...]
type Lengths = int | Sequence[int | None] | None
type Auto = Literal["auto"]

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_SMALL_ARRAY: Final = _MIB
_SAMPLE_BYTES: Final = (256, 2 * _MIB)
_SAMPLE_CHUNK: Final = 64 * _KIB
_SAMPLE_SHARD: Final = 8 * _MIB
_CHUNK: Final = _MIB
_SHARD: Final = 16 * _MIB
_WHOLE_ROW: Final = 64 * _KIB
_CHANNELS: Final = 4
_STRING_BYTES: Final = 32  # a guess, as good as any, for strings of variable length
_ENDLESS: Final = 2**40  # length to plan with for an axis that will be appended to


def auto_chunks(
    shape: Shape,
    dtype: Any,
    chunks: Lengths | Auto = "auto",
    shards: Lengths | Auto = "auto",
) -> tuple[Shape, Shape | None]:
    """Return the shapes of chunks and shards to use for a new array.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array. Axis 0 may have length 0, to be appended to.
    dtype
        Type of the elements, as `array_document` takes it.
    chunks : int, sequence of int or None, or "auto"
        Chunk length along each axis; -1 or None for a whole axis. One number counts
        for every axis that is at least so long.
    shards : int, sequence of int or None, None, or "auto"
        Shard length along each axis, multiples of the chunks; -1 or None for a whole
        axis. None: no shards. "auto" with chunks given: no shards.

    Returns
    -------
    chunks : tuple of int
    shards : tuple of int or None

    Raises
    ------
    InvalidError
        The numbers of axes differ, a length is 0, or shards are no multiples of
        chunks.

    Examples
    --------
    >>> from hubzarr.codecs import auto_chunks
    >>> auto_chunks((60000, 28, 28), "uint8")
    ((83, 28, 28), (10624, 28, 28))
    >>> auto_chunks((60000, 28, 28), "uint8", chunks=(100, -1, -1))
    ((100, 28, 28), None)
    """
    shape = tuple(map(index, shape))
    if any(length < 0 for length in shape):
        raise InvalidError(f"shape {shape} has a negative length; expected 0 or more")
    itemsize = _itemsize(dtype)
    whole = tuple(max(1, length) for length in shape)
    if chunks == "auto":
        if shards == "auto":
            return _auto(shape, itemsize)
        chosen, _ = _auto(shape, itemsize)
        if shards is None:
            return chosen, None
        outer = _lengths("shards", shards, whole)
        return tuple(map(_largest_divisor, outer, chosen)), outer
    if chunks is None:
        return whole, None if shards in (None, "auto") else _shards(shards, whole, whole)
    inner = _lengths("chunks", chunks, whole)
    if shards is None or shards == "auto":
        return inner, None
    return inner, _shards(shards, whole, inner)


def _itemsize(dtype: Any) -> int:
    native = data_type_of(dtype).to_native_dtype()
    return _STRING_BYTES if native.kind in "TO" else native.itemsize


def _lengths(what: str, given: Any, whole: Shape) -> Shape:
    """Return one length per axis for what a user gave as chunks or shards."""
    try:
        if not isinstance(given, str) and hasattr(given, "__index__"):
            number = index(given)
            # beyond axis 0, which may grow, more than the axis would only be padding
            given = [min(number, n) if axis else number for axis, n in enumerate(whole)]
        entries = [-1 if entry is None else index(entry) for entry in given]
    except TypeError as cause:
        raise InvalidTypeError(
            f"{what} {given!r} can't be; expected a whole number, one for each axis (-1 or None "
            f"for a whole axis), or 'auto'"
        ) from cause
    if len(entries) != len(whole):
        raise InvalidError(
            f"{what} {given!r} has {len(entries)} numbers for {len(whole)} axes; pass one for "
            "each axis, -1 for a whole axis"
        )
    if any(entry == 0 or entry < -1 for entry in entries):
        raise InvalidError(f"{what} {given!r} can't be; expected lengths from 1 up, or -1")
    return tuple(n if entry == -1 else entry for entry, n in zip(entries, whole, strict=True))


def _shards(given: Any, whole: Shape, inner: Shape) -> Shape:
    # a whole axis, in shards, is what its chunks cover
    covered = tuple(ceil(n / chunk) * chunk for n, chunk in zip(whole, inner, strict=True))
    outer = _lengths("shards", given, covered)
    if any(length % chunk for length, chunk in zip(outer, inner, strict=True)):
        raise InvalidError(
            f"shards {outer} are not whole multiples of chunks {inner}; change either"
        )
    return outer


def _largest_divisor(length: int, limit: int) -> int:
    return next(divisor for divisor in range(min(length, limit), 0, -1) if length % divisor == 0)


def _auto(shape: Shape, itemsize: int) -> tuple[Shape, Shape | None]:
    if not shape:
        return (), None
    whole = tuple(max(1, length) for length in shape)
    planned = (shape[0] or _ENDLESS, *whole[1:])
    if prod(planned) * itemsize < _SMALL_ARRAY:
        return whole, None
    row = prod(whole[1:]) * itemsize
    low, high = _SAMPLE_BYTES
    if len(shape) >= 3 and low <= row <= high:
        chunks = _rows(planned, row, _SAMPLE_CHUNK)
        return chunks, _gather(planned, chunks, itemsize, _SAMPLE_SHARD, [0])
    if len(shape) >= 3 and row > high:
        chunks = _tile((1, *planned[1:]), itemsize)
        sample = _gather(planned, chunks, itemsize, _SHARD, range(1, len(shape))) or chunks
        return chunks, _gather(planned, sample, itemsize, _SHARD, [0]) or sample
    chunks = _rows(planned, row, _CHUNK) if row <= _WHOLE_ROW else _tile(planned, itemsize)
    return chunks, _gather(planned, chunks, itemsize, _SHARD, range(len(shape)))


def _rows(planned: Shape, row: int, target: int) -> Shape:
    return (min(planned[0], max(1, target // row)), *planned[1:])


def _tile(planned: Shape, itemsize: int) -> Shape:
    """Cut the longest axis in two, again and again, until a chunk is small enough.

    Channels, a short last axis, stay together.
    """
    pieces = [1] * len(planned)
    tile = list(planned)
    cut = list(range(len(planned)))
    if len(planned) >= 3 and planned[-1] <= _CHANNELS:
        cut.pop()
    while prod(tile) * itemsize > _CHUNK:
        axis = max(cut, key=tile.__getitem__)
        if tile[axis] == 1:
            break
        pieces[axis] *= 2
        tile[axis] = ceil(planned[axis] / pieces[axis])
    return tuple(tile)


def _gather(
    planned: Shape, chunks: Shape, itemsize: int, target: int, axes: Sequence[int]
) -> Shape | None:
    """Return a shard of at most `target` bytes that grows along `axes`, shortest first."""
    room = target // (prod(chunks) * itemsize)
    counts = [ceil(n / chunk) for n, chunk in zip(planned, chunks, strict=True)]
    taken = [1] * len(chunks)
    open_axes = [axis for axis in axes if counts[axis] > 1]
    if len(open_axes) == 1:
        taken[open_axes[0]] = max(1, min(counts[open_axes[0]], room))
        open_axes = []
    while open_axes:
        axis = min(open_axes, key=lambda axis: taken[axis] * chunks[axis])
        more = taken[axis] + 1
        if taken[axis] == counts[axis] or prod(taken) // taken[axis] * more > room:
            open_axes.remove(axis)
        else:
            taken[axis] = more
    for axis, count in enumerate(counts):
        if axis > 0:  # even parts; axis 0 may grow, so its parts are as long as can be
            taken[axis] = ceil(count / ceil(count / taken[axis]))
    shards = tuple(chunk * number for chunk, number in zip(chunks, taken, strict=True))
    return None if shards == chunks else shards
