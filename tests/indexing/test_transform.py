"""Views against NumPy: any chain of keys is one transform with NumPy's shape and elements."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, InvalidTypeError, OutOfBoundsError
from hubzarr.indexing import (
    Affine,
    Const,
    Gather,
    Transform,
    apply,
    apply_oindex,
    apply_vindex,
    identity,
)
from tests.indexing.oracle import keys, numbered, shapes


def look_up(t: Transform, x: np.ndarray) -> np.ndarray:
    """Return the view from its maps alone, by the definition of each."""
    picks: list[Any] = []
    for m in t.maps:
        if isinstance(m, Const):
            picks.append(m.index)
        elif isinstance(m, Affine):
            index = m.start + m.step * np.arange(t.shape[m.axis])
            picks.append(index.reshape([-1 if a == m.axis else 1 for a in range(t.ndim)]))
        else:
            assert m.index.ndim == t.ndim
            picks.append(m.index)
    return np.broadcast_to(x[tuple(picks)], t.shape)


@st.composite
def chains(draw: Any) -> tuple[tuple[int, ...], list[Any]]:
    shape = draw(shapes())
    chain: list[Any] = []
    y = numbered(shape)
    for _ in range(draw(st.integers(1, 4))):
        key = draw(keys(y.shape))
        y = np.asarray(y[key])
        chain.append(key)
        if y.size > 3000 or y.ndim > 6:
            break
    return shape, chain


@given(chains())
def test_views_of_views_are_numpys(case):
    shape, chain = case
    x = numbered(shape)
    t, y = identity(shape), x
    for key in chain:
        t, y = apply(t, key), np.asarray(y[key])
        assert t.shape == y.shape
        assert t.source_ndim == x.ndim
        np.testing.assert_array_equal(look_up(t, x), y)


@given(chains())
def test_a_box_reshaped_is_the_view(case):
    shape, chain = case
    x = numbered(shape)
    t, y = identity(shape), x
    for key in chain:
        t, y = apply(t, key), np.asarray(y[key])
    basic = all(isinstance(m, Const) or (isinstance(m, Affine) and m.step == 1) for m in t.maps)
    if t.box is None:
        free = [n for n, axis in zip(t.shape, t.axes, strict=True) if axis < 0]
        assert not basic or any(n != 1 for n in free)
    else:
        block = x[(*[slice(start, stop) for start, stop in t.box], ...)]
        np.testing.assert_array_equal(block.reshape(t.shape), y)


@given(chains())
def test_properties_that_plans_lean_on(case):
    shape, chain = case
    t = identity(shape)
    for key in chain:
        t = apply(t, key)
    affine = [m.axis for m in t.maps if isinstance(m, Affine)]
    assert affine == sorted(set(affine))
    assert [t.axes[a] for a in affine] == [d for d, m in enumerate(t.maps) if type(m) is Affine]
    for m in t.maps:
        if isinstance(m, Gather):
            depends = [a for a, n in enumerate(m.index.shape) if n != 1]
            assert not set(depends).intersection(affine)
            assert [m.index.shape[a] for a in depends] == [t.shape[a] for a in depends]
            assert not m.index.flags.writeable
    assert pickle.loads(pickle.dumps(t)) == t
    assert hash(pickle.loads(pickle.dumps(t))) == hash(t)


@st.composite
def orthogonal(draw: Any) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    shape = draw(st.lists(st.integers(1, 6), max_size=4).map(tuple))
    key: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        index = st.integers(-n, n - 1)
        array = st.lists(index, max_size=5).map(lambda v: np.array(v, np.intp))
        mask = st.lists(st.booleans(), min_size=n, max_size=n).map(lambda v: np.array(v, bool))
        cut = st.builds(slice, st.none() | index, st.none() | index, st.sampled_from([1, 2, -1]))
        key.append(draw(st.one_of(index, array, mask, cut)))
    return shape, tuple(key)


@given(orthogonal())
def test_oindex_selects_along_each_axis_by_itself(case):
    shape, key = case
    x = numbered(shape)
    y, axis = x, 0
    for element in key:
        y = np.asarray(y[(slice(None),) * axis + (element,)])
        axis += not isinstance(element, int)
    t = apply_oindex(identity(shape), key)
    assert t.shape == y.shape
    np.testing.assert_array_equal(look_up(t, x), y)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.data())
def test_oindex_of_arrays_is_ix(lengths, data):
    index = [
        np.array(data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=5)))
        for n in lengths
    ]
    x = numbered(tuple(lengths))
    t = apply_oindex(identity(x.shape), tuple(index))
    np.testing.assert_array_equal(look_up(t, x), x[np.ix_(*index)])


@given(orthogonal(), st.data())
def test_vindex_puts_points_first(case, data):
    shape, key = case
    count = data.draw(st.integers(0, 4))
    key = tuple(
        np.array(
            data.draw(st.lists(st.integers(-n, n - 1), min_size=count, max_size=count)), np.intp
        )
        if isinstance(element, np.ndarray)
        else element
        for element, n in zip(key, shape, strict=False)
    )
    x = numbered(shape)
    points = [i for i, element in enumerate(key) if isinstance(element, np.ndarray)]
    y = x[key]
    if points and isinstance(y, np.ndarray):
        # NumPy leaves the points in place where nothing separates them.
        advanced = [i for i, element in enumerate(key) if not isinstance(element, slice)]
        together = advanced[-1] - advanced[0] == len(advanced) - 1
        y = np.moveaxis(y, advanced[0], 0) if together else y
    t = apply_vindex(identity(shape), key)
    assert t.shape == np.shape(y)
    np.testing.assert_array_equal(look_up(t, x), y)


def test_vindex_takes_points_slices_and_masks():
    t = identity((4, 5, 6))
    assert apply_vindex(t, (slice(None), [0, 1, 2], [3, 3, 3])).shape == (3, 4)
    assert apply_vindex(t, (slice(None), np.eye(5, 6) > 0)).shape == (5, 4)
    assert apply_vindex(t, (slice(2), 3)).shape == (2, 6)


MASK = np.zeros((3, 2), bool)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (3, OutOfBoundsError),
        ((0, -4), OutOfBoundsError),
        (np.int64(7), OutOfBoundsError),
        ([0, 3], OutOfBoundsError),
        ((slice(None), [-4]), OutOfBoundsError),
        (np.array([2**63], np.uint64), OutOfBoundsError),
        ((0, 0, 0), InvalidError),
        ((..., ...), InvalidError),
        ((0, ..., 0, 0), InvalidError),
        (([0, 1], [0, 1, 2]), InvalidError),
        ([True, False], InvalidError),
        (MASK, InvalidError),
        (np.zeros((3, 3, 1), bool), InvalidError),
        (1.0, InvalidTypeError),
        ("a", InvalidTypeError),
        (b"a", InvalidTypeError),
        (["a"], InvalidTypeError),
        ([0.5], InvalidTypeError),
        (np.zeros(0), InvalidTypeError),
        (np.float64(1), InvalidTypeError),
        (object(), InvalidTypeError),
        ({"a": 1}, InvalidTypeError),
        ([None], InvalidTypeError),
        (1j, InvalidTypeError),
    ],
)
def test_bad_keys_raise_index_errors_as_in_numpy(key, error):
    x = np.zeros((3, 3))
    with pytest.raises(IndexError):
        x[key]
    with pytest.raises(error) as caught:
        apply(identity(x.shape), key)
    assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (slice(1.0, 2), TypeError),
        (slice("a"), TypeError),
        (slice(0, 2, 0.5), TypeError),
        (slice(0, 2, 0), ValueError),
        ([[0], [0, 1]], ValueError),
    ],
)
def test_bad_slices_and_lists_raise_as_in_numpy(key, error):
    x = np.zeros((3, 3))
    for run in (lambda: x[key], lambda: apply(identity(x.shape), key)):
        with pytest.raises(error):
            run()


def test_errors_say_what_and_where():
    with pytest.raises(OutOfBoundsError, match="index -7 is out of bounds for axis 1 with size 5"):
        apply(identity((3, 5)), (0, -7))
    with pytest.raises(OutOfBoundsError, match="the axis is empty") as caught:
        apply(identity((0,)), 0)
    assert (caught.value.axis, caught.value.index, caught.value.size) == (0, 0, 0)
    with pytest.raises(InvalidError, match=r"mask of shape \(3, 2\) doesn't fit axes 0 to 1"):
        apply(identity((3, 5)), MASK)
    with pytest.raises(InvalidError, match="one array per axis"):
        apply_oindex(identity((3, 5)), MASK.astype(int))


class Index:
    def __index__(self) -> int:
        return 2


class Lazy:
    """Anything that turns into an array, such as a lazy mask."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([True, False, True])


@pytest.mark.parametrize(
    "key",
    [
        Index(),
        Lazy(),
        np.array(1),
        np.uint8(1),
        True,
        np.False_,
        np.array(True),
        [],
        (),
        [[]],
        None,
    ],
)
def test_all_that_indexes_numpy_indexes(key):
    x = numbered((3, 4))
    t = apply(identity(x.shape), key)
    assert t.shape == x[key].shape
    np.testing.assert_array_equal(look_up(t, x), x[key])


def test_an_empty_ellipsis_separates_index_arrays():
    x = numbered((2, 3, 4))
    key = (slice(None), [0, 1, 0], ..., [1, 2, 3])
    assert apply(identity(x.shape), key).shape == x[key].shape == (3, 2)


def test_a_transform_keeps_its_index_when_the_caller_changes_theirs():
    index = np.array([0, 2])
    t = apply(identity((3,)), index)
    index[:] = 1
    assert look_up(t, numbered((3,))).tolist() == [0, 2]
