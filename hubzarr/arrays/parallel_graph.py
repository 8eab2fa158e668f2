"""Graphs that store a dask array: blocks of whole cells, one task each, in any process."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hubzarr.arrays.values import elements
from hubzarr.errors import InvalidError, InvalidTypeError, OutOfBoundsError
from hubzarr.indexing import Box
from hubzarr.session.forks.forking import Fork, Written, combine, write_block
from hubzarr.wording import say_bytes

if TYPE_CHECKING:
    import dask.array

__all__ = ["BLOCK_BYTES", "Region", "aligned", "is_dask", "region_of", "storing_graph"]

type Cell = tuple[int, ...]
type Chunks = tuple[tuple[int, ...], ...]

#: Bytes of a block, unless the source's blocks or the array's cells are larger.
BLOCK_BYTES: Final = 128 << 20
#: Results that one task combines.
ARITY: Final = 32


def is_dask(x: Any) -> bool:
    """Whether a value is a dask array; dask is not imported to find out."""
    return type(x).__module__.startswith("dask.array") and hasattr(x, "chunks")


@dataclass(frozen=True, slots=True)
class Region:
    """A box of an array, some of its axes held at one index.

    Parameters
    ----------
    box : tuple of (int, int)
        Start and stop for each axis.
    kept : tuple of bool
        Which axes the values have.
    """

    box: Box
    kept: tuple[bool, ...]

    @property
    def shape(self) -> Cell:
        """Of the values."""
        return tuple([b - a for (a, b), kept in zip(self.box, self.kept, strict=True) if kept])

    def spread(self, x: Any) -> Any:
        """Values of that shape with all axes of the box."""
        return x if all(self.kept) else x[tuple([slice(None) if k else None for k in self.kept])]


def region_of(region: Any, shape: Cell, name: str) -> Region:
    """The box that a user's region means.

    Raises
    ------
    OutOfBoundsError
        It reaches past the end: unlike a slice that reads, it is not cut there.
    InvalidError
        It has steps or index arrays, or too many axes.

    Examples
    --------
    >>> region_of((..., slice(2, 4)), (10, 10), "x").box
    ((0, 10), (2, 4))
    >>> region_of(-1, (10, 10), "x").shape
    (10,)
    """
    if region is None:
        region = ()
    keys = list(region) if isinstance(region, tuple | list) else [region]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
    if len(keys) > len(shape) or Ellipsis in keys:
        raise InvalidError(f"the region has more axes than {name} of shape {shape}")
    keys += [slice(None)] * (len(shape) - len(keys))
    spans = [
        _span(key, n, axis, name) for axis, (key, n) in enumerate(zip(keys, shape, strict=True))
    ]
    return Region(tuple(spans), tuple([isinstance(key, slice) for key in keys]))


def _span(key: Any, size: int, axis: int, name: str) -> tuple[int, int]:
    """Start and stop of a slice or an index."""
    if not isinstance(key, slice):
        try:
            start = operator.index(key)
        except TypeError:
            raise InvalidTypeError(
                f"a region consists of slices and integers, not {type(key).__name__}"
            ) from None
        start, stop = (start + size if start < 0 else start), 0
        stop = start + 1
    else:
        if key.step not in (None, 1):
            raise InvalidError(f"a region has no steps, as {key} has; write a[...] = x instead")
        start = 0 if key.start is None else operator.index(key.start)
        stop = size if key.stop is None else operator.index(key.stop)
        start, stop = (n + size if n < 0 else n for n in (start, stop))
        stop = max(start, stop)
    if not 0 <= start <= stop <= size:
        raise OutOfBoundsError(
            f"the region {start}:{stop} on axis {axis} does not lie inside {name}, which has "
            f"length {size} there: resize() first, or append()"
        )
    return start, stop


# Blocks of whole cells


def aligned(x: dask.array.Array, box: Box, cell_shape: Cell) -> dask.array.Array:
    """The array in blocks that cut as few cells of the target as can be.

    Borders move to the nearest border of cells, so blocks stay about as large as they are
    and neighbours only exchange what lies between.

    Parameters
    ----------
    x : dask.array.Array
        Of the box's shape.
    box : tuple of (int, int)
        Where it goes.
    cell_shape : tuple of int
        Of the target.
    """
    chunks = tuple(
        [
            _borders(axis, a, cell)
            for axis, (a, _), cell in zip(x.chunks, box, cell_shape, strict=True)
        ]
    )
    largest = max(_largest(x.chunks), math.prod(cell_shape)) * x.dtype.itemsize
    chunks = _bounded(chunks, box, cell_shape, max(BLOCK_BYTES, largest) // x.dtype.itemsize)
    if chunks == x.chunks:
        return x
    _tell(x, chunks, cell_shape)
    rechunk: Any = x.rechunk  # it carries no types
    again: dask.array.Array = rechunk(chunks)
    return again


def _borders(axis: tuple[int, ...], start: int, cell: int) -> tuple[int, ...]:
    """Lengths of blocks along an axis with their borders moved to those of cells."""
    borders = start + np.cumsum([0, *axis])
    moved = (borders + cell // 2) // cell * cell
    moved = np.clip(moved, start, borders[-1])
    moved[0], moved[-1] = start, borders[-1]
    lengths = np.diff(np.unique(moved)).tolist()
    return tuple(lengths) if lengths else axis


def _largest(chunks: Chunks) -> int:
    return math.prod([max(axis, default=0) for axis in chunks])


def _bounded(chunks: Chunks, box: Box, cell_shape: Cell, limit: int) -> Chunks:
    """Cut blocks at cells until the largest has at most that many elements."""
    out = list(chunks)
    while _largest(tuple(out)) > limit:
        cells = [max(axis) / cell for axis, cell in zip(out, cell_shape, strict=True)]
        axis = max(range(len(out)), key=cells.__getitem__)
        if cells[axis] <= 1:
            break
        start, step = box[axis][0], max(out[axis]) // 2 // cell_shape[axis] * cell_shape[axis]
        borders = start + np.cumsum([0, *out[axis]])
        step = max(step, cell_shape[axis])
        inner = np.arange(start // step * step + step, borders[-1], step)
        out[axis] = tuple(np.diff(np.union1d(borders, inner)).tolist())
    return tuple(out)


def _tell(x: dask.array.Array, chunks: Chunks, cell_shape: Cell) -> None:
    """Warn of a rechunking in which every block goes to pieces."""
    pairs = list(zip(x.chunks, chunks, strict=True))
    pieces = math.prod([len(np.union1d(np.cumsum(a), np.cumsum(b))) for a, b in pairs])
    if pieces <= 2**x.ndim * x.npartitions or x.nbytes <= BLOCK_BYTES:
        return
    import dask.array as da

    warnings.warn(
        f"storing blocks of {x.chunksize} in cells of {cell_shape} cuts {say_bytes(x.nbytes)} into "
        f"{pieces} pieces that move between workers; an array with chunks like {x.chunksize}, or "
        "a source with blocks along the same axes as the cells, is stored far quicker",
        da.PerformanceWarning,
        stacklevel=2,
    )


# Tasks


@dataclass(frozen=True, slots=True)
class StoreBlock:
    """Stores one block of an array in a fork."""

    fork: Fork
    path: str
    start: Cell
    dtype: np.dtype[Any]

    def __call__(self, block: Any, where: tuple[slice, ...]) -> Written:
        values = elements(block, self.dtype, self.fork.name)
        spans = zip(self.start, where, strict=True)
        box = tuple([(at + s.start, at + s.stop) for at, s in spans])
        return write_block(self.fork, self.path, box, values)


def storing_graph(
    x: dask.array.Array, fork: Fork, path: str, box: Box, dtype: np.dtype[Any]
) -> tuple[Any, dict[Any, Any]]:
    """A graph whose last task gives what all tasks wrote: (its key, the graph).

    Parameters
    ----------
    x : dask.array.Array
        From `aligned`.
    fork : Fork
    path : str
        Of the array.
    box : tuple of (int, int)
        Where `x` goes.
    dtype : dtype
        Of the array.
    """
    import dask.array
    from dask.highlevelgraph import HighLevelGraph
    from dask.layers import ArraySliceDep

    da: Any = dask.array  # what is used of it carries no types
    axes = tuple(range(x.ndim))
    store = StoreBlock(fork, path, tuple([a for a, _ in box]), dtype)
    stored = da.blockwise(
        store, axes, x, axes, ArraySliceDep(x.chunks), axes,
        dtype=object, meta=np.empty((0,) * x.ndim, object), token="hubzarr-store",
        align_arrays=False,
    )  # fmt: skip
    name = f"hubzarr-written-{fork.token}"
    keys = list(_flat(stored.__dask_keys__()))
    tasks: dict[Any, Any] = {}
    while len(keys) > 1 or not tasks:
        groups = [list(group) for group in batched(keys, ARITY)] or [[]]
        keys = []
        for group in groups:
            keys.append((name, len(tasks)))
            tasks[keys[-1]] = (combine, group)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[stored])
    # Fuses the storing of a block with what makes it.
    return keys[0], da.Array.__dask_optimize__(graph, keys)


def _flat(keys: Any) -> Iterable[Any]:
    if isinstance(keys, list):
        for key in keys:
            yield from _flat(key)
    else:
        yield keys
