"""Writing chunks on behalf of a session that lives elsewhere: in other threads and processes.

Nothing of it shows before the session's owner commits it, and what a task that failed or
ran twice has stored is never referred to.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hubzarr.engine import CellStore, shared_cache
from hubzarr.engine.limits import TASK_BYTES
from hubzarr.errors import InvalidError, InvalidTypeError, NotFoundError
from hubzarr.history.nodes import nodes_of
from hubzarr.history.versions import read_manifest
from hubzarr.indexing import Box, Piece, box_pieces
from hubzarr.session.forks.parts import Fork, Written, layout_of, without_secrets_here
from hubzarr.session.state import shape_of, side_of
from hubzarr.stats import Rows
from hubzarr.table.reader import PageReader
from hubzarr.table.table import Table
from hubzarr.threads import map_all

__all__ = ["ForkWriter", "ForkedArray", "open_fork", "write_block"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]

#: Forks that a process keeps open.
KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class ForkedArray:
    """An array as a fork has it.

    Parameters
    ----------
    path : str
    cells : CellStore
        Where its chunks are.
    table : Table
        Which write stored each cell.
    shape : tuple of int
    layout : str
        See `layout_of`.
    """

    path: str
    cells: CellStore
    table: Table
    shape: Cell
    layout: str

    def extent(self, cell: Cell) -> tuple[slice, ...]:
        """The part of a cell that lies inside the array."""
        sizes = zip(cell, self.cells.cell_shape, self.shape, strict=True)
        return tuple([slice(0, min(c, n - i * c)) for i, c, n in sizes])

    def written(self, write_id: int, positions: Array, rows: Rows | None = None) -> Written:
        """What to return when new cells, such as those of rows to come, were stored directly.

        Parameters
        ----------
        write_id : int
            From `ForkWriter.write_id`.
        positions : ndarray of int64, shape (k, axes)
            Cells that hold nothing in the fork; they may lie outside its grid.
        rows : ndarray of statistics, shape (k, channels), optional
        """
        ids = np.full(len(positions), write_id, np.uint64)
        return Written(self.path, self.layout, None, positions, ids, np.zeros_like(ids), rows)


class ForkWriter:
    """Writes to the arrays of one fork in this process; all threads share it.

    Parameters
    ----------
    fork : Fork

    Raises
    ------
    NotFoundError
        This process does not see the commit that was forked.
    """

    def __init__(self, fork: Fork) -> None:
        storage = fork.storage
        with without_secrets_here(storage):
            manifest = read_manifest(storage, fork.version, fork.number)
        if manifest is None or manifest.commit.id != fork.commit:
            raise NotFoundError(
                f"this process finds no commit {fork.version}@{fork.number} of {fork.name} at "
                f"{storage.url}, from which it was to write: the place must be one that all "
                "workers share, such as a bucket or a network disk",
                version=fork.version,
            )
        self.storage = storage
        self.reader = PageReader(storage)
        committed = nodes_of(manifest, self.reader)
        self._nodes = {path: committed.get(path) if n is None else n for path, n in fork.nodes}
        self._arrays: dict[str, ForkedArray] = {}
        self._lock = threading.RLock()
        #: Write ids that no thread uses just now, with the cells stored under each.
        self._free: list[tuple[int, set[tuple[str, Cell]]]] = []

    def array(self, path: str = "") -> ForkedArray:
        """One of the arrays."""
        with self._lock:
            array = self._arrays.get(path)
            if array is None:
                node = self._nodes.get(path)
                side = None if node is None else side_of(node, self.storage, self.reader)
                if side is None or side.table is None:
                    raise NotFoundError(
                        f"the fork has no array at {path or '/'!r}; it has "
                        f"{', '.join(map(repr, self._nodes)) or 'none'}",
                        path=path,
                    )
                cells = CellStore(self.storage, side.home, side.document, shared_cache)
                shape, layout = shape_of(side.document), layout_of(cells, side.document)
                array = ForkedArray(path, cells, side.table, shape, layout)
                self._arrays[path] = array
            return array

    @contextlib.contextmanager
    def write_id(self, path: str, cells: Iterable[Cell]) -> Iterator[int]:
        """A write id for storing cells; within, no other thread has it.

        They are few, as a commit lists them all, and none is used again after an error: an
        object may be there then, or still on its way.
        """
        wanted = {(path, cell) for cell in cells}
        with self._lock:
            free = (i for i, (_, taken) in enumerate(self._free) if taken.isdisjoint(wanted))
            at = next(free, None)
            write_id, taken = (_random_id(), set()) if at is None else self._free.pop(at)
        yield write_id
        taken |= wanted
        with self._lock:
            self._free.append((write_id, taken))

    def before(self, array: ForkedArray, cells: Iterable[Cell]) -> list[int]:
        """Write ids of cells as forked."""
        with self._lock:
            get = array.table.ids.get
            return [int(get(cell or (0,))) for cell in cells]

    def write(self, path: str, box: Box, block: Array) -> Written:
        """Store the chunks of a box; see `write_block`."""
        array = self.array(path)
        _check(array, box, block)
        cells = array.cells
        pieces = list(box_pieces(box, cells.cell_shape, array.shape))
        before = self.before(array, [piece.cell for piece in pieces])
        batch = max(1, TASK_BYTES // max(1, cells.codec.nbytes)) if self.storage.is_local else 1
        with self.write_id(path, [piece.cell for piece in pieces]) as write_id:

            def store(work: tuple[Piece, int]) -> tuple[bool, Rows | None]:
                piece, old = work
                values = _values(array, piece, old, block)
                if not old and cells.codec.is_fill(values):
                    return False, None  # a cell never written reads as fill already
                return True, cells.store_cell(write_id, piece.cell, values)

            work = list(zip(pieces, before, strict=True))
            found = map_all(store, work, self.storage.concurrency, batch)
        return _written(array, pieces, before, write_id, found)


def _check(array: ForkedArray, box: Box, block: Array) -> None:
    if len(box) != len(array.shape) or any(
        not 0 <= a <= b <= n for (a, b), n in zip(box, array.shape, strict=True)
    ):
        raise InvalidError(f"the box {box} does not lie inside an array of shape {array.shape}")
    if block.shape != tuple([b - a for a, b in box]):
        raise InvalidError(f"values of shape {block.shape} don't fill the box {box}")
    if block.dtype != array.cells.dtype:
        raise InvalidTypeError(f"expected values of {array.cells.dtype}, not {block.dtype}")


def _values(array: ForkedArray, piece: Piece, old: int, block: Array) -> Array:
    """The elements of a cell inside the array, with what the block sets of them."""
    cells, inside = array.cells, array.extent(piece.cell)
    if piece.whole:
        return np.ascontiguousarray(block[piece.out]).reshape([s.stop for s in inside])
    if old:
        values = cells.read_cell(old, piece.cell, keep=False)[inside].copy()
    else:
        values = cells.codec.filled()[inside]
    values[piece.inside] = block[piece.out]
    return values


def _written(
    array: ForkedArray,
    pieces: list[Piece],
    before: list[int],
    write_id: int,
    found: list[tuple[bool, Rows | None]],
) -> Written:
    """What was written, of pieces with (whether it was stored, its statistics).

    Fill values where there was nothing need no chunk. They are told all the same, with the
    write id 0: another task must not write the same elements.
    """
    like = next((row for _, row in found if row is not None), None)
    rows = None
    if like is not None:
        rows = np.stack([np.zeros_like(like) if row is None else row for _, row in found])
    cells = np.array([piece.cell or (0,) for piece in pieces], np.int64)
    return Written(
        array.path,
        array.layout,
        array.shape,
        cells.reshape(len(pieces), len(array.table.grid)),
        np.array([write_id if stored else 0 for stored, _ in found], np.uint64),
        np.array(before, np.uint64),
        rows,
        tuple([(i, tuple([(s.start, s.stop) for s in piece.inside]))
               for i, piece in enumerate(pieces) if not piece.whole]),
    )  # fmt: skip


def _random_id() -> int:
    return secrets.randbits(64) or 1  # 0 means "never written"


class _Open:
    """Forks that were opened in this process, most recent last."""

    def __init__(self) -> None:
        self.writers: OrderedDict[str, ForkWriter] = OrderedDict()
        self.lock = threading.Lock()


_open = _Open()
if hasattr(os, "register_at_fork"):
    # A child that went on with its parent's write ids would overwrite the parent's chunks.
    os.register_at_fork(after_in_child=_open.__init__)  # type: ignore[misc]


def open_fork(fork: Fork) -> ForkWriter:
    """The writer for a fork; opened once per process."""
    with _open.lock:
        writer = _open.writers.get(fork.token)
        if writer is None:
            writer = _open.writers[fork.token] = ForkWriter(fork)
            if len(_open.writers) > KEPT:
                _open.writers.popitem(last=False)
        else:
            _open.writers.move_to_end(fork.token)
        return writer


def write_block(fork: Fork, path: str, box: Box, block: Array) -> Written:
    """Store the chunks of a box of one array, in any process and thread.

    A chunk that the box cuts is merged with what the fork has of it.

    Parameters
    ----------
    fork : Fork
    path : str
        Of the array.
    box : tuple of (int, int)
        Start and stop for each axis, inside the array.
    block : ndarray
        Of the box's shape and the array's dtype.

    Returns
    -------
    Written
        For `merge_forks` in the owner's process.
    """
    return open_fork(fork).write(path, box, block)
