"""Chunks and indexes of Hub 2 and Deep Lake 3, byte by byte.

Every file begins with the version that wrote it: one byte of length, then ASCII. Numbers
are little-endian; tables are rows of ``uint32`` whose last column is the number of the last
sample that the row holds for, so that a run of equal samples costs one row::

    chunks_index/unsharded   version [item size] {chunk id, last sample}
    chunks/<id in hex>       version  rows columns {*shape, last}  rows {size, start, last}  data
    sequence_index           version {items, first item, last sample}
    tiles_index              version count ndim {sample, *shape, *tile shape}, of uint64

A chunk without a table of positions holds arrays of one size, or one tile of a sample that
is too large for a chunk; the rows of its tiles share their last sample.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.extras import need
from hubzarr.media.guard import broken_unless_read

__all__ = [
    "Chunk",
    "ChunkIndex",
    "Runs",
    "TileReader",
    "Tiling",
    "parse_runs",
    "parse_tiles",
    "unpack_lz4",
]

_NO_SAMPLES = 0xFFFFFFFF
_WIDE_IDS = (2, 7, 6)  # from this version on, chunk ids may be of 64 bits

type Array = np.ndarray[Any, Any]


class Runs:
    """A table whose rows hold for runs of samples.

    Parameters
    ----------
    table : array_like
        Rows; the last column is the last sample of the run.

    Examples
    --------
    >>> shapes = Runs([[4, 5, 1], [6, 7, 2]])  # two samples of 4 × 5, one of 6 × 7
    >>> len(shapes), shapes[1], shapes[2]
    (3, (0, 1, [4, 5]), (1, 0, [6, 7]))
    """

    __slots__ = ("lasts", "rows")

    def __init__(self, table: Any) -> None:
        rows = np.asarray(table).tolist()
        self.rows: list[list[int]] = [row[:-1] for row in rows]
        self.lasts: list[int] = [row[-1] for row in rows]
        if self.lasts != sorted(self.lasts):
            raise SampleError("broken table of runs: its samples are in no order")

    def __len__(self) -> int:
        return self.lasts[-1] + 1 if self.lasts else 0

    def __getitem__(self, sample: int) -> tuple[int, int, list[int]]:
        """Number of the run, place within it, and its columns."""
        run = bisect_left(self.lasts, sample)
        first = self.lasts[run - 1] + 1 if run else 0
        return run, sample - first, self.rows[run]


class ChunkIndex:
    """Which chunk holds which samples.

    Parameters
    ----------
    data : bytes
        Of the file ``chunks_index/unsharded``.

    Examples
    --------
    >>> index = ChunkIndex(bytes.fromhex("05322e302e36baa4970002000000"))
    >>> len(index), index.find(1), index.ends
    (3, (['97a4ba'], 1), [3])
    """

    __slots__ = ("ids", "lasts")

    @broken_unless_read("index of chunks")
    def __init__(self, data: bytes) -> None:
        version, rest = _versioned(memoryview(data))
        width = 4
        if tuple(int(part) for part in version.split(".")[:3]) >= _WIDE_IDS:
            width, rest = rest[0], rest[1:]
        table = np.frombuffer(rest, f"<u{width}").reshape(-1, 2)
        if len(table) and int(table[-1, 1]) & _NO_SAMPLES == _NO_SAMPLES:
            table = table[:0]
        self.ids: list[int] = table[:, 0].tolist()
        self.lasts: list[int] = table[:, 1].tolist()

    def __len__(self) -> int:
        return self.lasts[-1] + 1 if self.lasts else 0

    @property
    def ends(self) -> list[int]:
        """The sample after the last one of each chunk; equal for tiles of one sample."""
        return [last + 1 for last in self.lasts]

    def find(self, sample: int) -> tuple[list[str], int]:
        """Names of the chunks of a sample (several hold its tiles), and its place in the first."""
        row = bisect_left(self.lasts, sample)
        first = self.lasts[row - 1] + 1 if row else 0
        stop = row + 1
        while stop < len(self.lasts) and self.lasts[stop] == sample:
            stop += 1
        return [f"{number:x}" for number in self.ids[row:stop]], sample - first


class Chunk:
    """Some samples of a tensor: the shape and the bytes of each.

    Parameters
    ----------
    data : bytes
        Of a file in ``chunks/``.
    compression : str, optional
        Of the chunk as a whole.

    Examples
    --------
    >>> chunk = Chunk(bytes.fromhex(
    ...     "05322e302e36 01000000 02000000 01000000 02000000"
    ...     "01000000 04000000 00000000 02000000 000000000200000001000000"))
    >>> chunk.shape(2), chunk.buffer(2).hex(), len(chunk)
    ((1,), '01000000', 3)
    """

    __slots__ = ("_data", "_packed", "compression", "positions", "shapes", "strip")

    @broken_unless_read("chunk")
    def __init__(self, data: bytes, compression: str | None = None) -> None:
        _, rest = _versioned(memoryview(data))
        rows, columns = np.frombuffer(rest[:8], "<i4").tolist()
        shapes, rest = _table(rest[8:], rows, columns)
        (rows,) = np.frombuffer(rest[:4], "<u4").tolist()
        positions, self._packed = _table(rest[4:], rows, 3)
        self.shapes, self.positions = Runs(shapes), Runs(positions)
        self.compression = compression
        self._data: memoryview | None = None if compression == "lz4" else self._packed
        self.strip: Array | None = None  # the decoded picture of a chunk compressed as one

    def __len__(self) -> int:
        return max(len(self.shapes), len(self.positions))

    @property
    def data(self) -> memoryview:
        """The samples' bytes, one after another."""
        if self._data is None:
            self._data = memoryview(unpack_lz4(self._packed))
        return self._data

    def shape(self, place: int) -> tuple[int, ...] | None:
        """Shape of the sample at a place; None for one that is empty."""
        return tuple(self.shapes[place][2]) if place < len(self.shapes) else None

    def buffer(self, place: int, itemsize: int = 1) -> memoryview:
        """Bytes of the sample at a place; `itemsize` is used where no table has positions."""
        if len(self.positions):
            _, offset, (size, start) = self.positions[place]
            start += offset * size
            return self._cut(start, start + size)
        run, offset, _ = self.shapes[place]
        firsts = [0, *(last + 1 for last in self.shapes.lasts)]
        start = 0
        for number in range(run):
            count = firsts[number + 1] - firsts[number]
            start += count * math.prod(self.shapes.rows[number])
        size = math.prod(self.shapes.rows[run])
        start += offset * size
        return self._cut(start * itemsize, (start + size) * itemsize)

    def uniform(self, place: int, count: int, dtype: np.dtype[Any]) -> Array | None:
        """Up to so many samples from a place on; None if shapes differ or bytes are missing."""
        count = min(count, len(self) - place)
        if count < 1 or len(self.shapes.rows) != 1 or len(self.positions.rows) > 1:
            return None
        shape = self.shapes.rows[0]
        size = math.prod(shape) * dtype.itemsize
        if len(self.positions) and self.positions.rows[0] != [size, 0]:
            return None
        data = self.data[place * size : (place + count) * size]
        if len(data) < count * size or len(self.shapes) != len(self):
            return None
        return np.frombuffer(data, dtype).reshape(count, *shape)

    def left_of(self, place: int) -> int:
        """Where a sample begins in a chunk that is one picture: samples stand side by side."""
        shapes = (self.shape(number) or (0, 0) for number in range(place))
        return sum(shape[1] for shape in shapes)

    def _cut(self, start: int, stop: int) -> memoryview:
        if stop > len(self.data):
            raise SampleError(f"broken chunk: byte {stop} of {len(self.data)}")
        return self.data[start:stop]


