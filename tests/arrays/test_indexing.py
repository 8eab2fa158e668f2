"""Getting and setting by any key, through views of views, over commits: NumPy is the oracle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.errors import InvalidError, InvalidTypeError, OutOfBoundsError
from tests.indexing.oracle import chunks_for, keys, numbered, shapes

COUNT = itertools.count()


@st.composite
def arrays(draw):
    """An array with some elements written, and what NumPy has in its place."""
    shape = draw(shapes(3))
    x = numbered(shape)
    chunks = draw(chunks_for(shape))
    name = f"memory://indexing/{next(COUNT)}"
    a = hub.array(shape, name, dtype="i8", chunks=chunks, shards=None)
    a[...] = x
    if draw(st.booleans()):
        a.flush()
    return a, x


@given(st.data())
def test_get_through_views_of_views(data):
    a, x = data.draw(arrays())
    view, expected = a, x
    for _ in range(data.draw(st.integers(1, 3))):
        if not isinstance(expected, np.ndarray):
            break
        key = data.draw(keys(expected.shape))
        view, expected = view[key], expected[key]
    assert np.shape(view) == np.shape(expected)
    assert np.array_equal(np.asarray(view), expected)
    if np.ndim(expected):
        assert len(view) == len(expected)
        assert (view.sum(), view.size) == (expected.sum(), expected.size)
        assert str(view) == np.array2string(expected)


@settings(max_examples=60)
@given(st.data())
def test_set_through_views_of_views(data):
    a, x = data.draw(arrays())
    for _ in range(data.draw(st.integers(1, 4))):
        view, where = a, numbered(x.shape)
        for _ in range(data.draw(st.integers(0, 2))):
            key = data.draw(keys(where.shape))
            if not isinstance(where[key], np.ndarray):
                break
            view, where = view[key], where[key]
        key = data.draw(keys(where.shape))
        target = np.asarray(where[key])
        value = data.draw(values(target.shape))
        view[key] = value
        flat = x.reshape(-1)
        for at, new in zip(
            target.ravel().tolist(), np.broadcast_to(value, target.shape).ravel(), strict=True
        ):
            flat[at] = new  # of repeated indices the last one counts
        if data.draw(st.integers(0, 3)) == 0:
            a.flush()
    assert np.array_equal(a[...], x)
    a.close()
    assert np.array_equal(hub.load(a.name)[...], x)


@st.composite
def values(draw, shape):
    """A value that broadcasts to a shape."""
    taken = tuple(1 if draw(st.integers(0, 4)) == 0 else n for n in shape)
    taken = taken[draw(st.integers(0, len(taken))) :]
    return draw(st.integers(100, 200)) + numbered(taken) * draw(st.sampled_from([0, 1000]))


def test_keys_of_every_kind():
    x = np.arange(24).reshape(6, 4)
    a = hub.from_numpy(x, "indexing/kinds", chunks=(2, 3))
    mask = x % 5 == 0
    for key, value in [
        (slice(None, None, -2), 5),
        ((None, slice(1, 3)), np.ones((1, 2, 4))),
        ((..., None, 0), np.arange(6)[:, None]),
        ([0, -1], 7),
        (mask, 9),
        (mask, np.arange(mask.sum())),
        (mask.any(axis=1), [[1, 2, 3, 4]] * int(mask.any(axis=1).sum())),
        ((slice(4, 1, -1), slice(None, None, -3)), np.arange(6).reshape(3, 2)),
        (slice(3, 3), 1),
        (True, 3),
        (False, 4),
        (np.array([], int), 3),
        ((np.array([[0], [5]]), [1, 3]), [[1, 2], [3, 4]]),
        (-1, [9, 8, 7, 6]),
        ((), 11),
        (..., np.arange(4)),
    ]:
        a[key] = value
        x[key] = value
        assert np.array_equal(a[...], x), key
        assert np.array_equal(a[key], x[key]), key


def test_orthogonal_and_vectorised():
    x = np.arange(60).reshape(5, 4, 3)
    a = hub.from_numpy(x, "indexing/oindex", chunks=(2, 2, 2))
    rows, columns = [4, 0, 2], [3, 1]
    assert np.array_equal(a.oindex[rows, columns], x[np.ix_(rows, columns)])
    assert np.array_equal(a.oindex[rows, :, [0, 2]], x[rows][:, :, [0, 2]])
    assert np.array_equal(a.oindex[1:, [True, False, True, False]], x[1:, [0, 2]])
    assert np.array_equal(a.vindex[[0, 1], [1, 2], [2, 0]], x[[0, 1], [1, 2], [2, 0]])
    # Axes of index arrays come first, wherever they stand.
    assert np.array_equal(a.vindex[[0, 1], :, [2, 0]], x[[0, 1], :, [2, 0]])
    assert np.array_equal(a[1:].oindex[[0, 2], [1]], x[1:][np.ix_([0, 2], [1])])
    a.oindex[rows, columns] = -1
    x[np.ix_(rows, columns)] = -1
    a.vindex[[0, 1], [1, 2], [2, 0]] = [-2, -3]
    x[[0, 1], [1, 2], [2, 0]] = [-2, -3]
    a[::-1].oindex[[0], [0]] = 77
    x[-1, 0] = 77
    assert np.array_equal(a[...], x)


def test_blocks():
    x = np.arange(35).reshape(7, 5)
    a = hub.from_numpy(x, "indexing/blocks", chunks=(3, 2))
    assert a.blocks.shape == (3, 3)
    assert np.array_equal(a.blocks[0, 1], x[:3, 2:4])
    assert np.array_equal(a.blocks[-1, -1], x[6:, 4:])
    assert np.array_equal(a.blocks[1:, 0], x[3:, :2])
    assert np.array_equal(a.blocks[1], x[3:6])
    assert np.array_equal(a.blocks[...], x)
    with pytest.raises(OutOfBoundsError, match="index 3"):
        a.blocks[3, 0]
    with pytest.raises(InvalidError, match="integers and slices of step 1"):
        a.blocks[::2]
    sharded = hub.array((8, 8), "indexing/shards", chunks=(2, 2), shards=(4, 4))
    assert sharded.blocks[1, 0].shape == (4, 4)
    scalar = hub.array((), "indexing/scalar")
    assert scalar.blocks[0].shape == scalar.blocks[()].shape == ()


def test_no_axes():
    a = hub.array((), "indexing/none", dtype="i4")
    assert a[()] == a[...].compute() == 0
    assert isinstance(a[()], np.int32)
    a[...] = 4
    a[()] += 1
    a.commit("five")
    again = hub.load("indexing/none")
    assert again.item() == int(again) == again.mean() == again.to_dask().compute() == 5
    assert again.zarr[()] == 5
    assert str(again) == "5"
    assert [1, 2, 3, 4, 5, 6][again] == 6
    for call in (lambda: len(a), lambda: list(a)):
        with pytest.raises(TypeError, match="0-d array has no length"):
            call()
    with pytest.raises(InvalidError, match="no axes"):
        a.append([1])


@pytest.mark.parametrize("shape", [(0, 3), (4, 0, 3), (0,)])
def test_no_elements(shape):
    x = np.zeros(shape)
    a = hub.array(shape, "indexing/empty")
    a[...] = 3
    a[:] = x
    a.commit("nothing")
    assert a[...].compute().shape == shape
    assert a.sum() == 0
    assert a.nbytes_stored == 0
    assert str(a) == str(x)
    assert np.array_equal(a.sum(axis=0), x.sum(axis=0))
    assert a.to_dask().compute().shape == shape
    assert a.append(np.zeros((0, *shape[1:]))) == shape
    assert [row.shape for row in a] == [row.shape for row in x]
    with pytest.raises(InvalidError, match="zero-size"):
        a.max()


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("x", InvalidTypeError, "can't index"),
        (1.5, InvalidTypeError, "can't index"),
        ((1, 2, 3), InvalidError, "too many indices.*shape is \\(6, 4\\)"),
        (9, OutOfBoundsError, "index 9 .*-6 to 5"),
        ((0, -5), OutOfBoundsError, "index -5 .* axis 1"),
        ([0, 6], OutOfBoundsError, "6"),
        (np.zeros(3, bool), InvalidError, "mask of shape \\(3,\\)"),
        ((..., ...), InvalidError, "single"),
        (([0, 1], [0, 1, 2]), InvalidError, "broadcast"),
        (slice(None, None, 0), InvalidError, "step"),
    ],
)
def test_bad_keys(key, error, message):
    x = np.arange(24).reshape(6, 4)
    a = hub.from_numpy(x, "indexing/bad")
    with pytest.raises(error, match=message) as caught:
        a[key]
    assert isinstance(caught.value, IndexError | ValueError)  # as from NumPy
    with pytest.raises(error, match=message):
        a[key] = 1
    assert np.array_equal(a[...], x)


@pytest.mark.parametrize("key", [..., 0, slice(1, 3), [0, 2], np.arange(24).reshape(6, 4) > 5])
def test_values_that_do_not_broadcast(key):
    x = np.arange(24).reshape(6, 4)
    a = hub.from_numpy(x, "indexing/shapes")
    for value in (np.ones(5), np.ones((3, 3, 3))):
        with pytest.raises(InvalidError, match="shape"):
            a[key] = value
    assert np.array_equal(a[...], x)


def test_overlapping_views_of_itself():
    x = np.arange(12)
    a = hub.from_numpy(x, "indexing/overlap", chunks=(5,))
    a[1:] = a[:-1]
    x[1:] = x[:-1].copy()
    a[::-1] = a
    x[::-1] = x.copy()
    a[3:6] = a[3:6]
    assert np.array_equal(a[...], x)


def test_operations_in_place(monkeypatch):
    monkeypatch.setattr("hubzarr.arrays.functions.STEP_BYTES", 100)
    x = np.arange(60).reshape(20, 3)
    a = same = hub.from_numpy(x, "indexing/place", chunks=(4, 3))
    a += 1
    x += 1
    assert a is same
    a[2:5] *= 3
    x[2:5] *= 3
    a[::-2] -= a[::2]
    x[::-2] -= x[::2].copy()
    a -= a
    x -= x
    a[mask] = a[mask] + 4 if (mask := x == 0).any() else 0
    x[mask] += 4
    np.add(a, [[1, 2, 3]], out=a)
    x += [1, 2, 3]
    assert np.array_equal(a[...], x)
    with pytest.raises(InvalidTypeError, match=r"add gives float64.*int64"):
        a += 1.5
    with pytest.raises(InvalidTypeError, match="divide"):
        a /= 2
    assert np.array_equal(a[...], x)


def test_functions_of_numpy():
    x = np.arange(24.0).reshape(6, 4)
    a = hub.from_numpy(x, "indexing/functions", chunks=(2, 3))
    view, part = a[1:5, ::2], x[1:5, ::2]
    out = np.zeros(2)
    assert np.mean(view, axis=0, out=out) is out
    assert np.array_equal(out, part.mean(axis=0))
    big = part > 5
    assert np.mean(view, where=big) == part.mean(where=big)
    assert np.std(view, ddof=1) == part.std(ddof=1)
    assert np.var(view, axis=(0, 1), keepdims=True).shape == (1, 1)
    assert np.sum(view, 0, np.dtype("f4")).dtype == "f4"
    assert np.array_equal(np.max(view, axis=-1, keepdims=True), part.max(-1, keepdims=True))
    assert np.add.reduce(view).tolist() == part.sum(axis=0).tolist()
    assert np.median(view) == np.median(part)
    assert np.argmax(view) == np.argmax(part)
    assert np.array_equal(np.concatenate([view, part]), np.concatenate([part, part]))
    assert np.array_equal(np.stack([a[0], a[1]]), x[:2])
    assert np.array_equal(np.where(view > 5, view, 0), np.where(big, part, 0))
    assert np.array_equal(view @ part.T, part @ part.T)
    assert np.array_equal(1 - view, 1 - part)
    assert np.array_equal(divmod(view, 2)[1], part % 2)
    assert np.array_equal(np.histogram(view, bins=3)[0], np.histogram(part, bins=3)[0])
    assert (np.shape(view), np.ndim(view), np.size(view)) == (part.shape, 2, 8)
    assert np.allclose(view, part)
    assert 5.0 in a
    assert 99 not in a
    with pytest.raises(ValueError, match="ambiguous"):
        bool(view)
    with pytest.raises(InvalidError, match="only one element"):
        view.item()
