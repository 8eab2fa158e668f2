"""Masks as COCO writes them: run lengths, packed run lengths, and polygons.

Runs go down the columns and tell how many pixels are off, then on, then off, and so on.
Packed, each run is written in characters of six bits, the lowest five first: bit five of
a character tells that more follow, and from the fourth run on, the difference to the run
before last is written in place of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hubzarr.errors import SampleError

__all__ = ["mask_of_polygons", "mask_of_runs", "pack_runs", "runs_of_mask", "unpack_runs"]

type Mask = NDArray[np.bool_]

# COCO draws polygons on a grid finer by this factor.
_SCALE = 5


def unpack_runs(packed: str | bytes) -> list[int]:
    """Run lengths from their packed form.

    Examples
    --------
    >>> unpack_runs("61X13mN000`0")
    [6, 1, 40, 4, 5, 4, 5, 4, 21]
    """
    data = packed.encode("ascii", "replace") if isinstance(packed, str) else packed
    runs: list[int] = []
    number = shift = 0
    for byte in data:
        bits = byte - 48
        if not 0 <= bits < 64:
            raise SampleError(f"broken run lengths: unexpected character {chr(byte)!r}")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign of a difference
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number = shift = 0
    if shift:
        raise SampleError("broken run lengths: the last one is cut off")
    return runs


def pack_runs(runs: Sequence[int]) -> str:
    """Run lengths in packed form, as `unpack_runs` takes them.

    Examples
    --------
    >>> pack_runs([6, 1, 40, 4, 5, 4, 5, 4, 21])
    '61X13mN000`0'
    """
    packed = bytearray()
    for index, run in enumerate(runs):
        number = int(run) - int(runs[index - 2]) if index > 2 else int(run)
        while True:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            packed.append(48 + bits + (32 if more else 0))
            if not more:
                break
    return packed.decode("ascii")


def mask_of_runs(runs: Sequence[int], height: int, width: int) -> Mask:
    """The mask that run lengths describe.

    Examples
    --------
    >>> mask_of_runs([1, 2, 3], height=2, width=3).astype(int)
    array([[0, 1, 0],
           [1, 0, 0]])
    """
    lengths = np.asarray(runs, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != height * width:
        raise SampleError(
            f"broken run lengths: they sum up to {lengths.sum()} pixels; expected "
            f"{height} × {width}, none of them below 0"
        )
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def runs_of_mask(mask: NDArray[np.generic]) -> list[int]:
    """The run lengths of a mask, as `mask_of_runs` takes them.

    Examples
    --------
    >>> runs_of_mask(np.array([[0, 1, 0], [1, 0, 0]]))
    [1, 2, 3]
    """
    pixels = np.asarray(mask, bool).T.ravel()
    ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate([[0], ends, [pixels.size]])
    runs: list[int] = np.diff(edges).tolist()
    return [0, *runs] if pixels.size and pixels[0] else runs


def mask_of_polygons(polygons: Iterable[Sequence[float]], height: int, width: int) -> Mask:
    """The mask that the polygons of one object cover, pixel for pixel as COCO draws it.

    Parameters
    ----------
    polygons : iterable of sequence of float
        Each one x, y, x, y, and so on.
    height, width : int
        Of the mask.

    Examples
    --------
    >>> mask_of_polygons([[0, 0, 3, 0, 3, 2, 0, 2]], height=3, width=4).astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    mask = np.zeros(height * width, bool)
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64)
        if (
            corners.ndim != 1
            or len(corners) < 6
            or len(corners) % 2
            or not np.isfinite(corners).all()
        ):
            raise SampleError("broken polygon: expected x, y, x, y, ... of 3 or more points")
        mask |= _drawn(corners.reshape(-1, 2), height, width)
    return mask.reshape(width, height).T


def _drawn(corners: NDArray[np.float64], height: int, width: int) -> Mask:
    """One polygon, down the columns: pixels after an odd number of crossings are inside."""
    x, y = _outline((corners * _SCALE + 0.5).astype(np.int64))
    at = np.flatnonzero(x[1:] != x[:-1]) + 1
    before, after = x[at - 1], x[at]
    column = (np.where(after < before, after, after - 1) + 0.5) / _SCALE - 0.5
    row = (np.minimum(y[at], y[at - 1]) + 0.5) / _SCALE - 0.5
    kept = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    rows = np.ceil(np.clip(row[kept], 0, height)).astype(np.int64)
    crossings = column[kept].astype(np.int64) * height + rows
    counts = np.bincount(crossings, minlength=height * width + 1)[: height * width]
    inside: Mask = np.cumsum(counts) % 2 == 1
    return inside


def _outline(corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All points on the edges, in order, on the finer grid."""
    xs: list[NDArray[np.int64]] = []
    ys: list[NDArray[np.int64]] = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        dx, dy = abs(end - start)
        steep = bool(dx < dy)
        axis = 1 if steep else 0
        flip = start[axis] > end[axis]
        low, high = (end, start) if flip else (start, end)
        length = int(max(dx, dy))
        steps = np.arange(length + 1)
        slope = float(high[1 - axis] - low[1 - axis]) / length if length else 0.0
        along = low[axis] + steps
        across = (low[1 - axis] + slope * steps + 0.5).astype(np.int64)
        if flip:
            along, across = along[::-1], across[::-1]
        xs.append(across if steep else along)
        ys.append(along if steep else across)
    return np.concatenate(xs), np.concatenate(ys)
