"""Chunk objects of one array: paths, reading and decoding, measuring and storing."""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
from collections.abc import Buffer, Callable, Sequence
from typing import Any, Concatenate, Final

import numpy as np

from hubzarr.codecs import ChunkCodec, ShardCodec, compile_codec, compile_key
from hubzarr.engine.cache import ChunkCache
from hubzarr.errors import DamagedError, StorageError
from hubzarr.stats import Rows, channels, measure, stats_dtype
from hubzarr.storage.base import Storage, joined
from hubzarr.threads import in_pool, map_all

__all__ = ["CellStore", "data_path"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]

#: Reads of neighbouring inner chunks are joined over gaps of at most this many bytes.
GAP_LOCAL: Final = 16 << 10
GAP_REMOTE: Final = 1 << 20
#: The most bytes of a shard that are asked for before its index says where they lie.
AHEAD: Final = 1 << 20
#: How often what came damaged is asked for again.
AGAIN: Final = 3
#: Inner chunks of a shard are encoded in parallel from this size on.
PARALLEL_SHARD: Final = 1 << 20
#: Cells from this size on are read into the result, or into memory that is used again: for
#: large objects the system's fresh memory costs more than reading them.
STRAIGHT: Final = 32 << 10
#: The largest object for which a thread keeps memory.
SCRATCH: Final = 1 << 20


_thread = threading.local()


def _is_measured(document: dict[str, Any]) -> bool:
    """Whether an array keeps statistics: not where its numbers are positions or bytes of files."""
    mark = document.get("attributes", {}).get("hubzarr")
    return not (isinstance(mark, dict) and mark.get("measured") is False)


