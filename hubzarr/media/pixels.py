"""Pixel statistics of samples, per channel, as plain numbers that add up.

A sample gives five numbers a channel (`FIELDS`); those of any number of samples combine
to those of all their pixels, from which mean and standard deviation follow.  Unlike the
rows of `hubzarr.stats`, they are float64 throughout, so that they fit a tensor beside
the samples; and NaN spoils a sum, as it does in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.errors import InvalidError
from hubzarr.stats import Rows, measure, measure_axes, measure_many

__all__ = ["FIELDS", "combine_statistics", "pixel_statistics", "pixel_statistics_many"]

type Array = np.ndarray[Any, Any]
type Floats = np.ndarray[Any, np.dtype[np.float64]]

FIELDS = ("count", "sum", "m2", "min", "max")

_FEW = 4  # so many channels are measured in one pass over the pixels


def pixel_statistics(array: Array, channels: int = 1) -> Floats:
    """Measure the pixels of one sample, channel by channel.

    Parameters
    ----------
    array : numpy.ndarray
        Of bool, integers, or floats of at most 64 bits, in any layout.
    channels : int, default 1
        1 measures all elements together; else the length of the last axis.

    Returns
    -------
    numpy.ndarray
        Shape ``(channels, 5)``: count, sum, sum of squared deviations from the mean,
        minimum and maximum.  Of no pixels: 0, 0, 0, inf and -inf.

    Raises
    ------
    InvalidError
        The last axis has another length than `channels`.
    InvalidTypeError
        The dtype has no statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.pixels import pixel_statistics
    >>> image = np.array([[[10, 0, 1], [30, 0, 2]]], "u1")
    >>> pixel_statistics(image, 3).tolist()
    [[2.0, 40.0, 200.0, 10.0, 30.0], [2.0, 0.0, 0.0, 0.0, 0.0], [2.0, 3.0, 0.5, 1.0, 2.0]]
    """
    array = np.asarray(array)
    _check(array.shape, channels)
    if channels <= _FEW:
        return _plain(measure(array, channels))
    return _plain(measure_axes(array, range(array.ndim - 1)))


def pixel_statistics_many(arrays: Array, channels: int = 1) -> Floats:
    """Measure samples of one shape at once.

    Parameters
    ----------
    arrays : numpy.ndarray
        Samples along the first axis.
    channels : int, default 1
        As for `pixel_statistics`.

    Returns
    -------
    numpy.ndarray
        Shape ``(len(arrays), channels, 5)``.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.pixels import pixel_statistics_many
    >>> pixel_statistics_many(np.array([[1, 2], [5, 5]]))[:, 0, :2].tolist()
    [[2.0, 3.0], [2.0, 10.0]]
    """
    shape = arrays.shape
    if arrays.ndim == 0:
        raise InvalidError("many samples as one number; expected them along the first axis")
    _check(shape[1:], channels)
    if arrays.size == 0 or arrays.ndim == 1 or channels > _FEW:
        found = [pixel_statistics(each, channels) for each in arrays]
        return np.array(found).reshape(shape[0], channels, len(FIELDS))
    rows = measure_many(arrays, (1, *shape[1:]), channels)
    return _plain(rows.reshape(shape[0], channels))


def combine_statistics(rows: Floats) -> Floats:
    """Combine the statistics of samples to those of all their pixels.

    Parameters
    ----------
    rows : array_like
        Shape ``(..., channels, 5)``, of `pixel_statistics`; all axes but the last two
        are combined.

    Returns
    -------
    numpy.ndarray
        Shape ``(channels, 5)``.

    Notes
    -----
    The formula of Chan, Golub and LeVeque for all samples at once: what deviates within
    the samples, and their means from the mean of all.  Nothing large cancels.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.pixels import combine_statistics, pixel_statistics
    >>> rows = [pixel_statistics(np.arange(3)), pixel_statistics(np.arange(10))]
    >>> count, total, m2, low, high = combine_statistics(rows)[0].tolist()
    >>> both = np.r_[0:3, 0:10]
    >>> np.allclose([total / count, m2 / count], [both.mean(), both.var()])
    True
    """
    table = np.asarray(rows, np.float64)
    if table.ndim < 2 or table.shape[-1] != len(FIELDS):
        raise InvalidError(
            f"statistics of shape {table.shape}; expected (..., channels, {len(FIELDS)})"
        )
    table = table.reshape(-1, *table.shape[-2:])
    counts, sums, m2s, lows, highs = np.moveaxis(table, -1, 0)
    some = counts > 0
    with np.errstate(all="ignore"):  # infinite pixels
        count, total = counts.sum(axis=0), np.where(some, sums, 0).sum(axis=0)
        mean = total / np.maximum(count, 1)
        apart = np.where(some, sums / np.maximum(counts, 1) - mean, 0)
        m2 = np.where(some, m2s, 0).sum(axis=0) + (counts * apart * apart).sum(axis=0)
        low = np.where(some, lows, np.inf).min(axis=0, initial=np.inf)
        high = np.where(some, highs, -np.inf).max(axis=0, initial=-np.inf)
    return np.stack([count, total, m2, low, high], axis=-1)


def _check(shape: tuple[int, ...], channels: int) -> None:
    if channels < 1 or (channels > 1 and (not shape or shape[-1] != channels)):
        raise InvalidError(
            f"a sample of shape {shape} has no {channels} channels; expected them as last axis"
        )


def _plain(rows: Rows) -> Floats:
    out = np.empty((*rows.shape, len(FIELDS)))
    holes = rows["nan"]
    np.add(rows["n"], holes, out=out[..., 0], casting="unsafe")
    # An integer sum may have wrapped, the mean has not.
    wide = rows.dtype["min"].kind in "iu" and rows.dtype["min"].itemsize == 8
    out[..., 1] = rows["mean"] * rows["n"] if wide else rows["sum"]
    out[..., 2], out[..., 3], out[..., 4] = rows["m2"], rows["min"], rows["max"]
    if holes.any():
        out[holes > 0, 1:] = np.nan
    empty = out[..., 0] == 0
    if empty.any():
        out[empty] = (0, 0, 0, np.inf, -np.inf)
    return out
