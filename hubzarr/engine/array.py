"""One array of one session: reads and writes of any selection, buffered and cached."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from hubzarr.config import get_config
from hubzarr.engine.buffer import CellBuffer
from hubzarr.engine.bulk import store_whole
from hubzarr.engine.limits import SMALL_CHUNK, SMALL_TOTAL, TASK_BYTES
from hubzarr.engine.objects import CellStore
from hubzarr.engine.reading import read_box, read_gather
from hubzarr.engine.tail import TailBuffer
from hubzarr.engine.write_ids import WriteIds
from hubzarr.errors import DamagedError
from hubzarr.indexing import Piece, Transform, box_pieces
from hubzarr.indexing import pieces as pieces_of
from hubzarr.stats import Rows, channels
from hubzarr.table.table import Table, TableDraft
from hubzarr.table.walk import written_cells
from hubzarr.threads import Task, at_once, submit, threads_for

__all__ = ["ArrayEngine", "grid_of"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]


def grid_of(shape: Cell, cell_shape: Cell) -> Cell:
    """Extent of the chunk grid; an array without axes has a grid of one cell."""
    return tuple(-(-n // c) for n, c in zip(shape, cell_shape, strict=True)) or (1,)


class ArrayEngine:
    """Reads and writes of one array in one session.

    Parameters
    ----------
    cells : CellStore
        Where its chunks are.
    shape : tuple of int
        Of the array.
    table : TableDraft
        Which write stored each cell.
    writes : WriteIds
        The session's.
    lock : RLock
        The session's.
    """

    def __init__(
        self,
        cells: CellStore,
        shape: Cell,
        table: TableDraft,
        writes: WriteIds,
        lock: threading.RLock,  # type: ignore[valid-type, unused-ignore]
    ) -> None:
        self.cells = cells
        self.shape = shape
        self.table = table
        self.writes = writes
        self.lock = lock
        self.buffers: OrderedDict[Cell, CellBuffer] = OrderedDict()
        self.storing: dict[Cell, tuple[Task[Rows | None], CellBuffer, int, bool]] = {}
        self.buffered_bytes = 0
        self._spare: list[Array] = []
        #: Statistics of boxes of one state of the table, for those who ask again.
        self.known_rows: tuple[Table, dict[Any, Rows]] | None = None
        # Asking the configuration costs more than a small write, so it is asked once.
        self.buffer_limit = get_config().buffer_bytes
        self.in_flight = 2 * threads_for(cells.storage.concurrency)

    @property
    def pending(self) -> bool:
        """Whether something was written that no store holds yet."""
        return bool(self.buffers or self.storing)

    def extent(self, cell: Cell) -> Cell:
        """Shape of the part of a cell that lies inside the array."""
        return tuple(
            [
                min(c, n - i * c)
                for i, c, n in zip(cell, self.cells.cell_shape, self.shape, strict=True)
            ]
        )

    def id_of(self, cell: Cell) -> int:
        """Write id of a cell as stored; 0 when never written."""
        return self.table.id_of(cell or (0,))

    # -- reading -------------------------------------------------------------

    def read(self, t: Transform) -> Array:
        """The elements of a view, as a new array."""
        dtype = self.cells.dtype
        if t.box is not None:
            shape = tuple([b - a for a, b in t.box])
            out = np.empty(shape, dtype)
            if out.size:
                read_box(self, t.box, out)
            return out if shape == t.shape else out.reshape(t.shape)
        out = np.empty(t.shape, dtype)
        if out.size:
            read_gather(self, t, out)
        return out

    def read_cell(self, cell: Cell) -> Array:
        """The part of a cell inside the array, as the session sees it; don't write to it."""
        with self.lock:
            data = self.buffered(cell)
            if data is not None:
                return data.copy()
            write_id = self.id_of(cell)
        inside = tuple(map(slice, self.extent(cell)))
        if not write_id:
            return np.full(self.extent(cell), self.cells.codec.fill_value, self.cells.dtype)
        return self.cells.read_cell(write_id, cell, keep=False)[inside]

    def buffered(self, cell: Cell) -> Array | None:
        """The part of a cell inside the array if it is in a buffer. Needs the lock."""
        if cell in self.storing:
            # What could not be stored is in its buffer again. That is for the next write
            # or flush to say; reading it is none of it.
            with suppress(Exception):
                self._finish(cell)
        buffer = self.buffers.get(cell)
        if buffer is None:
            return None
        if buffer.missing:
            self._fill(cell, buffer, self.id_of(cell))
        return buffer.data if self.shape else buffer.data.reshape(())

    def _fill(self, cell: Cell, buffer: CellBuffer, write_id: int) -> None:
        """Take what was not written from the stored cell."""
        if write_id:
            stored = self.cells.read_cell(write_id, cell)
            # Not `extent`, which may grow while the pool stores the cell.
            inside = tuple(map(slice, buffer.data.shape[: len(cell)]))
            if buffer.cut is not None:
                stored = stored.copy()
                stored[buffer.cut :] = self.cells.codec.fill_value
            buffer.fill_from(stored[inside].reshape(buffer.data.shape))
        else:
            fill = np.asarray(self.cells.codec.fill_value, self.cells.dtype)
            buffer.fill_from(np.broadcast_to(fill, buffer.data.shape))

    # -- writing -------------------------------------------------------------

    def write(self, t: Transform, value: Array) -> None:
        """Set the elements of a view; `value` has the view's shape and the array's dtype."""
        if not t.size:
            return
        with self.lock:
            self.reap()
            if t.box is not None:
                value = value.reshape([b - a for a, b in t.box])
                plan = box_pieces(t.box, self.cells.cell_shape, self.shape)
                rest = self._write_whole(list(plan), value)
            else:
                rest = pieces_of(t, self.cells.cell_shape, self.shape)
            for cell, inside, where, _ in rest:
                buffer = self._buffer(cell)
                inside = inside or (slice(0, 1),)
                buffer.data[inside] = value[where]
                buffer.mark(inside)
                if buffer.full and self.cells.codec.nbytes >= SMALL_CHUNK:
                    self.store_soon(cell)
            self.bound()

    def write_row(self, row: int, value: Any) -> None:
        """Set one index of axis 0 of an array whose cells span all other axes."""
        rows = self.cells.cell_shape[0]
        cell = (row // rows, *(0,) * (len(self.shape) - 1))
        with self.lock:
            buffer = self.buffers.get(cell)
            if buffer is None:
                self.reap()
                self.bound()  # not after: the new buffer could leave before the row is in it
                buffer = self._buffer(cell)
            row %= rows
            buffer.data[row] = value
            buffer.mark_row(row)
            if buffer.full and self.cells.codec.nbytes >= SMALL_CHUNK:
                self.store_soon(cell)

    @property
    def spans_rows(self) -> bool:
        """Whether each cell spans all axes but the first, as `write_row` needs."""
        return bool(self.shape) and all(
            0 < n <= c for n, c in zip(self.shape[1:], self.cells.cell_shape[1:], strict=True)
        )

    def _write_whole(self, plan: list[Piece], value: Array) -> Iterator[Piece]:
        """Store cells that a large write covers wholly, past the buffers; return the rest."""
        whole = [piece for piece in plan if piece.whole]
        if len(whole) < 2:
            return iter(plan)
        for piece in whole:
            self.settle_cell(piece.cell)
        try:
            store_whole(self, whole, value)
        except BaseException:
            # Some of its objects may be there, or may still be on their way.
            self.writes.retire(self.writes.current)
            raise
        for piece in whole:
            # Only now: had a store failed, what was written before would still count.
            self._drop(piece.cell)
        return iter([piece for piece in plan if not piece.whole])

    def fresh_id(self, touched: Iterable[Cell]) -> int:
        """A write id that none of the cells was stored under in this session. Needs the lock."""
        write_id, busy = self.writes.take(), self.writes.busy
        for cell in touched:
            if self.id_of(cell) == write_id or (busy and self.cells.path(write_id, cell) in busy):
                return self.writes.rotate()
        return write_id

    def fresh_id_for_box(self, ids: Array, pieces: list[Piece]) -> int:
        """The same for a box of cells with these ids. Needs the lock."""
        write_id, busy = self.writes.take(), self.writes.busy
        if (ids == write_id).any() or (
            busy and any(self.cells.path(write_id, piece.cell) in busy for piece in pieces)
        ):
            return self.writes.rotate()
        return write_id

    def settle_cell(self, cell: Cell) -> None:
        """Wait until a cell that is being stored is. Needs the lock."""
        if cell in self.storing:
            self._finish(cell)

    def replace_cell(self, cell: Cell, write_id: int) -> None:
        """A cell was stored past the buffers, or is to be empty (0). Needs the lock."""
        self.settle_cell(cell)
        self._drop(cell)
        at = cell or (0,)
        if not write_id and self.id_of(cell) == self.writes.current:
            self.writes.rotate()  # its object's name is taken
        if all(i < n for i, n in zip(at, self.table.grid, strict=True)):
            self.table.assign(at, write_id, None)

    def _buffer(self, cell: Cell) -> CellBuffer:
        """The buffer of a cell, made if there is none. Needs the lock."""
        if cell in self.storing:
            self._finish(cell)
        buffer = self.buffers.get(cell)
        if type(buffer) is TailBuffer:  # it can only be filled from its start
            self.store_soon(cell)
            self._finish(cell)
            buffer = None
        if buffer is None:
            extent = self.extent(cell) or (1,)
            rows = self.cells.cell_shape[0] if cell else 1
            buffer = CellBuffer(self.memory((rows, *extent[1:])), extent[0])
            self.buffers[cell] = buffer
            self.buffered_bytes += buffer.memory.nbytes
        return buffer

    def memory(self, shape: Cell) -> Array:
        """Room for a buffer, of any content. Needs the lock."""
        for i, spare in enumerate(self._spare):
            if spare.shape == shape and spare.dtype == self.cells.dtype:
                return self._spare.pop(i)
        return np.empty(shape, self.cells.dtype)

    def _drop(self, cell: Cell) -> None:
        buffer = self.buffers.pop(cell, None)
        if buffer is not None:
            self.buffered_bytes -= buffer.memory.nbytes

    def bound(self) -> None:
        """Keep the buffers within their limit: the oldest leave first. Needs the lock."""
        if self.buffered_bytes > SMALL_TOTAL and self.cells.codec.nbytes < SMALL_CHUNK:
            self.flush()
        while self.buffered_bytes > self.buffer_limit and (self.buffers or self.storing):
            if self.buffers and len(self.storing) < self.in_flight:
                self.store_soon(next(iter(self.buffers)))
            else:
                self._finish(next(iter(self.storing)))

    def store_soon(self, cell: Cell, here: bool = False) -> None:
        """Start storing a buffered cell in the pool, or do it here. Needs the lock."""
        if cell in self.storing:  # an interrupt left it in both places
            self._finish(cell)
            return
        while len(self.storing) >= self.in_flight:
            self._finish(next(iter(self.storing)))
        buffer = self.buffers[cell]
        before = self.id_of(cell)
        write_id = self.fresh_id((cell,))
        cells, extent = self.cells, self.extent(cell)  # an append may change them meanwhile
        partial = not buffer.full
        if partial:
            buffer.memory[buffer.extent :] = self.cells.codec.fill_value

        def work() -> Rows | None:
            if type(buffer) is TailBuffer:
                cells.store_start(write_id, cell, buffer.memory, buffer.used)
                return None
            if buffer.missing:
                self._fill(cell, buffer, before)
            return cells.store_cell(write_id, cell, buffer.data.reshape(extent))

        # Ctrl-C may end this anywhere: at every step the cell stands in one place at least.
        try:
            task = at_once(work) if here else submit(self.cells.storage.concurrency, work)
            self.storing[cell] = (task, buffer, write_id, partial)
        except BaseException:
            self.writes.retire(write_id)
            raise
        del self.buffers[cell]

    def _finish(self, cell: Cell) -> None:
        """Wait until a cell is stored. If that failed, it stays in its buffer."""
        task, buffer, write_id, partial = self.storing[cell]
        error = task.exception()
        if error is not None:
            self.buffers[cell] = buffer
            self.writes.retire(write_id)  # the object may be there, or still on its way
            del self.storing[cell]
            raise error
        self.table.assign(cell or (0,), write_id, task.result())
        if self.buffers.get(cell) is buffer:
            del self.buffers[cell]
        del self.storing[cell]
        self.buffered_bytes -= buffer.memory.nbytes
        if partial and type(buffer) is CellBuffer and buffer.memory.shape == self.cells.cell_shape:
            self.cells.remember(write_id, cell, buffer.memory)  # likely to be written again
        elif len(self._spare) < 4:
            self._spare.append(buffer.memory)

    def reap(self) -> None:
        """Record the cells that were stored meanwhile. Needs the lock."""
        for cell in [cell for cell, (task, *_) in self.storing.items() if task.done()]:
            self._finish(cell)

    def begin_flush(self) -> None:
        """Start storing what was written, without waiting for it."""
        with self.lock:
            while self.buffers and len(self.storing) < self.in_flight:
                self.store_soon(next(iter(self.buffers)))

    def flush(self) -> None:
        """Store everything that was written. What can't be stored stays buffered."""
        with self.lock:
            # A little is stored sooner than it is handed to another thread.
            held = sum(buffer.nbytes_written for buffer in self.buffers.values())
            here = self.cells.storage.is_local and held <= TASK_BYTES and not self.storing
            while self.buffers or self.storing:
                if self.buffers and len(self.storing) < self.in_flight:
                    self.store_soon(next(iter(self.buffers)), here)
                else:
                    self._finish(next(iter(self.storing)))

    def discard(self) -> None:
        """Forget everything that is buffered."""
        with self.lock:
            for task, *_ in self.storing.values():
                task.wait()
            self.storing.clear()
            self.buffers.clear()
            self.buffered_bytes = 0

    def after_fork(self, lock: threading.RLock) -> None:  # type: ignore[valid-type, unused-ignore]
        """In a forked child: the parent's writes, and the threads that store them, are gone."""
        self.lock = lock
        self.storing.clear()
        self.discard()

    # -- shape ---------------------------------------------------------------

    def resize(self, shape: Cell) -> None:
        """Change the shape; new elements are fill, cells that are cut lose what is cut off."""
        with self.lock:
            old = self.shape
            grows = all(b >= a for a, b in zip(old, shape, strict=True))
            if grows and old[1:] == shape[1:]:
                self._settle_edge()
            else:
                self.flush()
            before = None if grows else (self.cells, self.table.copy())
            try:
                self.table.resize(grid_of(shape, self.cells.cell_shape))
                self.shape = shape
                self._fit_channels()
                if before is None:
                    self._grow_buffers()
                    return
                # A cell that was cut off may come back: its object's name is taken.
                self.writes.rotate()
                self._trim(old)
            except BaseException:
                if before is not None:
                    self.discard()
                    self.writes.rotate()
                    self.shape, (self.cells, self.table) = old, before
                raise

    def _fit_channels(self) -> None:
        """Measure by other channels from now on if the last axis says so."""
        now = channels(self.shape, self.cells.cell_shape)
        if now != self.cells.channels:
            self.cells = self.cells.with_channels(now)
            self.table.forget_statistics(now)

    def _settle_edge(self) -> None:
        """Wait for cells that are being stored and have room for more rows."""
        for cell in list(self.storing):
            buffer = self.storing[cell][1]
            if buffer.extent < len(buffer.memory):
                self._finish(cell)

    def _grow_buffers(self) -> None:
        for cell, buffer in self.buffers.items():
            if self.extent(cell)[0] > buffer.extent:
                buffer.grow(self.extent(cell)[0])

    def cut_rows(self, rows: int) -> None:
        """Take back rows that were just appended, storing nothing: the store may be full."""
        with self.lock:
            for cell in list(self.storing):
                with suppress(Exception):  # a cell that can't be stored is buffered again
                    self._finish(cell)
            size = self.cells.cell_shape[0]
            for cell in list(self.buffers):
                if cell[0] * size >= rows:
                    self._drop(cell)
                elif self.buffers[cell].extent > rows - cell[0] * size:
                    self.buffers[cell].shrink(rows - cell[0] * size)
            self.shape = (rows, *self.shape[1:])
            grid = grid_of(self.shape, self.cells.cell_shape)
            self.table.resize(grid)
            self._fit_channels()
            if rows % size:
                # What this session stored of the last cells may hold some of the rows.
                start = (grid[0] - 1, *(0,) * (len(grid) - 1))
                for cell in written_cells(self.table.ids, start, grid):
                    if self.writes.has(self.id_of(cell)):
                        self._buffer(cell).cut = rows % size
            self.writes.rotate()  # the names of objects that were cut off are taken

    def _trim(self, old: Cell) -> None:
        """Put fill values where stored edge cells held data outside the new shape."""
        for axis, (before, after) in enumerate(zip(old, self.shape, strict=True)):
            size = self.cells.cell_shape[axis]
            if after < before and after % size:
                edge, grid = after // size, grid_of(self.shape, self.cells.cell_shape)
                start = tuple(edge if d == axis else 0 for d in range(len(grid)))
                stop = tuple(edge + 1 if d == axis else g for d, g in enumerate(grid))
                for cell in written_cells(self.table.ids, start, stop):
                    buffer = self._buffer(cell)  # waits if it is being stored
                    self._fill(cell, buffer, self.id_of(cell))
                    self.bound()
        self.flush()

    def fill_scalar(self) -> Any:
        """The fill value as a NumPy scalar."""
        return self.cells.codec.fill_value

    def check(self) -> None:
        """Raise if the table and the shape disagree."""
        if self.table.grid != grid_of(self.shape, self.cells.cell_shape):
            raise DamagedError(
                f"the chunk table has a grid of {self.table.grid} cells, but shape {self.shape} "
                f"needs {grid_of(self.shape, self.cells.cell_shape)}"
            )

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)
