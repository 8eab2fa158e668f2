"""Dtypes without stored statistics, and histograms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.stats import (
    combine_parts,
    fallback_supported,
    finish_part,
    histogram,
    measure_part,
)
from tests.stats.strategies import arrays


def streamed(x, name, cuts, axes=None, **options):
    """A statistic from pieces of the first axis, which has to be reduced."""
    parts = [measure_part(p, name, axes) for p in np.array_split(x, cuts)]
    return finish_part(combine_parts(parts, name), name, x.dtype, **options)


def assert_like_numpy(value, expected, rtol=1e-12):
    """Same dtype, nearly the same value."""
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    if np.asarray(expected).dtype.kind in "cf":
        np.testing.assert_allclose(value, expected, rtol=rtol)
    else:
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("dtype", ["c8", "c16", "longdouble"])
@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "min", "max"])
@pytest.mark.parametrize("axes", [None, 0, (0, 2)])
@pytest.mark.parametrize("holes", [False, True])
def test_wide_floats(dtype, name, axes, holes):
    rng = np.random.default_rng(0)
    x = 3 + rng.normal(size=(30, 4, 5)) + 1j * rng.normal(size=(30, 4, 5))
    x = (x if dtype[0] == "c" else x.real).astype(dtype)
    rtol = 1e-5 if dtype == "c8" else 1e-12
    if holes:
        x[3, 2, 1] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = getattr(np, "nan" + name)(x, axis=axes)
        assert_like_numpy(streamed(x, "nan" + name, 4, axes), expected, rtol)
    assert_like_numpy(streamed(x, name, 4, axes), getattr(np, name)(x, axis=axes), rtol)


@pytest.mark.parametrize("name", ["sum", "mean", "min", "max"])
def test_timedelta(name):
    x = np.random.default_rng(0).integers(-(10**6), 10**6, (40, 3)).astype("m8[ms]")
    for axes in (None, 0):
        expected = getattr(np, name)(x, axis=axes)
        assert_like_numpy(streamed(x, name, 7, axes), expected)
    x[1, 1] = "NaT"
    assert np.isnat(streamed(x, name, 7))


@pytest.mark.parametrize("dtype", ["M8[D]", "m8[s]"])
def test_dates(dtype):
    x = np.arange(5, 45).astype(dtype)
    assert_like_numpy(streamed(x, "min", 3), x.min())
    x[7] = "NaT"
    assert np.isnat(streamed(x, "max", 3))
    assert streamed(x, "nanmax", 3) == x[-1]
    assert streamed(x, "count", 3) == 39
    assert streamed(x, "size", 3) == 40


@pytest.mark.parametrize("dtype", ["U", "S", np.dtypes.StringDType()])
def test_text(dtype):
    words = np.array([["pear", "fig"], ["apple", "kiwi"], ["zucchini", ""]]).astype(dtype)
    assert streamed(words, "min", 2) == words[2, 1]
    assert streamed(words, "max", 2) == words[2, 0]
    by_column = streamed(words, "max", 2, 0)
    assert by_column.tolist() == [words[2, 0], words[1, 1]]
    kept = measure_part(words, "min", 1, keepdims=True)
    assert finish_part(kept, "min", words.dtype).shape == (3, 1)


def test_what_is_supported():
    assert fallback_supported("min", "U4")
    assert not fallback_supported("mean", "U4")
    assert not fallback_supported("std", "m8[s]")
    assert not fallback_supported("min", [("a", "i4")])
    assert fallback_supported("std", "c8")
    with pytest.raises(InvalidTypeError, match="mean is not defined for dtype <U1"):
        measure_part(np.array(["a"]), "mean")


def test_empty():
    none = np.empty(0, "c8")
    part = combine_parts([measure_part(none, "sum"), measure_part(none, "sum")])
    assert_like_numpy(finish_part(part, "sum", "c8"), none.sum())
    assert np.isnan(finish_part(measure_part(none, "mean"), "mean", "c8"))
    assert np.isnat(finish_part(measure_part(none.astype("m8[s]"), "mean"), "mean", "m8[s]"))
    with pytest.raises(InvalidError, match="zero-size"):
        finish_part(measure_part(none, "min"), "min", "c8")
    some = np.array([1 + 2j], "c8")
    both = combine_parts([measure_part(none, "mean"), measure_part(some, "mean")], "mean")
    assert finish_part(both, "mean", "c8") == some[0]


@settings(max_examples=100, deadline=None)
@given(arrays(sizes=(0, 1, 100, 3000)), st.integers(1, 20), st.booleans())
def test_histogram(x, bins, even):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        finite = x[np.isfinite(x)] if x.dtype.kind == "f" else x
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
        if not even:
            edges = np.sort(low + (edges[-1] - low) * np.random.default_rng(0).random(bins + 1))
        expected = np.histogram(x, edges)[0]
        counts = histogram(x, edges)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)


def test_histogram_errors():
    for edges in ([1], [2, 1], [[0, 1]], [0, np.nan]):
        with pytest.raises(InvalidError, match="don't increase"):
            histogram(np.zeros(3), edges)
