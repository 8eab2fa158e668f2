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

from hubzarr.engine.array import ArrayEngine
from hubzarr.engine.limits import SMALL_CHUNK, TASK_BYTES
from hubzarr.engine.objects import CellStore
from hubzarr.errors import DamagedError, InvalidTypeError
from hubzarr.indexing import Box, Piece, box_cells, box_pieces, split_box
from hubzarr.stats import Rows, combine, constant, measure
from hubzarr.table.table import Table
from hubzarr.threads import map_all

__all__ = [
    "BoxPlan",
    "Job",
    "along_rows",
    "box_rows",
    "has_rows",
    "measure_jobs",
    "plan_box",
    "settle",
]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]

#: Rows of single chunks that are held at once before they are combined.
WAVE: Final = 4096
#: Boxes whose statistics an engine remembers: std often follows mean.
BOXES_KNOWN: Final = 64
#: Cells whose statistics are held at once.
SLAB: Final = 1 << 16
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
    table : Table
        The state that was asked.
    """

    known: Rows
    border: list[Job]
    unknown: Iterable[Job]
    table: Table

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
    table = settle(engine)
    known = engine.known_rows
    if known is None or known[0] is not table or len(known[1]) >= BOXES_KNOWN:
        known = engine.known_rows = (table, {})
    rows = known[1].get(box)
    if rows is None:
        plan = plan_box(engine, box)
        rows = measure_jobs(engine.cells, plan.jobs(), plan.known)
        if plan.table is table:
            known[1][box] = rows
    return rows


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
        return BoxPlan(known, jobs, _with_lanes(unknown, cells, lanes), table)
    return BoxPlan(known, [], _with_lanes(unknown, cells, lanes), table)


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
            raise _too_many(shape)
        rolled = _joined(rolled, constant(cells.dtype, _fill(cells), size - seen, cells.channels))
    return rolled, unknown


def _too_many(shape: Cell) -> DamagedError:
    return DamagedError(
        f"the stored statistics count more elements than the array of shape {shape} has there: "
        "the commit's chunk table is damaged; read an earlier version"
    )


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


def along_rows(engine: ArrayEngine, box: Box, kept: Sequence[int]) -> Rows:
    """Statistics of a box for each position along some axes that cells have length 1 on.

    Such arrays, one image or one time step per chunk, answer from their tables as well.

    Parameters
    ----------
    engine : ArrayEngine
        Of an array with stored statistics (see `has_rows`).
    box : tuple of (int, int)
        Start and stop for each axis; not empty.
    kept : sequence of int
        Axes, increasing, without the last one of an array with channels.

    Returns
    -------
    Rows
        Lengths of the kept axes, then the channels in the box.
    """
    table = settle(engine)
    shape = tuple([box[a][1] - box[a][0] for a in kept])
    width = 1 if engine.cells.channels == 1 else box[-1][1] - box[-1][0]
    out: Rows = np.zeros((*shape, width), engine.cells.stats)
    first, last = box_cells(box, engine.cells.cell_shape)
    axis = kept[0]
    per_step = prod(
        [b - a + 1 for i, (a, b) in enumerate(zip(first, last, strict=True)) if i != axis]
    )
    step = max(1, SLAB // per_step)
    low, high = box[axis]
    for start in range(low, high, step):
        stop = min(high, start + step)
        slab = tuple([(start, stop) if i == axis else span for i, span in enumerate(box)])
        out[start - low : stop - low] = _slab_rows(engine, table, slab, kept)
    return out


def _slab_rows(engine: ArrayEngine, table: Table, box: Box, kept: Sequence[int]) -> Rows:
    cells, shape = engine.cells, engine.shape
    if table.stats is None:
        raise InvalidTypeError("this table keeps no statistics; compute them from the data")
    lanes = slice(0, 1) if cells.channels == 1 else slice(*box[-1])
    wide = box if cells.channels == 1 else (*box[:-1], (0, shape[-1]))
    origin = [box[a][0] for a in kept]
    known: Rows = np.zeros(
        (*[box[a][1] - box[a][0] for a in kept], lanes.stop - lanes.start), cells.stats
    )
    # Elements that each position has, to be lowered by what is found.
    missing = np.full(known.shape[:-1], _per_position(box, kept) // known.shape[-1])
    inner, border = split_box(wide, cells.cell_shape, shape)
    jobs: list[Job] = []
    if inner is not None:
        start, stop = tuple([a for a, _ in inner]), tuple([b for _, b in inner])
        rows = np.moveaxis(table.stats.read_box(start, stop), kept, range(len(kept)))
        known = combine(rows.reshape(*known.shape[:-1], -1, cells.channels), axis=-2)[..., lanes]
        if known["unknown"].any():
            found = list(table.stats.unknown_cells(start, stop))
            extents = [_extent(cell, cells.cell_shape, shape) for cell in found]
            jobs += _with_lanes(_unknown_jobs(table, found, extents), cells, lanes)
            known["unknown"] = 0
        missing -= known["n"][..., 0] + known["nan"][..., 0]
    if border:
        jobs += _cut(table, border, None if cells.channels == 1 else lanes)[0]
    places: dict[Cell, list[Rows]] = {}
    for job, row in zip(jobs, _measure_each(cells, jobs, known.shape[-1]), strict=True):
        at = tuple([job.cell[a] - o for a, o in zip(kept, origin, strict=True)])
        places.setdefault(at, [known[at]]).append(row)
        missing[at] -= row["n"][0] + row["nan"][0]
    for at, parts in places.items():
        known[at] = combine(np.stack(parts))
    if (missing < 0).any():
        raise _too_many(shape)
    return _joined(known, _constants(cells, missing, known)) if missing.any() else known


def _per_position(box: Box, kept: Sequence[int]) -> int:
    return prod([b - a for axis, (a, b) in enumerate(box) if axis not in kept])


def _constants(cells: CellStore, counts: Array, like: Rows) -> Rows:
    """Rows of fill values, as many for each channel as `counts` says."""
    one = constant(cells.dtype, _fill(cells), 1)[0]
    rows: Rows = np.zeros(like.shape, like.dtype)
    rows[counts > 0] = one
    for field in ("n", "nan", "sum"):
        rows[field] *= counts[..., None].astype(rows[field].dtype)
    return rows


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
    for wave in batched(jobs, WAVE):
        known = combine(np.stack([known, *_measure_each(cells, wave, len(known))]))
    return known


def _measure_each(cells: CellStore, jobs: Sequence[Job], channels: int) -> list[Rows]:
    """Rows of each job; many are under way at a time."""
    keep = cells.codec.nbytes * len(jobs) <= cells.cache.limit // 8
    batch = 1
    if cells.storage.is_local:
        each = max(1, cells.codec.nbytes)
        batch = max(1, len(jobs)) if each < SMALL_CHUNK else max(1, TASK_BYTES // each)

    def run(job: Job) -> Rows:
        return _measure_job(cells, job, channels, keep)

    return map_all(run, jobs, cells.storage.concurrency, batch)


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
