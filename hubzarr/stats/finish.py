"""From rows of statistics to the numbers that users ask for, as NumPy gives them."""

from __future__ import annotations

import os.path
import warnings
from typing import Any

import numpy as np

from hubzarr.dtypes import as_dtype, kind_of
from hubzarr.errors import InvalidError
from hubzarr.stats.rows import Rows, row_dtype

__all__ = ["STATISTICS", "finish", "result_dtype"]

STATISTICS = (
    "count", "size", "sum", "mean", "var", "std", "min", "max", "ptp",
    "nansum", "nanmean", "nanvar", "nanstd", "nanmin", "nanmax",
)  # fmt: skip

_F8: np.dtype[Any] = np.dtype("f8")
#: Warnings point at the caller of the package.
_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def result_dtype(name: str, input_dtype: Any, dtype: Any = None) -> np.dtype[Any]:
    """Give the dtype of a statistic of arrays of `input_dtype`, as NumPy does.

    Parameters
    ----------
    name : str
        One of `STATISTICS`.
    input_dtype : dtype-like
        Of the array.
    dtype : dtype-like, optional
        As passed to the reduction; wins where NumPy lets it.

    Returns
    -------
    numpy.dtype

    Examples
    --------
    >>> from hubzarr.stats import result_dtype
    >>> result_dtype("sum", "uint8"), result_dtype("mean", "float32")
    (dtype('uint64'), dtype('float32'))
    """
    given: np.dtype[Any] = as_dtype(input_dtype).newbyteorder("=")
    base = name.removeprefix("nan")
    if name not in STATISTICS:
        raise InvalidError(f"no statistic {name!r}; expected one of {', '.join(STATISTICS)}")
    if base in ("count", "size"):
        return np.dtype("i8")
    if base in ("min", "max", "ptp"):
        return given
    if dtype is not None:
        return as_dtype(dtype)
    if kind_of(given) == "f":
        return given
    return np.dtype("u8" if given.kind == "u" else "i8") if base == "sum" else _F8


def finish(rows: Rows, name: str, *, input_dtype: Any, ddof: float = 0, dtype: Any = None) -> Any:
    """Turn rows into one statistic.

    Parameters
    ----------
    rows : Rows
        Of any shape; a single row gives a scalar.
    name : str
        One of `STATISTICS`.  ``count`` is the number of elements that are not NaN,
        ``size`` that of all elements.
    input_dtype : dtype-like
        Of the array that the rows were measured on.
    ddof : float, default 0
        For variance and standard deviation: divide by ``n - ddof``.
    dtype : dtype-like, optional
        Of the result of sum, mean, var and std.

    Returns
    -------
    numpy scalar or numpy.ndarray
        With the shape of `rows`, and the value, dtype and warnings that NumPy gives.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import finish, measure
    >>> row = measure(np.arange(4, dtype="int8"))[0]
    >>> finish(row, "mean", input_dtype="int8"), finish(row, "sum", input_dtype="int8")
    (np.float64(1.5), np.int64(6))
    """
    target = result_dtype(name, input_dtype, dtype)
    expected = row_dtype(input_dtype)
    if rows.dtype != expected:
        raise InvalidError(
            f"these rows are not statistics of {as_dtype(input_dtype)}: they have fields "
            f"{rows.dtype}; expected {expected}"
        )
    if np.any(rows["unknown"]):
        raise InvalidError(
            f"statistics are absent for {int(np.sum(rows['unknown']))} cells below; "
            "measure them from the data first"
        )
    base = name.removeprefix("nan")
    poison = base == name
    if base == "size":
        value = rows["n"] + rows["nan"]
    elif base == "count":
        value = rows["n"]
    elif base == "sum":
        value = _sum(rows, target)
    elif base == "mean":
        value = _mean(rows, target, poison)
    elif base in ("var", "std"):
        value = _spread(rows, base, ddof, poison)
    else:
        value = _extreme(rows, base, poison)
    if poison and base not in ("count", "size") and rows.dtype["min"].kind == "f":
        value = np.where(rows["nan"] > 0, np.nan, value)
    return np.asarray(value).astype(target)[()]


def _sum(rows: Rows, target: np.dtype[Any]) -> Any:
    total, kind = rows["sum"], rows.dtype["sum"].kind
    if kind == "f":
        _refuse_integers("sum", target)
        return total
    if kind_of(target) not in "fc":
        return total
    # A wrapped sum, unlike NumPy's float accumulator, is useless in floats.
    estimate = rows["mean"] * rows["n"]
    return np.where(np.abs(estimate) < 2.0**62, total.astype("f8"), estimate)


def _refuse_integers(name: str, target: np.dtype[Any]) -> None:
    if kind_of(target) not in "fc":
        raise InvalidError(
            f"{name} with dtype {target} truncates every element, which statistics can't give; "
            "compute it from the data, or cast the result"
        )


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, skip_file_prefixes=(_PACKAGE,))


def _mean(rows: Rows, target: np.dtype[Any], poison: bool) -> Any:
    _refuse_integers("mean", target)
    empty = rows["n"] == 0
    if np.any(empty & (rows["nan"] == 0) if poison else empty):
        _warn("Mean of empty slice")
    return np.where(empty, np.nan, rows["mean"])


def _spread(rows: Rows, base: str, ddof: float, poison: bool) -> Any:
    divisor = (rows["n"] + rows["nan"] if poison else rows["n"]) - ddof
    bad = divisor <= 0
    if np.any(bad):
        _warn("Degrees of freedom <= 0 for slice" + ("" if poison else "."))
    with np.errstate(all="ignore"):
        value = rows["m2"] / np.maximum(divisor, 0)
        if not poison:
            value = np.where(bad, np.nan, value)
        return np.sqrt(value) if base == "std" else value


def _extreme(rows: Rows, base: str, poison: bool) -> Any:
    size = rows["n"] + rows["nan"]
    if np.any(size == 0):
        name = {"min": "minimum", "max": "maximum"}.get(base, base)
        raise InvalidError(
            f"zero-size array to reduction operation {name}, which has no identity; "
            "expected at least one element"
        )
    if base == "ptp":
        with np.errstate(all="ignore"):
            return rows["max"] - rows["min"]
    value = rows[base]
    void = rows["n"] == 0
    if np.any(void):
        if not poison:
            _warn("All-NaN slice encountered")
        value = np.where(void, np.nan, value)
    return value
