"""Blocks of chunks, and reductions along axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, OutOfBoundsError
from hubzarr.stats import finish, measure, measure_axes, measure_many
from tests.stats.strategies import DTYPES, MODES, assert_same, random_array

pytestmark = pytest.mark.usefixtures("kernels")


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_measure_many_is_measure_of_each(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    ndim = data.draw(st.integers(1, 3))
    cell = tuple(data.draw(st.integers(1, (300, 40, 8)[ndim - 1])) for _ in range(ndim))
    grid = tuple(data.draw(st.integers(0, 3)) for _ in range(ndim))
    channels = data.draw(st.integers(1, 4)) if ndim > 1 else 1
    if channels > 1:
        cell, grid = (*cell[:-1], channels), (*grid[:-1], 1)
    shape = tuple(c * g for c, g in zip(cell, grid, strict=True))
    dtype, mode = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(MODES))
    block = random_array(rng, dtype, shape, mode)
    rows = measure_many(block, cell, channels)
    assert rows.shape == (*grid, channels)
    for index in np.ndindex(grid):
        where = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, cell, strict=True))
        assert_same(rows[index], measure(block[where], channels))


AXES = [
    ((2000, 3), 0),
    ((3, 9000), 1),
    ((3, 9000, 2), 1),
    ((9000, 5, 2), (0, 2)),
    ((20, 30, 40), (2, 0)),
    ((20, 30, 40), -2),
    ((5, 6), None),
    ((5, 6), ()),
    ((0, 3), 0),
    ((0, 3), 1),
    ((9000, 2), 0),
    ((1, 9000, 3), (0, 1)),
]


@pytest.mark.parametrize(("shape", "axes"), AXES)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "i8", "?"])
def test_axes(shape, axes, dtype):
    x = random_array(np.random.default_rng(0), dtype, shape, "narrow")
    rows = measure_axes(x, axes)
    assert np.shape(finish(rows, "sum", input_dtype=dtype)) == x.sum(axes).shape
    kept = measure_axes(x, axes, keepdims=True)
    assert kept.shape == x.sum(axes, keepdims=True).shape
    assert kept.ravel().tobytes() == rows.ravel().tobytes()
    if x.size == 0:
        assert (rows["n"] == 0).all()
        return
    np.testing.assert_allclose(rows["mean"], x.mean(axes, dtype="f8"), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        rows["m2"] / rows["n"], x.astype("f8").var(axes), rtol=1e-11, atol=1e-13
    )
    np.testing.assert_array_equal(rows["min"], x.min(axes))
    np.testing.assert_array_equal(rows["max"], x.max(axes))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(DTYPES), st.sampled_from(MODES), st.booleans())
def test_axes_agree_with_single_rows(seed, dtype, mode, flip):
    x = random_array(np.random.default_rng(seed), dtype, (100, 7), mode)
    table = x.T if flip else x
    rows = measure_axes(table, 1 if flip else 0)
    assert_same(rows, np.concatenate([measure(x[:, i]) for i in range(7)]))


def test_errors():
    with pytest.raises(InvalidError, match="whole chunks"):
        measure_many(np.zeros((4, 5)), (2, 2))
    with pytest.raises(InvalidError, match="channels"):
        measure_many(np.zeros((4, 6)), (2, 3), 3)
    with pytest.raises(OutOfBoundsError, match="axis 2"):
        measure_axes(np.zeros((4, 5)), 2)
    with pytest.raises(InvalidError, match="repeated"):
        measure_axes(np.zeros((4, 5)), (0, -2))