@dataclass(frozen=True)
class Tiling:
    """How a sample that is too large for a chunk is cut.

    Examples
    --------
    >>> Tiling((1000, 500), (300, 500)).boxes()[-1]
    (slice(900, 1000, None), slice(0, 500, None))
    """

    shape: tuple[int, ...]
    tile_shape: tuple[int, ...]

    def boxes(self) -> list[tuple[slice, ...]]:
        """Place of each tile, in the order in which they are stored."""
        grid = [-(-size // tile) for size, tile in zip(self.shape, self.tile_shape, strict=True)]
        return [
            tuple(
                slice(at * tile, min((at + 1) * tile, size))
                for at, tile, size in zip(cell, self.tile_shape, self.shape, strict=True)
            )
            for cell in np.ndindex(*grid)
        ]


@dataclass(frozen=True)
class TileReader:
    """Reads boxes of a sample from its tiles.

    Parameters
    ----------
    tile : callable
        ``tile(name)`` gives the tile in a chunk; None for one that was never written.
    dtype : numpy.dtype
    tiles : tuple
        Place in the sample, and name of the chunk, of each.

    Examples
    --------
    >>> halves = {"a": np.arange(3), "b": np.arange(3, 5)}
    >>> tiles = ((slice(0, 3),), "a"), ((slice(3, 5),), "b")
    >>> TileReader(halves.get, np.dtype("i8"), tiles)((slice(2, 4),))
    array([2, 3])
    """

    tile: Callable[[str], Array | None]
    dtype: np.dtype[Any]
    tiles: tuple[tuple[tuple[slice, ...], str], ...]

    @broken_unless_read("tiled sample")
    def __call__(self, box: tuple[slice, ...]) -> Array:
        out = np.zeros([max(0, part.stop - part.start) for part in box], self.dtype)
        for place, name in self.tiles:
            pairs = list(zip(place, box, strict=True))
            shared = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in pairs]
            if any(start >= stop for start, stop in shared):
                continue
            tile = self.tile(name)
            if tile is None:
                continue
            tile = tile.reshape([part.stop - part.start for part in place])
            out[_within(shared, box)] = tile[_within(shared, place)]
        return out


@broken_unless_read("index of tiles")
def parse_tiles(data: bytes) -> dict[int, Tiling]:
    """Tilings by sample, from the file ``tiles_index/unsharded``.

    Examples
    --------
    >>> numbers = np.array([1, 2, 7, 1000, 500, 300, 500], "<u8")
    >>> parse_tiles(b"\\x053.9.5" + numbers.tobytes())
    {7: Tiling(shape=(1000, 500), tile_shape=(300, 500))}
    """
    try:
        _, rest = _versioned(memoryview(data))
        numbers = np.frombuffer(rest, "<u8")
    except (SampleError, ValueError):  # early releases: no version, big-endian
        numbers = np.frombuffer(data, ">u8")
    count, ndim = int(numbers[0]), int(numbers[1]) if len(numbers) > 1 else 0
    rows = numbers[2 : 2 + count * (1 + 2 * ndim)].reshape(count, 1 + 2 * ndim).tolist()
    return {row[0]: Tiling(tuple(row[1 : 1 + ndim]), tuple(row[1 + ndim :])) for row in rows}


@broken_unless_read("index")
def parse_runs(data: bytes, columns: int) -> Runs:
    """The table of an index file, such as that of sequences.

    Examples
    --------
    >>> len(parse_runs(b"\\x053.9.5" + np.array([2, 0, 4], "<u4").tobytes(), 3))
    5
    """
    _, rest = _versioned(memoryview(data))
    return Runs(np.frombuffer(rest, "<u4").reshape(-1, columns))


@broken_unless_read("LZ4 data")
def unpack_lz4(data: memoryview) -> bytes:
    """Decompress what Hub compressed by LZ4: frames, or in its first releases blocks."""
    start = bytes(data[:8])
    if start in (b"", b"\0\0\0\0\0"):
        return b""
    codecs = need("imagecodecs", extra="images", what="reading LZ4 of Hub 2")
    if start.startswith(b'\x04"M\x18'):
        return bytes(codecs.lz4f_decode(bytes(data)))
    return bytes(codecs.lz4_decode(bytes(data), header=True))


def _versioned(data: memoryview) -> tuple[str, memoryview]:
    length = data[0]
    version = str(data[1 : 1 + length], "ascii")
    if not version[:1].isdigit():
        raise SampleError("it does not begin with a version")
    return version, data[1 + length :]


def _table(data: memoryview, rows: int, columns: int) -> tuple[Array, memoryview]:
    size = rows * columns * 4
    if rows < 0 or columns < 0 or size > len(data):
        raise SampleError(f"broken chunk: a table of {rows} × {columns} in {len(data)} bytes")
    return np.frombuffer(data[:size], "<u4").reshape(rows, columns), data[size:]


def _within(bounds: list[tuple[int, int]], box: tuple[slice, ...]) -> tuple[slice, ...]:
    """The same bounds, counted from the corner of a box."""
    pairs = zip(bounds, box, strict=True)
    return tuple(slice(start - part.start, stop - part.start) for (start, stop), part in pairs)
