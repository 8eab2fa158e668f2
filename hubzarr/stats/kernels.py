"""Moments of flat arrays at the speed of the caches.

Blocks that fit a core's cache are converted to float once, in scratch memory of the
thread, and BLAS sums them.  Two facts make that exact where it can be:

- 8-bit integers in float32: a row of 240 squares stays below 2**24, so every partial
  sum is an exact integer in whatever order BLAS adds.
- wider integers and floats in float64, less a shift close to the mean: the shift is a
  multiple of a power of two near the standard deviation, so that data that are integers
  stay integers, and nothing cancels.

Every call into BLAS sees fewer than 9,216 elements, below OpenBLAS' thresholds for
starting threads of its own: many threads of ours call these functions at once.
"""

from __future__ import annotations

import threading
from math import floor, isfinite, log2
from typing import Any

import numpy as np

__all__ = [
    "BLOCK",
    "GROUP",
    "add_wrapping",
    "byte_sums",
    "extremes",
    "float_scratch",
    "round_shift",
    "shifted_sums",
]

type Array = np.ndarray[Any, Any]

TILE = 240  # a multiple of every number of channels; 240 * 255**2 < 2**24
ROWS = 32
GROUP = TILE * ROWS
BLOCK = 4 * GROUP  # elements of float64 that a core's cache holds; twice that of float32
_HEAD = 32 * GROUP


class _Scratch(threading.local):
    """Buffers that each thread keeps: fresh memory costs a page fault per 4 KiB."""

    def __init__(self) -> None:
        self.f4 = np.empty(2 * BLOCK, "f4")
        self.f8 = np.empty(BLOCK, "f8")
        self.i8 = np.empty(BLOCK, "i8")
        self.valid = np.empty(BLOCK, "?")


_scratch = _Scratch()
_ONES = {"f4": np.ones(GROUP, "f4"), "f8": np.ones(GROUP, "f8")}


def float_scratch(size: int) -> Array:
    """Give float64 memory of this thread, good until its next use; at most `BLOCK`."""
    return _scratch.f8[:size]


def extremes(x: Array, channels: int, *, holes: bool = False) -> tuple[Array, Array]:
    """Smallest and largest element of each channel; NaN where there is one, or past `holes`."""
    low, high = (np.fmin, np.fmax) if holes else (np.minimum, np.maximum)
    return _reduce(low, x, channels), _reduce(high, x, channels)


def byte_extremes(x: Array, channels: int) -> tuple[Array, Array]:
    """Like `extremes` of 8-bit integers, which often reach their limits soon."""
    limits = np.iinfo(x.dtype)
    head, rest = x[:_HEAD], x[_HEAD:]
    low, high = extremes(head, channels)
    if rest.size == 0:
        return low, high
    if (low != limits.min).any():
        low = np.minimum(low, _reduce(np.minimum, rest, channels))
    if (high != limits.max).any():
        high = np.maximum(high, _reduce(np.maximum, rest, channels))
    return low, high


def add_wrapping(x: Array, channels: int) -> Array:
    """Sum of each channel of 64-bit integers, modulo 2**64."""
    return _reduce(np.add, x, channels)


def _reduce(ufunc: np.ufunc, x: Array, channels: int) -> Array:
    """Reduce each channel; where they interleave, in wide rows that vector units like."""
    if channels == 1:
        return ufunc.reduce(x).reshape(1)  # type: ignore[no-any-return]
    whole = x.size - x.size % GROUP
    tail: Array = ufunc.reduce(x[whole:].reshape(-1, channels), axis=0) if whole < x.size else x[:0]
    if whole == 0:
        return tail
    wide: Array = ufunc.reduce(x[:whole].reshape(-1, GROUP), axis=0)
    head: Array = ufunc.reduce(wide.reshape(-1, channels), axis=0)
    return ufunc(head, tail) if tail.size else head


