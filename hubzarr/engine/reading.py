"""Reading selections: which cells, from where, decoded into the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.engine.limits import SMALL_CHUNK, SMALL_TASK, TASK_BYTES, TASKS
from hubzarr.engine.objects import CellStore
from hubzarr.indexing import Box, Transform, box_cells, box_pieces, pieces
from hubzarr.threads import map_all, threads_for

if TYPE_CHECKING:
    from hubzarr.engine.array import ArrayEngine

__all__ = ["read_box", "read_boxes", "read_bytes", "read_gather", "read_row"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]
#: Write id, cell, where in the cell, where in the result, whether all of the cell.
type Job = tuple[int, Cell, tuple[Any, ...], tuple[Any, ...], bool]

#: From so many cells on, their ids are looked up together.
MANY: int = 8


def keeps(cells: CellStore, nbytes: int) -> bool:
    """Whether a read of that size should leave its chunks in the cache."""
    return nbytes <= cells.cache.limit // 8


def read_box(engine: ArrayEngine, box: Box, out: Array) -> None:
    """Read a box of neighbouring elements into an array of its shape."""
    read_boxes(engine, [(box, out)])


def read_boxes(
    engine: ArrayEngine, boxes: Sequence[tuple[Box, Array]], keep: bool | None = None
) -> None:
    """Read several boxes, each into an array of its shape.

    `keep` says whether their chunks should stay in the cache; None: if they are few.
    """
    cells = engine.cells
    nbytes = sum(out.nbytes for _, out in boxes)
    keep = keeps(cells, nbytes) if keep is None else keep
    with engine.lock:
        # Threads of the pool must not want the lock: the caller may hold it.
        jobs = [(job, out) for box, out in boxes for job in _box_jobs(engine, box, out)]
    if not jobs:
        return
    sharded = cells.shard is not None
    keeps_chunks = keep and cells.worth_keeping

    def run(item: tuple[Job, Array]) -> None:
        (write_id, cell, inside, where, whole), out = item
        part = out[where] if where else out
        # What the cache would not keep is decoded straight into the result.
        if whole and (not keeps_chunks or sharded) and part.shape == cells.cell_shape:
            cells.read_cell_into(write_id, cell, part)
        elif sharded:
            _read_inner(cells, write_id, cell, inside, part, keep)
        else:
            part[...] = cells.read_cell(write_id, cell, keep)[inside]

    _run(cells, run, jobs, nbytes)


def read_row(engine: ArrayEngine, row: int) -> Array:
    """One row of an array of two axes without shards, quicker than as a box; don't write to it."""
    cells = engine.cells
    size, columns = cells.cell_shape
    if columns < engine.shape[1]:
        return engine.read(_view(((row, row + 1), (0, engine.shape[1])))).reshape(-1)
    cell = (row // size, 0)
    with engine.lock:
        data = engine.buffered(cell) if engine.pending else None
        if data is not None:
            return np.array(data[row % size])
        write_id = engine.id_of(cell)
    if not write_id:
        return np.full(engine.shape[1:], cells.codec.fill_value, cells.dtype)
    found: Array = cells.read_cell(write_id, cell)[row % size, : engine.shape[1]]
    return found


def read_bytes(engine: ArrayEngine, start: int, stop: int) -> bytes | memoryview:
    """Elements of a flat array of bytes, quicker than as a box where they lie in one shard."""
    cells = engine.cells
    if cells.reads_pieces:
        number, first = divmod(start, cells.cell_shape[0])
        if stop - start <= cells.cell_shape[0] - first:
            with engine.lock:
                write_id = 0 if engine.pending else engine.id_of((number,))
            if write_id:
                found = cells.read_piece(write_id, (number,), first, first + stop - start)
                if found is not None:
                    return found
    return engine.read(_view(((start, stop),))).data


def _view(box: Box) -> Transform:
    return Transform(tuple([b - a for a, b in box]), box, tuple(range(len(box))))


def _box_jobs(engine: ArrayEngine, box: Box, out: Array) -> list[Job]:
    """What must be read; buffered and unwritten cells are done at once. Needs the lock."""
    cells = engine.cells
    plan = box_pieces(box, cells.cell_shape, engine.shape)
    first, last = box_cells(box, cells.cell_shape)
    many = 1
    for a, b in zip(first, last, strict=True):
        many *= b - a + 1
    get = engine.table.ids.get
    if many >= MANY:
        ids = engine.table.ids.read_box(first, tuple([b + 1 for b in last])).reshape(-1).tolist()
        known = iter(ids)  # in C order of the cells, as the plan is
    held = engine.pending
    jobs: list[Job] = []
    for cell, inside, where, whole in plan:
        write_id = next(known) if many >= MANY else int(get(cell or (0,)))
        if held:
            data = engine.buffered(cell)
            if data is not None:
                out[where] = data[inside]
                continue
            write_id = engine.id_of(cell)  # looking may have stored it
        if write_id:
            jobs.append((write_id, cell, inside, where, whole))
        else:
            out[where] = cells.codec.fill_value
    return jobs


def _run(cells: CellStore, work: Callable[[Any], None], jobs: list[Any], nbytes: int) -> None:
    """Do jobs, in the pool where that is worth it."""
    if len(jobs) == 1:
        work(jobs[0])
        return
    storage = cells.storage
    batch = 1
    if storage.is_local:
        each = max(1, nbytes // len(jobs))
        batch = max(1, TASK_BYTES // each, len(jobs) // TASKS)
        if each < SMALL_CHUNK:
            # Small chunks cost mostly calls, so each thread gets one large share of them.
            share = -(-len(jobs) // threads_for(storage.concurrency))
            batch = max(share, SMALL_TASK // each)
    map_all(work, jobs, storage.concurrency, batch)


def _read_inner(
    cells: CellStore,
    write_id: int,
    cell: Cell,
    inside: tuple[slice, ...],
    out: Array,
    keep: bool,
) -> None:
    """Read a box inside a shard: only the inner chunks that it touches."""
    box = tuple((s.start, s.stop) for s in inside)
    plan = list(box_pieces(box, cells.chunk_shape, cells.cell_shape))
    found = cells.read_inner(write_id, cell, [piece.cell for piece in plan], keep)
    for piece, chunk in zip(plan, found, strict=True):
        out[piece.out] = cells.codec.fill_value if chunk is None else chunk[piece.inside]


def read_gather(engine: ArrayEngine, t: Transform, out: Array, keep: bool | None = None) -> None:
    """Read a selection with steps or index arrays into an array of its shape.

    `keep` is as for `read_boxes`.
    """
    cells = engine.cells
    keep = keeps(cells, out.nbytes) if keep is None else keep
    shard = cells.shard
    groups: dict[tuple[int, Cell], list[tuple[Cell, Any, Any]]] = {}
    with engine.lock:
        for cell, inside, where, _ in pieces(t, cells.chunk_shape, engine.shape):
            outer, inner = cell, cell
            if shard is not None:
                outer = tuple([c // n for c, n in zip(cell, shard.grid, strict=True)])
                inner = tuple([c % n for c, n in zip(cell, shard.grid, strict=True)])
            data = engine.buffered(outer)
            if data is not None:
                if shard is not None:
                    data = data[_inner_box(inner, cells.chunk_shape)]
                out[where] = data[inside]
                continue
            write_id = engine.id_of(outer)
            if write_id:
                groups.setdefault((write_id, outer), []).append((inner, inside, where))
            else:
                out[where] = cells.codec.fill_value

    def run(job: tuple[tuple[int, Cell], list[tuple[Cell, Any, Any]]]) -> None:
        (write_id, cell), wanted = job
        if shard is None:
            chunk = cells.read_cell(write_id, cell, keep)
            for _, inside, where in wanted:
                out[where] = chunk[inside]
            return
        found = cells.read_inner(write_id, cell, [w[0] for w in wanted], keep)
        for (_, inside, where), part in zip(wanted, found, strict=True):
            out[where] = cells.codec.fill_value if part is None else part[inside]

    if groups:
        _run(cells, run, list(groups.items()), out.nbytes)


def _inner_box(inner: Cell, shape: Cell) -> tuple[slice, ...]:
    return tuple(slice(i * n, (i + 1) * n) for i, n in zip(inner, shape, strict=True))
