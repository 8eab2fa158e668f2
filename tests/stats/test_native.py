"""Compiled kernels against the NumPy kernels: the same rows, whatever the layout."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.stats import measure, measure_many, native, stats_dtype
from tests.stats.strategies import DTYPES, MODES, assert_same, random_array

pytestmark = pytest.mark.skipif(not native.AVAILABLE, reason="no compiled kernels installed")

NATIVE = [d for d in DTYPES if not d.startswith(">")]


def by_numpy(call, *args):
    """What the NumPy kernels give."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "fill", native.refuse)
        return call(*args)


def compiled(x, channels=1, kept=0):
    """Rows by the compiled kernels, or None if they refuse."""
    out = np.full((*x.shape[:kept], channels), 7, stats_dtype(x.dtype))
    return out if native.compiled(x, out, kept, channels) else None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_same_rows_as_numpy(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dtype, mode = data.draw(st.sampled_from(NATIVE)), data.draw(st.sampled_from(MODES))
    channels = data.draw(st.integers(1, 4))
    length = data.draw(st.one_of(st.integers(1, 300), st.integers(300, 100_000 // channels)))
    x = random_array(rng, dtype, (length, channels), mode)
    rows = compiled(x, channels)
    assert rows is not None
    expected = by_numpy(measure, x, channels)
    assert_same(rows, expected)
    if x.dtype.kind in "iu" and x.dtype.itemsize <= 2 and x.size > 8192:
        assert rows.tobytes() == expected.tobytes()  # exact sums, rounded once


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_layouts(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dtype = np.dtype(data.draw(st.sampled_from(NATIVE)))
    channels = data.draw(st.integers(1, 4))
    shape = tuple(data.draw(st.integers(1, 40)) for _ in range(data.draw(st.integers(1, 3))))
    whole = random_array(rng, dtype, (*(n + 5 for n in shape), channels), "wide")
    if data.draw(st.booleans()):  # odd addresses
        raw = np.empty(whole.nbytes + 1, "u1")
        odd = raw[1:].view(dtype).reshape(whole.shape)
        odd[...] = whole
        whole = odd
    starts = [data.draw(st.integers(0, 5)) for _ in shape]
    x = whole[tuple(slice(a, a + n) for a, n in zip(starts, shape, strict=True))]
    for axis in range(len(shape)):
        if data.draw(st.booleans()):
            x = np.flip(x, axis)
    order = data.draw(st.permutations(range(len(shape))))
    x = x.transpose([*order, len(shape)])
    expected = by_numpy(measure, np.ascontiguousarray(x), channels)
    assert_same(measure(x, channels), expected)
    rows = compiled(x, channels)
    if rows is not None:
        assert_same(rows, expected)


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_of_chunks(dtype, channels):
    rng = np.random.default_rng(0)
    block = random_array(rng, dtype, (60, 64, 3)[: 2 + (channels == 3)], "wide")
    cell = (20, 16, 3)[: 2 + (channels == 3)]
    rows = measure_many(block, cell, channels)
    assert_same(rows, by_numpy(measure_many, block, cell, channels))
    inside = block[5:45, 16:48]
    assert_same(
        measure_many(inside, cell, channels), by_numpy(measure_many, inside, cell, channels)
    )


def test_a_large_block_in_one_go():
    x = random_array(np.random.default_rng(0), "f4", (512, 512), "holes")
    cut = x.reshape(8, 64, 8, 64).transpose(0, 2, 1, 3)
    rows = compiled(cut, kept=2)
    for index in np.ndindex(8, 8):
        assert_same(rows[index], by_numpy(measure, cut[index].copy()))


def test_every_half():
    """All 65536 bit patterns."""
    halves = np.arange(1 << 16, dtype="u2").view("f2")
    finite = halves[np.isfinite(halves)]
    row = compiled(finite)[0]
    assert (row["n"], row["min"], row["max"]) == (finite.size, -65504.0, 65504.0)
    assert row["sum"] == 0.0
    np.testing.assert_allclose(row["m2"], (finite.astype("f8") ** 2).sum(), rtol=1e-14)
    for value in finite[finite != 0][::97]:
        row = compiled(np.array([value, 0], "f2"))[0]
        assert row["sum"] == float(value)
        assert {float(row["min"]), float(row["max"])} == {0.0, float(value)}
    assert compiled(halves)[0]["nan"] == np.isnan(halves).sum()
    assert np.isnan(compiled(halves)[0]["sum"])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_subnormal_numbers(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.arange(5000).astype(dtype) * tiny
    row = compiled(x)[0]
    assert (row["min"], row["max"]) == (0, 4999 * tiny)
    assert row["sum"] == 2499.5 * 5000 * float(tiny)


def test_sums_of_integers_held_as_floats_are_exact():
    x = np.random.default_rng(0).integers(-(2**20), 2**20, 300_000) + 2**23
    for dtype in ("f4", "f8"):
        assert compiled(x.astype(dtype))[0]["sum"] == x.sum()


def test_64_bit_integers_of_any_spread():
    rng = np.random.default_rng(0)
    for dtype in ("i8", "u8"):
        limits = np.iinfo(dtype)
        for low, high in [
            (limits.min, limits.max),
            (limits.max - 1, limits.max),
            (limits.min, limits.min + 5),
        ]:
            x = rng.integers(low, high, 50_000, dtype=dtype, endpoint=True)
            row, expected = compiled(x)[0], by_numpy(measure, x)[0]
            assert row["sum"] == x.sum()
            values = [int(v) for v in x]
            total = sum(values)
            assert row["mean"] == total / x.size
            m2 = sum((v * x.size - total) ** 2 for v in values) / x.size**2
            np.testing.assert_allclose(row["m2"], m2, rtol=1e-13)
            assert (row["min"], row["max"]) == (expected["min"], expected["max"])


def test_what_is_left_to_numpy():
    huge = np.full(100, 1e308)
    huge[0] = 1.0
    assert compiled(huge) is None
    assert compiled(np.arange(10, dtype=">i4")) is None
    assert compiled(np.arange(100)[::2]) is None
    assert compiled(np.broadcast_to(np.array(1.0), (5, 5))) is None
    assert compiled(np.array([2, 1], "u1").view("?")) is None
    assert compiled(np.zeros(0)) is None
    assert measure(huge)[0]["sum"] == np.inf
    assert measure(np.arange(10, dtype=">i4"))[0]["sum"] == 45
    assert measure(np.arange(100)[::2])[0]["sum"] == 2450


def test_arguments_that_do_not_fit():
    x, out = np.zeros((4, 3)), np.zeros(3, stats_dtype("f8"))
    for args in [(x, out, 0, 2), (x, out, 0, 5), (x, out, 3, 1), (x, out, -1, 1), (x, out, 0, 1)]:
        with pytest.raises(ValueError, match=r"do not fit|another size"):
            native.compiled(*args)
    with pytest.raises(ValueError, match="fit"):
        native.compiled(np.float64(1.0), out, 0, 3)
    with pytest.raises(TypeError, match="expected data"):
        native.compiled(x, out)
    with pytest.raises(TypeError, match="int"):
        native.compiled(x, out, "0", 3)
    with pytest.raises(TypeError, match="bytes-like"):
        native.compiled([1], out, 0, 1)
    out.flags.writeable = False
    with pytest.raises((BufferError, ValueError), match=r"read-only|writ"):
        native.compiled(x, out, 0, 3)
    assert sys.getrefcount(x) <= 3


def test_threads():
    rng = np.random.default_rng(0)
    chunks = [random_array(rng, d, (50_000, 3), "holes") for d in ("u1", "f4", "f8", "i8")]
    expected = [compiled(c, 3).tobytes() for c in chunks]
    wrong = []

    def work():
        for _ in range(20):
            for chunk, rows in zip(chunks, expected, strict=True):
                if compiled(chunk, 3).tobytes() != rows:
                    wrong.append(chunk.dtype)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(("value", "expected"), [("0", "True"), ("1", "False")])
def test_switch(value, expected):
    code = "from hubzarr.stats import native; print(native.fill is native.refuse)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HUBZARR_NATIVE": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == expected
