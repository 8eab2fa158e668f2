"""Storing the cells that a large write covers wholly: from the source, past the buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.engine.limits import SMALL_CHUNK, TASK_BYTES
from hubzarr.indexing import Piece
from hubzarr.stats import Rows, measure_many
from hubzarr.threads import map_all, threads_for

if TYPE_CHECKING:
    from hubzarr.engine.array import ArrayEngine

__all__ = ["store_whole"]

type Array = np.ndarray[Any, Any]


def store_whole(engine: ArrayEngine, whole: list[Piece], value: Array) -> None:
    """Measure, encode and store cells, and record them. Needs the session's lock.

    Parameters
    ----------
    engine : ArrayEngine
    whole : list of Piece
        All cells of a box of cells, in C order; none of them is being stored.
    value : ndarray
        What is written, as `Piece.out` indexes it.

    Raises
    ------
    StorageError
        Nothing is recorded then: the array is as it was.
    """
    cells = engine.cells
    start = whole[0].cell or (0,)
    stop = tuple([c + 1 for c in whole[-1].cell]) or (1,)
    shape = tuple(b - a for a, b in zip(start, stop, strict=True))
    before = engine.table.ids.read_box(start, stop)
    groups = _groups(engine, len(whole))
    write_ids = _write_ids(engine, before, whole, len(groups))
    ids = np.zeros(len(whole), np.uint64)
    rows: Rows | None = None
    if cells.stats is not None:
        rows = np.zeros((len(whole), cells.channels), cells.stats)
    old = before.reshape(-1).tolist()

    def run(task: tuple[range, int]) -> None:
        group, write_id = task
        known = _measured(engine, whole, group, value)
        for i in group:
            piece = whole[i]
            block = np.ascontiguousarray(value[piece.out]).reshape(engine.extent(piece.cell))
            if not old[i] and cells.codec.is_fill(block):
                continue  # a cell never written reads as fill already
            row = None if known is None else known[i - group.start]
            row = cells.store_cell(write_id, piece.cell, block, row)
            ids[i] = write_id
            if rows is not None and row is not None:
                rows[i] = row

    map_all(run, list(zip(groups, write_ids, strict=True)), cells.storage.concurrency)
    found = None if rows is None else rows.reshape(*shape, cells.channels)
    engine.table.assign_cells(start, stop, ids.reshape(shape), found)


def _groups(engine: ArrayEngine, count: int) -> list[range]:
    """Cells that make one task."""
    size = 1
    storage, nbytes = engine.cells.storage, max(1, engine.cells.codec.nbytes)
    if storage.is_local:
        size = max(1, TASK_BYTES // nbytes)
        if nbytes < SMALL_CHUNK:
            size = max(size, -(-count // threads_for(storage.concurrency)))
    return [range(i, min(i + size, count)) for i in range(0, count, size)]


def _write_ids(engine: ArrayEngine, before: Array, whole: list[Piece], groups: int) -> list[int]:
    """A write id for each group of cells.

    A write id is a directory on a disk, and threads that create many files in one wait for
    each other: so each thread that stores small chunks gets one of its own.
    """
    first = engine.fresh_id_for_box(before, whole)
    cells = engine.cells
    if cells.codec.nbytes >= SMALL_CHUNK or not cells.storage.is_local:
        return [first] * groups
    return [first, *(engine.writes.rotate() for _ in range(groups - 1))]


def _measured(engine: ArrayEngine, whole: list[Piece], group: range, value: Array) -> Rows | None:
    """Statistics of a group of small cells in one go, if it is a box of full cells."""
    cells = engine.cells
    if cells.stats is None or len(group) < 2 or cells.codec.nbytes >= SMALL_CHUNK:
        return None
    first, last = whole[group[0]], whole[group[-1]]
    count = 1
    for a, b in zip(first.cell, last.cell, strict=True):
        if b < a:
            return None
        count *= b - a + 1
    if count != len(group) or engine.extent(last.cell) != cells.cell_shape:
        return None
    block = value[tuple(slice(a.start, b.stop) for a, b in zip(first.out, last.out, strict=True))]
    return measure_many(block, cells.cell_shape, cells.channels).reshape(count, cells.channels)
