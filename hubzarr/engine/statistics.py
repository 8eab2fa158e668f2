"""Statistics of a box of an array: from the chunk table, and from the chunks that it cuts.

Cells that lie wholly in the box answer from the table, without their data. Read are only
the chunks at the border, and chunks whose statistics nobody stored. Elements that no write
ever reached hold the fill value and count as such.

Everything is taken from one state of the table, and chunks are never rewritten: other
threads may go on writing meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched, chain
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from hubzarr.engine.array import SMALL_CHUNK, TASK_BYTES, ArrayEngine
from hubzarr.engine.objects import CellStore
from hubzarr.engine.pool import map_all
from hubzarr.errors import DamagedError, InvalidTypeError
from hubzarr.indexing import Box, Piece, box_pieces, split_box
from hubzarr.stats import Rows, combine, constant, measure
from hubzarr.table.table import Table

__all__ = ["BoxPlan", "Job", "box_rows", "has_rows", "measure_jobs", "plan_box", "settle"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]

#: Rows of single chunks that are held at once before they are combined.
WAVE: Final = 4096
#: Bytes of inner chunks of one shard that are decoded at once.
SHARD_BYTES: Final = 16 << 20


class Job(NamedTuple):
    """A part of a stored chunk that must be read and measured."""

    write_id: int
    cell: Cell
    inside: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class BoxPlan:
    """What is known of a box, and what must be read to know the rest.

    Parameters
    ----------
    known : Rows
        Of all that needs no data; one row per channel.
    border : list of Job
        Parts of chunks that the box cuts.
    unknown : iterator of Job
        Chunks wholly inside without stored statistics; to be walked once.
    """

    known: Rows
    border: list[Job]
    unknown: Iterable[Job]

    @property
    def channels(self) -> int:
        """Rows of the result."""
        return len(self.known)

    def jobs(self) -> Iterator[Job]:
        """Everything that must be read."""
        return chain(self.border, self.unknown)


def has_rows(engine: ArrayEngine) -> bool:
    """Whether the array's table keeps statistics that fit its shape."""
    cells = engine.cells
    fits = cells.channels == 1 or engine.shape[-1] == cells.channels
    return cells.stats is not None and engine.table.stats is not None and fits


def settle(engine: ArrayEngine) -> Table:
    """Store what is buffered, and return the state of the table."""
    with engine.lock:
        if engine.pending:
            engine.flush()
        return engine.table.freeze()[0]


def box_rows(engine: ArrayEngine, box: Box) -> Rows:
    """Statistics of a box: one row per channel inside it.

    Parameters
    ----------
    engine : ArrayEngine
        Of an array with stored statistics (see `has_rows`).
    box : tuple of (int, int)
        Start and stop for each axis; not empty.

    Returns
    -------
    Rows
        Shape ``(k,)``: k is the length of the box's last axis if the array's statistics
        are kept per channel, else 1.
    """
    plan = plan_box(engine, box)
    return measure_jobs(engine.cells, plan.jobs(), plan.known)


