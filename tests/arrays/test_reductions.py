"""Statistics of views are NumPy's, and read no more than they must."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.arrays.reductions import NAMES, histogram, reduce
from hubzarr.errors import DamagedError, InvalidError, InvalidTypeError, OutOfBoundsError
from hubzarr.indexing import apply, identity
from tests.arrays.engines import (
    forget_statistics,
    make,
    random_array,
    random_axis,
    random_key,
    reopened,
    values,
)

NUMBERS = ["?", "u1", "i2", "i8", "u8", "f2", "f4", "f8"]
OTHERS = ["c16", "M8[s]", "m8[s]", "U6"]


def by_numpy(name, y, **options):
    """What NumPy gives; sums and the like of short floats as from doubles."""
    wide = y.astype("f8") if y.dtype.kind == "f" else y
    if name == "count":
        missing = np.isnan(wide) if y.dtype.kind in "fcmM" else np.zeros(y.shape, bool)
        return np.sum(~missing, **options)
    value = getattr(np, name)(wide, **options)
    return np.asarray(value).astype(y.dtype)[()] if y.dtype.kind == "f" else value


def outcome(call, *args, **options):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return call(*args, **options)
        except (TypeError, ValueError) as error:
            return error


def assert_equal(got, want, y):
    """Same type, dtype and shape; same value to 1e-12 of the magnitude."""
    if isinstance(want, Exception):
        assert isinstance(got, TypeError if isinstance(want, TypeError) else ValueError)
        return
    assert not isinstance(got, Exception), got
    assert type(got) is type(want)
    assert np.asarray(got).dtype == np.asarray(want).dtype
    assert np.shape(got) == np.shape(want)
    if np.asarray(want).dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want)
        return
    eps = max(1e-12, 2 * float(np.finfo(np.asarray(want).dtype).eps))
    known = np.abs(y[~np.isnan(y)].astype("c16"))
    top = max(1.0, float(np.max(known, initial=0.0)) ** 2)
    if np.asarray(want).dtype.kind == "c":
        top = 1.0
        eps = 1e-10
    np.testing.assert_allclose(got, want, rtol=eps, atol=1e-12 * top, equal_nan=True)


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.sampled_from(NUMBERS))
def test_views_of_numbers(seed, dtype):
    rng = np.random.default_rng(seed)
    engine, x = random_array(rng, dtype)
    for _ in range(4):
        key = random_key(rng, x.shape, boxes=rng.random() < 0.5)
        t, y = apply(identity(x.shape), key), x[key]
        name = str(rng.choice(NAMES))
        options = {"axis": random_axis(rng, y.ndim), "keepdims": bool(rng.random() < 0.3)}
        if name.endswith(("std", "var")):
            options["ddof"] = int(rng.integers(0, 2))
        got = outcome(reduce, engine, t, name, **options)
        assert_equal(got, outcome(by_numpy, name, y, **options), y)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(OTHERS))
def test_views_of_other_dtypes(seed, dtype):
    rng = np.random.default_rng(seed)
    engine, x = random_array(rng, dtype)
    names = {"c": (*NAMES[:3], "sum", "nanmean", "count"), "M": ("min", "max", "count")}
    names |= {"m": ("min", "max", "sum", "count"), "U": ("min", "max")}
    key = random_key(rng, x.shape)
    t, y = apply(identity(x.shape), key), x[key]
    name = str(rng.choice(names[x.dtype.kind]))
    axis = random_axis(rng, y.ndim)
    if axis == ():
        axis = None
    if x.dtype.kind == "U":  # which NumPy sorts, but has no minimum of
        if not y.size:
            return
        axis = None
        want = np.sort(y, axis=None)[0 if name == "min" else -1]
    else:
        want = outcome(by_numpy, name, y, axis=axis)
    assert_equal(outcome(reduce, engine, t, name, axis=axis), want, np.zeros(1))


def filled(shape, dtype, chunks, shards=None, seed=0):
    engine = make(shape, dtype, chunks, shards)
    x = values(np.random.default_rng(seed), dtype, shape, special=0.0)
    engine.write(identity(shape), x)
    return engine, x


def requests(storage, call):
    before = storage.counters.copy()
    value = call()
    return value, (storage.counters - before).reads


@pytest.mark.parametrize("shards", [None, (8, 8)])
def test_whole_array_and_aligned_slices_read_nothing(shards):
    engine, x = filled((37, 29), "f4", (4, 4), shards)
    engine, storage = reopened(engine)
    for key in ((), (slice(8, 24),), (slice(16, 37), slice(8, 29)), slice(None, None, -1)):
        t = apply(identity(x.shape), key)
        for name in NAMES:
            got, reads = requests(storage, lambda t=t, name=name: reduce(engine, t, name))
            assert reads == 0
            assert_equal(got, by_numpy(name, x[key]), x)


def test_cut_slice_reads_its_border_only():
    engine, x = filled((40, 40), "f4", (4, 4))
    engine, storage = reopened(engine)
    key = (slice(2, 36), slice(4, 39))
    t = apply(identity(x.shape), key)
    got, reads = requests(storage, lambda: reduce(engine, t, "std"))
    assert reads == 9 + 9 - 1
    assert_equal(got, by_numpy("std", x[key]), x)
    assert requests(storage, lambda: reduce(engine, t, "mean"))[1] == 0  # now in the cache


def test_cut_shard_reads_the_inner_chunks_it_needs():
    engine, x = filled((64, 64), "f8", (4, 4), (64, 64))
    engine, storage = reopened(engine)
    before = storage.counters.copy()
    t = apply(identity(x.shape), (slice(0, 4), slice(0, 8)))
    assert_equal(reduce(engine, t, "mean"), x[:4, :8].mean(), x)
    used = storage.counters - before
    assert used.reads <= 3
    assert used.read_bytes < 16 * 256 + 64 * 16


def test_channels_read_nothing():
    engine, x = filled((20, 30, 3), "u1", (5, 7, 3))
    engine, storage = reopened(engine)
    t = identity(x.shape)
    for key in ((), (..., slice(1, 3)), (..., 2), (..., slice(None, None, -1)), slice(5, 15)):
        view, y = apply(t, key), x[key]
        for axis in (None, (0, 1)):
            got, reads = requests(storage, lambda v=view, a=axis: reduce(engine, v, "std", axis=a))
            assert reads == 0
            assert_equal(got, y.std(axis), y)


def test_one_channel_of_a_cut_box():
    engine, x = filled((20, 30, 3), "f8", (5, 7, 3))
    engine, storage = reopened(engine)
    t = apply(identity(x.shape), (slice(3, 20), slice(None), slice(1, 2)))
    got, reads = requests(storage, lambda: reduce(engine, t, "mean", axis=(0, 1)))
    assert reads == 5
    assert_equal(got, x[3:, :, 1:2].mean((0, 1)), x)


def test_one_image_per_chunk_reads_nothing():
    engine, x = filled((7, 2, 12, 10, 3), "f4", (1, 1, 12, 10, 3))
    engine, storage = reopened(engine)
    whole = identity(x.shape)
    for axis in ((1, 2, 3, 4), (2, 3, 4), (2, 3), (0, 2, 3), (1, 2, 3)):
        got, reads = requests(storage, lambda axis=axis: reduce(engine, whole, "std", axis=axis))
        assert reads == 0
        assert_equal(got, by_numpy("std", x, axis=axis), x)
    t = apply(whole, (slice(1, 3), slice(None), slice(2, 9)))
    got, reads = requests(storage, lambda: reduce(engine, t, "max", axis=(1, 2, 3)))
    assert reads == 4
    assert_equal(got, by_numpy("max", x[1:3, :, 2:9], axis=(1, 2, 3)), x)


def test_chunks_without_statistics_are_read():
    engine, x = filled((40, 40), "f4", (4, 4))
    forget_statistics(np.random.default_rng(1), engine)
    engine, storage = reopened(engine)
    got, reads = requests(storage, lambda: reduce(engine, identity(x.shape), "var"))
    assert 0 < reads < 60
    assert_equal(got, by_numpy("var", x), x)


def test_never_written_chunks_cost_nothing():
    engine = make((10**6, 10**6), "f4", (1000, 1000))
    engine.write(apply(identity(engine.shape), (5, 5)), np.float32(3).reshape(()))
    engine, storage = reopened(engine)
    got, reads = requests(storage, lambda: reduce(engine, identity(engine.shape), "sum"))
    assert (got, reads) == (np.float32(3), 0)
    assert reduce(engine, identity(engine.shape), "count") == 10**12
    t = apply(identity(engine.shape), (slice(0, 3000), slice(0, 10**5)))
    rows, reads = requests(storage, lambda: reduce(engine, t, "max", axis=1))
    assert reads == 1
    assert rows.shape == (3000,)
    assert rows.sum() == 3


def test_buffered_elements_count():
    engine, x = filled((10, 10), "i4", (3, 3))
    engine.flush()
    for i in range(10):
        engine.write(apply(identity(x.shape), (i, i)), np.int32(-i).reshape(()))
        x[i, i] = -i
        assert engine.pending
        for key in ((), slice(3, 6), slice(1, 8), (slice(None), slice(None, None, 2))):
            t = apply(identity(x.shape), key)
            for name in ("sum", "min"):
                assert reduce(engine, t, name) == by_numpy(name, x[key])
        assert reduce(engine, identity(x.shape), "sum", axis=0).tolist() == x.sum(0).tolist()


def test_grown_and_shrunk():
    engine = make((4, 4), "f8", (3, 3), fill=2.0)
    x = np.arange(16.0).reshape(4, 4)
    engine.write(identity((4, 4)), x)
    engine.resize((8, 5))
    y = np.full((8, 5), 2.0)
    y[:4, :4] = x
    assert reduce(engine, identity((8, 5)), "mean") == pytest.approx(y.mean(), rel=1e-14)
    engine.resize((2, 5))
    engine.resize((5, 5))
    y[2:] = 2.0
    assert reduce(engine, identity((5, 5)), "std") == pytest.approx(y[:5].std(), rel=1e-14)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("x", [[np.nan, np.nan], [np.inf, 1.0], [np.inf, -np.inf], [np.nan, 2.0]])
def test_special_values(name, x):
    x = np.array(x)
    engine = make((2,), "f8", (1,))
    engine.write(identity((2,)), x)
    assert_equal(
        outcome(reduce, engine, identity((2,)), name), outcome(by_numpy, name, x), np.zeros(1)
    )


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 0)])
@pytest.mark.parametrize("dtype", ["f4", "i4", "?", "c8"])
def test_no_elements(shape, dtype):
    engine = make(shape, dtype, tuple(max(1, n) for n in shape))
    x = np.zeros(shape, dtype)
    for name in ("mean", "std", "sum", "min", "nanmax", "count"):
        for axis in (None, 0, -1):
            if dtype == "c8" and name in ("mean", "std"):
                continue
            got = outcome(reduce, engine, identity(shape), name, axis=axis)
            assert_equal(got, outcome(by_numpy, name, x, axis=axis), x)


def test_mean_of_nothing_warns_as_numpy_does():
    engine = make((0,), "f4", (1,))
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert np.isnan(reduce(engine, identity((0,)), "mean"))
    with pytest.warns(RuntimeWarning, match="Degrees of freedom <= 0"):
        assert np.isnan(reduce(engine, identity((0,)), "std"))


@pytest.mark.parametrize("name", ["mean", "std", "min", "sum", "nanmean", "nanstd", "nanmin"])
def test_only_nan_warns_as_numpy_does(name):
    x = np.full(3, np.nan)
    engine = make((3,), "f8", (2,))
    engine.write(identity((3,)), x)
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        reduce(engine, identity((3,)), name)
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        getattr(np, name)(x)
    assert bool(ours) == bool(theirs)
    assert all(w.filename == __file__ for w in ours)


def test_dtype_and_ddof():
    engine, x = filled((9,), "f4", (2,))
    whole = identity(x.shape)
    assert reduce(engine, whole, "mean", dtype="f8").dtype == np.float64
    assert reduce(engine, whole, "sum", dtype="f8") == pytest.approx(x.sum(dtype="f8"), rel=1e-14)
    want = x.astype("f8").var(ddof=1)
    assert reduce(engine, whole, "var", ddof=1, dtype="f8") == pytest.approx(want, rel=1e-12)


def test_bad_arguments():
    engine, x = filled((4, 5), "f4", (2, 2))
    whole = identity(x.shape)
    with pytest.raises(InvalidError, match="no statistic 'median'"):
        reduce(engine, whole, "median")
    with pytest.raises(OutOfBoundsError, match="axis 2 is out of bounds"):
        reduce(engine, whole, "mean", axis=2)
    with pytest.raises(InvalidError, match="repeated"):
        reduce(engine, whole, "mean", axis=(0, -2))
    with pytest.raises(InvalidTypeError, match="axis is 'x'"):
        reduce(engine, whole, "mean", axis="x")


@pytest.mark.parametrize(("dtype", "name"), [("U3", "mean"), ("M8[s]", "sum"), ("U3", "std")])
@pytest.mark.parametrize("shape", [(4,), (0,)])
def test_statistics_that_a_dtype_lacks(dtype, name, shape):
    engine = make(shape, dtype, (2,))
    with pytest.raises(InvalidTypeError, match=f"{name} is not defined for dtype"):
        reduce(engine, identity(shape), name)


def test_lost_chunk_is_an_error():
    engine, x = filled((8,), "f4", (4,))
    engine, storage = reopened(engine)
    storage.delete([path for path in storage.list_all("data") if path.endswith("0")])
    t = apply(identity(x.shape), slice(1, 8))
    with pytest.raises(DamagedError, match="is missing"):
        reduce(engine, t, "mean")
    assert reduce(engine, identity(x.shape), "count") == 8


def test_statistics_that_count_too_much_are_damage():
    engine, x = filled((8,), "f4", (4,))
    engine.flush()
    engine.table.stats.own_leaf((0,))["n"][1] = 9
    engine.table.touch()
    with pytest.raises(DamagedError, match="count more elements"):
        reduce(engine, identity(x.shape), "mean")


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (1, 2), (0, 2), None])
def test_many_blocks(axis, monkeypatch):
    monkeypatch.setattr("hubzarr.arrays.streaming.BLOCK_BYTES", 4096)
    monkeypatch.setattr("hubzarr.arrays.streaming.TILE", 64)
    engine, x = filled((23, 31, 17), "f8", (5, 6, 4))
    got = reduce(engine, identity(x.shape), "std", axis=axis)
    np.testing.assert_allclose(got, x.std(axis=axis), rtol=1e-12)
    view = (slice(None, None, 2), slice(None, None, -3))
    got = reduce(engine, apply(identity(x.shape), view), "mean", axis=axis)
    np.testing.assert_allclose(got, x[view].mean(axis=axis), rtol=1e-12, atol=1e-13)


# -- histograms --------------------------------------------------------------


@settings(max_examples=120)
@given(st.integers(0, 2**32), st.sampled_from(["u1", "i2", "f4", "f8"]))
def test_histograms(seed, dtype):
    rng = np.random.default_rng(seed)
    engine, x = random_array(rng, dtype)
    key = random_key(rng, x.shape)
    t, y = apply(identity(x.shape), key), x[key]
    bins = [10, 3, [0, 1, 50, 80], np.linspace(-5, 5, 8)][int(rng.integers(0, 4))]
    limits = None if rng.random() < 0.5 else (-3.5, 40)
    got = outcome(histogram, engine, t, bins, limits)
    want = outcome(np.histogram, y, bins, limits)
    if isinstance(want, Exception):
        assert isinstance(got, type(want))
        return
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])
    assert got[0].dtype == want[0].dtype
    assert got[1].dtype == want[1].dtype


def test_histogram_skips_chunks_that_lie_in_one_bin(monkeypatch):
    monkeypatch.setattr("hubzarr.arrays.reductions.HISTOGRAM_BYTES", 400)
    x = np.repeat(np.arange(10.0), 100)
    engine = make((1000,), "f8", (50,))
    engine.write(identity((1000,)), x)
    engine, storage = reopened(engine)
    got, reads = requests(storage, lambda: histogram(engine, identity((1000,)), 10))
    assert reads == 0
    np.testing.assert_array_equal(got[0], np.histogram(x, 10)[0])


def test_histogram_of_booleans_and_bad_arguments():
    engine, x = filled((50,), "?", (8,))
    got = histogram(engine, identity(x.shape), 2)
    np.testing.assert_array_equal(got[0], np.histogram(x.view("u1"), 2)[0])
    with pytest.raises(InvalidError, match="a rule that needs all elements"):
        histogram(engine, identity(x.shape), "auto")
    with pytest.raises(InvalidError, match="no histogram with bins -1"):
        histogram(engine, identity(x.shape), -1)
    with pytest.raises(InvalidTypeError, match="no histogram of dtype"):
        histogram(make((2,), "c8", (1,)), identity((2,)))