def _buffers(size: int, channels: int, code: str) -> tuple[Array, Array]:
    groups = -(-size // GROUP)
    width = TILE if channels > 1 else ROWS if code == "f4" else 1
    return np.empty((groups, width), code), np.empty((groups, width), code)


def _sum_block(block: Array, channels: int, sums: Array, squares: Array) -> None:
    """Sums and sums of squares of a padded block of whole groups; may spoil the block."""
    cube = block.reshape(-1, ROWS, TILE)
    if channels > 1:
        ones = _ONES[block.dtype.str[1:]][:ROWS]
        np.matmul(ones, cube, out=sums)
        np.multiply(block, block, out=block)
        np.matmul(ones, cube, out=squares)
    elif block.dtype.itemsize == 4:
        np.matmul(cube, _ONES["f4"][:TILE], out=sums)
        np.vecdot(cube, cube, out=squares)
    else:
        line = block.reshape(-1, GROUP)
        np.vecdot(line, _ONES["f8"], out=sums[:, 0])
        np.vecdot(line, line, out=squares[:, 0])


def _by_channel(sums: Array, channels: int, *, exact: bool = False) -> Array:
    """Add up the sums of groups; `exact` for integers that may need more than 53 bits."""
    kind: Any = "i8" if exact else "f8"
    if exact:
        sums = sums.astype("i8")
    if channels == 1:
        return sums.sum(dtype=kind).reshape(1)  # type: ignore[no-any-return]
    total: Array = sums.sum(axis=0, dtype=kind).reshape(-1, channels).sum(axis=0)
    return total


def byte_sums(x: Array, channels: int) -> tuple[Array, Array]:
    """Exact sums and sums of squares, by channel, of flat 8-bit integers."""
    sums, squares = _buffers(x.size, channels, "f4")
    scratch = _scratch.f4
    for start in range(0, x.size, scratch.size):
        part = x[start : start + scratch.size]
        groups = -(-part.size // GROUP)
        block = scratch[: groups * GROUP]
        np.copyto(block[: part.size], part)
        block[part.size :] = 0
        at = start // GROUP
        _sum_block(block, channels, sums[at : at + groups], squares[at : at + groups])
    return _by_channel(sums, channels), _by_channel(squares, channels)


def shifted_sums(
    x: Array,
    channels: int,
    shift: list[float] | list[int],
    *,
    holes: bool = False,
    bits: int = 64,
) -> tuple[Array, Array]:
    """Sums and sums of squares, by channel, of ``x - shift`` in float64.

    An integer shift of 64-bit integers is taken off before the conversion, so that
    their range has to fit 63 bits.  Sums of integers that fit 32 `bits` are exact, and so
    are the squares of 16 bits without shift.  With `holes`, NaN counts as the shift.
    """
    sums, squares = _buffers(x.size, channels, "f8")
    kind, size = x.dtype.kind, x.dtype.itemsize
    integral = size == 8 and kind != "f" and isinstance(shift[0], int)
    plain = not any(shift)
    tile = np.array(shift, x.dtype if integral else "f8")
    if channels > 1 and not plain:
        tile = np.tile(tile, min(BLOCK, x.size) // channels)
    in_place = plain and channels == 1 and kind == "f" and size == 8 and not holes
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        groups = -(-part.size // GROUP)
        if in_place and part.size == BLOCK:
            block = part
        else:
            block = _load(part, tile, groups, integral=integral, plain=plain)
            if holes:
                clear_nan(block)
        at = start // GROUP
        _sum_block(block, channels, sums[at : at + groups], squares[at : at + groups])
    return (
        _by_channel(sums, channels, exact=bits <= 32),
        _by_channel(squares, channels, exact=bits <= 16),
    )


def clear_nan(block: Array) -> Array:
    """Replace NaN by zero in scratch memory, and tell which elements are valid.

    By masking bits: assignment through a mask mispredicts a branch for every hole.
    """
    valid = _scratch.valid[: block.size].reshape(block.shape)
    mask = _scratch.i8[: block.size].reshape(block.shape)
    np.equal(block, block, out=valid)
    np.negative(valid.view("i1"), out=mask, dtype="i8")
    bits = block.view("i8")
    np.bitwise_and(bits, mask, out=bits)
    return valid


def _load(part: Array, tile: Array, groups: int, *, integral: bool, plain: bool) -> Array:
    """Convert, shift and pad a part into scratch memory of whole groups."""
    size = part.size
    padded = _scratch.f8[: groups * GROUP]
    padded[size:] = 0
    block = padded[:size]
    offset = tile[:size] if tile.size > 1 else tile
    if plain:
        np.copyto(block, part)
    elif integral:
        whole = _scratch.i8[:size]
        np.subtract(part, offset, out=whole.view(part.dtype))
        np.copyto(block, whole)
    elif part.dtype == block.dtype:
        np.subtract(part, offset, out=block)
    else:
        np.copyto(block, part)
        np.subtract(block, offset, out=block)
    return padded


def round_shift(centre: float, spread: float) -> float:
    """Give a shift about as close as `spread` to `centre` that has few significant bits."""
    if not (isfinite(centre) and isfinite(spread)):
        return 0.0
    if abs(centre) <= 8.0 * spread:
        return 0.0  # too little would cancel to be worth a pass
    if spread <= 0.0:
        return centre
    quantum = 2.0 ** floor(log2(spread)) if spread > 1e-300 else 0.0
    steps = centre / quantum if quantum else 0.0
    return round(steps) * quantum if 0.0 < abs(steps) < 2.0**53 else centre
