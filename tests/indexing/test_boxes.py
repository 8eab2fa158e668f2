"""Plans of boxes: against the general plan, and the split into covered cells and border."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.indexing import Piece, apply, box_cells, box_pieces, identity, pieces, split_box
from tests.indexing.oracle import chunks_for, numbered, shapes


@st.composite
def boxes(draw):
    shape = draw(shapes())
    box = []
    for n in shape:
        start = draw(st.integers(0, n))
        box.append((start, draw(st.integers(start, n))))
    return shape, draw(chunks_for(shape)), tuple(box)


def paste(found: list[Piece], x: np.ndarray, chunk_shape, box) -> np.ndarray:
    result = np.full([stop - start for start, stop in box], -1)
    for piece in found:
        where = [slice(i * n, i * n + n) for i, n in zip(piece.cell, chunk_shape, strict=True)]
        result[piece.out] = x[(*where, ...)][piece.inside]
    return result


@given(boxes())
def test_box_pieces_read_the_box(case):
    shape, chunk_shape, box = case
    x = numbered(shape)
    found = list(box_pieces(box, chunk_shape, shape))
    view = apply(identity(shape), tuple(slice(*span) for span in box))
    np.testing.assert_array_equal(
        paste(found, x, chunk_shape, box), x[(*[slice(*span) for span in box], ...)]
    )
    assert found == list(pieces(view, chunk_shape, shape))
    assert [p.cell for p in found] == sorted(p.cell for p in found)


@given(boxes())
def test_box_cells_are_those_of_the_pieces(case):
    shape, chunk_shape, box = case
    first, last = box_cells(box, chunk_shape)
    cells = set(product(*[range(a, b + 1) for a, b in zip(first, last, strict=True)]))
    assert cells == {p.cell for p in box_pieces(box, chunk_shape, shape)}


@given(boxes())
def test_split_box_parts_whole_cells_from_the_border(case):
    shape, chunk_shape, box = case
    every = {p.cell: p for p in box_pieces(box, chunk_shape, shape)}
    inner, border = split_box(box, chunk_shape, shape)
    covered = set() if inner is None else set(product(*[range(*span) for span in inner]))
    assert inner is None or covered
    assert covered == {cell for cell, p in every.items() if p.whole}
    assert sorted(p.cell for p in border) == sorted(set(every) - covered)
    assert all(every[p.cell] == p for p in border)


def test_split_box_counts_cells_cut_by_the_end_of_the_array():
    assert split_box(((0, 10),), (4,), (10,)) == (((0, 3),), [])
    inner, border = split_box(((0, 9),), (4,), (10,))
    assert inner == ((0, 2),)
    assert [p.cell for p in border] == [(2,)]
    assert split_box(((1, 3),), (4,), (10,))[0] is None
    assert split_box((), (), ()) == ((), [])
    assert split_box(((3, 3), (0, 4)), (4, 4), (10, 10)) == (None, [])


def test_split_box_walks_the_border_only():
    inner, border = split_box(((0, 10**12), (1, 2 * 10**5)), (10**10, 2), (10**12, 2 * 10**5))
    assert inner == ((0, 100), (1, 10**5))
    assert len(border) == 100
