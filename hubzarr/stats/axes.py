"""Many rows of statistics at once: along axes, and for blocks of many small chunks.

Both are one problem: a view whose axes are either kept or reduced.  Pieces of it that
fit the cache are copied into a contiguous table and reduced with a handful of calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from hubzarr.dtypes import widened
from hubzarr.errors import InvalidError, OutOfBoundsError
from hubzarr.stats import native
from hubzarr.stats.kernels import BLOCK, GROUP, clear_nan, float_scratch
from hubzarr.stats.measure import measure
from hubzarr.stats.rows import Rows, combine, row_dtype

__all__ = ["measure_axes", "measure_many"]

type Array = np.ndarray[Any, Any]

_ONES = np.ones(GROUP)
_NARROW = 64  # below, summing across short rows costs more than down long columns


def measure_many(block: Array, chunk_shape: Sequence[int], channels: int = 1) -> Rows:
    """Measure all chunks of a block of whole chunks.

    Parameters
    ----------
    block : numpy.ndarray
        Its shape is a multiple of `chunk_shape`, axis by axis.
    chunk_shape : sequence of int
    channels : int, default 1

    Returns
    -------
    Rows
        Shape ``(*grid, channels)``: element ``[i, j]`` equals
        ``measure(chunk[i, j], channels)`` up to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import measure_many
    >>> measure_many(np.arange(16).reshape(4, 4), (2, 2))["sum"][..., 0].tolist()
    [[10, 18], [42, 50]]
    """
    cells = tuple(int(c) for c in chunk_shape)
    shape = block.shape
    if len(cells) != len(shape) or any(c < 1 or s % c for s, c in zip(shape, cells, strict=True)):
        raise InvalidError(
            f"block of shape {shape} is not made of whole chunks of shape {cells}; "
            "measure the chunks at the edge one by one"
        )
    ndim = len(cells)
    if channels != 1 and (ndim == 0 or not shape[-1] == cells[-1] == channels):
        raise InvalidError(
            f"chunks of shape {cells} in a block of shape {shape} have no {channels} channels; "
            "expected them as last axis"
        )
    grid = tuple(s // c for s, c in zip(shape, cells, strict=True))
    view = block.reshape([n for pair in zip(grid, cells, strict=True) for n in pair])
    if channels == 1:
        return measure_axes(view, range(1, 2 * ndim, 2))[..., None]
    view = widened(view)
    rows: Rows = np.empty((*grid, channels), row_dtype(view.dtype))
    cut = view.transpose([*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)])
    if native.fill(cut, rows, ndim, channels):
        return rows
    return measure_axes(view, range(1, 2 * ndim - 1, 2))


def measure_axes(block: Array, axes: int | Sequence[int] | None, keepdims: bool = False) -> Rows:
    """Measure along axes: one row for each position of the others.

    Parameters
    ----------
    block : numpy.ndarray
    axes : int, sequence of int or None
        To reduce; None means all.
    keepdims : bool, default False

    Returns
    -------
    Rows
        The shape that ``block.sum(axes, keepdims=keepdims)`` has.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import measure_axes
    >>> measure_axes(np.arange(6).reshape(2, 3), 0)["mean"].tolist()
    [1.5, 2.5, 3.5]
    """
    block = widened(block)
    reduced = _normalize(axes, block.ndim)
    kept = [a for a in range(block.ndim) if a not in reduced]
    view = block.transpose(kept + reduced)
    rows = _measure_view(view, len(kept))
    if keepdims:
        return rows.reshape([1 if a in reduced else n for a, n in enumerate(block.shape)])
    return rows


def _normalize(axes: int | Sequence[int] | None, ndim: int) -> list[int]:
    if axes is None:
        return list(range(ndim))
    given = [axes] if isinstance(axes, int) else list(axes)
    for axis in given:
        if not -ndim <= axis < ndim:
            raise OutOfBoundsError(f"axis {axis} is out of bounds for an array of {ndim} axes")
    found = sorted({axis % ndim for axis in given})
    if len(found) != len(given):
        raise InvalidError(f"an axis is repeated in {tuple(given)}; name each once")
    return found


def _measure_view(view: Array, kept: int) -> Rows:
    """Measure a view whose first `kept` axes stay."""
    shape, length = view.shape[:kept], prod(view.shape[kept:])
    out: Rows = np.zeros(shape, row_dtype(view.dtype))
    if out.size == 0 or length == 0:
        return out
    if native.fill(view, out, kept, 1):
        return out
    if out.size == 1 or (length > GROUP and view.strides[-1] == view.itemsize):
        for index in np.ndindex(shape):
            out[index] = measure(view[index])[0]
        return out
    if length > GROUP:
        return _in_sections(view, kept)
    if not view.dtype.isnative:
        view = view.astype(view.dtype.newbyteorder("="))
    with np.errstate(all="ignore"):
        for index in _pieces(view.shape, kept):
            _measure_piece(view[index], kept - len(index) + 1, length, out[index])
    return out


def _in_sections(view: Array, kept: int) -> Rows:
    """Cut the first reduced axis until the rest fits the cache, and combine."""
    inner = prod(view.shape[kept + 1 :])
    step = max(1, GROUP // inner)
    if view.shape[kept] == 1:
        return _measure_view(view[(slice(None),) * kept + (0,)], kept)
    before = (slice(None),) * kept
    sections = [
        _measure_view(view[(*before, slice(start, start + step))], kept)
        for start in range(0, view.shape[kept], step)
    ]
    return combine(np.stack(sections, axis=-1), axis=-1)


def _pieces(shape: tuple[int, ...], kept: int) -> Iterator[tuple[Any, ...]]:
    """Indices (integers, then one slice) of pieces of at most about `BLOCK` elements."""
    axis = next(a for a in range(kept) if a == kept - 1 or prod(shape[a + 1 :]) <= BLOCK)
    step = max(1, BLOCK // prod(shape[axis + 1 :]))
    for index in np.ndindex(shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*index, slice(start, start + step))


def _measure_piece(piece: Array, kept: int, length: int, out: Rows) -> None:
    """Measure a piece that fits the cache into its part of the rows."""
    axis = 0 if length < _NARROW else 1
    if axis == 0:
        piece = piece.transpose([*range(kept, piece.ndim), *range(kept)])
    shape = (length, out.size) if axis == 0 else (out.size, length)
    found: Rows = np.zeros(out.size, out.dtype)
    kind = piece.dtype.kind
    if kind in "iu" and piece.dtype.itemsize == 8:
        _wide_integers(np.ascontiguousarray(piece).reshape(shape), axis, found)
    else:
        block = float_scratch(piece.size)
        np.copyto(block.reshape(piece.shape), piece)
        (_floats if kind == "f" else _integers)(block.reshape(shape), axis, found)
    out[...] = found.reshape(out.shape)


def _sum(d: Array, axis: int) -> Array:
    if axis == 1:
        return np.vecdot(d, _ONES[: d.shape[1]])  # type: ignore[no-any-return]
    return np.add.reduce(d, axis=0)  # type: ignore[no-any-return]


def _squares(d: Array, axis: int) -> Array:
    if axis == 1:
        return np.vecdot(d, d)  # type: ignore[no-any-return]
    return np.einsum("ij,ij->j", d, d)  # type: ignore[no-any-return]


def _deviations(d: Array, axis: int, moments: Any, valid: Array | None = None) -> Array:
    """Sum of squared deviations, given sum and mean; may spoil `d`.

    A second pass about the mean is only needed where the plain sum of squares would
    lose more than two digits.
    """
    total, mean = moments
    squares = _squares(d, axis)
    rest: Array = squares - total * mean
    if (rest >= 0.01 * squares).all():
        return rest
    d -= np.expand_dims(mean, axis)
    if valid is not None:
        d *= valid
    return _squares(d, axis)


def _integers(d: Array, axis: int, out: Rows) -> None:
    """Booleans and integers of at most 32 bits: sums are exact in float64."""
    out["n"] = n = d.shape[axis]
    total = _sum(d, axis)
    low, high = np.minimum.reduce(d, axis=axis), np.maximum.reduce(d, axis=axis)
    mean = total / n
    m2 = np.where(low == high, 0.0, _deviations(d, axis, (total, mean)))
    out["sum"], out["mean"], out["m2"], out["min"], out["max"] = total, mean, m2, low, high


def _wide_integers(x: Array, axis: int, out: Rows) -> None:
    """64-bit integers, as differences from the minimum."""
    out["n"] = n = x.shape[axis]
    out["sum"] = total = np.add.reduce(x, axis=axis)
    out["min"] = low = np.minimum.reduce(x, axis=axis)
    out["max"] = high = np.maximum.reduce(x, axis=axis)
    x = x - np.expand_dims(low, axis)
    d = float_scratch(x.size).reshape(x.shape)
    np.copyto(d, x.view("u8"))
    rise = _sum(d, axis)
    centre = rise / n
    magnitude = np.maximum(np.abs(low.astype("f8")), np.abs(high.astype("f8")))
    out["mean"] = np.where(magnitude * n < 2.0**62, total / n, low + centre)
    out["m2"] = np.where(low == high, 0.0, _deviations(d, axis, (rise, centre)))


def _floats(d: Array, axis: int, out: Rows) -> None:
    n: Any = d.shape[axis]
    total = _sum(d, axis)
    valid = None
    if np.isfinite(total).all():
        low, high = np.minimum.reduce(d, axis=axis), np.maximum.reduce(d, axis=axis)
    else:
        low, high = np.fmin.reduce(d, axis=axis), np.fmax.reduce(d, axis=axis)
        valid = clear_nan(d)
        whole, n = n, np.count_nonzero(valid, axis=axis)
        out["nan"] = whole - n
        low, high = np.where(n, low, 0.0), np.where(n, high, 0.0)
        total = _sum(d, axis)
    mean = np.where(low == high, low, total / np.maximum(n, 1))
    m2 = _deviations(d, axis, (total, mean), valid)
    m2 = np.where(low == high, 0.0, m2)
    if valid is not None:
        m2 = np.where(np.isinf(low) | np.isinf(high), np.nan, m2)
    out["n"], out["sum"], out["mean"], out["min"], out["max"] = n, total, mean, low, high
    out["m2"] = m2
