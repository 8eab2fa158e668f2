"""Constants and combination."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError
from hubzarr.stats import channels, combine, constant, measure, merge_channels, stats_dtype
from tests.stats.strategies import DTYPES, arrays, assert_same, random_array


@settings(max_examples=80, deadline=None)
@given(arrays(sizes=(3, 50, 5000)), st.lists(st.floats(0, 1), max_size=6))
def test_parts_combine_to_the_whole(x, cuts):
    bounds = [0, *sorted(int(c * x.size) for c in cuts), x.size]
    rows = np.stack([measure(x[a:b]) for a, b in pairwise(bounds)])
    assert_same(combine(rows), measure(x))


@settings(max_examples=60, deadline=None)
@given(arrays(sizes=(60, 6000)))
def test_association_and_groups(x):
    parts = np.stack([measure(p.reshape(-1, 2), 2) for p in np.split(x, 6)])
    assert parts.shape == (6, 2)
    grouped = parts.reshape(2, 3, 2)
    assert_same(combine(combine(grouped, axis=1)), combine(parts))
    assert_same(combine(combine(grouped)), combine(parts))
    assert_same(merge_channels(combine(parts)), measure(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_neutral_row_and_no_rows(dtype):
    row = measure(random_array(np.random.default_rng(0), dtype, 30, "wide"))
    zero = np.zeros_like(row)
    assert combine(np.stack([zero, row, zero])).tobytes() == row.tobytes()
    assert combine(np.empty((0, 1), row.dtype)).tobytes() == zero.tobytes()
    assert combine(np.stack([zero, zero])).tobytes() == zero.tobytes()


def test_unknown_cells_are_counted():
    rows = np.zeros((3, 1), stats_dtype("f4"))
    rows["unknown"] = [[1], [0], [2]]
    assert combine(rows)["unknown"].tolist() == [3]


def test_many_rows_keep_their_digits():
    rng = np.random.default_rng(0)
    x = rng.random(400_000) + 1e6
    rows = np.zeros((100_000, 1), stats_dtype("f8"))
    table = x.reshape(-1, 4)
    rows["n"] = 4
    rows["sum"][:, 0] = table.sum(axis=1)
    rows["mean"][:, 0] = table.mean(axis=1)
    rows["m2"][:, 0] = ((table - table.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    rows["min"][:, 0] = table.min(axis=1)
    rows["max"][:, 0] = table.max(axis=1)
    whole = combine(rows)[0]
    np.testing.assert_allclose(whole["mean"], x.mean(), rtol=1e-15)
    np.testing.assert_allclose(whole["m2"], ((x - x.mean()) ** 2).sum(), rtol=1e-9)


def test_mean_of_sums_that_wrap():
    rows = np.stack([constant("i8", 2**62, 10), constant("i8", 2**62 + 2**20, 10)])
    assert combine(rows)["mean"][0] == float(2**62 + 2**19)
    unsigned = np.stack([constant("u8", 2**64 - 1, 3), constant("u8", 2**64 - 1, 5)])
    assert combine(unsigned)["mean"][0] == 2.0**64
    assert combine(unsigned)["m2"][0] == 0


@pytest.mark.parametrize("value", [0, 1, -2, 0.1, np.nan, np.inf, -np.inf, 2**40, -0.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_is_what_would_be_measured(dtype, value):
    dtype = np.dtype(dtype)
    if dtype.kind in "iu" and (value != value or np.isinf(value)):
        return
    with np.errstate(all="ignore"):
        x = np.full(4000, value).astype(dtype)
    with np.errstate(all="ignore"):
        rows = constant(dtype, x[0], 12_000, 3)
        assert_same(rows, np.concatenate([measure(x)] * 3))
    assert constant(dtype, x[0], 0).tolist() == [(0,) * 8]


def test_constant_refuses_impossible_counts():
    for count in (-1, 7):
        with pytest.raises(InvalidError, match="multiple of the number of channels"):
            constant("f4", 0, count, 3)


def test_channels():
    assert channels((10, 10, 3), (5, 5, 3)) == 3
    assert channels((10, 10, 3), (5, 5, 2)) == 1
    assert channels((10, 4), (5, 4)) == 4
    assert channels((10, 5), (5, 5)) == 1
    assert channels((3,), (3,)) == 1
    assert channels((), ()) == 1
    assert channels((10, 1), (5, 1)) == 1
