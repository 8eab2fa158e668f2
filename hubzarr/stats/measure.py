"""Statistics of one chunk."""

from __future__ import annotations

from math import inf, isfinite, nan, sqrt
from typing import Any

import numpy as np

from hubzarr.dtypes import widened
from hubzarr.errors import InvalidError
from hubzarr.stats import native
from hubzarr.stats.kernels import (
    add_wrapping,
    byte_extremes,
    byte_sums,
    extremes,
    round_shift,
    shifted_sums,
)
from hubzarr.stats.rows import Rows, combine, constant, row_dtype, wrap

__all__ = ["measure"]

type Array = np.ndarray[Any, Any]
type Row = tuple[int, int, Any, float, float, Any, Any, int]

_SMALL = 8192  # up to here plain NumPy calls are cheaper than blocks
_HUGE = 1 << 28  # up to here exact integer sums of blocks stay below 2**63
_SAMPLES = 256


def measure(chunk: Array, channels: int = 1) -> Rows:
    """Measure one chunk.

    Parameters
    ----------
    chunk : numpy.ndarray
        Of any shape and layout, possibly empty.
    channels : int, default 1
        As given by `hubzarr.stats.channels`; if not 1, the length of the last axis.

    Returns
    -------
    Rows
        Shape ``(channels,)``.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import measure
    >>> row = measure(np.array([1.0, np.nan, 3.0]))[0]
    >>> int(row["n"]), int(row["nan"]), float(row["mean"]), float(row["m2"])
    (2, 1, 2.0, 2.0)
    """
    dtype = row_dtype(chunk.dtype)
    if channels != 1 and (chunk.ndim == 0 or chunk.shape[-1] != channels):
        raise InvalidError(
            f"chunk of shape {chunk.shape} has no {channels} channels; expected them as last axis"
        )
    size = chunk.size
    if size == 0:
        return np.zeros(channels, dtype)
    chunk = widened(chunk)
    rows: Rows = np.empty(channels, dtype)
    if native.fill(chunk, rows, 0, channels):
        return rows
    if size > 1 and not any(chunk.strides):  # one value, broadcast
        return constant(chunk.dtype, chunk.flat[0], size, channels)
    if not chunk.dtype.isnative:
        chunk = chunk.astype(chunk.dtype.newbyteorder("="))
    flat = chunk.ravel("K" if channels == 1 else "C")
    if size > _HUGE:
        return _split(flat, channels)
    if native.fill(flat.reshape(-1, channels), rows, 0, channels):
        return rows  # it was the layout or the byte order
    if channels == 1:
        rows[0] = _small(flat) if size <= _SMALL else _large(flat, 1)[0]
    elif size <= _SMALL // 2:
        for channel in range(channels):
            rows[channel] = _small(np.ascontiguousarray(flat[channel::channels]))
    else:
        for channel, row in enumerate(_large(flat, channels)):
            rows[channel] = row
    return rows


def _split(flat: Array, channels: int) -> Rows:
    step = _HUGE - _HUGE % channels
    pieces = [flat[start : start + step] for start in range(0, flat.size, step)]
    return combine(np.stack([measure(p.reshape(-1, channels), channels) for p in pieces]))


def _large(flat: Array, channels: int) -> list[Row]:
    kind = flat.dtype.kind
    if kind == "b":
        n = flat.size // channels
        columns = flat.reshape(-1, channels)
        return [_bool_row(n, int(np.count_nonzero(columns[:, c]))) for c in range(channels)]
    if kind == "f":
        return _float_rows(flat, channels)
    return _integer_rows(flat, channels)


def _bool_row(n: int, ones: int) -> Row:
    return n, 0, ones, ones / n, ones * (n - ones) / n, int(ones == n), int(ones > 0), 0


# Integers: sums are exact, in Python's integers where 53 bits are not enough.


def _integer_rows(flat: Array, channels: int) -> list[Row]:
    n, kind, bits = flat.size // channels, flat.dtype.kind, 8 * flat.dtype.itemsize
    lows, highs = (byte_extremes if bits == 8 else extremes)(flat, channels)
    low, high = lows.tolist(), highs.tolist()
    if low == high:
        return [constant(flat.dtype, value, n)[0].item() for value in low]
    shifts = [0] * channels
    if bits == 64 and max(-min(low), max(high)) < 1 << 31:
        bits = 32  # labels and counts rarely need more
    if bits == 64:
        return _wide_rows(flat, channels, low, high)
    if bits == 8:
        sums, squares = byte_sums(flat, channels)
    else:
        if bits == 32:
            shifts = [round(round_shift(*pair)) for pair in _sample(flat, channels)]
        sums, squares = shifted_sums(flat, channels, shifts, bits=bits)
    rows: list[Row] = []
    for c in range(channels):
        s, q, shift = int(sums[c]), int(squares[c]), shifts[c]
        total = s + n * shift
        # One integer division: correctly rounded, however close s * s / n is to q.
        m2 = (n * q - s * s) / n
        rows.append((n, 0, wrap(total, kind), total / n, max(m2, 0.0), low[c], high[c], 0))
    return rows


def _wide_rows(flat: Array, channels: int, low: list[int], high: list[int]) -> list[Row]:
    """64-bit integers: the differences from a pivot are exact as far as float64 goes."""
    n = flat.size // channels
    centres = [round(centre) for centre, _ in _sample(flat, channels)]
    shifts: Any = [min(max(s, a), b) for s, a, b in zip(centres, low, high, strict=True)]
    if any(b - a >= 1 << 63 for a, b in zip(low, high, strict=True)):
        shifts = [float(s) for s in shifts]
    wrapped = add_wrapping(flat, channels).tolist()
    sums, squares = shifted_sums(flat, channels, shifts)
    rows: list[Row] = []
    for c in range(channels):
        s, q = float(sums[c]), float(squares[c])
        if max(-low[c], high[c]) * n < 1 << 63:
            mean = wrapped[c] / n
        else:
            mean = (int(shifts[c]) * n + int(s)) / n
        m2 = 0.0 if low[c] == high[c] else max(q - s * (s / n), 0.0)
        rows.append((n, 0, wrapped[c], mean, m2, low[c], high[c], 0))
    return rows


