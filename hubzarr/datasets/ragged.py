"""Samples of different shapes, or kept as files: bytes one behind the other, and an index.

A sample that is too large for that is an array of its own; the index then holds a negative
length and, in place of a position, the number that the array is named by.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from hubzarr.arrays.values import elements
from hubzarr.datasets import layout
from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.uniform import cut_back, remove_rows
from hubzarr.engine import ArrayEngine
from hubzarr.engine.reading import read_boxes, read_bytes, read_row
from hubzarr.errors import DamagedError, SampleError
from hubzarr.htypes import Prepared, restore
from hubzarr.indexing import apply, identity
from hubzarr.media.pixels import pixel_statistics
from hubzarr.session import ArrayState, Session
from hubzarr.session.rebase import box_view
from hubzarr.threads import map_all

__all__ = ["RaggedColumn"]

type Array = np.ndarray[Any, Any]

#: Samples whose bytes lie at most so far apart are read together.
_GAP = 64 << 10
_SPAN = 8 << 20


class RaggedColumn:
    """Index, bytes, statistics and large samples of one tensor.

    Parameters
    ----------
    session : Session
    path : str
        Of the tensor's group.
    entry : TensorEntry
    """

    def __init__(self, session: Session, path: str, entry: TensorEntry) -> None:
        self.session = session
        self.path = path
        self.entry = entry
        self.spec = entry.spec
        self.index: ArrayState = session.array(f"{path}/{layout.INDEX}")

    @property
    def blob(self) -> ArrayState:
        """The array of bytes."""
        return self.session.array(f"{self.path}/{layout.BYTES}")

    @property
    def statistics(self) -> ArrayState | None:
        """Pixel statistics of each sample, if they are kept."""
        path = f"{self.path}/{layout.STATISTICS}"
        return None if self.session.document(path) is None else self.session.array(path)

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def ndim(self) -> int:
        """Axes of a sample."""
        return self.index.shape[1] - 2

    # -- writing ---------------------------------------------------------------

    def append(self, values: Sequence[Prepared] | Array) -> None:
        """Add samples: first their bytes, then the rows of the index that refer to them."""
        prepared = _as_prepared(values)
        rows = self._stored(prepared)
        before = len(self)
        statistics = self.statistics
        try:
            if statistics is not None:
                statistics.append(self._measured(prepared))
            self.index.append(rows)
        except BaseException:
            self.cut(before)
            raise

    def _stored(self, values: Sequence[Prepared]) -> Array:
        """Store the bytes of samples; returns their rows of the index."""
        ndim = self.ndim
        rows: list[tuple[int, ...]] = []
        parts: list[memoryview] = []
        small: list[int] = []
        for i, (data, shape) in enumerate(values):
            axes = len(shape)
            if axes > ndim:
                check_axes(self.path, shape, ndim)
            if axes < ndim:
                shape = (*shape, *(-1,) * (ndim - axes))  # axes that the sample does not have
            if type(data) is not bytes and is_large(data):
                rows.append((self._store_large(data), -1, *shape))
                continue
            part = bytes_of(data)
            rows.append((0, len(part), *shape))
            parts.append(part)
            small.append(i)
        out = np.array(rows, np.int64).reshape(len(rows), 2 + ndim)
        if parts:
            out[small, 0] = self.blob.append_bytes(parts)
        return out

    def _store_large(self, value: Any) -> int:
        """Store a large sample as an array of its own; returns its number."""
        number = secrets.randbits(62)
        codec = self.spec.chunk_compression or "zstd"
        tile = getattr(value, "tile_shape", None)
        shape = tuple(value.shape)
        dtype = self.spec.numpy_dtype if self.spec.stores == "array" else None
        group = f"{self.path}/{layout.LARGE}"
        if self.session.document(group) is None:
            self.session.set_group(group, layout.group_document({}))
        document = layout.large_document(shape, dtype or value.dtype, tile, codec)
        state = self.session.create_array(self._large_path(number), document)
        if getattr(value, "blank", False):  # zeros, which need no chunks
            return number
        read = value.__getitem__ if isinstance(value, np.ndarray) else value.read
        for box in tile_boxes(shape, state.engine.cells.cell_shape):
            block = np.asarray(read(tuple(slice(a, b) for a, b in box)))
            state.engine.write(box_view(box), elements(block, state.engine.cells.dtype, self.path))
        return number

    def _large_path(self, number: int) -> str:
        return f"{self.path}/{layout.LARGE}/{number:016x}"

    def _measured(self, values: Sequence[Prepared]) -> Array:
        spec, channels = self.spec, self.entry.statistics

        def measure(value: Prepared) -> Array:
            if is_large(value.data):
                return nothing_measured(channels)
            return measured(np.asarray(restore(spec, value.data, value.shape)), channels)

        found = map_all(measure, values, self.session.storage.concurrency, 4)
        return np.stack(found)

    def write(self, row: int, value: Prepared) -> None:
        """Put another sample in place of one."""
        statistics = self.statistics
        block = None if statistics is None else self._measured([value])  # first: it may fail
        rows = self._stored([value])
        self.index.engine.write(box_view(((row, row + 1), (0, rows.shape[1]))), rows)
        if statistics is not None and block is not None:
            box = ((row, row + 1), *((0, n) for n in statistics.shape[1:]))
            statistics.engine.write(box_view(box), block)

    def cut(self, length: int) -> None:
        """Take back samples that were just appended."""
        cut_back(self.index, length)
        if self.statistics is not None:
            cut_back(self.statistics, length)

    def remove(self, rows: Array) -> None:
        """Drop some samples; later ones move up. Their bytes stay for earlier versions."""
        remove_rows(self.index, rows)
        if self.statistics is not None:
            remove_rows(self.statistics, rows)

    def clear(self) -> None:
        """Drop all samples."""
        self.index.resize((0, self.index.shape[1]))
        if self.statistics is not None:
            self.statistics.resize((0, *self.statistics.shape[1:]))

    # -- reading ---------------------------------------------------------------

    def entries(self, rows: Array | slice) -> Array:
        """Rows of the index."""
        engine = self.index.engine
        return engine.read(apply(identity(engine.shape), rows))

    def shapes(self, rows: Array) -> Array:
        """Shapes of some samples, int64 of shape (n, ndim)."""
        return self.entries(rows)[:, 2:]

    def interval(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Smallest and largest extent along each axis."""
        found = self.entries(slice(None))[:, 2:]
        if not len(found):
            return (0,) * self.ndim, (0,) * self.ndim
        return interval_of(found)

    def data(self, row: int) -> tuple[Any, tuple[int, ...]]:
        """Stored bytes (or the engine of a large sample's array) and shape of one sample."""
        session = self.session
        while True:
            layout_before = session.layout
            entry = read_row(self.index.engine, row).tolist()
            start, length, shape = entry[0], entry[1], shape_in(entry)
            if length < 0:
                return self.large(start), shape
            found = read_bytes(self.blob.engine, start, start + length)
            if session.layout == layout_before:  # else a merge may have moved the bytes between
                return found, shape

    def many(self, rows: Array | slice) -> list[tuple[Any, tuple[int, ...]]]:
        """The same for many samples, neighbours read together."""
        while True:
            layout_before = self.session.layout
            found = self._many(rows)
            if self.session.layout == layout_before:
                return found

    def _many(self, rows: Array | slice) -> list[tuple[Any, tuple[int, ...]]]:
        entries = self.entries(rows)
        out: list[Any] = [None] * len(entries)
        shapes = [shape_in(entry) for entry in entries.tolist()]
        spans: list[tuple[int, int, list[tuple[int, int, int]]]] = []
        for i in np.argsort(entries[:, 0], kind="stable").tolist():
            start, length = entries[i, :2].tolist()
            if length < 0:
                out[i] = self.large(start), shapes[i]
                continue
            if spans and start - spans[-1][1] <= _GAP and start + length - spans[-1][0] <= _SPAN:
                first, stop, items = spans[-1]
                items.append((i, start - first, length))
                spans[-1] = (first, max(stop, start + length), items)
            else:
                spans.append((start, start + length, [(i, 0, length)]))

        buffers = [np.empty(stop - start, np.uint8) for start, stop, _ in spans]
        boxes = [
            (((start, stop),), data) for (start, stop, _), data in zip(spans, buffers, strict=True)
        ]
        read_boxes(self.blob.engine, boxes)
        for (_, _, items), data in zip(spans, buffers, strict=True):
            for i, offset, length in items:
                out[i] = data.data[offset : offset + length], shapes[i]
        return out

    def large(self, number: int) -> ArrayEngine:
        """The array of a large sample."""
        path = self._large_path(number)
        if self.session.document(path) is None:
            raise DamagedError(f"the array {path} of a large sample is missing", path=path)
        return self.session.array(path).engine


