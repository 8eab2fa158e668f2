"""Views and their statistics as dask arrays, whose tasks may run in other processes.

A graph of a statistic streams: a task measures a few chunks and returns their rows of
numbers, rows are combined in a tree, and the last task finishes them. What the chunk table
knows already stands in the graph as a constant. Objects that tasks need are small: a source
that says which array at which commit, write ids, and slices.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, batched, pairwise, product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hubzarr.arrays.handle import Source, open_engine
from hubzarr.arrays.reductions import back, prepare, table_box, unflip
from hubzarr.arrays.streaming import Cuts, Kind, Reduction, Slices, cut_view, run_blocks, stream
from hubzarr.engine.array import ArrayEngine
from hubzarr.engine.statistics import Job, measure_jobs, plan_box, settle
from hubzarr.errors import InvalidError, UnsupportedError
from hubzarr.indexing import Gather, Transform, apply
from hubzarr.stats import Rows, merge_channels, row_dtype

if TYPE_CHECKING:
    import dask.array

__all__ = ["dask_histogram", "lazy", "stored_chunks"]

#: Bytes of decoded data that one task of a statistic reads.
TASK_BYTES: Final = 64 << 20
#: Blocks of a dask array for each processor, so that all are busy to the end.
BLOCKS_PER_CORE: Final = 4
#: Bytes of a block below which starting its task takes longer than reading it.
LEAST_BYTES: Final = 256 << 10
#: Results that one task combines.
ARITY: Final = 16


def lazy(
    source: Source,
    engine: ArrayEngine,
    t: Transform,
    name: str | None,
    *,
    axis: Any = None,
    keepdims: bool = False,
    ddof: float = 0,
    dtype: Any = None,
    chunks: Any = None,
) -> dask.array.Array:
    """Return a view, or a statistic of it, as a dask array.

    Parameters
    ----------
    source : Source
        How tasks open the array.
    engine : ArrayEngine
        Of the array, as committed.
    t : Transform
        The view.
    name : str or None
        A statistic as for `hubzarr.arrays.reductions.reduce`; None gives the elements.
    axis, keepdims, ddof, dtype
        As for `reduce`.
    chunks
        Of the elements, as for `Readable.to_dask`.

    Returns
    -------
    dask.array.Array
    """
    settle(engine)
    graph = Graph(name or "elements")
    if name is None:
        return _elements(graph, source, engine, t, chunks)
    task = prepare(t, name, axis=axis, keepdims=keepdims, ddof=ddof, dtype=dtype)
    forward, flipped = unflip(t)
    kind = Kind.of(task, engine.cells.dtype)
    if not forward.size:
        return graph.single(stream(engine, forward, task))
    if table_box(engine, forward, task) is not None:
        out = _from_table(graph, source, engine, forward, kind)
    else:
        out = _streamed(graph, source, engine, forward, kind)
    turned = [v in flipped for v in range(t.ndim) if keepdims or v not in task.axes]
    found: dask.array.Array = out[back(turned)] if any(turned) else out
    return found


def dask_histogram(elements: dask.array.Array, edges: np.ndarray[Any, Any]) -> dask.array.Array:
    """Counts of the elements between edges, as a dask array."""
    counts: dask.array.Array = _dask()[0].histogram(elements, bins=edges)[0]
    return counts


class Graph:
    """A dask graph in the making.

    Parameters
    ----------
    label : str
        Stands in the names of its tasks.
    """

    def __init__(self, label: str) -> None:
        self.name = f"hubzarr-{label}-{uuid.uuid4().hex}"
        self.tasks: dict[Any, Any] = {}

    def add(self, stage: str, work: Callable[..., Any], needs: Sequence[Any] = ()) -> Any:
        """Add a task that calls `work` with the list of results of others."""
        key = (f"{self.name}-{stage}", len(self.tasks))
        self.tasks[key] = (work, list(needs)) if needs else (work,)
        return key

    def tree(self, keys: list[Any], kind: Kind) -> Any:
        """Add tasks that combine results until one is left."""
        while len(keys) > 1:
            keys = [self.add("combine", kind.merge, group) for group in batched(keys, ARITY)]
        return keys[0]

    def chunk(self, index: tuple[int, ...], work: Callable[..., Any], needs: Any = None) -> None:
        """Set the task that makes one chunk of the array."""
        self.tasks[(self.name, *index)] = (work,) if needs is None else (work, needs)

    def array(self, chunks: tuple[tuple[int, ...], ...], dtype: np.dtype[Any]) -> dask.array.Array:
        """The array of all chunks."""
        array, graphs = _dask()
        graph = graphs.HighLevelGraph.from_collections(self.name, self.tasks, dependencies=())
        meta = np.empty((0,) * len(chunks), dtype)
        made: dask.array.Array = array.Array(graph, self.name, chunks, dtype=dtype, meta=meta)
        return made

    def blocks(
        self, chunks: tuple[tuple[int, ...], ...], dtype: np.dtype[Any], work: Callable[..., Any]
    ) -> dask.array.Array:
        """The array whose chunks `work` makes of their slices of it.

        The scheduler unrolls such a graph itself, and fuses it with what follows.
        """
        from dask.layers import ArraySliceDep

        axes = tuple(range(len(chunks)))
        made: dask.array.Array = _dask()[0].blockwise(
            work, axes, ArraySliceDep(chunks), axes, name=self.name, dtype=dtype,
            meta=np.empty((0,) * len(chunks), dtype), align_arrays=False,
        )  # fmt: skip
        return made

    def single(self, value: Any) -> dask.array.Array:
        """An array that is known already."""
        value = np.asarray(value)
        self.chunk((0,) * value.ndim, Constant(value))
        return self.array(tuple([(n,) for n in value.shape]), value.dtype)


def _dask() -> tuple[Any, Any]:
    try:
        import dask.array
        import dask.highlevelgraph
    except ImportError:
        raise UnsupportedError(
            "lazy results need dask, which is not installed: run `pip install dask[array]`, or "
            "let the statistic be computed at once"
        ) from None
    return dask.array, dask.highlevelgraph


# Tasks. Objects rather than functions with arguments: dask doesn't look into them.


@dataclass(frozen=True, slots=True)
class Constant:
    """Returns a value."""

    value: Any

    def __call__(self) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class ReadPart:
    """Reads a view."""

    source: Source
    part: Transform

    def __call__(self) -> Any:
        return open_engine(self.source).read(self.part)


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """Reads a block of a view."""

    source: Source
    view: Transform

    def __call__(self, where: tuple[slice, ...]) -> Any:
        return open_engine(self.source).read(apply(self.view, where))


@dataclass(frozen=True, slots=True)
class MeasureJobs:
    """Measures parts of stored chunks."""

    source: Source
    jobs: tuple[Job, ...]
    channels: int

    def __call__(self) -> Rows:
        cells = open_engine(self.source).cells
        return measure_jobs(cells, self.jobs, np.zeros(self.channels, row_dtype(cells.dtype)))


@dataclass(frozen=True, slots=True)
class MeasureParts:
    """Measures blocks of one tile."""

    source: Source
    kind: Kind
    parts: tuple[Transform, ...]

    def __call__(self) -> Any:
        return run_blocks(open_engine(self.source), self.kind, self.parts)


@dataclass(frozen=True, slots=True)
class Finish:
    """Turns what was measured into a chunk of the result."""

    kind: Kind
    shape: tuple[int, ...]

    def __call__(self, piece: Any) -> Any:
        if self.shape == (1,) * len(self.shape) and self.kind.numbers:
            piece = merge_channels(piece.reshape(-1))
        return np.reshape(self.kind.finish(piece), self.shape)


# Graphs


def _from_table(
    graph: Graph, source: Source, engine: ArrayEngine, t: Transform, kind: Kind
) -> dask.array.Array:
    box = t.box or ()
    plan = plan_box(engine, box)
    keys = [graph.add("known", Constant(plan.known))]
    per_task = max(1, TASK_BYTES // max(1, engine.cells.codec.nbytes))
    keys += [
        graph.add("measure", MeasureJobs(source, jobs, plan.channels))
        for jobs in batched(plan.jobs(), per_task)
    ]
    shape = kind.task.shape(t.shape)
    graph.chunk((0,) * len(shape), Finish(kind, shape), graph.tree(keys, kind))
    return graph.array(tuple([(n,) for n in shape]), kind.result)


def _streamed(
    graph: Graph, source: Source, engine: ArrayEngine, t: Transform, kind: Kind
) -> dask.array.Array:
    task = kind.task
    cuts = cut_view(engine, t, task.axes, TASK_BYTES // 4)
    spans = _spans(cuts.tiles, task, t.ndim)
    for tile, index in zip(cuts.tiles, product(*[range(len(s)) for s in spans]), strict=True):
        keys = []
        for blocks in batched(cuts.blocks, 4):
            parts = tuple(cuts.parts(t, tile, blocks))
            keys.append(graph.add("measure", MeasureParts(source, kind, parts)))
        shape = tuple([span[i] for span, i in zip(spans, index, strict=True)])
        graph.chunk(index, Finish(kind, shape), graph.tree(keys, kind))
    return graph.array(spans, kind.result)


def _spans(tiles: list[Slices], task: Reduction, ndim: int) -> tuple[tuple[int, ...], ...]:
    """Lengths of the chunks of a result along each of its axes."""
    along = [dict.fromkeys(column) for column in zip(*tiles, strict=True)]
    kept = iter([tuple([s.stop - s.start for s in column]) for column in along])
    axes = [v for v in range(ndim) if task.keepdims or v not in task.axes]
    return tuple([(1,) if v in task.axes else next(kept) for v in axes])


def _elements(
    graph: Graph, source: Source, engine: ArrayEngine, t: Transform, chunks: Any
) -> dask.array.Array:
    dtype = engine.cells.dtype
    given = None
    if chunks is not None and not (isinstance(chunks, str) and chunks == "auto"):
        given = _given_chunks(chunks, t.shape, dtype)
    if not t.size:
        return graph.single(np.empty(t.shape, dtype))
    if given is None:
        cuts = cut_view(engine, t, (), _block_bytes(t.size * dtype.itemsize), t.size)
        spans = _spans(cuts.tiles, Reduction("count", (), False, 0, None), t.ndim)
    else:
        cuts, spans = Cuts((), list(product(*map(_slices, given))), [()]), given
    if not any(isinstance(m, Gather) for m in t.maps):
        return graph.blocks(spans, dtype, ReadBlock(source, t))
    # Each task gets its part of the index arrays only.
    for tile, index in zip(cuts.tiles, product(*[range(len(s)) for s in spans]), strict=True):
        (part,) = cuts.parts(t, tile, [()])
        graph.chunk(index, ReadPart(source, part))
    return graph.array(spans, dtype)


def _block_bytes(nbytes: int) -> int:
    """How large a block should be: as dask has it, but some for each processor."""
    import dask
    from dask.utils import parse_bytes

    wanted = int(parse_bytes(dask.config.get("array.chunk-size", "128MiB")))
    share = nbytes // (BLOCKS_PER_CORE * (os.cpu_count() or 1))
    return min(wanted, max(share, LEAST_BYTES))


def _given_chunks(chunks: Any, shape: tuple[int, ...], dtype: Any) -> tuple[tuple[int, ...], ...]:
    """Lengths of blocks along each axis, of chunks as dask takes them."""
    _dask()
    from dask.array.core import normalize_chunks

    normalized: Any = normalize_chunks  # it carries no types
    try:
        found = normalized(chunks, shape=shape, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise InvalidError(
            f"chunks={chunks!r} don't cut an array of shape {shape}: expected 'auto', a length, "
            "or for each axis a length, a tuple of lengths or -1"
        ) from error
    return tuple([tuple(map(int, axis)) for axis in found])


def _slices(lengths: Sequence[int]) -> list[slice]:
    """Slices of blocks of such lengths, one after the other."""
    return [slice(a, b) for a, b in pairwise(accumulate(lengths, initial=0))]


def stored_chunks(x: dask.array.Array) -> tuple[int, ...] | None:
    """Chunks of the stored array that a dask array was computed from, if they fit its blocks.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((1000, 10), "examples/lazy", chunks=(100, 10))
    >>> stored_chunks(a.to_dask() + 1)
    (100, 10)
    """
    found = set()
    for layer in getattr(x.dask, "layers", {}).values():
        read = getattr(getattr(layer, "task", None), "func", None)
        if isinstance(read, ReadBlock):
            found.add(open_engine(read.source).cells.chunk_shape)
    if len(found) != 1:
        return None
    (chunks,) = found
    fits = len(chunks) == x.ndim and all(
        n % chunk == 0
        for lengths, chunk in zip(x.chunks, chunks, strict=True)
        for n in lengths[:-1]
    )
    return tuple([min(c, n) for c, n in zip(chunks, x.shape, strict=True)]) if fits else None
