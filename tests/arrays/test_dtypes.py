"""Every dtype through everything that an array does; NumPy is the oracle."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, InvalidTypeError

COUNT = np.arange(40).reshape(10, 4)
NESTED = [("a", "i4"), ("b", [("c", "f4"), ("d", "S3")])]


def structured(dtype):
    x = np.zeros((10, 4), dtype)
    x["a"] = COUNT
    return x


NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
CASES = {name: (COUNT % 7).astype(name) for name in [*NUMBERS, ">i4", ">f8"]}
for unit in ("D", "h", "s", "ms", "us", "ns", "10ms"):
    CASES[f"M8[{unit}]"] = COUNT.astype(f"M8[{unit}]")
    CASES[f"m8[{unit}]"] = COUNT.astype(f"m8[{unit}]")
CASES |= {
    "S5": COUNT.astype("S5"),
    "U5": (COUNT * 7).astype("U5"),
    "str": (COUNT**3).astype(str).astype(np.dtypes.StringDType()),
    "V3": np.frombuffer(bytes(range(120)), "V3").reshape(10, 4),
    "structured": structured([("a", "i4"), ("b", "f8")]),
    "nested": structured(NESTED),
}

pytestmark = pytest.mark.filterwarnings(
    "ignore:The data type:UserWarning", "ignore::zarr.errors.UnstableSpecificationWarning"
)


def native(dtype):
    return dtype if dtype.kind == "T" else dtype.newbyteorder("=")


def same(found, expected):
    found = np.asarray(found)
    assert found.dtype == native(expected.dtype)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture(params=list(CASES))
def x(request):
    return CASES[request.param].copy()


@pytest.fixture
def a(x):
    return hub.from_numpy(x, "dtypes/a", chunks=(3, 4))


def test_read_write_append(a, x):
    same(a, x)
    same(a[2:9:3, ::-1], x[2:9:3, ::-1])
    same(a[[7, 0]], x[[7, 0]])
    a[1] = x[1] = x[5]
    a[2, 1] = x[2, 1] = x[3, 3]
    mask = np.zeros((10, 4), bool)
    mask[3, 2:] = True
    a[mask] = x[mask] = x[9, 0]
    a[::-3, ::2] = x[::-3, ::2] = x[0, 0]
    same(a, x)
    assert a[2, 1] == x[2, 1]
    assert a.append(x[:2]) == (12, 4)
    same(a, np.concatenate([x, x[:2]]))
    a.commit("written")
    same(hub.load("dtypes/a"), np.concatenate([x, x[:2]]))
    a.resize((5, 4))
    a.resize((7, 4))
    same(a[:5], x[:5])
    same(a[5:], np.full((2, 4), a.fill_value, x.dtype))


def test_append_of_lists(x):
    a = hub.array((0, 4), "dtypes/lists", dtype=x.dtype if x.dtype.kind != "T" else str)
    a.append(x[:3].tolist())
    same(a, x[:3])
    same(hub.load("dtypes/lists"), x[:3])


def test_history(a, x):
    dev = a.branch("dev")
    dev[0] = x[7]
    dev.commit("dev")
    a[9] = x[2]
    a.commit("main")
    a.merge("dev")
    expected = x.copy()
    expected[0], expected[9] = x[7], x[2]
    same(a, expected)
    (change,) = a.diff(1, values=True).nodes
    differs = int((expected != x).sum())
    assert change.elements == differs
    same(a.at(1), x)
    assert a.blame((9, 0))[0].commit.message == "main"
    a.revert(1)
    same(a, x)


def test_sessions_merge_by_element(a, x):
    b = hub.load("dtypes/a")
    a[4, 0], b[4, 1] = x[6, 0], x[6, 1]
    b.commit("b")
    a.commit("a")
    x[4, :2] = x[6, :2]
    same(a, x)
    a.append(x[:1])
    b.append(x[1:2])
    a.commit()
    b.commit()
    same(b[:10], x)
    same(b[10:], x[:2])


def test_elsewhere(a, x):
    same(pickle.loads(pickle.dumps(a)), x)
    same(pickle.loads(pickle.dumps(a[1:, ::-2])), x[1:, ::-2])
    same(a.to_dask().compute(scheduler="synchronous"), x)
    same(hub.from_dask(a.to_dask(), "dtypes/dask"), x)
    same(a.zarr[...], x)
    a.zarr[0] = x[5]
    x[0] = x[5]
    same(a, x)
    same(hub.from_zarr(a.zarr, "dtypes/zarr"), x)
    same(hub.copy("dtypes/a", "dtypes/copy"), x)


def test_text(a, x):
    assert str(a) == np.array2string(np.asarray(a), separator=" ")
    assert a.name in repr(a[0])
    assert a.name in a._repr_html_()


STATISTICS = ["mean", "std", "var", "min", "max", "sum", "nanmean", "nanstd", "nanmin", "nanmax"]


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_or_a_clear_error(a, x, name):
    for axis in (None, 0):
        check_statistic(a, x, name, axis)


def check_statistic(a, x, name, axis):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = getattr(np, name)(x, axis=axis)
    except (TypeError, ValueError):
        expected = None
    try:
        found = getattr(a, name)(axis=axis)
    except InvalidTypeError as error:
        found = error
    if isinstance(found, InvalidTypeError):
        assert expected is None or (x.dtype.kind == "T" and name == "sum")  # joins them
        assert "choose another statistic" in str(found)
        return
    if axis is None:
        lazily = getattr(a, name)(compute=False).compute(scheduler="synchronous")
        assert lazily == found
    if expected is None:
        return  # NumPy finds no minimum of text; it is well defined all the same
    assert np.asarray(found).dtype == native(np.asarray(expected).dtype)
    if np.asarray(expected).dtype.kind in "fc":
        rtol = 2e-3 if x.dtype == "f2" else 1e-5 if x.dtype in ("f4", "c8") else 1e-12
        np.testing.assert_allclose(found, expected, rtol=rtol)
    else:
        assert (found == expected).all()


def test_histogram_or_a_clear_error(a, x):
    if x.dtype.kind in "biuf":
        numbers = x.astype("u1") if x.dtype.kind == "b" else x
        counts, edges = np.histogram(numbers, bins=4)
        found = a.histogram(4)
        lazily, same_edges = a.histogram(4, compute=False)
        assert found[0].tolist() == counts.tolist() == lazily.compute().tolist()
        np.testing.assert_allclose(found[1], edges, rtol=1e-6)
        assert (found[1] == same_edges).all()
    else:
        for compute in (True, False):
            with pytest.raises(InvalidTypeError, match="no histogram of dtype"):
                a.histogram(compute=compute)


def test_operators(a, x):
    assert (a == x).all()
    assert not (a != x).any()
    if x.dtype.kind in "iufc":
        same(a + a, np.asarray(x + x))
        a += x[0, 0]
        same(a, np.asarray(x + x[0, 0]))


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("O", "ambiguous"),
        ("nope", "not understood"),
        (np.longdouble, "can't be stored"),
        ([("a", "i4", (2,))], "subarray"),
        (None, None),
    ],
)
def test_dtypes_that_cannot_be_stored(dtype, message):
    if dtype is None:  # NumPy's default
        assert hub.array((2,), "dtypes/none", dtype=None).dtype == "f8"
        return
    with pytest.raises(InvalidTypeError, match=message):
        hub.array((2,), "dtypes/bad", dtype=dtype)
    assert not hub.exists("dtypes/bad")


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("i4", "x"), ("i4", object()), ("f8", 1j), ("M8[s]", "soon"), ("i4", np.array([1j] * 4))],
)
def test_values_that_do_not_fit(dtype, value):
    a = hub.from_numpy(np.ones((2, 4)).astype(dtype), "dtypes/kept")
    before = a.compute()
    for key in (0, ..., (0, slice(None))):
        with pytest.raises((InvalidTypeError, InvalidError), match="dtypes/kept"):
            a[key] = value
    same(a, before)


def test_big_values_do_not_wrap_around():
    a = hub.array((2,), "dtypes/wrap", dtype="u1")
    for value in (-1, 256):
        with pytest.raises(InvalidError, match="wider dtype"):
            a[0] = value
    assert a[...].tolist() == [0, 0]
