"""Views in blocks: what a reduction measures when stored statistics don't suffice.

The result is cut into tiles, and each tile needs all blocks along the reduced axes. Blocks
hold whole chunks where memory allows, so that a chunk is decoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import batched, product
from math import prod
from typing import Any, Final

import numpy as np

from hubzarr.config import get_config
from hubzarr.engine.array import ArrayEngine
from hubzarr.engine.statistics import settle
from hubzarr.errors import InvalidError
from hubzarr.indexing import Affine, Box, Transform, apply, box_cells
from hubzarr.stats import (
    Rows,
    combine,
    combine_parts,
    constant,
    finish,
    finish_part,
    measure_axes,
    measure_part,
    result_dtype,
    stats_dtype,
)
from hubzarr.threads import map_all, threads_for

__all__ = ["Cuts", "Kind", "Reduction", "block_bytes", "cut_view", "run_blocks", "stream"]

type Array = np.ndarray[Any, Any]
type Slices = tuple[slice, ...]

#: Bytes of data in memory per thread of the configuration.
BLOCK_BYTES: Final = 32 << 20
#: The most results that one block contributes to, chunks permitting.
TILE: Final = 1 << 17
#: Bytes of a row of statistics, about.
ROW: Final = 64
#: Rows that are combined at a time.
PIECE: Final = 4096


@dataclass(frozen=True, slots=True)
class Reduction:
    """One statistic along some axes of a view.

    Parameters
    ----------
    name : str
    axes : tuple of int
        To reduce; sorted, not negative.
    keepdims : bool
    ddof : float
    dtype : dtype-like or None
    """

    name: str
    axes: tuple[int, ...]
    keepdims: bool
    ddof: float
    dtype: Any

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result for a view of that shape."""
        if self.keepdims:
            return tuple([1 if v in self.axes else n for v, n in enumerate(shape)])
        return tuple([n for v, n in enumerate(shape) if v not in self.axes])

    def finish(self, rows: Rows, dtype: np.dtype[Any]) -> Any:
        """The statistic of each row."""
        return finish(rows, self.name, input_dtype=dtype, ddof=self.ddof, dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class Kind:
    """How blocks are measured: rows of numbers, or for other dtypes parts of one statistic."""

    task: Reduction
    dtype: np.dtype[Any]
    numbers: bool

    @classmethod
    def of(cls, task: Reduction, dtype: np.dtype[Any]) -> Kind:
        """The kind for arrays of a dtype."""
        return cls(task, dtype, stats_dtype(dtype) is not None)

    def measure(self, block: Array) -> Any:
        """What one block contributes to its tile."""
        if self.numbers:
            return measure_axes(block, self.task.axes)
        return measure_part(block, self.task.name, self.task.axes)

    def merge(self, pieces: Iterable[Any]) -> Any:
        """Combine what several blocks of one tile gave, one after the other."""
        total: Any = None
        own = False
        for piece in pieces:
            if total is None:
                total = piece
            elif not self.numbers:
                total = combine_parts([total, piece], self.task.name)
            else:
                if not own:
                    total, own = np.array(total), True
                _add_rows(total.reshape(-1), np.reshape(piece, -1))
        return total

    @property
    def result(self) -> np.dtype[Any]:
        """Type of the results."""
        if self.numbers:
            return result_dtype(self.task.name, self.dtype, self.task.dtype)
        one = self.measure(np.zeros((1,) * (max(self.task.axes, default=-1) + 1), self.dtype))
        found: np.dtype[Any] = np.asarray(self.finish(one)).dtype
        return found

    def finish(self, piece: Any) -> Any:
        """The results of one tile."""
        task = self.task
        if self.numbers:
            return task.finish(piece, self.dtype)
        options: Any = {"ddof": task.ddof, "dtype": task.dtype}
        return finish_part(piece, task.name, self.dtype, **options)


def _add_rows(total: Rows, rows: Rows) -> None:
    """Combine rows into others in place, in pieces that fit the cache."""
    with np.errstate(all="ignore"):
        for start in range(0, total.size, PIECE):
            a, b = total[start : start + PIECE], rows[start : start + PIECE]
            if not _add_plain(a, b):
                a[...] = combine(np.stack([a, b]))


def _add_plain(a: Rows, b: Rows) -> bool:
    """Add rows where nothing is empty, infinite or near overflow; tell whether that held."""
    n, k = a["n"].astype("f8"), b["n"].astype("f8")
    if not (n.all() and k.all()):
        return False
    low, high = np.minimum(a["min"], b["min"]), np.maximum(a["max"], b["max"])
    sums, whole = a["sum"] + b["sum"], n + k
    if sums.dtype.kind == "f":
        safe = np.isfinite(sums).all()
    else:
        largest = np.maximum(high.astype("f8"), -low.astype("f8"))
        safe = (largest * whole < 2.0**62).all()
    if not safe:
        return False
    step = b["mean"] - a["mean"]
    even = low == high
    a["mean"] = np.where(even, low, sums / whole)
    a["m2"] = np.where(even, 0.0, a["m2"] + b["m2"] + step * step * (n * k / whole))
    a["n"] += b["n"]
    a["nan"] += b["nan"]
    a["sum"], a["min"], a["max"] = sums, low, high
    return True


def stream(engine: ArrayEngine, t: Transform, task: Reduction) -> Any:
    """Measure block after block; each tile of the result is finished on its own."""
    settle(engine)
    kind = Kind.of(task, engine.cells.dtype)
    shape = task.shape(t.shape)
    if not t.size:
        return _of_nothing(t, kind, shape)
    concurrency = engine.cells.storage.concurrency
    workers = threads_for(concurrency)
    cuts = cut_view(engine, t, task.axes, block_bytes(workers))

    def run(job: tuple[Slices, list[Slices]]) -> Any:
        return run_blocks(engine, kind, cuts.parts(t, *job))

    if len(cuts.tiles) == 1:
        portions = block_bytes(1) // (ROW * max(1, prod(task.shape(t.shape))))
        portions = max(workers, min(portions, 4 * workers))
        found = map_all(run, cuts.groups(portions), concurrency)
        return _shaped(kind.finish(kind.merge(found)), shape)
    out: Array | None = None
    kept_shape = tuple([n for v, n in enumerate(t.shape) if v not in task.axes])
    for wave in batched(cuts.tiles, 4 * workers):
        found = map_all(run, [(tile, cuts.blocks) for tile in wave], concurrency)
        for tile, piece in zip(wave, found, strict=True):
            value = np.asarray(kind.finish(piece))
            if out is None:
                out = np.empty(kept_shape, value.dtype)
            out[tile] = value
    return _shaped(out, shape)


def block_bytes(workers: int) -> int:
    """Bytes of one block when that many are in memory at a time."""
    return BLOCK_BYTES * get_config().threads // workers


def _of_nothing(t: Transform, kind: Kind, shape: tuple[int, ...]) -> Any:
    """The statistic of a view without elements; as in NumPy, min and max may have none."""
    task = kind.task
    if task.name.endswith(("min", "max")) and not prod([t.shape[v] for v in task.axes]):
        raise InvalidError(
            f"zero-size array to reduction operation {task.name}, which has no identity; "
            "expected at least one element"
        )
    return _shaped(kind.finish(kind.measure(np.empty(t.shape, kind.dtype))), shape)


def _shaped(value: Any, shape: tuple[int, ...]) -> Any:
    return value if np.shape(value) == shape else np.reshape(value, shape)


@dataclass(frozen=True, slots=True)
class Cuts:
    """A view cut into blocks.

    Parameters
    ----------
    axes : tuple of int
        Reduced axes of the view.
    tiles : list of tuple of slice
        Along the other axes: parts of the result.
    blocks : list of tuple of slice
        Along the reduced axes: each tile needs all of them.
    """

    axes: tuple[int, ...]
    tiles: list[Slices]
    blocks: list[Slices]

    def groups(self, count: int) -> list[tuple[Slices, list[Slices]]]:
        """The work of the first tile in about `count` portions."""
        size = -(-len(self.blocks) // count)
        return [
            (self.tiles[0], self.blocks[i : i + size]) for i in range(0, len(self.blocks), size)
        ]

    def key(self, tile: Slices, block: Slices) -> Slices:
        """The index of one block in the view."""
        across, along = iter(tile), iter(block)
        count = len(tile) + len(block)
        return tuple([next(along if v in self.axes else across) for v in range(count)])

    def parts(self, t: Transform, tile: Slices, blocks: Iterable[Slices]) -> Iterator[Transform]:
        """Views of the blocks of one tile."""
        return (apply(t, self.key(tile, block)) for block in blocks)


def run_blocks(engine: ArrayEngine, kind: Kind, parts: Iterable[Transform]) -> Any:
    """Measure blocks of one tile, one after the other."""
    return kind.merge(_measure_block(engine, kind, part) for part in parts)


def _measure_block(engine: ArrayEngine, kind: Kind, t: Transform) -> Any:
    if kind.numbers and t.box is not None and _never_written(engine, t.box):
        axes = kind.task.axes
        length = prod([t.shape[v] for v in axes])
        row = constant(kind.dtype, engine.cells.codec.fill_value, length)
        return np.broadcast_to(row[0], [n for v, n in enumerate(t.shape) if v not in axes])
    return kind.measure(engine.read(t))


def _never_written(engine: ArrayEngine, box: Box) -> bool:
    first, last = box_cells(box, engine.cells.cell_shape)
    with engine.lock:
        if engine.pending:
            return False
        stop = tuple([n + 1 for n in last])
        return not engine.table.ids.read_box(first or (0,), stop or (1,)).any()


def cut_view(
    engine: ArrayEngine, t: Transform, axes: tuple[int, ...], nbytes: int, limit: int = TILE
) -> Cuts:
    """Cut a view into blocks of whole chunks of about `nbytes`, with few results each.

    Blocks grow along the reduced axes first: that keeps the number of results, each of
    which takes a row of statistics, small against the data. Tiles grow up to `limit`
    results.
    """
    cells = engine.cells
    steps = [(0, 1, 1)] * t.ndim
    for m, chunk in zip(t.maps, cells.chunk_shape, strict=True):
        if isinstance(m, Affine):
            steps[m.axis] = (m.start, m.step, chunk)
    lengths = [min(n, max(1, c // s)) for (_, s, c), n in zip(steps, t.shape, strict=True)]
    room = max(1, nbytes // max(1, cells.dtype.itemsize)) // max(1, prod(lengths))
    kept = [v for v in range(t.ndim) if v not in axes]
    tile = prod([lengths[v] for v in kept])
    counts = [1] * t.ndim
    for v in (*reversed(axes), *reversed(kept)):
        fits = room if v in axes else min(room, limit // tile)
        counts[v] = max(1, min(fits, -(-t.shape[v] // lengths[v])))
        room //= counts[v]
        if v not in axes:
            tile *= counts[v]
    cuts = [
        list(_cuts(n, *step, count)) for n, step, count in zip(t.shape, steps, counts, strict=True)
    ]
    tiles = list(product(*[cuts[v] for v in kept]))
    return Cuts(axes, tiles, list(product(*[cuts[v] for v in axes])))


def _cuts(size: int, start: int, step: int, chunk: int, count: int) -> Iterator[slice]:
    """Cut an axis of a view where its source has a chunk border, every `count` chunks."""
    span = max(chunk, step) * count if chunk >= step else step * count
    low = 0
    while low < size:
        source = start + low * step
        border = (source // span + 1) * span
        high = min(size, max(low + 1, -(-(border - start) // step)))
        yield slice(low, high)
        low = high
