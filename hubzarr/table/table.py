"""The chunk table of one array: which write stored each cell, and its statistics."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hubzarr.errors import DamagedError
from hubzarr.stats import combine
from hubzarr.table.draft import TreeDraft
from hubzarr.table.pages import Pack, decode_rows
from hubzarr.table.reader import PageReader
from hubzarr.table.tree import (
    Block,
    Cell,
    Kind,
    Tree,
    block_indices,
    block_shape,
    levels_for,
    overlap,
)
from hubzarr.table.walk import differing_leaves, written_blocks, written_leaves

__all__ = ["Table", "TableDraft", "changed_blocks", "changed_cells"]


@dataclass(frozen=True, slots=True)
class Table:
    """One immutable state of a chunk table.

    Parameters
    ----------
    ids : Tree
        Write id of each cell; 0 = never written.
    stats : Tree or None
        Statistics of each cell; None for dtypes that have none.
    """

    ids: Tree
    stats: Tree | None
    #: Combined statistics of everything stored, where they are known without the tree.
    total: Block | None = None

    @classmethod
    def new(
        cls, reader: PageReader, grid: Cell, stats: np.dtype[Any] | None, channels: int
    ) -> Table:
        """An empty table for `grid`."""
        block = block_shape(grid)
        kind = None if stats is None else Kind.statistics(stats, channels)
        return cls(
            Tree.new(reader, Kind.ids(), grid, block),
            None if kind is None else Tree.new(reader, kind, grid, block),
        )

    @property
    def grid(self) -> Cell:
        """Extent of the chunk grid in cells."""
        return self.ids.grid

    @property
    def block(self) -> Cell:
        """Shape of a block of cells."""
        return self.ids.block

    def emptied(self) -> Table:
        """A table of the same grid and blocks in which nothing was written."""
        return Table(Tree.new(self.ids.reader, Kind.ids(), self.grid, self.block), None)

    def roll(self) -> Block | None:
        """Combined statistics of everything stored: one row per channel."""
        if self.stats is None or self.total is not None:
            return self.total
        root = self.stats.root_block()
        rows = root["roll"] if self.stats.levels > 1 else root
        return combine(rows.reshape(-1, self.stats.kind.channels), axis=0)

    # -- manifest ------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """A frozen or stored table as JSON for a manifest.

        Statistics of the whole array stand beside their tree, so that they need no page.
        """
        document: dict[str, Any] = {
            "grid": list(self.grid),
            "block": list(self.block),
            "levels": self.ids.levels,
            "cells": self.ids.text,
        }
        roll = self.roll()
        if self.stats is not None and roll is not None:
            document["statistics"] = self.stats.text
            document["total"] = base64.b64encode(roll.tobytes()).decode()
        return document

    @classmethod
    def parse(
        cls,
        reader: PageReader,
        document: dict[str, Any],
        stats: np.dtype[Any] | None,
        channels: int,
    ) -> Table:
        """The inverse of `dump`."""
        try:
            grid, block = tuple(document["grid"]), tuple(document["block"])
            levels = document["levels"]
            text = document["cells"]
            ids = Tree(reader, Kind.ids(), grid, block, levels, _parse_root(text), text=text)
            tree = total = None
            if stats is not None and "statistics" in document:
                kind = Kind.statistics(stats, channels)
                text = document["statistics"]
                tree = Tree(reader, kind, grid, block, levels, _parse_root(text), text=text)
                total = np.frombuffer(base64.b64decode(document["total"]), stats)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"a chunk table in a manifest can't be read: {error!r}") from error
        return cls(_padded(ids), None if tree is None else _padded(tree), total)

    def pages(self) -> Iterator[bytes]:
        """Addresses of all pages that the table needs."""
        for tree in (self.ids, self.stats):
            if tree is not None:
                for _, _, _, address in tree.walk():
                    if address is not None:
                        yield address

    def stored(self) -> Table:
        """The table once its pages are on the store."""
        stats = None if self.stats is None else _settled(self.stats)
        return Table(_settled(self.ids), stats, self.total)


def _settled(tree: Tree) -> Tree:
    for address, block in tree.held.items():
        tree.reader.remember(address, block)
    return replace(tree, held={}) if tree.held else tree


def _padded(tree: Tree) -> Tree:
    if isinstance(tree.root, bytes):
        return tree
    return replace(tree, root=tree._pad(tree.root))


def _parse_root(text: str) -> Block | bytes:
    how, _, rest = text.partition(":")
    if how == "page":
        return bytes.fromhex(rest)
    return decode_rows(base64.b64decode(rest))


class TableDraft:
    """A chunk table with changes on top of it.

    Parameters
    ----------
    base : Table
        Never modified.
    """

    def __init__(self, base: Table) -> None:
        self.base = base
        self.ids = TreeDraft(base.ids)
        self.stats = None if base.stats is None else TreeDraft(base.stats)
        self._snapshot: tuple[Table, Pack] | None = None

    def copy(self) -> TableDraft:
        """The same changes, apart from these."""
        twin = TableDraft(self.base)
        twin.ids = self.ids.copy()
        twin.stats = None if self.stats is None else self.stats.copy()
        return twin

    @property
    def grid(self) -> Cell:
        """Extent of the chunk grid in cells."""
        return self.ids.tree.grid

    @property
    def changed(self) -> bool:
        """Whether anything differs from `base`, in principle."""
        return bool(self.ids.dirty) or self.ids.tree is not self.base.ids

    def id_of(self, cell: Cell) -> int:
        """Write id of one cell, 0 when never written."""
        return int(self.ids.get(cell))

    def touch(self) -> None:
        """Rows were set in the trees directly."""
        self._snapshot = None

    def assign(self, cell: Cell, write_id: int, row: Block | None) -> None:
        """Record that `write_id` stored a cell; `row` None means statistics unknown."""
        self._snapshot = None
        self.ids.set(cell, write_id)
        if self.stats is not None:
            self.stats.set(cell, self._unknown(write_id) if row is None else row)

    def assign_box(self, start: Cell, stop: Cell, write_id: int, rows: Block | None) -> None:
        """Record that `write_id` stored every cell of a box.

        `rows` has the box's shape and a trailing axis of channels; None means unknown.
        """
        self._snapshot = None
        self.ids.set_box(start, stop, np.uint64(write_id))
        if self.stats is not None:
            self.stats.set_box(start, stop, self._unknown(write_id) if rows is None else rows)

    def assign_cells(self, start: Cell, stop: Cell, ids: Block, rows: Block | None) -> None:
        """Record the write id of every cell of a box, and its statistics.

        `ids` has the box's shape, `rows` a trailing axis of channels; None means unknown.
        """
        self._snapshot = None
        self.ids.set_box(start, stop, ids)
        if self.stats is not None:
            if rows is None:
                rows = np.zeros((*ids.shape, self.stats.tree.kind.channels), self.row_dtype)
                rows["unknown"] = (ids != 0)[..., None]
            self.stats.set_box(start, stop, rows)

    @property
    def row_dtype(self) -> np.dtype[Any]:
        """Of the statistics of one channel."""
        if self.stats is None:
            raise DamagedError("this table keeps no statistics")
        return self.stats.tree.kind.leaf.base

    def _unknown(self, write_id: int) -> Block:
        if self.stats is None:
            raise DamagedError("this table keeps no statistics")
        row = np.zeros((), self.stats.tree.kind.leaf.base)
        row["unknown"] = 1 if write_id else 0
        return row

    def forget_statistics(self, channels: int) -> None:
        """Make the statistics of all stored cells unknown, with another number of channels."""
        if self.stats is None or self.stats.tree.kind.channels == channels:
            return
        self._snapshot = None
        tree, grid = self.ids.tree, self.grid
        kind = Kind.statistics(self.stats.tree.kind.leaf.base, channels)
        fresh = Tree.new(tree.reader, kind, grid, tree.block)
        self.stats = TreeDraft(fresh.lifted(max(fresh.levels, tree.levels), grid))
        unknown = self._unknown(1)
        for first, ids in written_blocks(self.ids, (0,) * len(grid), grid):
            rows = kind.empty(0, ids.shape)
            rows[ids != 0] = unknown
            stop = tuple(f + n for f, n in zip(first, ids.shape, strict=True))
            self.stats.set_box(first, stop, rows)

    def resize(self, grid: Cell) -> None:
        """Change the grid; cells outside are forgotten."""
        if grid == self.grid:
            return
        self._snapshot = None
        if _outgrown(grid, self.ids.tree.block):
            self._rebuild(grid)
            return
        self.ids.resize(grid)
        if self.stats is not None:
            self.stats.resize(grid)

    def _rebuild(self, grid: Cell) -> None:
        """Start over with blocks that suit the new grid (an axis outgrew the old ones)."""
        keep = tuple(min(a, b) for a, b in zip(self.grid, grid, strict=True))
        zero = (0,) * len(grid)
        block = block_shape(grid)
        for name in ("ids", "stats"):
            draft: TreeDraft | None = getattr(self, name)
            if draft is not None:
                fresh = TreeDraft(Tree.new(draft.tree.reader, draft.tree.kind, grid, block))
                for index, rows in written_leaves(draft, zero, keep):
                    inside, outside = overlap(index, draft.tree.block, zero, keep)
                    first = tuple(s.start for s in outside)
                    fresh.set_box(first, tuple(s.stop for s in outside), rows[inside])
                setattr(self, name, fresh)

    def freeze(self) -> tuple[Table, dict[str, list[bytes]]]:
        """The table with the changes in it, and the objects that it adds, by path."""
        if self._snapshot is None:
            pack = Pack()
            ids = self.ids.freeze(pack)
            stats = None if self.stats is None else self.stats.freeze(pack)
            table = Table(ids, stats)
            self._snapshot = replace(table, total=table.roll()), pack
        table, pack = self._snapshot
        return table, pack.objects()

    def changes(self) -> Iterator[tuple[Cell, int, int]]:
        """Cells that differ from the base: (cell, id there, id here)."""
        return changed_cells(self.base, self.freeze()[0])


def _outgrown(grid: Cell, block: Cell) -> bool:
    """Whether fresh blocks would cover `grid` with fewer levels."""
    levels = levels_for(grid, block)
    return levels is None or levels > (levels_for(grid, block_shape(grid)) or levels) + 1


def changed_cells(a: Table, b: Table) -> Iterator[tuple[Cell, int, int]]:
    """Cells whose write ids differ between two tables: (cell, id in a, id in b).

    Cells that only one grid has count as 0 in the other.
    """
    for first, ids_a, ids_b in changed_blocks(a, b):
        for within in zip(*(x.tolist() for x in np.nonzero(ids_a != ids_b)), strict=True):
            cell = tuple(f + w for f, w in zip(first, within, strict=True))
            yield cell, int(ids_a[within]), int(ids_b[within])


def changed_blocks(a: Table, b: Table) -> Iterator[tuple[Cell, Block, Block]]:
    """Blocks of cells in which two tables differ: (first cell, ids in a, ids in b)."""
    if a.block == b.block:
        for index, ids_a, ids_b in differing_leaves(a.ids, b.ids):
            yield tuple(i * n for i, n in zip(index, a.block, strict=True)), ids_a, ids_b
        return
    # Only where either holds anything: the grid may be larger than any memory.
    touched = {tuple(f // n for f, n in zip(first, b.block, strict=True))
               for first, _ in b.ids.written_leaves()}  # fmt: skip
    for first, _ in a.ids.written_leaves():
        stop = tuple(min(f + n, g) for f, n, g in zip(first, a.block, a.grid, strict=True))
        touched.update(block_indices(first, stop, b.block))
    for index in sorted(touched):
        first = tuple(i * n for i, n in zip(index, b.block, strict=True))
        ids_a = _ids_within(a.ids, first, b.block)
        ids_b = _ids_within(b.ids, first, b.block)
        if not np.array_equal(ids_a, ids_b):
            yield first, ids_a, ids_b


def _ids_within(tree: Tree, first: Cell, shape: Cell) -> Block:
    """Write ids of a box of cells that may hang over the tree's grid."""
    stop = tuple(max(f, min(f + n, g)) for f, n, g in zip(first, shape, tree.grid, strict=True))
    out = np.zeros(shape, "<u8")
    inside = tuple(slice(b - a) for a, b in zip(first, stop, strict=True))
    out[inside] = tree.read_box(first, stop)
    return out
