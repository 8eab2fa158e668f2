"""Rows of statistics: their dtype, the neutral row, constants, and combination.

A row is plain numbers, so a table of a million cells is one structured array.  All
zeros is the neutral element of `combine`.  Fields:

========= ======================================================================
``n``       valid (not NaN) elements
``nan``     NaN elements
``sum``     of the valid elements; integers wrap modulo 2**64 as in NumPy
``mean``    of the valid elements, right even where an integer sum wraps
``m2``      sum of squared deviations from the mean; NaN if an element is infinite
``min``     smallest valid element (bool as uint8, floats of 8 bits and bfloat16 as float32)
``max``     largest valid element
``unknown`` cells below whose statistics are absent; such a cell counts nowhere else
========= ======================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hubzarr.dtypes import as_dtype, wide_dtype, widened
from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["Rows", "channels", "combine", "constant", "merge_channels", "stats_dtype"]

type Rows = np.ndarray[Any, np.dtype[np.void]]

MAX_CHANNELS = 4
_SUM = {"b": "<i8", "i": "<i8", "u": "<u8", "f": "<f8"}


@lru_cache(maxsize=64)
def _stats_dtype(dtype: np.dtype[Any]) -> np.dtype[np.void] | None:
    dtype = wide_dtype(dtype)
    if dtype.kind not in _SUM or dtype.itemsize > 8:
        return None
    extreme = "<u1" if dtype.kind == "b" else dtype.newbyteorder("<")
    fields: list[tuple[str, Any]] = [
        ("n", "<i8"),
        ("nan", "<i8"),
        ("sum", _SUM[dtype.kind]),
        ("mean", "<f8"),
        ("m2", "<f8"),
        ("min", extreme),
        ("max", extreme),
        ("unknown", "<i8"),
    ]
    return np.dtype(fields)


def stats_dtype(dtype: Any) -> np.dtype[np.void] | None:
    """Give the dtype of a row of statistics for arrays of `dtype`.

    Parameters
    ----------
    dtype : dtype-like
        Of the array that is measured.

    Returns
    -------
    numpy.dtype or None
        None for dtypes whose statistics are not stored but computed from the data:
        strings, structured, dates and times, complex, extended precision.

    Examples
    --------
    >>> from hubzarr.stats import stats_dtype
    >>> stats_dtype("uint8").names
    ('n', 'nan', 'sum', 'mean', 'm2', 'min', 'max', 'unknown')
    >>> stats_dtype("complex64") is None
    True
    """
    return _stats_dtype(as_dtype(dtype))


def row_dtype(dtype: Any) -> np.dtype[np.void]:
    """Like `stats_dtype`, but an error where there is none."""
    found = _stats_dtype(as_dtype(dtype))
    if found is None:
        raise InvalidTypeError(
            f"no statistics are stored for dtype {np.dtype(dtype)}; expected bool, an integer, "
            "or a float of at most 64 bits; compute them from the data"
        )
    return found


def channels(shape: Sequence[int], chunk_shape: Sequence[int]) -> int:
    """Give the number of channels that the cells of an array are measured by.

    Parameters
    ----------
    shape, chunk_shape : sequence of int
        Of the array and of its cells.

    Returns
    -------
    int
        Length of the last axis if the array has two axes or more, that axis has at
        most four elements and every cell spans it; else 1.

    Examples
    --------
    >>> from hubzarr.stats import channels
    >>> channels((100, 100, 3), (10, 10, 3)), channels((100, 100), (10, 10))
    (3, 1)
    """
    if len(shape) < 2 or not 1 < shape[-1] <= MAX_CHANNELS or chunk_shape[-1] < shape[-1]:
        return 1
    return int(shape[-1])


def constant(dtype: Any, value: Any, count: int, channels: int = 1) -> Rows:
    """Give the statistics of `count` elements that all equal `value`.

    Parameters
    ----------
    dtype : dtype-like
        Of the array.
    value : scalar
        The fill value; may be NaN or infinite.
    count : int
        Elements over all channels together; 0 gives the neutral row.
    channels : int, default 1

    Returns
    -------
    Rows
        Shape ``(channels,)``.

    Examples
    --------
    >>> from hubzarr.stats import constant
    >>> row = constant("int16", -2, 10)[0]
    >>> int(row["n"]), int(row["sum"]), float(row["mean"]), float(row["m2"])
    (10, -20, -2.0, 0.0)
    """
    dtype = as_dtype(dtype)
    rows: Rows = np.zeros(channels, row_dtype(dtype))
    if count < 0 or count % channels:
        raise InvalidError(
            f"count is {count}; expected a multiple of the number of channels, {channels}"
        )
    n = count // channels
    if n == 0:
        return rows
    item = widened(np.asarray(value).astype(dtype))[()]
    dtype = item.dtype
    if item != item:
        rows["nan"] = n
        return rows
    rows["n"] = n
    rows["min"] = rows["max"] = item
    rows["mean"] = mean = float(item)
    if dtype.kind == "f":
        rows["sum"] = n * mean
        rows["m2"] = 0.0 if np.isfinite(mean) else np.nan
    else:
        rows["sum"] = wrap(n * int(item), dtype.kind)
    return rows


def wrap(value: int, kind: str) -> int:
    """Reduce an exact sum modulo 2**64, as NumPy's accumulators of that kind do."""
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if kind != "u" and value >> 63 else value


