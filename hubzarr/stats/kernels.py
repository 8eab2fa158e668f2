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

__all__ = ["byte_sums", "extremes", "round_shift", "shifted_sums"]

type Array = np.ndarray[Any, Any]

TILE = 240  # a multiple of every number of channels; 240 * 255**2 < 2**24
ROWS = 32
GROUP = TILE * ROWS
BLOCK = 4 * GROUP
_WIDE = 8 * TILE


class _Scratch(threading.local):
    """Buffers that each thread keeps: fresh memory costs a page fault per 4 KiB."""

    def __init__(self) -> None:
        self.f4 = np.empty(BLOCK, "f4")
        self.f8 = np.empty(BLOCK, "f8")
        self.i8 = np.empty(BLOCK, "i8")


_scratch = _Scratch()
_ONES = {"f4": np.ones(GROUP, "f4"), "f8": np.ones(GROUP, "f8")}


def extremes(x: Array, channels: int) -> tuple[Array, Array]:
    """Smallest and largest element of each channel; NaN where there is one."""
    if channels == 1:
        return np.minimum.reduce(x).reshape(1), np.maximum.reduce(x).reshape(1)
    return _fold(np.minimum, x, channels), _fold(np.maximum, x, channels)


def _fold(ufunc: np.ufunc, x: Array, channels: int) -> Array:
    """Reduce interleaved channels, in wide rows that vector units like."""
    whole = x.size - x.size % _WIDE
    tail = ufunc.reduce(x[whole:].reshape(-1, channels), axis=0) if whole < x.size else None
    if whole == 0:
        return tail  # type: ignore[return-value]
    wide = ufunc.reduce(x[:whole].reshape(-1, _WIDE), axis=0)
    head = ufunc.reduce(wide.reshape(-1, channels), axis=0)
    return head if tail is None else ufunc(head, tail)  # type: ignore[no-any-return]


def _buffers(size: int, channels: int, code: str) -> tuple[Array, Array]:
    groups = -(-size // GROUP)
    width = TILE if channels > 1 else ROWS if code == "f4" else 1
    return np.empty((groups, width), code), np.empty((groups, width), code)


def _sum_block(block: Array, channels: int, sums: Array, squares: Array) -> None:
    """Sums and sums of squares of a padded block of whole groups."""
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


def _by_channel(sums: Array, channels: int) -> Array:
    if channels == 1:
        return sums.sum(dtype="f8").reshape(1)  # type: ignore[no-any-return]
    total: Array = sums.sum(axis=0, dtype="f8").reshape(-1, channels).sum(axis=0)
    return total


def byte_sums(x: Array, channels: int) -> tuple[Array, Array]:
    """Exact sums and sums of squares, by channel, of flat 8-bit integers."""
    sums, squares = _buffers(x.size, channels, "f4")
    scratch = _scratch.f4
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        groups = -(-part.size // GROUP)
        block = scratch[: groups * GROUP]
        np.copyto(block[: part.size], part)
        block[part.size :] = 0
        at = start // GROUP
        _sum_block(block, channels, sums[at : at + groups], squares[at : at + groups])
    return _by_channel(sums, channels), _by_channel(squares, channels)


def shifted_sums(
    x: Array, channels: int, shift: list[float] | list[int], *, holes: bool = False
) -> tuple[Array, Array]:
    """Sums and sums of squares, by channel, of ``x - shift`` in float64.

    A shift of 64-bit integers by integers is taken off before the conversion, so that
    their range has to fit 63 bits.  With `holes`, NaN counts as the shift.
    """
    sums, squares = _buffers(x.size, channels, "f8")
    scratch = _scratch
    integral = x.dtype.itemsize == 8 and x.dtype.kind != "f" and isinstance(shift[0], int)
    tile = np.array(shift, x.dtype if integral else "f8")
    if channels > 1:
        tile = np.tile(tile, min(BLOCK, x.size) // channels)
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        size = part.size
        groups = -(-size // GROUP)
        padded = scratch.f8[: groups * GROUP]
        padded[size:] = 0
        block = padded[:size]
        offset = tile[:size] if channels > 1 else tile
        if integral:
            whole = scratch.i8[:size]
            np.subtract(part, offset, out=whole.view(x.dtype))
            np.copyto(block, whole)
        elif part.dtype == block.dtype:
            np.subtract(part, offset, out=block)
        else:
            np.copyto(block, part)
            np.subtract(block, offset, out=block)
        if holes:
            np.copyto(block, 0.0, where=np.isnan(block))
        at = start // GROUP
        _sum_block(padded, channels, sums[at : at + groups], squares[at : at + groups])
    return _by_channel(sums, channels), _by_channel(squares, channels)


def round_shift(centre: float, spread: float) -> float:
    """Give a shift within half a `spread` of `centre` that has few significant bits."""
    if not (isfinite(centre) and isfinite(spread)):
        return 0.0
    if spread <= 0.0 or centre == 0.0:
        return centre
    quantum = 2.0 ** floor(log2(spread)) if spread > 1e-300 else 0.0
    steps = centre / quantum if quantum else 0.0
    return round(steps) * quantum if 0.0 < abs(steps) < 2.0**53 else centre
