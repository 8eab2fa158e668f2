"""Plans against NumPy: reading and writing by chunks does what NumPy does at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import InvalidError
from hubzarr.indexing import apply, apply_oindex, apply_vindex, blocks, identity, pieces
from tests.indexing.oracle import chunks_for, numbered, read, whole_cells, write
from tests.indexing.test_transform import chains


def through(chain, shape):
    t, y = identity(shape), numbered(shape)
    for key in chain:
        t, y = apply(t, key), np.asarray(y[key])
    return t, y


@given(chains(), st.data())
def test_reading(case, data):
    shape, chain = case
    t, y = through(chain, shape)
    np.testing.assert_array_equal(read(t, numbered(shape), data.draw(chunks_for(shape))), y)


@given(chains(), st.data())
def test_writing(case, data):
    shape, chain = case
    t, where = through(chain, shape)
    value = 1000 + np.arange(t.size).reshape(t.shape)
    ours, numpys = numbered(shape), numbered(shape)
    write(t, ours, value, data.draw(chunks_for(shape)))
    if t.size:
        numpys.flat[where.ravel()] = value.ravel()  # of repeated elements the last wins
    np.testing.assert_array_equal(ours, numpys)


@given(chains(), st.data())
def test_writing_by_one_key_is_numpys(case, data):
    shape, (key, *_) = case
    chunk_shape = data.draw(chunks_for(shape))
    ours, numpys = numbered(shape), numbered(shape)
    t = apply(identity(shape), key)
    row = -1 - np.arange(t.shape[-1] if t.shape else 1)
    value = np.broadcast_to(row if t.shape else row[0], t.shape)
    write(t, ours, value, chunk_shape)
    numpys[key] = value
    np.testing.assert_array_equal(ours, numpys)


@given(chains(), st.data())
def test_whole_means_every_element_in_the_array(case, data):
    shape, chain = case
    t, _ = through(chain, shape)
    chunk_shape = data.draw(chunks_for(shape))
    found = {p.cell for p in pieces(t, chunk_shape, shape) if p.whole}
    assert found == whole_cells(t, numbered(shape), chunk_shape)


@given(chains(), st.integers(1, 40), st.data())
def test_blocks_tile_the_view_within_bounds(case, most, data):
    shape, chain = case
    t, y = through(chain, shape)
    chunk_shape = data.draw(st.none() | chunks_for(shape))
    covered = np.zeros(t.shape, int)
    for block, out in blocks(t, most, chunk_shape):
        assert 0 < block.size <= most
        covered[out] += 1
        some = read(block, numbered(shape), chunk_shape or (2,) * len(shape))
        np.testing.assert_array_equal(some, y[out])
    assert (covered == 1).all()


@given(st.integers(1, 60), st.integers(1, 9), st.sampled_from([1, 2, 3, -1, -2]), st.data())
def test_blocks_with_room_for_a_chunk_never_split_one(size, chunk, step, data):
    t = apply(identity((size, 2)), slice(None, None, step))
    most = data.draw(st.integers(2 * chunk, 150))
    seen: list[int] = []
    for block, _ in blocks(t, most, (chunk, 2)):
        seen += {p.cell[0] for p in pieces(block, (chunk, 2), (size, 2))}
    assert len(seen) == len(set(seen))


def test_blocks_come_in_c_order_and_need_room():
    t = identity((6, 4, 10))
    starts = [tuple(s.start for s in out) for _, out in blocks(t, 25, (2, 2, 5))]
    assert starts == sorted(starts)
    assert [block.shape for block, _ in blocks(t, 10**6, (2, 2, 5))] == [t.shape]
    assert list(blocks(identity((0, 3)), 5)) == []
    assert [out for _, out in blocks(identity(()), 1)] == [()]
    with pytest.raises(InvalidError, match="at least 1"):
        list(blocks(t, 0))


@pytest.mark.parametrize(
    "key",
    [
        ([5, 1, 1],),
        (slice(None), [5, 1, 1]),
        (slice(None), [5, 1, 1], 3),
        (2, slice(None), [5, 1, 1]),
        ([5, 1, 1], slice(None, None, -2), 4),
        ([5, 1, 1], 3, [0, 2, 4]),
        (slice(None), [[5], [1]], None, 3),
        ([5, 1, 1], [0, 2, 4]),
        ([[5, 1], [1, 0]], slice(None), [2, 4]),
        np.add.outer(np.arange(6), np.arange(6)) % 3 == 0,
    ],
)
@pytest.mark.parametrize("index", [apply, apply_vindex])
def test_mixes_of_slices_and_arrays(key, index):
    x = numbered((6, 6, 6))
    t = index(identity(x.shape), key)
    if index is apply:
        np.testing.assert_array_equal(read(t, x, (4, 4, 4)), x[key])
    whole_chunk = read(t, x, x.shape)
    np.testing.assert_array_equal(read(t, x, (4, 3, 2)), whole_chunk)


def test_rows_are_copied_by_slices():
    t = apply(identity((100, 8, 8, 3)), np.array([97, 42, 3, 4]))
    for piece in pieces(t, (10, 8, 8, 3), (100, 8, 8, 3)):
        assert all(isinstance(index, slice) for index in piece.inside)
    t = apply_oindex(identity((9, 8, 9)), ([3, 1], slice(None), [1, 0]))
    (piece,) = pieces(t, (9, 8, 9), (9, 8, 9))
    assert isinstance(piece.inside[1], slice)


def test_many_points_in_a_huge_array():
    shape, chunk_shape = (2**40, 2**40), (10, 10)
    t = apply(identity(shape), ([2**39, 5, 2**39 + 10, 0], [7, 2**38, 8, 2**40 - 1]))
    found = {p.cell: p for p in pieces(t, chunk_shape, shape)}
    assert len(found) == 4
    assert found[0, (2**40 - 1) // 10].out[0].tolist() == [3]


def test_the_one_element_of_an_array_without_axes_repeated():
    t = apply(apply(identity(()), None), [0, 0, 0])
    x = np.array(7)
    assert read(t, x, ()).tolist() == [7, 7, 7]
    write(t, x, np.array([1, 2, 3]), ())
    assert x == 3
