"""Shards: many inner chunks in one object, with an index of where each one lies.

Inner chunks that hold only the fill value are left out. They are written in C order
and read in any order. A caller with a thread pool passes the pool's `map`.
"""

from __future__ import annotations

from collections.abc import Buffer, Callable, Iterable, Sequence
from itertools import product
from math import prod
from typing import Any, Final, cast

import numpy as np

from hubzarr.codecs.base import Array, ChunkCodec
from hubzarr.codecs.plain import PlainCodec
from hubzarr.errors import DamagedError, InvalidError

__all__ = ["ABSENT", "ShardCodec"]

type Encoded = bytes | list[Buffer] | Buffer | None
type Map = Callable[..., Iterable[Any]]

ABSENT: Final = 2**64 - 1
"""Offset and length of an inner chunk that is not stored."""

# Raw bytes per task: enough work to be worth handing to another thread.
_TASK_BYTES: Final = 256 * 1024


class ShardCodec(ChunkCodec):
    """Codec `sharding_indexed` over any codec for the inner chunks.

    Parameters
    ----------
    shape, dtype, fill_value
        See `ChunkCodec`; the shape is that of the shard.
    inner : ChunkCodec
        Codec of one inner chunk.
    index : PlainCodec
        Codec of the index, without compressor.
    index_at_end : bool
        Whether the index comes after the inner chunks or before.

    Attributes
    ----------
    inner_codec : ChunkCodec
        Codec of one inner chunk.
    grid : tuple of int
        Number of inner chunks along each axis.
    count : int
        Number of inner chunks.
    """

    __slots__ = ("_index", "_index_at_end", "_index_nbytes", "_slabs", "count", "grid",
                 "inner_codec")  # fmt: skip

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        fill_value: Any,
        *,
        inner: ChunkCodec,
        index: PlainCodec,
        index_at_end: bool = True,
    ) -> None:
        super().__init__(shape, dtype, fill_value)
        self.inner_codec = inner
        self.inner_shape = inner.shape
        self.tight = inner.tight
        self.grid = tuple(outer // inside for outer, inside in zip(shape, inner.shape, strict=True))
        self.count = prod(self.grid)
        self._index = index
        self._index_at_end = index_at_end
        self._index_nbytes = len(_in_one(index.encode(np.zeros(index.shape, index.dtype))))
        # Each inner chunk is one piece of the shard's memory if nothing is cut after
        # the last axis that is cut into pieces longer than one.
        cut = max((axis for axis, number in enumerate(self.grid) if number > 1), default=0)
        self._slabs = all(length == 1 for length in inner.shape[:cut])

    @property
    def compressed(self) -> bool:
        """Whether decoding costs more than copying."""
        return self.inner_codec.compressed

    def index_range(self) -> tuple[int, int | None]:
        """Return the (start, stop) of the bytes that `parse_index` needs.

        A negative start counts from the end of the object, as in Python slices.
        """
        return (-self._index_nbytes, None) if self._index_at_end else (0, self._index_nbytes)

    def parse_index(self, data: Buffer) -> Array:
        """Return offset and length of each inner chunk in C order, uint64 of shape (k, 2).

        Both are `ABSENT` where an inner chunk is not stored.
        """
        size = memoryview(data).nbytes
        if size != self._index_nbytes:
            raise DamagedError(
                f"the shard's index has {size} bytes; expected {self._index_nbytes}",
                codec="sharding_indexed",
            )
        try:
            index = self._index.decode(data).reshape(-1, 2)
        except DamagedError as cause:
            raise DamagedError(
                f"the shard's index is damaged: {cause}", codec="sharding_indexed"
            ) from cause
        absent = index == ABSENT
        if (absent[:, 0] != absent[:, 1]).any():
            raise DamagedError(
                "the shard's index is damaged: an inner chunk is half absent",
                codec="sharding_indexed",
            )
        return index

    def check(self, data: Buffer) -> None:
        """Look at the index and at the ends of the inner chunks; see `ChunkCodec.check`."""
        start, stop = self.index_range()
        whole = memoryview(data)
        self._places(self.parse_index(whole[start:stop]), whole.nbytes)

    def encode(self, array: Array) -> list[Buffer]:
        """Return the pieces to store; see `ChunkCodec.encode`."""
        return self.encode_shard(array)

    def encode_shard(self, array: Array, map: Map = map) -> list[Buffer]:
        """Encode all inner chunks, with `map` (for example of a thread pool)."""
        self._check(array)
        encode, is_fill = self.inner_codec.encode, self.inner_codec.is_fill

        def run(blocks: Sequence[Array]) -> list[Encoded]:
            return [None if is_fill(block) else encode(block) for block in blocks]

        parts = map(run, self._batches(self._blocks(array)))
        return self.assemble_shard([encoded for part in parts for encoded in part])

    def assemble_shard(self, encoded: Sequence[Encoded]) -> list[Buffer]:
        """Lay encoded inner chunks, in C order, out as a shard; None is left out."""
        if len(encoded) != self.count:
            raise InvalidError(
                f"{len(encoded)} inner chunks don't make a shard; expected {self.count}"
            )
        lengths = np.zeros(self.count, np.uint64)
        pieces: list[Buffer] = []
        for number, chunk in enumerate(encoded):
            if chunk is None:
                continue
            if type(chunk) is bytes:
                pieces.append(chunk)
                lengths[number] = len(chunk)
            else:
                parts = chunk if isinstance(chunk, list) else [chunk]
                pieces.extend(parts)
                lengths[number] = sum(memoryview(part).nbytes for part in parts)
        index = np.full((self.count, 2), ABSENT, np.uint64)
        stored = lengths > 0
        ends = np.cumsum(lengths, dtype=np.uint64)
        first = 0 if self._index_at_end else self._index_nbytes
        index[stored, 0] = (ends - lengths + np.uint64(first))[stored]
        index[stored, 1] = lengths[stored]
        encoded_index = _in_one(self._index.encode(index.reshape(self._index.shape)))
        return [*pieces, encoded_index] if self._index_at_end else [encoded_index, *pieces]

    def decode_into(self, data: Buffer, out: Array) -> None:
        """Decode into `out`; see `ChunkCodec.decode_into`."""
        self.decode_shard_into(data, out)

    def decode_shard_into(self, data: Buffer, out: Array, map: Map = map) -> None:
        """Decode all inner chunks into `out`, with `map` (for example of a thread pool)."""
        self._check(out)
        source = np.frombuffer(data, np.uint8)
        start, stop = self.index_range()
        index = self.parse_index(source[start:stop])
        places = self._places(index, len(source))
        decode_into, fill = self.inner_codec.decode_into, self.fill_value

        def run(tasks: Sequence[tuple[Array, int, int]]) -> None:
            for block, begin, end in tasks:
                if begin < 0:
                    block[...] = fill
                else:
                    decode_into(source[begin:end], block)

        blocks = self._blocks(out)
        tasks = [(block, *place) for block, place in zip(blocks, places, strict=True)]
        for _ in map(run, self._batches(tasks)):
            pass

    def _places(self, index: Array, size: int) -> list[tuple[int, int]]:
        """Return (begin, end) of the inner chunks, (-1, -1) if absent."""
        absent = index[:, 0] == ABSENT
        offsets, lengths = index[:, 0], index[:, 1]
        limit = np.uint64(size)
        outside = (offsets > limit) | (lengths > limit) | (offsets + lengths > limit)
        if (outside & ~absent).any():
            number = int(np.argmax(outside & ~absent))
            raise DamagedError(
                f"the shard has {size} bytes, but inner chunk {number} is said to lie at "
                f"{int(offsets[number])} with {int(lengths[number])} bytes",
                codec="sharding_indexed",
            )
        begins = np.where(absent, -1, offsets.astype(np.int64))
        ends = np.where(absent, -1, (offsets + lengths).astype(np.int64))
        return list(zip(begins.tolist(), ends.tolist(), strict=True))

    def _blocks(self, array: Array) -> list[Array]:
        """Return views of the inner chunks, in C order."""
        inner = self.inner_codec.shape
        if not inner:
            return [array]  # an array of no axes would yield its element
        if self._slabs and array.flags.c_contiguous:
            return list(array.reshape(self.count, *inner))
        ndim = len(inner)
        split = array.reshape([n for pair in zip(self.grid, inner, strict=True) for n in pair])
        grid = split.transpose([*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)])
        return [cast(Array, grid[cell]) for cell in product(*map(range, self.grid))]

    def _batches[T](self, items: Sequence[T]) -> list[Sequence[T]]:
        step = max(1, _TASK_BYTES // max(1, self.inner_codec.nbytes))
        return [items[start : start + step] for start in range(0, len(items), step)]


def _in_one(encoded: bytes | list[Buffer]) -> bytes:
    """Encoded bytes in one piece."""
    return b"".join(encoded) if isinstance(encoded, list) else encoded