def combine(rows: Rows, axis: int = 0) -> Rows:
    """Combine rows of statistics along one axis, as if measured together.

    Parameters
    ----------
    rows : Rows
        Any shape, for example ``(cells, channels)``; may be empty along `axis`.
    axis : int, default 0

    Returns
    -------
    Rows
        The shape of `rows` without `axis`.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import combine, measure
    >>> x = np.arange(10.0)
    >>> row = combine(np.stack([measure(x[:3]), measure(x[3:])]))[0]
    >>> float(row["mean"]), float(row["m2"])
    (4.5, 82.5)
    """
    if rows.ndim > 1:
        rows = np.moveaxis(rows, axis, -1)
    out: Rows = np.zeros(rows.shape[:-1], rows.dtype)
    if rows.shape[-1] == 0:
        return out
    if rows.shape[-1] == 1:
        return rows[..., 0].copy()
    # Contiguous along the combined axis, so that NumPy sums pairwise: 1e6 cells lose nothing.
    count = np.ascontiguousarray(rows["n"])
    total = out["n"] = np.add.reduce(count, axis=-1)
    out["nan"] = np.add.reduce(rows["nan"], axis=-1)
    out["unknown"] = np.add.reduce(rows["unknown"], axis=-1)
    low, high = _extremes(rows, count, total)
    out["min"], out["max"] = low, high
    with np.errstate(all="ignore"):
        sums = out["sum"] = np.add.reduce(np.ascontiguousarray(rows["sum"]), axis=-1)
        mean = np.ascontiguousarray(rows["mean"])
        even = low == high
        out["mean"] = centre = _mean(mean, count, total, (sums, low, high, even))
        d = mean - centre[..., None]
        d *= d
        d *= count
        d += rows["m2"]
        m2 = np.asarray(np.add.reduce(d, axis=-1))
        m2[even] = 0.0
        m2[np.isinf(centre)] = np.nan
        out["m2"] = m2
    return out


def _extremes(rows: Rows, count: Any, total: Any) -> tuple[Any, Any]:
    """Min and max, past the rows that hold no valid element."""
    lows, highs = rows["min"], rows["max"]
    if np.minimum.reduce(count, axis=None) > 0:
        return np.minimum.reduce(lows, axis=-1), np.maximum.reduce(highs, axis=-1)
    kind = lows.dtype
    if kind.kind == "f":
        least, most = np.array(-np.inf, kind), np.array(np.inf, kind)
    else:
        least, most = np.array(np.iinfo(kind).min, kind), np.array(np.iinfo(kind).max, kind)
    void, zero = count == 0, kind.type(0)
    low = np.where(void, most, lows).min(axis=-1)
    high = np.where(void, least, highs).max(axis=-1)
    return np.where(total, low, zero), np.where(total, high, zero)


def _mean(mean: Any, count: Any, total: Any, found: Any) -> Any:
    """Mean of means: from the sum where that is exact, else weighted."""
    sums, low, high, even = found
    whole = np.maximum(total, 1)
    direct = sums / whole
    if sums.dtype.kind == "f":
        safe = np.isfinite(direct)
        if not safe.all():  # an overflow, unless an element is infinite
            safe |= ~(np.isfinite(low) & np.isfinite(high))
    else:
        # Doubles, because the magnitude of the least integer is no integer of its dtype.
        largest = np.maximum(high.astype("f8"), -low.astype("f8"))
        safe = largest * whole < 2.0**62
    if not safe.all():
        weighted = np.add.reduce(mean * (count / whole[..., None]), axis=-1)
        direct = np.where(safe, direct, weighted)
    return np.where(even, low, direct)


def merge_channels(rows: Rows) -> Rows:
    """Pool the channels, the last axis of `rows`, into one.

    Parameters
    ----------
    rows : Rows
        Shape ``(..., channels)``.

    Returns
    -------
    Rows
        Shape ``(..., 1)``.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import measure, merge_channels
    >>> rows = measure(np.arange(12).reshape(4, 3), channels=3)
    >>> merge_channels(rows)["sum"].tolist()
    [66]
    """
    return rows if rows.shape[-1] == 1 else combine(rows, axis=-1)[..., None]
