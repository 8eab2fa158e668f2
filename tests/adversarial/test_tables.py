"""Chunk tables: what is frozen stays so, and grids larger than any memory."""

from __future__ import annotations

import secrets

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.session import open_session
from hubzarr.stats import measure, stats_dtype
from hubzarr.storage import open_storage
from hubzarr.table.reader import PageReader
from hubzarr.table.table import Table, TableDraft, changed_cells
from tests.session.support import content, read, repository, write

ROWS = stats_dtype(np.dtype("i4"))


def empty(grid):
    reader = PageReader(open_storage("memory://" + secrets.token_hex(6)))
    return TableDraft(Table.new(reader, grid, ROWS, 1))


def row(value):
    return measure(np.array([value], "i4"), 1)


def dense(table):
    zero = (0,) * len(table.grid)
    return table.ids.read_box(zero, table.grid), table.stats.read_box(zero, table.grid)["sum"]


@given(st.lists(st.tuples(st.integers(0, 699), st.integers(1, 9)), min_size=1, max_size=30))
def test_a_frozen_table_never_changes(writes):
    draft = empty((700,))
    seen = []
    for cell, value in writes:
        draft.assign((cell,), value, row(value))
        frozen, _ = draft.freeze()
        seen.append((frozen, *(part.copy() for part in dense(frozen))))
    twin = draft.copy()
    draft.assign((0,), 99, row(99))
    assert twin.id_of((0,)) != 99
    for frozen, ids, sums in seen:
        again = dense(frozen)
        assert np.array_equal(again[0], ids)
        assert np.array_equal(again[1], sums)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "box", "resize"]), st.integers(0, 40), st.integers(1, 40)
        ),
        max_size=25,
    )
)
def test_growing_and_shrinking_against_a_dense_table(steps):
    draft, model = empty((9, 1)), np.zeros((9, 1), "u8")
    for number, (what, a, b) in enumerate(steps, 1):
        if what == "resize":
            # Now and then by much more than a block, and along the axis of extent 1.
            grid = (a * (1 + 300 * (b % 7 == 0)), 1 + b % 3)
            draft.resize(grid)
            kept = model[: grid[0], : grid[1]]
            model = np.zeros(grid, "u8")
            model[: kept.shape[0], : kept.shape[1]] = kept
        elif model.size:
            start = min(a, model.shape[0] - 1)
            stop = model.shape[0] if what == "box" else start + 1
            rows = np.broadcast_to(row(number), (stop - start, model.shape[1], 1))
            draft.assign_box((start, 0), (stop, model.shape[1]), number, rows)
            model[start:stop] = number
        frozen, _ = draft.freeze()
        assert np.array_equal(frozen.ids.read_box((0, 0), frozen.grid), model)
        assert int(frozen.roll()["sum"][0]) == int(model.sum())


def test_comparing_tables_of_different_blocks():
    before, after = empty((3, 1)), empty((3, 1))
    for draft in (before, after):
        draft.assign((1, 0), 5, row(5))
    after.resize((3, 700))
    after.assign((1, 699), 6, row(6))
    a, b = before.freeze()[0], after.freeze()[0]
    assert a.block != b.block
    assert list(changed_cells(a, b)) == [((1, 699), 0, 6)]
    assert list(changed_cells(b, a)) == [((1, 699), 6, 0)]


def test_a_grid_larger_than_memory_shrinks_and_grows():
    storage = repository((10**12,), chunks=(100,))
    session = open_session(storage, "main")
    write(session, 5, 1)
    write(session, 10**12 - 1, 2)
    session.commit("far apart")
    session.array().resize((10,))
    session.commit("small")
    assert content(storage, "main").tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    session.array().resize((10**12,))
    assert not session.array().engine.id_of((10**10 - 1,))


def test_a_grid_larger_than_memory_gets_other_blocks_and_is_merged():
    storage = repository((10**12, 1), chunks=(100, 1))
    mine, theirs = (open_session(storage, "main") for _ in range(2))
    write(theirs, (70_000, 0), 4)
    theirs.commit("theirs")
    mine.array().resize((10**12, 2))
    write(mine, (6, 1), 2)
    mine.commit("mine")
    mine.array().resize((200, 2))
    out = read(mine)
    assert out[6].tolist() == [0, 2]
    assert out.sum() == 2
    shown = open_session(storage, "main", "2", mode="r").array().engine
    assert shown.id_of((700, 0))
    assert shown.id_of((0, 1))