def _again[**P, T](
    read: Callable[Concatenate[CellStore, int, Cell, P], T],
) -> Callable[Concatenate[CellStore, int, Cell, P], T]:
    """Read again what was damaged, where it may have been damaged on its way only."""

    def method(
        cells: CellStore, write_id: int, cell: Cell, /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        for _ in range(AGAIN):
            try:
                return read(cells, write_id, cell, *args, **kwargs)
            except DamagedError:
                if not cells.storage.distrust(cells.path(write_id, cell)):
                    raise
        return read(cells, write_id, cell, *args, **kwargs)

    functools.update_wrapper(method, read)
    return method


def data_path(write_id: int, home: str) -> str:
    """Directory of the chunks of one array that one write stored, with a slash."""
    return f"data/{write_id:016x}/{home}/" if home else f"data/{write_id:016x}/"


class CellStore:
    """Reads and stores the chunk objects of one array.

    Parameters
    ----------
    storage : Storage
        The repository's.
    home : str
        Where the array's chunks live below a write id.
    document : dict
        Its ``zarr.json``.
    cache : ChunkCache
        For decoded chunks.
    """

    def __init__(
        self, storage: Storage, home: str, document: dict[str, Any], cache: ChunkCache
    ) -> None:
        self.storage = storage
        self.home = home
        self.cache = cache
        cache.configure()
        self.codec: ChunkCodec = compile_codec(document)
        self.shard = self.codec if isinstance(self.codec, ShardCodec) else None
        self.key = compile_key(document)
        self.dtype = self.codec.dtype
        self.cell_shape = self.codec.shape
        #: What one decode yields: an inner chunk of a shard, or a whole cell.
        self.chunk_shape = self.shard.inner_codec.shape if self.shard else self.cell_shape
        self.stats = stats_dtype(self.dtype) if _is_measured(document) else None
        self.channels = channels(document["shape"], self.cell_shape)
        #: The system's own cache serves uncompressed local chunks as quickly as ours.
        self.worth_keeping = self.codec.compressed or not storage.is_local
        #: Whether `read_piece` may find something.
        self.reads_pieces = (
            self.shard is not None
            and not self.worth_keeping
            and len(self.cell_shape) == 1
            and self.dtype == np.uint8
        )
        self._space = (storage.url, home)
        self._prefixes: dict[int, str] = {}

    def with_channels(self, count: int) -> CellStore:
        """The same objects, measured by another number of channels."""
        other = copy.copy(self)
        other.channels = count
        return other

    # -- paths and errors ----------------------------------------------------

    def path(self, write_id: int, cell: Cell) -> str:
        """Path of a cell's object."""
        prefix = self._prefixes.get(write_id)
        if prefix is None:
            if len(self._prefixes) > 4096:
                self._prefixes.clear()
            prefix = self._prefixes[write_id] = data_path(write_id, self.home)
        return prefix + self.key(cell)

    def lost(self, write_id: int, cell: Cell) -> DamagedError:
        """The error for a chunk that the table knows and the store doesn't have."""
        path = self.path(write_id, cell)
        return DamagedError(
            f"chunk {path} is missing from {self.storage.url} although a commit says that it was "
            "stored: restore the file from a copy; other chunks can still be read",
            path=path,
            cell=cell,
        )

    def _damaged(self, write_id: int, cell: Cell, error: DamagedError) -> DamagedError:
        path = self.path(write_id, cell)
        return DamagedError(
            f"chunk {path} in {self.storage.url} is damaged: {error}; restore the file from a "
            "copy, or read an earlier version",
            path=path,
            cell=cell,
        )

    # -- reading -------------------------------------------------------------

    @_again
    def read_cell(self, write_id: int, cell: Cell, keep: bool = True) -> Array:
        """A whole cell, decoded; read-only if it comes from or goes to the cache."""
        key = (self._space, write_id, cell)
        found = self.cache.get(key)
        if found is not None:
            return found
        # What is not compressed may become the memory of the result.
        reuse = self.codec.compressed
        if not (keep and self.worth_keeping):
            return self._decoded(write_id, cell, self.codec.view, reuse)
        value = self._decoded(write_id, cell, self._decode_for_cache, reuse)
        self.cache.put(key, value)
        return value

    def _decode_for_cache(self, data: Buffer) -> Array:
        value = self.cache.new(self.cell_shape, self.dtype)
        self.codec.decode_into(data, value)
        return value

    def remember(self, write_id: int, cell: Cell, value: Array) -> None:
        """Keep a decoded cell that was just stored; its memory must not change any more."""
        self.cache.put((self._space, write_id, cell), value)

    @_again
    def read_cell_into(self, write_id: int, cell: Cell, out: Array) -> None:
        """Decode a whole cell into an array of its shape."""
        found = self.cache.get((self._space, write_id, cell))
        if found is not None:
            out[...] = found
            return
        shard = self.shard
        if shard is None or out.nbytes < PARALLEL_SHARD or in_pool():
            if out.nbytes < STRAIGHT or not self._read_straight(self.path(write_id, cell), out):
                decode_into = self.codec.decode_into
                self._decoded(write_id, cell, lambda data: decode_into(data, out), reuse=True)
            return
        # Not through memory that is used again: tasks may go on after Ctrl-C.
        decode_shard_into = shard.decode_shard_into
        self._decoded(
            write_id, cell, lambda data: decode_shard_into(data, out, map=self._map), reuse=False
        )

    def _decoded[T](
        self, write_id: int, cell: Cell, decode: Callable[[Buffer], T], reuse: bool
    ) -> T:
        """What a function makes of a stored cell; `reuse`: in memory that the next one takes."""
        path = self.path(write_id, cell)
        data, scratch = self._fetched(path) if reuse else (self.storage.get(path), None)
        if data is None:
            raise self.lost(write_id, cell)
        try:
            return decode(data)
        except DamagedError as error:
            raise self._damaged(write_id, cell, error) from error
        finally:
            if scratch is not None:
                _thread.scratch = scratch

    def _fetched(self, path: str) -> tuple[Buffer | None, Array | None]:
        """An object, and the memory of this thread that it lies in, to be given back."""
        room = self.codec.nbytes
        if not self.storage.is_local or not STRAIGHT <= room <= SCRATCH:
            return self.storage.get(path), None
        # Nobody else finds it while it is in use: the handler of a signal may read, too.
        scratch: Array | None = _thread.__dict__.pop("scratch", None)
        if scratch is None or len(scratch) < room:
            scratch = np.empty(room, np.uint8)
        size = self.storage.get_into(path, memoryview(scratch))
        if size is not None and size > len(scratch):
            return self.storage.get(path), scratch
        return None if size is None else scratch[:size], scratch

    def _read_straight(self, path: str, out: Array) -> bool:
        """Read a cell that is stored as it lies in memory, unless something is wrong with it."""
        places = self.codec.places(out) if self.storage.is_local else None
        if places is None:
            return False
        size = self.storage.get_into(path, *places)
        return size == sum(map(len, places)) and self.codec.is_intact(places)

    @_again
    def read_inner(
        self, write_id: int, cell: Cell, wanted: Sequence[Cell], keep: bool
    ) -> list[Array | None]:
        """Some inner chunks of a shard, decoded; None for those never written.

        `wanted` holds positions inside the shard.
        """
        shard = self.shard
        if shard is None:
            raise DamagedError("read_inner needs a sharded array")
        out: list[Array | None] = [None] * len(wanted)
        whole = self.cache.get((self._space, write_id, cell))
        missing: list[tuple[int, Cell]] = []
        for i, inner in enumerate(wanted):
            if whole is not None:
                out[i] = whole[_box(inner, self.chunk_shape)]
                continue
            out[i] = self.cache.get((self._space, write_id, cell, inner))
            if out[i] is None:
                missing.append((i, inner))
        if not missing:
            return out
        numbers = [int(np.ravel_multi_index(inner, shard.grid)) for _, inner in missing]
        index, ahead = self._index_and_more(write_id, cell, min(numbers), max(numbers) + 1)
        places: list[tuple[int, int, int, Cell]] = []
        for number, (i, inner) in zip(numbers, missing, strict=True):
            offset, length = index[number].tolist()
            if offset != 2**64 - 1:
                places.append((offset, length, i, inner))
        for data, group in self._read_places(write_id, cell, sorted(places), ahead):
            for start, stop, i, inner in group:
                try:
                    if not (keep and self.worth_keeping):
                        out[i] = shard.inner_codec.view(data[start:stop])
                        continue
                    value = self.cache.new(self.chunk_shape, self.dtype)
                    shard.inner_codec.decode_into(data[start:stop], value)
                except DamagedError as error:
                    raise self._damaged(write_id, cell, error) from error
                out[i] = value
                self.cache.put((self._space, write_id, cell, inner), value)
        return out

    @_again
    def read_piece(self, write_id: int, cell: Cell, start: int, stop: int) -> bytes | None:
        """Neighbouring bytes of a shard with one axis, if they are stored side by side."""
        shard = self.shard
        if shard is None or stop <= start:
            return None
        size = self.chunk_shape[0]
        first, last = start // size, (stop - 1) // size
        places = self._shard_index(write_id, cell)[first : last + 1].tolist()
        begin = place = places[0][0]
        if begin == 2**64 - 1:
            return None
        for offset, length in places:
            if offset != place:
                return None  # they lie apart, or some were never written
            place += length
        path = self.path(write_id, cell)
        data = self.storage.get_range(path, begin, place)
        if data is None:
            raise self.lost(write_id, cell)
        view, parts = memoryview(data), []
        try:
            for offset, length in places:
                offset -= begin
                parts.append(shard.inner_codec.view(view[offset : offset + length]).data)
        except DamagedError as error:
            raise self._damaged(write_id, cell, error) from error
        start, stop = start - first * size, stop - first * size
        if len(parts) == 1:
            return bytes(parts[0][start:stop])
        parts[0], parts[-1] = parts[0][start:], parts[-1][: stop - (last - first) * size]
        return b"".join(parts)

    def _shard_index(self, write_id: int, cell: Cell) -> Array:
        shard = self.shard
        key = (self._space, write_id, cell, "index")
        found = self.cache.get(key)
        if found is not None or shard is None:
            return found  # type: ignore[return-value]
        data = self.storage.get_range(self.path(write_id, cell), *shard.index_range())
        if data is None:
            raise self.lost(write_id, cell)
        try:
            index = shard.parse_index(data)
        except DamagedError as error:
            raise self._damaged(write_id, cell, error) from error
        self.cache.put(key, index)
        return index

    def _index_and_more(
        self, write_id: int, cell: Cell, first: int, stop: int
    ) -> tuple[Array, tuple[int, bytes] | None]:
        """The index of a shard and, in the same round trip, some inner chunks' bytes.

        Where requests are slow, and inner chunks have one size, their bytes are asked for
        where they lie if none before them is missing. The index tells whether that is so.
        Bytes come with the offset of the first one.
        """
        shard = self.shard
        size = self._inner_nbytes
        known = (self._space, write_id, cell, "index") in self.cache
        if shard is None or known or not size or (stop - first) * size > AHEAD:
            return self._shard_index(write_id, cell), None
        begin = first * size
        path = self.path(write_id, cell)

        def guessed() -> bytes | None:
            with contextlib.suppress(StorageError):  # they may lie elsewhere
                return self.storage.get_range(path, begin, stop * size)
            return None

        asked: list[Callable[[], Any]] = [lambda: self._shard_index(write_id, cell), guessed]
        index, data = map_all(lambda ask: ask(), asked, self.storage.concurrency)
        return index, None if data is None else (begin, data)

    @functools.cached_property
    def _inner_nbytes(self) -> int:
        """Size of a stored inner chunk where it is worth a guess: all have it; else 0."""
        shard = self.shard
        if (
            shard is None
            or shard.compressed
            or self.storage.is_local
            or shard.index_range()[0] >= 0
        ):
            return 0
        return len(joined(shard.inner_codec.encode(shard.inner_codec.filled())))

    def _read_places(
        self,
        write_id: int,
        cell: Cell,
        places: list[tuple[int, int, int, Cell]],
        ahead: tuple[int, bytes] | None = None,
    ) -> list[tuple[memoryview, list[tuple[int, int, int, Cell]]]]:
        """Bytes of several places of one object, neighbours read together."""
        gap = GAP_LOCAL if self.storage.is_local else GAP_REMOTE
        spans: list[tuple[int, int, list[tuple[int, int, int, Cell]]]] = []
        for offset, length, i, inner in places:
            if spans and offset - spans[-1][1] <= gap:
                first, stop, group = spans[-1]
                group.append((offset - first, offset - first + length, i, inner))
                spans[-1] = (first, max(stop, offset + length), group)
            else:
                spans.append((offset, offset + length, [(0, length, i, inner)]))
        path = self.path(write_id, cell)
        out = []
        for first, stop, group in spans:
            if ahead is not None and ahead[0] <= first and stop <= ahead[0] + len(ahead[1]):
                data = ahead[1][first - ahead[0] : stop - ahead[0]]
                out.append((memoryview(data), group))
                continue
            found = self.storage.get_range(path, first, stop)
            if found is None:
                raise self.lost(write_id, cell)
            out.append((memoryview(found), group))
        return out

    # -- storing -------------------------------------------------------------

    def store_cell(
        self, write_id: int, cell: Cell, block: Array, row: Rows | None = None
    ) -> Rows | None:
        """Measure, encode and store a cell.

        `block` holds the elements inside the array; a cell at the edge is padded with the
        fill value. Returns its statistics, `row` if they are known already, None for dtypes
        that have none.
        """
        if row is None and self.stats is not None:
            row = measure(block, self.channels)
        full = block
        if block.shape != self.cell_shape:
            full = self.codec.filled()
            full[tuple(map(slice, block.shape))] = block
        if self.shard is not None and full.nbytes >= PARALLEL_SHARD and not in_pool():
            data: Any = self.shard.encode_shard(full, map=self._map)
        else:
            data = self.codec.encode(full)
        self.storage.put(self.path(write_id, cell), data)
        return row

    def store_start(self, write_id: int, cell: Cell, block: Array, used: int) -> None:
        """Store a cell of one axis of which only the first `used` elements were written.

        Inner chunks of a shard behind them are left out without a look at them. What lies
        behind `used` in `block` may be overwritten with the fill value.
        """
        shard = self.shard
        size = shard.inner_codec.shape[0] if shard else len(block)
        stop = -(-used // size) * size
        block[used:stop] = self.codec.fill_value
        data: Any
        if shard is None:
            data = self.codec.encode(block)
        else:
            pieces = block[:stop].reshape(-1, size)
            encode = shard.inner_codec.encode
            if stop >= PARALLEL_SHARD and not in_pool() and shard.compressed:
                encoded = self._map(encode, pieces)
            else:
                encoded = [encode(piece) for piece in pieces]
            data = shard.assemble_shard([*encoded, *[None] * (shard.count - len(encoded))])
        self.storage.put(self.path(write_id, cell), data)

    def copy_cell(self, write_id: int, cell: Cell, new_id: int, new_cell: Cell) -> None:
        """Store a cell's object again in another place, as it is."""
        data = self.storage.get(self.path(write_id, cell))
        if data is None:
            raise self.lost(write_id, cell)
        self.storage.put(self.path(new_id, new_cell), data)

    def _map(self, work: Callable[..., Any], *items: Any) -> list[Any]:
        tasks = list(zip(*items, strict=True))
        return map_all(lambda task: work(*task), tasks, self.storage.concurrency)


def _box(position: Cell, shape: Cell) -> tuple[slice, ...]:
    return tuple(slice(p * n, (p + 1) * n) for p, n in zip(position, shape, strict=True))
