"""One chunk: against NumPy and rational arithmetic."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.stats import measure, stats_dtype
from tests.stats.strategies import (
    DTYPES,
    MODES,
    SIZES,
    arrays,
    assert_same,
    exact,
    random_array,
    slack,
)

pytestmark = pytest.mark.usefixtures("kernels")


def check(row, x):
    """A row against the values that it was measured on."""
    x = x.astype(x.dtype.newbyteorder("="))
    valid = x[~np.isnan(x)] if x.dtype.kind == "f" else x
    assert row["n"] == valid.size
    assert row["nan"] == x.size - valid.size
    assert row["unknown"] == 0
    if valid.size == 0:
        assert row.tolist()[2:] == (0, 0, 0, 0, 0, 0)
        return
    assert row["min"] == valid.min()
    assert row["max"] == valid.max()
    if x.dtype.kind == "f" and np.isinf(valid).any():
        assert np.isnan(row["m2"])
        with np.errstate(invalid="ignore"):
            np.testing.assert_equal(row["sum"], valid.astype("f8").sum())
            np.testing.assert_equal(row["mean"], valid.astype("f8").mean())
        return
    total, mean, m2 = exact(valid)
    top = max(abs(float(row["min"])), abs(float(row["max"])))
    if x.dtype.kind == "f":
        assert abs(row["sum"] - float(total)) <= 1e-13 * top * x.size
    else:
        assert row["sum"] == valid.sum()
    assert abs(row["mean"] - float(mean)) <= 1e-15 * top
    assert abs(row["m2"] - float(m2)) <= slack(row)
    if valid.min() == valid.max():
        assert row["m2"] == 0
        assert row["mean"] == float(valid[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_mode(dtype, mode):
    rng = np.random.default_rng(1)
    for size in (16, 4097, 8193):
        x = random_array(rng, dtype, size, mode)
        check(measure(x)[0], x)


@settings(max_examples=60, deadline=None)
@given(arrays(sizes=(1, 2, 3, 16, 241, 5000, 8200)))
def test_exact(x):
    check(measure(x)[0], x)


@settings(max_examples=60, deadline=None)
@given(arrays(), st.integers(2, 4))
def test_channels_are_measured_apart(x, channels):
    x = x[: x.size - x.size % channels].reshape(-1, channels)
    rows = measure(x, channels)
    for channel in range(channels):
        assert_same(rows[channel : channel + 1], measure(x[:, channel].copy()))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "i8", "f4"])
def test_sizes_about_the_block_boundaries(dtype, size):
    rng = np.random.default_rng(size)
    x = random_array(rng, dtype, size, "wide")
    pieces = np.array_split(x, 40) if size > 40 else [x]
    row = measure(x)[0]
    assert row["n"] == size
    wide = x.astype(np.longdouble)
    mean = wide.mean()
    top = float(np.abs(wide).max())
    assert abs(row["mean"] - float(mean)) <= 1e-14 * top
    np.testing.assert_allclose(row["m2"], float(((wide - mean) ** 2).sum()), rtol=1e-12)
    assert row["min"] == min(p.min() for p in pieces)
    if x.dtype.kind != "f":
        assert row["sum"] == x.sum()


@settings(max_examples=40, deadline=None)
@given(arrays(sizes=(0, 1, 12, 4800)), st.integers(0, 5))
def test_layout_does_not_matter(x, layout):
    if x.size % 12:
        x = np.resize(x, 12)
    cube = x.reshape(-1, 4, 3)
    variants = [
        np.asfortranarray(cube),
        cube[::-1],
        cube.transpose(1, 0, 2).copy().transpose(1, 0, 2),
        np.repeat(cube, 2, axis=0)[::2],
        cube.astype(cube.dtype.newbyteorder(">")),
        cube[..., ::-1].copy()[..., ::-1],
    ]
    other = variants[layout]
    if other.dtype == cube.dtype:
        assert_same(measure(other), measure(cube))
    assert_same(measure(other, 3), measure(cube, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_extremes_of_bytes_past_the_first_blocks(channels):
    x = np.full((300_000, channels), 7, "u1")
    x[0] = [0, 255, 7][:channels]
    x[-1] = [255, 0, 8][:channels]
    for channel, row in enumerate(measure(x, channels)):
        check(row, x[:, channel])


def test_input_is_left_alone():
    rng = np.random.default_rng(0)
    for dtype in ("f8", "f4", "i8", "u1"):
        for channels in (1, 3):
            x = random_array(rng, dtype, (61440, channels), "wide")
            before = x.copy()
            x.flags.writeable = False
            measure(x, channels)
            np.testing.assert_array_equal(x, before)


def test_large_offset_keeps_the_variance():
    rng = np.random.default_rng(0)
    x = 1e9 + rng.normal(size=100_000)
    row = measure(x)[0]
    np.testing.assert_allclose(row["m2"] / row["n"], x.var(), rtol=1e-9)
    y = rng.integers(0, 1000, 100_000) + 1_700_000_000_000_000_000
    row = measure(y)[0]
    np.testing.assert_allclose(row["m2"] / row["n"], (y - y.min()).var(), rtol=1e-12)


def test_sample_that_misleads():
    """The estimate of the mean looks at every 41st element or so; deceive it."""
    x = np.zeros(10_497)
    x[:] = 1e9 + np.random.default_rng(0).normal(size=x.size)
    x[:: 10_497 // 256 | 1] = 0.0
    check(measure(x)[0], x)


def test_trend_and_extreme_values():
    x = np.linspace(-1e300, 1e300, 9000)
    row = measure(x)[0]
    assert row["min"] == -1e300
    assert abs(row["mean"]) < 1e287
    big = np.full(5000, 1.7e308)
    big[0] = 1.0
    row = measure(big)[0]
    assert row["sum"] == np.inf
    assert row["max"] == 1.7e308
    tiny = np.full(5000, 5e-324)
    tiny[0] = 0.0
    assert measure(tiny)[0]["max"] == 5e-324


def test_negative_infinity_and_infinity_cancel_to_nan():
    row = measure(np.array([np.inf, -np.inf, 1.0]))[0]
    assert np.isnan(row["sum"])
    assert np.isnan(row["mean"])
    assert (row["min"], row["max"]) == (-np.inf, np.inf)


def test_wrapping_sum_with_right_mean():
    x = np.full(10_000, 2**63 - 1)
    x[0] = 2**63 - 2
    row = measure(x)[0]
    assert row["sum"] == x.sum()
    assert row["mean"] == float(2**63)


@pytest.mark.parametrize("value", [2**31 - 1, 2**31, 2**40])
def test_sums_past_53_bits(value):
    x = np.full(5_000_001, value)
    x[::2] -= 1
    row = measure(x)[0]
    assert row["sum"] == x.sum()
    np.testing.assert_allclose(row["m2"], x.size / 4, rtol=1e-6)
    if value < 2**31:
        assert measure(x.astype("i4"))[0]["sum"] == x.sum()


def test_empty_and_broadcast_chunks():
    assert measure(np.empty((0, 3), "u1"), 3).tolist() == [(0,) * 8] * 3
    same = np.broadcast_to(np.array(7, "i2"), (100, 100, 3))
    assert_same(measure(same, 3), measure(same.copy(), 3))
    assert_same(measure(np.array(2.5)), measure(np.array([2.5])))


def test_threads_do_not_share_scratch():
    rng = np.random.default_rng(0)
    chunks = [random_array(rng, d, 100_000, "wide") for d in ("u1", "f4", "f8", "i8")]
    expected = [measure(c) for c in chunks]
    wrong = []

    def work():
        for _ in range(10):
            for chunk, rows in zip(chunks, expected, strict=True):
                if measure(chunk).tobytes() != rows.tobytes():
                    wrong.append(chunk.dtype)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_errors():
    with pytest.raises(InvalidTypeError, match="no statistics are stored"):
        measure(np.array(["a"]))
    with pytest.raises(InvalidError, match="3 channels"):
        measure(np.zeros((4, 2)), 3)
    for dtype in ("U3", "S3", "M8[s]", "m8[s]", "c8", "V4", "O", "longdouble"):
        assert stats_dtype(dtype) is None
