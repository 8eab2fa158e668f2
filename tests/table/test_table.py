"""Chunk tables against plain arrays."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import DamagedError
from hubzarr.stats import combine, measure, stats_dtype
from hubzarr.storage.memory import MemoryStorage
from hubzarr.table.reader import PageReader
from hubzarr.table.table import Table, TableDraft, changed_cells

ROWS = stats_dtype(np.dtype("i4"))


class Model:
    """The same operations on dense arrays."""

    def __init__(self, grid: tuple[int, ...]) -> None:
        self.ids = np.zeros(grid, "u8")
        self.values: dict[tuple[int, ...], int] = {}

    def resize(self, grid: tuple[int, ...]) -> None:
        ids = np.zeros(grid, "u8")
        keep = tuple(slice(min(a, b)) for a, b in zip(self.ids.shape, grid, strict=True))
        ids[keep] = self.ids[keep]
        self.ids = ids
        self.values = {
            c: v for c, v in self.values.items() if all(a < b for a, b in zip(c, grid, strict=True))
        }


def store(reader: PageReader, draft: TableDraft) -> Table:
    """Commit a draft: put its pages, write and parse its JSON."""
    table, objects = draft.freeze()
    for path, data in objects.items():
        reader.storage.put(path, data)
    return Table.parse(PageReader(reader.storage), table.dump(), ROWS, 1)


def row(value: int) -> np.ndarray:
    return measure(np.full(3, value, "i4"), 1)


@settings(deadline=None)
@given(data=st.data())
def test_table_matches_dense_arrays(data: st.DataObject) -> None:
    nd = data.draw(st.integers(1, 3))
    extent = st.integers(0, {1: 3000, 2: 60, 3: 14}[nd])
    grids = st.tuples(*[extent] * nd)
    grid = data.draw(grids)
    reader = PageReader(MemoryStorage(secrets.token_hex(4)))
    table = Table.new(reader, grid, ROWS, 1)
    model = Model(grid)
    write = 0
    for _ in range(data.draw(st.integers(1, 4))):
        draft = TableDraft(table)
        before = model.ids.copy()
        for _ in range(data.draw(st.integers(0, 3))):
            write += 1
            how = data.draw(st.sampled_from(["cell", "box", "resize", "unknown"]))
            if how == "resize":
                grid = data.draw(grids)
                draft.resize(grid)
                model.resize(grid)
            elif model.ids.size:
                start = tuple(data.draw(st.integers(0, g - 1)) for g in model.ids.shape)
                if how == "box":
                    stop = tuple(
                        data.draw(st.integers(a + 1, g))
                        for a, g in zip(start, model.ids.shape, strict=True)
                    )
                    draft.assign_box(start, stop, write, row(write))
                else:
                    stop = tuple(a + 1 for a in start)
                    draft.assign(start, write, None if how == "unknown" else row(write))
                box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
                model.ids[box] = write
                for cell in np.ndindex(*[b - a for a, b in zip(start, stop, strict=True)]):
                    at = tuple(a + c for a, c in zip(start, cell, strict=True))
                    model.values[at] = -1 if how == "unknown" else write
        new = store(reader, draft)
        changed = {(c, a, b) for c, a, b in changed_cells(table, new)}
        check_changed(changed, before, model.ids)
        table = new
        check_reads(data, table, draft, model)


def check_changed(changed: set, before: np.ndarray, after: np.ndarray) -> None:
    full = tuple(max(a, b) for a, b in zip(before.shape, after.shape, strict=True))
    a, b = np.zeros(full, "u8"), np.zeros(full, "u8")
    a[tuple(map(slice, before.shape))] = before
    b[tuple(map(slice, after.shape))] = after
    want = {(tuple(c), int(a[tuple(c)]), int(b[tuple(c)])) for c in np.argwhere(a != b).tolist()}
    assert changed == want


def check_reads(data: st.DataObject, table: Table, draft: TableDraft, model: Model) -> None:
    grid = model.ids.shape
    assert table.grid == grid == draft.grid
    zero = (0,) * len(grid)
    np.testing.assert_array_equal(table.ids.read_box(zero, grid), model.ids)
    np.testing.assert_array_equal(draft.ids.read_box(zero, grid), model.ids)
    if not model.ids.size:
        return
    cell = tuple(data.draw(st.integers(0, g - 1)) for g in grid)
    assert table.ids.get(cell) == model.ids[cell] == draft.id_of(cell)
    start = tuple(data.draw(st.integers(0, g)) for g in grid)
    stop = tuple(data.draw(st.integers(a, g)) for a, g in zip(start, grid, strict=True))
    for a, b in ((start, stop), (zero, grid)):
        inside = {
            c: v
            for c, v in model.values.items()
            if all(x <= y < z for x, y, z in zip(a, c, b, strict=True))
        }
        got = table.stats.roll_box(a, b)[0]
        assert got["n"] == 3 * sum(v >= 0 for v in inside.values())
        assert got["sum"] == 3 * sum(v for v in inside.values() if v >= 0)
        assert got["unknown"] == sum(v < 0 for v in inside.values())
        assert set(table.stats.unknown_cells(a, b)) == {c for c, v in inside.items() if v < 0}
    np.testing.assert_array_equal(
        table.roll()["n"], combine(table.stats.roll_box(zero, grid)[None], axis=0)["n"]
    )


def test_one_write_of_a_million_cells_is_a_few_references() -> None:
    reader = PageReader(MemoryStorage(secrets.token_hex(4)))
    draft = TableDraft(Table.new(reader, (1024, 1024), None, 1))
    draft.assign_box((0, 0), (1024, 1024), 7, None)
    table, objects = draft.freeze()
    assert not objects
    assert len(str(table.dump())) < 500


def test_one_changed_cell_of_a_million_rewrites_little() -> None:
    reader = PageReader(MemoryStorage(secrets.token_hex(4)))
    draft = TableDraft(Table.new(reader, (1_000_000,), ROWS, 1))
    rows = np.zeros((1_000_000, 1), ROWS)
    rows["n"] = 16
    rows["sum"] = np.random.default_rng(0).integers(0, 1 << 30, (1_000_000, 1))
    draft.assign_box((0,), (1_000_000,), 7, rows)
    table = store(reader, draft)
    draft = TableDraft(table)
    draft.assign((123_456,), 8, row(1))
    new, objects = draft.freeze()
    assert len(objects) == 1
    assert sum(len(page) for pages in objects.values() for page in pages) < 60_000
    assert list(changed_cells(table, new)) == [((123_456,), 7, 8)]


def test_a_damaged_page_is_named() -> None:
    storage = MemoryStorage(secrets.token_hex(4))
    reader = PageReader(storage)
    draft = TableDraft(Table.new(reader, (5000,), None, 1))
    for i in range(5000):
        draft.assign((i,), i + 1, None)
    table = store(reader, draft)
    path = next(p for p in storage.list_all("pages"))
    data = bytearray(storage.get(path))
    data[-1] ^= 1
    storage.put(path, bytes(data))
    with pytest.raises(DamagedError, match=path):
        table.ids.read_box((0,), (5000,))
    storage.delete([path])
    with pytest.raises(DamagedError, match="missing"):
        table.ids.read_box((0,), (5000,))
