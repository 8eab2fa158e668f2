"""From rows to numbers: dtype, value and warnings as NumPy gives them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from hubzarr.errors import InvalidError
from hubzarr.stats import STATISTICS, combine, finish, measure, measure_axes, result_dtype
from tests.stats.strategies import DTYPES, random_array

NUMPY = {name: getattr(np, name) for name in STATISTICS if name not in ("count", "size")}


def numpy_says(name, x, **options):
    """Value and warning texts of NumPy, or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = NUMPY[name](x, **options)
    return value, {str(w.message).rstrip(".") for w in caught}


def we_say(name, x, **options):
    """The same for us."""
    rows = measure(x)[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = finish(rows, name, input_dtype=x.dtype, **options)
    return value, {str(w.message).rstrip(".") for w in caught}


def tolerance(dtype):
    """NumPy's own rounding: it accumulates in the dtype of the array."""
    return {2: 4e-3, 4: 2e-5, 8: 1e-10}[dtype.itemsize] if dtype.kind == "f" else 1e-12


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(NUMPY))
def test_dtype_and_value(name, dtype):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "b" and name == "ptp":
        return  # NumPy has no ptp of bool
    for mode in ("narrow", "holes") if np.dtype(dtype).kind == "f" else ("narrow", "wide"):
        x = random_array(rng, dtype, 1000, mode)
        if mode == "wide" and x.dtype.itemsize == 8 and name in ("ptp", "mean"):
            continue  # NumPy's sum or difference wraps
        if x.dtype.kind == "f" and mode == "narrow":
            x += x.dtype.type(2)  # or else a sum near 0 has no digits to compare
        expected, _ = numpy_says(name, x)
        value, _ = we_say(name, x)
        assert value.dtype == expected.dtype
        assert type(value) is type(expected)
        np.testing.assert_allclose(value, expected, rtol=tolerance(x.dtype))


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("name", sorted(NUMPY))
def test_empty(name, dtype):
    x = np.empty(0, dtype)
    if name in ("min", "max", "nanmin", "nanmax", "ptp"):
        with pytest.raises(InvalidError, match="zero-size array"):
            we_say(name, x)
        return
    expected, _ = numpy_says(name, x)
    value, warned = we_say(name, x)
    assert value.dtype == expected.dtype
    np.testing.assert_equal(value, expected)
    if "mean" in name:
        assert warned == {"Mean of empty slice"}
    elif "sum" not in name:
        assert warned == {"Degrees of freedom <= 0 for slice"}


@pytest.mark.parametrize("name", ["nanmin", "nanmax", "nanmean", "nanstd", "nansum", "min", "std"])
def test_nothing_but_nan(name):
    x = np.full(5, np.nan, "f4")
    expected, warned = numpy_says(name, x)
    value, ours = we_say(name, x)
    np.testing.assert_equal(value, expected)
    assert value.dtype == expected.dtype
    # NumPy says "All-NaN slice encountered" or "axis encountered", by version and function.
    assert bool(ours) == bool(warned)


@pytest.mark.parametrize("x", [[np.inf, 1.0], [-np.inf, 2.0], [np.inf, -np.inf], [np.nan, np.inf]])
@pytest.mark.parametrize("name", sorted(NUMPY))
def test_infinity(name, x):
    x = np.array(x)
    expected, _ = numpy_says(name, x)
    np.testing.assert_equal(we_say(name, x)[0], expected)


@pytest.mark.parametrize("ddof", [0, 1, 2, 1000, 1001])
@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_ddof(name, ddof):
    x = random_array(np.random.default_rng(0), "f8", 1000, "narrow")
    expected, warned = numpy_says(name, x, ddof=ddof)
    value, ours = we_say(name, x, ddof=ddof)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    assert {w for w in warned if "Degrees" in w} == ours


def test_requested_dtype():
    x = np.arange(-50, 80, dtype="i1")
    for dtype in ("i1", "u1", "i4", "u8", "f4", "f8"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = x.sum(dtype=dtype)
        value = we_say("sum", x, dtype=dtype)[0]
        assert value == expected
        assert value.dtype == expected.dtype
    assert we_say("mean", x, dtype="f4")[0].dtype == np.float32
    assert result_dtype("mean", "f4", "f8") == np.float64
    with pytest.raises(InvalidError, match="truncates"):
        we_say("mean", x, dtype="i8")
    with pytest.raises(InvalidError, match="truncates"):
        we_say("sum", x.astype("f8"), dtype="i8")
    wrapped = np.full(100, 2**62)
    assert we_say("sum", wrapped, dtype="f8")[0] == 100 * 2.0**62


def test_count_and_size():
    x = np.array([1, np.nan, 3])
    assert we_say("count", x)[0] == 2
    assert we_say("size", x)[0] == 3


def test_arrays_of_rows():
    x = random_array(np.random.default_rng(0), "f4", (50, 6), "narrow")
    x[3, 2] = np.nan
    rows = measure_axes(x, 0)
    for name in ("mean", "std", "min", "sum", "nanmean", "nanvar", "nanmax"):
        value = finish(rows, name, input_dtype=x.dtype)
        expected = NUMPY[name](x, axis=0)
        assert value.dtype == expected.dtype
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_errors():
    row = measure(np.arange(3))[0]
    with pytest.raises(InvalidError, match="no statistic 'median'"):
        finish(row, "median", input_dtype="i8")
    with pytest.raises(InvalidError, match="not statistics of float32"):
        finish(row, "mean", input_dtype="f4")
    rows = measure(np.arange(3))
    rows["unknown"] = 1
    with pytest.raises(InvalidError, match="absent for 2 cells"):
        finish(combine(np.stack([rows, rows])), "mean", input_dtype="i8")