def plan_box(engine: ArrayEngine, box: Box) -> BoxPlan:
    """Find out what is known of a box and what must be read; reads no chunks."""
    table = settle(engine)
    cells, shape = engine.cells, engine.shape
    if table.stats is None:
        raise InvalidTypeError(
            f"no statistics are stored for dtype {cells.dtype}; compute them from the data"
        )
    lanes = slice(0, 1)
    wide = box
    if cells.channels > 1:
        lanes = slice(*box[-1])
        wide = (*box[:-1], (0, shape[-1]))
    unknown: Iterator[Job] = iter(())
    border: list[Piece] = []
    if wide == tuple([(0, n) for n in shape]):
        sizes = zip(shape, cells.cell_shape, strict=True)
        inner: Box | None = tuple([(0, -(-n // c)) for n, c in sizes])
        rolled = table.roll()
    else:
        inner, border = split_box(wide, cells.cell_shape, shape)
        rolled = None
    if inner is not None:
        known, unknown = _covered(cells, shape, table, inner, rolled)
        known = known[lanes]
    else:
        known = np.zeros(lanes.stop - lanes.start, table.stats.kind.leaf.base)
    if border:
        jobs, empty = _cut(table, border, None if cells.channels == 1 else lanes)
        if empty:
            known = _joined(known, constant(cells.dtype, _fill(cells), empty, len(known)))
        return BoxPlan(known, jobs, _with_lanes(unknown, cells, lanes))
    return BoxPlan(known, [], _with_lanes(unknown, cells, lanes))


def _fill(cells: CellStore) -> Any:
    return cells.codec.fill_value


def _joined(a: Rows, b: Rows) -> Rows:
    return combine(np.stack([a, b]))


def _covered(
    cells: CellStore, shape: Cell, table: Table, inner: Box, rolled: Rows | None
) -> tuple[Rows, Iterator[Job]]:
    """Rows of a box of whole cells, and jobs for those without statistics."""
    if table.stats is None:
        raise InvalidTypeError("this table keeps no statistics; compute them from the data")
    start, stop = tuple([a for a, _ in inner]) or (0,), tuple([b for _, b in inner]) or (1,)
    if rolled is None:
        rolled = table.stats.roll_box(start, stop)
    size = prod(
        [min(b * c, n) - a * c for (a, b), c, n in zip(inner, cells.cell_shape, shape, strict=True)]
    )
    unknown: Iterator[Job] = iter(())
    seen = int(rolled["n"][0] + rolled["nan"][0]) * cells.channels
    if rolled["unknown"][0]:
        found = list(table.stats.unknown_cells(start, stop))
        extents = [_extent(cell, cells.cell_shape, shape) for cell in found]
        seen += sum(map(prod, extents))
        unknown = _unknown_jobs(table, found, extents)
        rolled = rolled.copy()
        rolled["unknown"] = 0
    if seen != size:
        if seen > size:
            raise DamagedError(
                f"the stored statistics count {seen} elements where the array of shape {shape} "
                f"has {size}: the commit's chunk table is damaged; read an earlier version"
            )
        rolled = _joined(rolled, constant(cells.dtype, _fill(cells), size - seen, cells.channels))
    return rolled, unknown


def _extent(cell: Cell, cell_shape: Cell, shape: Cell) -> Cell:
    """Shape of a cell's part inside the array; a grid cell of an array without axes has none."""
    return tuple([min(c, n - i * c) for i, c, n in zip(cell, cell_shape, shape, strict=False)])


def _unknown_jobs(table: Table, found: list[Cell], extents: list[Cell]) -> Iterator[Job]:
    for cell, extent in zip(found, extents, strict=True):
        at = cell if extent else ()
        yield Job(int(table.ids.get(cell)), at, tuple(map(slice, (0,) * len(extent), extent)))


def _with_lanes(jobs: Iterator[Job], cells: CellStore, lanes: slice) -> Iterator[Job]:
    if cells.channels == 1:
        return jobs
    return (Job(job.write_id, job.cell, (*job.inside[:-1], lanes)) for job in jobs)


def _cut(table: Table, border: list[Piece], lanes: slice | None) -> tuple[list[Job], int]:
    """Jobs for the stored chunks at the border, and how many elements were never written."""
    jobs, empty = [], 0
    get = table.ids.get
    for cell, inside, _, _ in border:
        if lanes is not None:
            inside = (*inside[:-1], lanes)
        write_id = int(get(cell or (0,)))
        if write_id:
            jobs.append(Job(write_id, cell, inside))
        else:
            empty += prod([s.stop - s.start for s in inside])
    return jobs, empty


def measure_jobs(cells: CellStore, jobs: Iterable[Job], known: Rows) -> Rows:
    """Read and measure parts of chunks, many at a time, and combine them with what is known.

    Parameters
    ----------
    cells : CellStore
        Where the chunks are.
    jobs : iterable of Job
        May be long; walked once, in bounded memory.
    known : Rows
        One row per channel.

    Returns
    -------
    Rows
        The shape of `known`.
    """
    channels = len(known)
    for wave in batched(jobs, WAVE):
        decoded = cells.codec.nbytes * len(wave)
        keep = decoded <= cells.cache.limit // 8

        def run(job: Job, keep: bool = keep) -> Rows:
            return _measure_job(cells, job, channels, keep)

        batch = 1
        if cells.storage.is_local:
            each = max(1, cells.codec.nbytes)
            batch = len(wave) if each < SMALL_CHUNK else max(1, TASK_BYTES // each)
        parts = map_all(run, wave, cells.storage.concurrency, batch)
        known = combine(np.stack([known, *parts]))
    return known


def _measure_job(cells: CellStore, job: Job, channels: int, keep: bool) -> Rows:
    write_id, cell, inside = job
    if cells.shard is None:
        return measure(cells.read_cell(write_id, cell, keep)[inside], channels)
    box = tuple([(s.start, s.stop) for s in inside])
    pieces = box_pieces(box, cells.chunk_shape, cells.cell_shape)
    many = max(1, SHARD_BYTES // max(1, cells.dtype.itemsize * prod(cells.chunk_shape)))
    rows = [_measure_inner(cells, job, group, channels, keep) for group in batched(pieces, many)]
    return rows[0] if len(rows) == 1 else combine(np.stack(rows))


def _measure_inner(
    cells: CellStore, job: Job, pieces: Sequence[Piece], channels: int, keep: bool
) -> Rows:
    """Measure parts of some inner chunks of a shard."""
    found = cells.read_inner(job.write_id, job.cell, [piece.cell for piece in pieces], keep)
    rows: list[Rows] = []
    for piece, chunk in zip(pieces, found, strict=True):
        # Inner chunks may split the channels that a cell spans.
        lanes = piece.out[-1] if channels > 1 else slice(0, 1)
        width = lanes.stop - lanes.start
        if chunk is not None:
            row = measure(chunk[piece.inside], width)
        else:
            empty = prod([s.stop - s.start for s in piece.inside])
            row = constant(cells.dtype, _fill(cells), empty, width)
        if width != channels:
            part = np.zeros(channels, row.dtype)
            part[lanes] = row
            row = part
        rows.append(row)
    return rows[0] if len(rows) == 1 else combine(np.stack(rows))
