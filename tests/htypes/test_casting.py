"""Conversion to a tensor's dtype: no value changes silently."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubzarr.errors import SampleError
from hubzarr.htypes.casting import as_array, cast

_DTYPES = ["bool", "u1", "i1", ">u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", ">f8", "c8", "c16"]


@given(st.data(), st.sampled_from(_DTYPES), st.sampled_from(_DTYPES))
def test_numbers(data, given_dtype, dtype):
    array = data.draw(hnp.arrays(given_dtype, hnp.array_shapes(max_dims=2, max_side=4)))
    dtype = np.dtype(dtype)
    try:
        result = cast(array, dtype)
    except SampleError:
        assert not np.can_cast(array.dtype, dtype, "safe")
        return
    assert (result.dtype, result.shape) == (dtype, array.shape)
    real_size = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    if dtype.kind in "biu" or (array.dtype.kind in "biu" and real_size > array.dtype.itemsize):
        np.testing.assert_array_equal(result.astype(object), array.astype(object))
    else:
        relative = float(np.finfo(dtype).eps)
        tiny = float(np.finfo(dtype).smallest_normal)
        with np.errstate(over="ignore", invalid="ignore"):
            wide = array.astype("c16")
        np.testing.assert_allclose(result.astype("c16"), wide, rtol=relative, atol=tiny)


@given(st.integers(-(2**70), 2**70), st.sampled_from(_DTYPES[:9]))
def test_integers_fit_or_are_refused(number, dtype):
    limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if limits[0] <= number <= limits[1]:
        assert int(cast(as_array(number), np.dtype(dtype))) == number
    else:
        with pytest.raises(SampleError):
            cast(as_array(number), np.dtype(dtype))


def test_the_same_dtype_costs_no_copy():
    array = np.arange(3)
    assert cast(as_array(array), array.dtype) is array
    assert cast(np.zeros((0, 3), "f8"), np.dtype("u1")).shape == (0, 3)


def test_times():
    days = np.array(["2024-01-01", "NaT"], "M8[D]")
    assert np.array_equal(cast(days, np.dtype("M8[ns]")).astype("M8[D]"), days, equal_nan=True)
    with pytest.raises(SampleError, match="without loss"):
        cast(days, np.dtype("i8"))