def interval_of(shapes: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Smallest and largest extents; an axis that some samples don't have counts as 1 there."""
    shapes = shapes[:, shapes.max(0) >= 0]
    shapes = np.where(shapes < 0, 1, shapes)
    return tuple(shapes.min(0).tolist()), tuple(shapes.max(0).tolist())


def shape_in(entry: list[int]) -> tuple[int, ...]:
    """The shape in a row of the index."""
    shape = entry[2:]
    return tuple(shape) if not shape or shape[-1] >= 0 else tuple([n for n in shape if n >= 0])


def measured(array: Array, channels: int) -> Array:
    """Statistics of one sample, with a row for each of `channels`; missing ones count nothing."""
    out = nothing_measured(channels)
    if not array.size:
        return out
    own = 1 if channels == 1 or array.ndim < 3 else array.shape[-1]
    if own > channels:
        raise SampleError(
            f"a sample with {own} channels; statistics of this tensor are kept for {channels}: "
            "create the tensor without statistics and call analyze() later"
        )
    out[:own] = pixel_statistics(array, own)
    return out


def nothing_measured(channels: int) -> Array:
    """Statistics of no elements."""
    out = np.zeros((channels, 5))
    out[:, 3:] = np.inf, -np.inf
    return out


def check_axes(path: str, shape: tuple[int, ...], most: int) -> None:
    """Refuse a sample with more axes than the index of its tensor has room for."""
    if len(shape) > most:
        raise SampleError(
            f"a sample of shape {tuple(shape)} has {len(shape)} axes; samples of tensor {path!r} "
            f"have {most} at most, as its first ones: append it to another tensor"
        )


def is_large(value: Any) -> bool:
    """Whether a sample becomes an array of its own."""
    if isinstance(value, np.ndarray):
        return value.nbytes > layout.LARGE_BYTES
    return is_lazy(value)


def is_lazy(value: Any) -> bool:
    """Whether a sample is read box by box, as it is too large for memory."""
    return hasattr(value, "tile_shape")


def bytes_of(data: Any) -> memoryview:
    """The bytes of a stored sample."""
    if type(data) is bytes:
        return memoryview(data)
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        little: Array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        if not little.size:
            return memoryview(b"")
        return memoryview(little.reshape(-1).view(np.uint8))
    return memoryview(data)


def tile_boxes(shape: tuple[int, ...], tile: tuple[int, ...]) -> list[tuple[tuple[int, int], ...]]:
    """Boxes of at most a tile that cover a shape."""
    counts = [range(0, n, t) for n, t in zip(shape, tile, strict=True)]
    starts = np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, len(shape)).tolist()
    return [
        tuple((s, min(s + t, n)) for s, t, n in zip(start, tile, shape, strict=True))
        for start in starts
    ]


def _as_prepared(values: Sequence[Prepared] | Array) -> Sequence[Prepared]:
    if isinstance(values, np.ndarray):
        return [Prepared(value, value.shape) for value in values]
    return values
