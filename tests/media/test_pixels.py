"""Pixel statistics: what NumPy gives, for one sample and for many combined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.media.pixels import combine_statistics, pixel_statistics, pixel_statistics_many

DTYPES = ["bool", "u1", "u2", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f8"]


def reference(array, channels):
    pixels = np.asarray(array).reshape(-1, channels).astype("f8")
    with np.errstate(all="ignore"):
        columns = [
            (len(c), c.sum(), c.var() * len(c), c.min(), c.max())
            if len(c)
            else (0, 0, 0, np.inf, -np.inf)
            for c in pixels.T
        ]
    return np.array(columns, "f8")


def close(found, wanted):
    assert found.shape == wanted.shape
    scale = max(1.0, np.abs(wanted[np.isfinite(wanted)]).max(initial=0))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_equals_numpy(dtype, channels):
    rng = np.random.default_rng(channels)
    array = (rng.random((33, 21, channels)) * 200).astype(dtype)
    close(pixel_statistics(array, channels), reference(array, channels))
    turned = array.swapaxes(0, 1)[::-1]
    close(pixel_statistics(turned, channels), reference(array, channels))
    many = np.stack([array, array // 2 if array.dtype.kind != "b" else ~array])
    found = pixel_statistics_many(many, channels)
    for row, each in zip(found, many, strict=True):
        close(row, reference(each, channels))
    close(combine_statistics(found), reference(many, channels))


@given(
    st.lists(
        hnp.arrays(
            "f8",
            st.tuples(st.integers(0, 4), st.integers(0, 4), st.just(3)),
            elements=st.floats(-1e6, 1e6, width=32),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_parts_combine_to_the_whole(parts):
    whole = np.concatenate([part.reshape(-1, 3) for part in parts])
    found = combine_statistics(np.array([pixel_statistics(part, 3) for part in parts]))
    wanted = reference(whole, 3)
    np.testing.assert_allclose(found[:, [0, 3, 4]], wanted[:, [0, 3, 4]])
    np.testing.assert_allclose(found[:, 1], wanted[:, 1], atol=1e-6)
    np.testing.assert_allclose(found[:, 2], wanted[:, 2], rtol=1e-6, atol=1e-3)


def test_far_from_zero_nothing_cancels():
    parts = [1e9 + np.arange(10.0), 1e9 + np.arange(20.0)]
    found = combine_statistics(np.array([pixel_statistics(part) for part in parts]))
    assert found[0, 2] == pytest.approx(np.concatenate(parts).var() * 30, rel=1e-12)


def test_nan_spoils_what_it_is_in():
    array = np.ones((2, 2, 3), "f4")
    array[0, 0, 1] = np.nan
    found = pixel_statistics(array, 3)
    assert np.isnan(found[1, 1:]).all()
    assert found[:, 0].tolist() == [4, 4, 4]
    assert found[2].tolist() == [4, 4, 0, 1, 1]
    assert np.isnan(combine_statistics([found, pixel_statistics(array * 0 + 1, 3)])[1, 1:]).all()


def test_sums_that_wrap_as_integers():
    array = np.full((4, 4), 2**63, "u8")
    assert pixel_statistics(array)[0].tolist() == [16, 16 * 2.0**63, 0, 2.0**63, 2.0**63]


def test_of_nothing():
    empty = pixel_statistics(np.zeros((0, 5, 3), "u1"), 3)
    assert empty.tolist() == [[0, 0, 0, np.inf, -np.inf]] * 3
    some = pixel_statistics(np.arange(12).reshape(2, 2, 3), 3)
    assert (combine_statistics(np.stack([empty, some, empty])) == some).all()
    assert pixel_statistics_many(np.zeros((0, 4, 3), "u1"), 3).shape == (0, 3, 5)
    assert combine_statistics(np.zeros((0, 3, 5))).tolist() == empty.tolist()


def test_mistakes():
    with pytest.raises(InvalidError, match="no 3 channels"):
        pixel_statistics(np.zeros((4, 4)), 3)
    with pytest.raises(InvalidError, match="shape"):
        combine_statistics(np.zeros((3, 4)))
    with pytest.raises(InvalidTypeError, match="complex"):
        pixel_statistics(np.zeros(3, "c8"))
