"""One array as a session sees it: its document, its chunk table and its engine."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.engine import ArrayEngine, CellStore, WriteIds, shared_cache
from hubzarr.engine.array import grid_of
from hubzarr.engine.tail import append_bytes
from hubzarr.history.documents import copied
from hubzarr.history.manifest import Node
from hubzarr.indexing import Transform
from hubzarr.storage.base import Storage
from hubzarr.table.reader import PageReader
from hubzarr.table.table import Table, TableDraft, changed_blocks

__all__ = ["ArrayState", "Side", "is_array", "shape_of", "side_of"]

type Document = dict[str, Any]


def is_array(document: Document) -> bool:
    """Whether a ``zarr.json`` describes an array."""
    return document.get("node_type") == "array"


def shape_of(document: Document) -> tuple[int, ...]:
    """Shape in a ``zarr.json``."""
    return tuple(document["shape"])


@dataclass(frozen=True)
class Side:
    """One node in one of the states that a merge compares.

    Attributes
    ----------
    document : dict
    home : str
    table : Table or None
        None for groups.
    appended : int
        Rows of axis 0 that were appended since the base of the merge.
    removed : bool
        Whether rows were removed, as far as that is known: others may have been appended then.
    """

    document: Document
    home: str
    table: Table | None
    appended: int = 0
    removed: bool = False


def side_of(node: Node, storage: Storage, reader: PageReader, appended: int = 0) -> Side:
    """A stored node as a side of a merge."""
    if not is_array(node.document):
        return Side(node.document, node.home, None)
    cells = CellStore(storage, node.home, node.document, shared_cache)
    return Side(node.document, node.home, _table_of(node, cells, reader), appended)


def _table_of(node: Node, cells: CellStore, reader: PageReader) -> Table:
    """The chunk table of an array's node; one that was never written has none yet."""
    if node.table is None:
        grid = grid_of(shape_of(node.document), cells.cell_shape)
        return Table.new(reader, grid, cells.stats, cells.channels)
    return Table.parse(reader, node.table, cells.stats, cells.channels)


def _is_other(table: Table, stored: dict[str, Any] | None) -> bool:
    """Whether a table is not the one that a manifest holds."""
    if stored is not None:
        return table.dump() != stored
    root = table.ids.root
    return isinstance(root, bytes) or root.tobytes().count(0) != root.nbytes