# Floats


def _sample(flat: Array, channels: int) -> list[tuple[float, float]]:
    """Estimate mean and standard deviation of each channel from a few elements."""
    n = flat.size // channels
    step = max(1, n // _SAMPLES) | 1
    columns = flat.reshape(n, channels)[::step].astype("f8")
    found = []
    for column in columns.T:
        values = column
        centre = float(np.add.reduce(values)) / values.size
        if not isfinite(centre):
            values = column[np.isfinite(column)]
            centre = float(np.add.reduce(values)) / max(values.size, 1)
        d = values - centre
        found.append((centre, sqrt(float(np.dot(d, d)) / max(values.size, 1))))
    return found


def _float_rows(flat: Array, channels: int) -> list[Row]:
    n = flat.size // channels
    with np.errstate(all="ignore"):
        if flat.dtype.itemsize == 2:
            flat = flat.astype("f4")
        lows, highs = extremes(flat, channels)
        valid = [n] * channels
        if np.isnan(lows).any():
            gaps = np.isnan(flat)
            valid = [n - int(np.count_nonzero(gaps[c::channels])) for c in range(channels)]
            lows, highs = extremes(flat, channels, holes=True)
        low, high = lows.tolist(), highs.tolist()
        sums = squares = np.zeros(channels)
        shifts = [0.0] * channels
        # Written so that NaN, which equals nothing, counts as an even channel.
        if any(a < b for a, b in zip(low, high, strict=True)):
            shifts, sums, squares = _moments(flat, channels, valid)
        rows: list[Row] = []
        for c, k in enumerate(valid):
            row = _float_row(k, (shifts[c], float(sums[c]), float(squares[c])), low[c], high[c])
            rows.append((k, n - k, *row[2:]))
        return rows


def _moments(flat: Array, channels: int, valid: list[int]) -> Any:
    """Sum about shifts, and again where the sample was so bad that digits cancelled."""
    holes = min(valid) * channels < flat.size
    shifts = [round_shift(*pair) for pair in _sample(flat, channels)]
    sums, squares = shifted_sums(flat, channels, shifts, holes=holes)
    better = []
    for k, shift, s, q in zip(valid, shifts, sums.tolist(), squares.tolist(), strict=True):
        mean = s / max(k, 1)
        if isfinite(q) and k * mean * mean > 0.99 * q:
            spread = sqrt(max(q / max(k, 1) - mean * mean, 0.0))
            better.append(round_shift(shift + mean, spread))
        else:
            better.append(shift)
    if better == shifts:
        return shifts, sums, squares
    return better, *shifted_sums(flat, channels, better, holes=holes)


def _float_row(n: int, moments: tuple[float, float, float], low: float, high: float) -> Row:
    if n == 0:
        return 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
    if not (isfinite(low) and isfinite(high)):
        total = nan if low == -inf and high == inf else low if low == -inf else high
        return n, 0, total, total, nan, low, high, 0
    if low == high:
        return n, 0, n * low, low, 0.0, low, high, 0
    shift, s, q = moments
    total = s + n * shift
    return n, 0, total, total / n, max(q - s * (s / n), 0.0), low, high, 0


# Small chunks: few calls, two passes.


def _small(x: Array) -> Row:
    n, kind = x.size, x.dtype.kind
    if kind == "b":
        return _bool_row(n, int(np.count_nonzero(x)))
    if kind == "f":
        return _small_float(x)
    low, high = int(np.minimum.reduce(x)), int(np.maximum.reduce(x))
    if x.dtype.itemsize == 8:
        if high - low >= 1 << 63:
            return _wide_rows(x, 1, [low], [high])[0]
        d = (x - x.dtype.type(low)).view("i8").astype("f8")
        total, rise = int(np.add.reduce(x)), int(np.add.reduce(d))
        mean = (total if max(-low, high) * n < 1 << 63 else low * n + rise) / n
        d -= rise / n
    else:
        d = x.astype("f8")
        total = int(np.add.reduce(d))
        mean = total / n
        d -= mean
    m2 = 0.0 if low == high else float(np.dot(d, d))
    return n, 0, wrap(total, kind), mean, m2, low, high, 0


def _small_float(x: Array) -> Row:
    n = x.size
    d = x.astype("f8")
    with np.errstate(all="ignore"):
        total = float(np.add.reduce(d))
        if not isfinite(total):
            return _small_special(d)
        low, high = float(np.minimum.reduce(d)), float(np.maximum.reduce(d))
        if low == high:
            return n, 0, total, low, 0.0, low, high, 0
        mean = total / n
        d -= mean
        return n, 0, total, mean, float(np.dot(d, d)), low, high, 0


def _small_special(d: Array) -> Row:
    """NaN, infinity, or a sum past the largest float."""
    valid = d[~np.isnan(d)]
    n, holes = valid.size, d.size - valid.size
    if n == 0:
        return 0, holes, *_float_row(0, (0.0, 0.0, 0.0), 0.0, 0.0)[2:]
    with np.errstate(all="ignore"):
        low, high = float(np.minimum.reduce(valid)), float(np.maximum.reduce(valid))
        mean = float(np.add.reduce(valid)) / n
        valid -= mean
        row = _float_row(n, (mean, 0.0, float(np.dot(valid, valid))), low, high)
        return n, holes, *row[2:]
