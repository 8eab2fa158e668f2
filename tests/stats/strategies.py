"""Arrays that are hard on statistics."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f4"]
SIZES = [1, 2, 16, 239, 240, 241, 4097, 7680, 8193, 30720, 30721, 61441]


def random_array(rng, dtype, shape, mode):
    """An array in one of the modes wide, narrow, constant, offset, holes, infinite."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < {"constant": 2.0, "narrow": 0.01}.get(mode, 0.5)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        top = np.array(limits.max, dtype)
        if mode == "constant":
            return np.full(shape, top)
        if mode == "offset":
            return top - rng.integers(0, 50, shape).astype(dtype)
        if mode == "narrow":
            return rng.integers(0, 9, shape).astype(dtype)
        native = dtype.newbyteorder("=")
        whole = rng.integers(limits.min, limits.max, shape, dtype=native, endpoint=True)
        return whole.astype(dtype)
    x = rng.normal(size=shape)
    if mode == "constant":
        x = np.full(shape, 0.1)
    elif mode == "offset":
        x = x + {2: 100.0, 4: 1e4, 8: 1e9}[dtype.itemsize]
    elif mode == "wide":
        x = x * np.exp(rng.normal(size=shape))
    elif mode == "holes":
        x = np.where(rng.random(shape) < rng.choice([0.1, 0.9, 1.0]), np.nan, x)
    elif mode == "infinite":
        x = np.where(rng.random(shape) < 0.01, rng.choice([-np.inf, np.inf]), x)
    return x.astype(dtype)


MODES = ["wide", "narrow", "constant", "offset", "holes", "infinite"]


@st.composite
def arrays(draw, sizes=tuple(SIZES), dtypes=tuple(DTYPES)):
    """A flat array."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from(sizes))
    return random_array(rng, draw(st.sampled_from(dtypes)), size, draw(st.sampled_from(MODES)))


def exact(x):
    """Sum, mean and m2 of finite values, by rational arithmetic."""
    # Over one denominator they are integers, whose sums need no greatest common divisors.
    ratios = [v.as_integer_ratio() for v in x.tolist()]
    unit = math.lcm(*{d for _, d in ratios})
    values = [n * (unit // d) for n, d in ratios]
    total = sum(values)
    squares = sum([v * v for v in values])
    m2 = Fraction(squares * len(values) - total * total, len(values) * unit * unit)
    return Fraction(total, unit), Fraction(total, unit * len(values)), m2


def slack(row):
    """How far m2 may be off: what rounding the mean to a float costs, and 1e-12 of itself."""
    top = max(abs(float(row["min"])), abs(float(row["max"])))
    n, m2 = float(row["n"]), float(row["m2"])
    return 1e-12 * m2 + 1e-15 * top * np.sqrt(n * m2) + n * (5e-16 * top) ** 2


def assert_same(a, b):
    """Two tables of statistics agree up to rounding."""
    assert a.shape == b.shape
    for x, y in zip(a.ravel(), b.ravel(), strict=True):
        for field in ("n", "nan", "min", "max", "unknown"):
            assert x[field] == y[field], field
        if x["sum"].dtype.kind == "f":
            top = np.nan_to_num(max(abs(float(x["min"])), abs(float(x["max"]))), posinf=0.0)
            np.testing.assert_allclose(x["sum"], y["sum"], rtol=1e-12, atol=1e-14 * top * x["n"])
        else:
            assert x["sum"] == y["sum"]
        top = max(abs(float(x["min"])), abs(float(x["max"])))
        if np.isinf(top):
            np.testing.assert_equal(x["mean"], y["mean"])
            assert np.isnan(x["m2"])
            assert np.isnan(y["m2"])
        else:
            assert abs(x["mean"] - y["mean"]) <= 1e-14 * top
            assert abs(x["m2"] - y["m2"]) <= 4 * slack(x)