class ArrayState:
    """An array in a session.

    The object stays the same while the session lives; what it holds is replaced when the
    session commits, moves to another version or takes in somebody else's commit.

    Parameters
    ----------
    storage, reader, writes, lock
        The session's.
    node : Node
        As committed.
    """

    def __init__(
        self,
        storage: Storage,
        reader: PageReader,
        writes: WriteIds,
        lock: threading.RLock,  # type: ignore[valid-type, unused-ignore]
        node: Node,
    ) -> None:
        self.storage = storage
        self.reader = reader
        self.writes = writes
        self.lock = lock
        self.engine: ArrayEngine
        self.load(node)

    def load(self, node: Node) -> None:
        """Take on a committed state; what was not committed is forgotten."""
        cells = self._cells(node.home, node.document)
        table = _table_of(node, cells, self.reader)
        self._set(node, node.document, node.home, TableDraft(table), cells)

    def settle(self, node: Node, table: Table) -> None:
        """The changes were committed as `node`, with the chunk table `table`."""
        # Committing copies documents that changed, so this one stays the session's own.
        document = self.document
        self._set(node, document, node.home, TableDraft(table), self.engine.cells, own=True)

    def stage(self, node: Node | None, side: Side, draft: TableDraft) -> None:
        """Take on a merged state on top of `node` (None: the array is new there)."""
        self._set(node, side.document, side.home, draft, self._cells(side.home, side.document))
        self.moved = node is not None and (
            node.home != side.home or _is_other(draft.base, node.table)
        )

    def replaced_cells(self) -> int:
        """Cells that differ from the committed ones after a `stage` that `moved`."""
        if self.node is None:
            return 0
        old = _table_of(self.node, self._cells(self.node.home, self.node.document), self.reader)
        new, _ = self.engine.table.freeze()
        if len(old.grid) != len(new.grid):
            return math.prod(new.grid)
        return sum(int((a != b).sum()) for _, a, b in changed_blocks(old, new))

    def replace(self, document: Document, home: str) -> None:
        """Become another array: nothing of the old one's data counts."""
        cells = self._cells(home, document)
        grid = grid_of(shape_of(document), cells.cell_shape)
        table = Table.new(self.reader, grid, cells.stats, cells.channels)
        self._set(None, document, home, TableDraft(table), cells)

    def _cells(self, home: str, document: Document) -> CellStore:
        return CellStore(self.storage, home, document, shared_cache)

    def _set(
        self,
        node: Node | None,
        document: Document,
        home: str,
        draft: TableDraft,
        cells: CellStore,
        own: bool = False,
    ) -> None:
        shape = shape_of(document)
        engine = getattr(self, "engine", None)
        if engine is None:
            self.engine = ArrayEngine(cells, shape, draft, self.writes, self.lock)
        else:
            engine.discard()
            engine.cells, engine.shape, engine.table = cells, shape, draft
        self.engine.check()
        self.node = node
        self.document = document if own else copied(document)
        self.home = home
        self.base_shape = shape if node is None else shape_of(node.document)
        #: Whether the chunk table is not on top of the node's, but another one altogether.
        self.moved = False
        #: Rows appended to axis 0 since the base; None once `resize` changed axis 0.
        self.appended: int | None = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Current shape."""
        return self.engine.shape

    @property
    def changed(self) -> bool:
        """Whether anything differs from the committed state (buffers apart)."""
        node = self.node
        return (
            node is None
            or self.moved
            or self.engine.table.changed
            or self.document != node.document
        )

    def resize(self, shape: tuple[int, ...]) -> None:
        """Change the shape."""
        moved = bool(self.shape) and shape[0] != self.shape[0]
        self.engine.resize(shape)
        if moved:
            self.appended = None
        self.document["shape"] = list(shape)

    def grow(self, rows: int) -> int:
        """Add rows of fill along axis 0, to be written at once; returns their first index."""
        start = self.shape[0]
        self.engine.resize((start + rows, *self.shape[1:]))
        self.document["shape"] = list(self.shape)
        if self.appended is not None:
            self.appended += rows
        return start

    def append(self, rows: np.ndarray[Any, Any]) -> None:
        """Add rows along axis 0. If they can't be stored, the array is as it was."""
        before = self.rows()
        try:
            start = self.grow(len(rows))
            box = ((start, start + len(rows)), *((0, n) for n in self.shape[1:]))
            self.engine.write(Transform(rows.shape, box, tuple(range(rows.ndim))), rows)
        except BaseException:
            self.take_back(before)
            raise

    def append_bytes(self, parts: Iterable[memoryview]) -> list[int]:
        """Add bytes to a flat array, in fresh cells; returns where each piece begins.

        If that fails half way, some bytes are there that nobody refers to.
        """
        return append_bytes(self.engine, parts, self.grow)

    def rows(self) -> tuple[int, int | None]:
        """How many rows there are, for `take_back`."""
        return self.shape[0], self.appended

    def take_back(self, rows: tuple[int, int | None]) -> None:
        """Drop the rows that were appended since `rows()` said this; nothing is stored for it."""
        try:
            self.engine.cut_rows(rows[0])
        finally:
            self.document["shape"] = list(self.shape)
            self.appended = rows[1]

    def adopt(self, node: Node, appended: int | None) -> None:
        """A commit in doubt was made, of this array as `node`: what came later stays changed."""
        table, _ = self.engine.table.freeze()
        if table.dump() == node.table and self.document == node.document:
            self.settle(node, table.stored())
            return
        self.node = node
        self.base_shape = shape_of(node.document)
        if self.appended is not None and appended is not None:
            self.appended -= appended

    def memento(self) -> tuple[Any, ...]:
        """All that a merge replaces, for `restore`."""
        engine = self.engine
        values = (self.node, self.document, self.home, self.base_shape, self.appended, self.moved)
        return (*values, engine.cells, engine.shape, engine.table)

    def restore(self, memento: tuple[Any, ...]) -> None:
        """Go back to a `memento`; what was buffered since is forgotten."""
        engine = self.engine
        engine.discard()
        self.node, self.document, self.home, self.base_shape = memento[:4]
        self.appended, self.moved = memento[4:6]
        engine.cells, engine.shape, engine.table = memento[6:]

    def side(self) -> Side:
        """The state with its changes, as a side of a merge. Buffers must be flushed."""
        table, _ = self.engine.table.freeze()
        gone = self.appended is None
        return Side(self.document, self.home, table, self.appended or 0, gone)
