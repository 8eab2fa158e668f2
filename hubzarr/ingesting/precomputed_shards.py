"""Sharded Precomputed volumes: many chunks in one file, found by two indexes.

The number of a chunk is the compressed Morton code of its place in the grid. A hash of it
gives the shard (a file) and the minishard (a part of the shard). A file begins with where
the index of each minishard lies; that index lists the chunks of the minishard. Places are
counted from the end of the first index.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, NotFoundError, SampleError
from hubzarr.ingesting.place import Place
from hubzarr.media.guard import broken_unless_read

__all__ = ["Shards", "morton_code", "murmurhash3"]

_INDEXES_KEPT = 256
_MASK = 0xFFFFFFFF

type Array = np.ndarray[Any, Any]


def morton_code(cell: Sequence[int], grid: Sequence[int]) -> int:
    """The compressed Morton code of a cell: its bits interlaced, those that are always 0 left out.

    Examples
    --------
    >>> [morton_code((x, y, 0), (2, 4, 1)) for y in range(4) for x in range(2)]
    [0, 1, 2, 3, 4, 5, 6, 7]
    >>> morton_code((3, 5, 2), (4, 8, 4))
    107
    """
    code = shift = 0
    for bit in range(max(grid).bit_length()):
        for at, size in zip(cell, grid, strict=True):
            if 1 << bit < size:
                code |= (at >> bit & 1) << shift
                shift += 1
    return code


def murmurhash3(number: int) -> int:
    """The first 64 bits of MurmurHash3_x86_128, seed 0, of a 64-bit number.

    Examples
    --------
    >>> f"{murmurhash3(0):016x}"
    '4772b084e028ae41'
    """
    h = [0, 0, 0, 0]
    h[1] = _times(_rotated(_times(number >> 32 & _MASK, 0xAB0E9789), 16), 0x38B34AE5)
    h[0] = _times(_rotated(_times(number & _MASK, 0x239B961B), 15), 0xAB0E9789)
    h = _spread([part ^ 8 for part in h])
    h = _spread([_mixed(part) for part in h])
    return h[0] | h[1] << 32


class Shards:
    """Chunks of a sharded scale.

    Parameters
    ----------
    folder : Place
        Of the scale.
    sharding : mapping
        Of the scale's entry in the info file.

    Raises
    ------
    InvalidError
        The sharding is of an unknown kind.
    """

    def __init__(self, folder: Place, sharding: Mapping[str, Any]) -> None:
        hashing, kind = sharding.get("hash"), sharding.get("@type")
        if kind != "neuroglancer_uint64_sharded_v1" or hashing not in _HASHES:
            raise InvalidError(f"sharding {kind!r} with hash {hashing!r} is unknown")
        self.folder = folder
        self.sharding = dict(sharding)
        self._forget()

    def read(self, number: int) -> bytes | None:
        """The bytes of a chunk; None where there is no such chunk."""
        sharding = self.sharding
        hashed = _HASHES[sharding["hash"]](number >> int(sharding["preshift_bits"]))
        bits = int(sharding["minishard_bits"])
        minishard = hashed & (1 << bits) - 1
        shard = hashed >> bits & (1 << int(sharding["shard_bits"])) - 1
        name = f"{shard:0{-(-int(sharding['shard_bits']) // 4)}x}.shard"
        found = self._index(name, minishard).get(number)
        if found is None:
            return None
        return _unpacked(self._bytes(name, *found), sharding.get("data_encoding"))

    def _index(self, name: str, minishard: int) -> dict[int, tuple[int, int]]:
        """Place and size of the chunks of a minishard, by number."""
        key = (name, minishard)
        with self._lock:
            if key in self._indexes:
                self._indexes.move_to_end(key)
                return self._indexes[key]
        made = self._read_index(name, minishard)
        with self._lock:
            self._indexes[key] = made
            while len(self._indexes) > _INDEXES_KEPT:
                self._indexes.popitem(last=False)
        return made

    @broken_unless_read("shard index")
    def _read_index(self, name: str, minishard: int) -> dict[int, tuple[int, int]]:
        head = 16 << int(self.sharding["minishard_bits"])
        try:
            start, end = np.frombuffer(self._bytes(name, 16 * minishard, 16), "<u8").tolist()
        except NotFoundError:
            return {}
        if start == end:
            return {}
        packed = self._bytes(name, head + start, end - start)
        table = _unpacked(packed, self.sharding.get("minishard_index_encoding"))
        numbers, gaps, sizes = np.frombuffer(table, "<u8").reshape(3, -1)
        ends = np.cumsum(gaps + sizes)
        places = zip((head + ends - sizes).tolist(), sizes.tolist(), strict=True)
        return dict(zip(np.cumsum(numbers).tolist(), places, strict=True))

    def _bytes(self, name: str, start: int, size: int) -> bytes:
        with self.folder.child(name).open() as file:
            file.seek(start)
            data = file.read(size)
        if len(data) < size:
            where = f"{self.folder.url}/{name}"
            raise SampleError(f"{where} is cut: no {size} bytes at {start}", path=where)
        return data

    def _forget(self) -> None:
        self._indexes: OrderedDict[tuple[str, int], dict[int, tuple[int, int]]] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[Place, dict[str, Any]]:
        return self.folder, self.sharding

    def __setstate__(self, state: tuple[Place, dict[str, Any]]) -> None:
        self.folder, self.sharding = state
        self._forget()


def _unpacked(data: bytes, encoding: str | None) -> bytes:
    return zlib.decompress(data, 31) if encoding == "gzip" else data


def _times(value: int, factor: int) -> int:
    return value * factor & _MASK


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK


def _mixed(value: int) -> int:
    value = _times(value ^ value >> 16, 0x85EBCA6B)
    value = _times(value ^ value >> 13, 0xC2B2AE35)
    return value ^ value >> 16


def _spread(parts: list[int]) -> list[int]:
    first = sum(parts) & _MASK
    return [first, *((part + first) & _MASK for part in parts[1:])]


_HASHES: Mapping[str, Callable[[int], int]] = {"identity": int, "murmurhash3_x86_128": murmurhash3}
