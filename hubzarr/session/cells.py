"""Merging the cells of an array: by write id, and by element where both sides wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from hubzarr.dtypes import kind_of
from hubzarr.engine import CellStore
from hubzarr.engine.array import grid_of
from hubzarr.stats import channels
from hubzarr.table.table import Table, TableDraft, changed_blocks
from hubzarr.table.walk import written_cells

__all__ = ["CellMerge", "Policy", "unlike"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]
#: Whose values count where both sides changed the same: nobody's, the moving side's, theirs.
type Policy = Literal["raise", "mine", "theirs"]


class CellMerge:
    """The merge of one array's cells.

    Parameters
    ----------
    tables : (Table, Table, Table)
        Of the base, of mine (what moves) and of theirs (what it is put on top of).
    shapes : tuple of shapes
        Of the same three, and of the result (before `rows` are appended).
    policy : str
    cells : CellStore
    fresh_id : callable
        Gives the write id of cells that are merged by element.
    rows : (int, int) or None
        Rows of mine that will be written again behind theirs.
    records : bool
        Whether rows are merged whole, not element by element.
    """

    def __init__(
        self,
        tables: tuple[Table, Table, Table],
        shapes: tuple[Cell, Cell, Cell, Cell],
        policy: Policy,
        cells: CellStore,
        fresh_id: Callable[[], int],
        rows: tuple[int, int] | None,
        records: bool = False,
    ) -> None:
        self.records = records
        self.tables = tables
        _, self.mine_shape, self.their_shape, self.shape = shapes
        self.policy = policy
        self.cells = cells.with_channels(channels(self.shape, cells.cell_shape))
        self.fresh_id = fresh_id
        self.limit = None if rows is None else rows[0]

    def run(self) -> tuple[TableDraft, list[str]]:
        """The merged table, as changes on top of theirs, and what conflicts."""
        base, mine, theirs = self.tables
        conflicts: list[str] = []
        draft = TableDraft(theirs)
        if self.policy == "raise":
            self._check_cut(
                theirs, self.their_shape, None, "changed there, but cut off here", conflicts
            )
            self._check_cut(
                mine, self.mine_shape, self.limit, "changed here, but cut off there", conflicts
            )
            if conflicts:
                return draft, conflicts
        grid = grid_of(self.shape, self.cells.cell_shape)
        draft.resize(grid)
        draft.forget_statistics(self.cells.channels)
        for first, ids_base, ids_mine in changed_blocks(base, mine):
            stop = tuple(min(f + n, g) for f, n, g in zip(first, ids_base.shape, grid, strict=True))
            if any(a >= b for a, b in zip(first, stop, strict=True)):
                continue
            inside = tuple(slice(b - a) for a, b in zip(first, stop, strict=True))
            self._merge_block(draft, first, stop, ids_base[inside], ids_mine[inside], conflicts)
        self._trim(draft, grid)
        return draft, conflicts

    # -- what a smaller shape cuts off ----------------------------------------

    def _check_cut(
        self, side: Table, shape: Cell, limit: int | None, what: str, conflicts: list[str]
    ) -> None:
        """Values that one side wrote where the other's shape no longer reaches."""
        if all(a <= b for a, b in zip(shape, self.shape, strict=True)):
            return
        base = self.tables[0]
        for first, ids_base, ids_side in changed_blocks(base, side):
            for within in np.argwhere(ids_base != ids_side).tolist():
                cell = tuple(f + w for f, w in zip(first, within, strict=True))
                if self._extent(cell) == self.cells.cell_shape:
                    continue
                old = self._chunk(int(ids_base[tuple(within)]), cell)
                new = self._chunk(int(ids_side[tuple(within)]), cell)
                lost = unlike(new, old) & unlike(new, self.cells.codec.filled())
                lost[tuple(map(slice, self._extent(cell)))] = False
                if limit is not None:
                    lost[max(0, limit - cell[0] * self.cells.cell_shape[0]) :] = False
                if lost.any():
                    conflicts.append(f"elements {self._region(cell, lost)} were {what}")
                    return

    def _extent(self, cell: Cell) -> Cell:
        """Shape of the part of a cell inside the merged array."""
        return tuple(
            max(0, min(c, n - i * c))
            for i, c, n in zip(cell, self.cells.cell_shape, self.shape, strict=True)
        )

    def _trim(self, draft: TableDraft, grid: Cell) -> None:
        """Put fill values where cells of theirs hold data outside the merged shape."""
        sizes = self.cells.cell_shape
        for axis, (n, old) in enumerate(zip(self.shape, self.their_shape, strict=True)):
            if old <= n or n % sizes[axis] == 0:
                continue
            edge = n // sizes[axis]
            start = tuple(edge if d == axis else 0 for d in range(len(grid)))
            stop = tuple(edge + 1 if d == axis else g for d, g in enumerate(grid))
            for cell in written_cells(draft.ids, start, stop):
                write_id = draft.id_of(cell)
                if all(c < g for c, g in zip(cell, self.tables[2].grid, strict=True)) and (
                    write_id == int(self.tables[2].ids.get(cell))
                ):
                    block = self._chunk(write_id, cell)[tuple(map(slice, self._extent(cell)))]
                    self._store(draft, cell, cell, block)

    # -- cells ------------------------------------------------------------------

    def _merge_block(
        self,
        draft: TableDraft,
        first: Cell,
        stop: Cell,
        ids_base: Array,
        ids_mine: Array,
        conflicts: list[str],
    ) -> None:
        ids_theirs = draft.ids.read_box(first, stop)
        changed = ids_base != ids_mine
        by_element = changed & (ids_base != ids_theirs)
        if self.limit is not None:
            # Appended rows are written again behind theirs; only what was changed in the
            # rows that all sides have is merged here.
            edge, cut = divmod(self.limit, self.cells.cell_shape[0])
            row = _positions(0, first, stop)
            changed = changed & (row < edge + bool(cut))
            by_element = (by_element | (row == edge)) & changed
        for axis, (n, mine) in enumerate(zip(self.shape, self.mine_shape, strict=True)):
            if mine > n:  # what mine has outside the merged shape must not come along
                size = self.cells.cell_shape[axis]
                by_element |= changed & (_positions(axis, first, stop) == n // size)
        alone = changed & ~by_element
        if alone.any():
            _take(draft, self.tables[1], first, stop, alone)
        for within in np.argwhere(by_element).tolist():
            cell = tuple(f + w for f, w in zip(first, within, strict=True))
            at = tuple(within)
            ids = (int(ids_base[at]), int(ids_mine[at]), int(ids_theirs[at]))
            self._merge_cell(draft, cell, ids, conflicts)

    def _merge_cell(
        self, draft: TableDraft, at: Cell, ids: tuple[int, int, int], conflicts: list[str]
    ) -> None:
        cell = at if self.shape else ()
        # With an ellipsis an array without axes stays an array.
        inside: tuple[Any, ...] = (*map(slice, self._extent(cell)), ...)
        base, mine, theirs = (self._chunk(write_id, cell)[inside] for write_id in ids)
        changed = unlike(mine, base)
        if self.limit is not None:
            changed[max(0, self.limit - cell[0] * self.cells.cell_shape[0]) :] = False
        moved, differ = unlike(theirs, base), unlike(mine, theirs)
        if self.records:
            changed, moved, differ = (_any_of_row(x) for x in (changed, moved, differ))
        clash = changed & moved & differ
        if clash.any():
            if self.policy == "raise":
                conflicts.append(f"elements {self._region(cell, clash)}")
                return
            if self.policy == "theirs":
                changed &= ~clash
        if changed.any():
            block = np.where(changed, mine, theirs).astype(mine.dtype, copy=False)
            self._store(draft, at, cell, block)

    def _store(self, draft: TableDraft, at: Cell, cell: Cell, block: Array) -> None:
        write_id = self.fresh_id()
        draft.assign(at, write_id, self.cells.store_cell(write_id, cell, block))

    def _chunk(self, write_id: int, cell: Cell) -> Array:
        if not write_id:
            return self.cells.codec.filled()
        return self.cells.read_cell(write_id, cell, keep=False)

    def _region(self, cell: Cell, clash: Array) -> str:
        where = np.nonzero(np.atleast_1d(clash))
        parts = []
        for axis, index in enumerate(where[: len(cell)]):
            origin = cell[axis] * self.cells.cell_shape[axis]
            low, high = origin + int(index.min()), origin + int(index.max())
            parts.append(f"{low}" if low == high else f"{low}:{high + 1}")
        return f"[{', '.join(parts)}]"


def _any_of_row(mask: Array) -> Array:
    """True for all elements of a row where it is for any."""
    found = mask.any(axis=tuple(range(1, mask.ndim)), keepdims=True)
    return np.broadcast_to(found, mask.shape).copy()


def _positions(axis: int, first: Cell, stop: Cell) -> Array:
    """Cell index along one axis, to compare with a block of cells."""
    shape = [-1 if d == axis else 1 for d in range(len(first))]
    return np.arange(first[axis], stop[axis]).reshape(shape)


def _take(draft: TableDraft, source: Table, first: Cell, stop: Cell, chosen: Array) -> None:
    """Copy chosen cells of a box from another table."""
    inside = tuple(slice(b - a) for a, b in zip(first, stop, strict=True))
    ids = np.zeros(chosen.shape, "<u8")
    reach = tuple(min(b, g) for b, g in zip(stop, source.grid, strict=True))
    covered = tuple(slice(max(0, b - a)) for a, b in zip(first, reach, strict=True))
    ids[covered] = source.ids.read_box(first, reach)
    old = draft.ids.read_box(first, stop)[inside]
    draft.ids.set_box(first, stop, np.where(chosen, ids, old))
    if draft.stats is not None and source.stats is not None:
        rows = draft.stats.read_box(first, stop)
        new = np.zeros_like(rows)
        if source.stats.kind.channels == rows.shape[-1]:
            new[covered] = source.stats.read_box(first, reach)
        else:
            new["unknown"][ids != 0] = 1
        rows[chosen] = new[chosen]
        draft.stats.set_box(first, stop, rows)
    draft.touch()


def unlike(a: Array, b: Array) -> Array:
    """Where two arrays differ, bit for bit for floats, so that NaN equals itself."""
    if kind_of(a.dtype) == "f" and a.dtype.itemsize in (1, 2, 4, 8):
        bits = f"u{a.dtype.itemsize}"
        return np.asarray(a.view(bits) != b.view(bits))
    if a.dtype.kind == "c":
        return np.asarray(unlike(a.real, b.real) | unlike(a.imag, b.imag))
    if a.dtype.kind in "mM":
        return np.asarray((a != b) & ~((a != a) & (b != b)))
    return np.asarray(a != b)
