"""Objects that never change, kept on the local disk: whole, or the blocks that were asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from hubzarr.storage.base import Storage
from hubzarr.storage.cache.blocks import BLOCK, LARGEST, Wanted, pieces, runs
from hubzarr.storage.cache.diskcache import PARTS, DiskCache
from hubzarr.storage.cache.flights import Flight, Flights

__all__ = ["KeptObjects"]


class KeptObjects:
    """Immutable objects of one store, read through a disk cache.

    Threads that want the same at the same time make one request.

    Parameters
    ----------
    inner : Storage
        Where objects come from.
    cache : DiskCache
    place : str
        What tells this store from all others.
    """

    def __init__(self, inner: Storage, cache: DiskCache, place: str) -> None:
        self._inner = inner
        self._cache = cache
        self._place = place
        self._flights = Flights()

    def _key(self, path: str, part: str = "") -> str:
        return f"{self._place}\n{path}\n{part}"

    def _parts_file(self, path: str) -> str:
        """Where the blocks of an object lie, up to their names."""
        return f"{self._cache.path_of(self._key(path))}{PARTS}/"

    # -- whole objects -----------------------------------------------------------

    def here(self, path: str) -> bytes | None:
        """An object of which everything is in the cache."""
        found = self._cache.read(self._key(path))
        return self._joined_blocks(path) if found is None else found

    def size(self, path: str) -> int | None:
        """The size of an object of which everything is in the cache."""
        length = self._cache.length(self._key(path))
        if length is None:
            whole = self._joined_blocks(path)
            length = None if whole is None else len(whole)
        return length

    def holds(self, path: str) -> bool:
        """Whether an object, or a part of it, is in the cache."""
        key = self._key(path)
        return self._cache.length(key) is not None or os.path.isdir(
            f"{self._cache.path_of(key)}{PARTS}"
        )

    def put(self, path: str, data: bytes) -> None:
        """Keep an object."""
        self._cache.write(self._key(path), data)

    def get(self, path: str) -> bytes | None:
        """An object, None if it does not exist."""
        found = self.here(path)
        if found is not None:
            return found
        key = self._key(path)
        file = self._cache.path_of(key)
        return self._once(key, file, lambda: self._inner.get(path), lambda: self.here(path))

    def _joined_blocks(self, path: str) -> bytes | None:
        parts: list[bytes] = []
        file = self._parts_file(path)
        while True:
            name = f"b{len(parts)}"
            block = self._cache.read(self._key(path, name), path=file + name)
            if block is None:
                return None
            parts.append(block)
            if len(block) < BLOCK:
                return b"".join(parts)

    def _once(
        self,
        key: str,
        file: str,
        fetch: Callable[[], bytes | None],
        look: Callable[[], bytes | None],
    ) -> bytes | None:
        """Fetch something and keep it; threads that want it at the same time wait for the first."""
        data: bytes | None = None
        theirs: dict[str, Flight] = {}
        try:  # an interrupt while the flight begins must end it, too
            _, theirs = self._flights.begin([key])
            if not theirs:
                data = look()  # somebody may have been quicker
                if data is None:
                    data = fetch()
                    if data is not None:
                        self._cache.write(key, data, file)
        finally:
            if not theirs:
                self._flights.land(key, data)
        if theirs:
            found = theirs[key].wait()
            return fetch() if found is None else found
        return data

    # -- ranges ------------------------------------------------------------------

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Bytes ``start:stop`` of an object, or the last ``-start`` bytes."""
        if start < 0:
            return self._last(path, start)
        whole = self._cache.read(self._key(path), start, stop)
        if whole is not None:
            return whole
        if stop is not None and start < stop <= start + LARGEST:
            return self._between(path, start, stop)
        # To the end, wherever that is; nothing at all; or more than the cache should hold.
        blocks = self._joined_blocks(path)
        if blocks is None:
            return self._inner.get_range(path, start, stop)
        return blocks[start : stop if stop is None else max(start, stop)]

    def _last(self, path: str, start: int) -> bytes | None:
        """The last bytes of an object."""
        name = f"s{-start}"
        key, file = self._key(path, name), self._parts_file(path) + name

        def look() -> bytes | None:
            found = self._cache.read(key, path=file)
            if found is not None:
                return found
            whole = self._key(path)
            length = self._cache.length(whole)
            if length is not None:
                return self._cache.read(whole, max(0, length + start), length)
            blocks = self._joined_blocks(path)
            return None if blocks is None else blocks[start:]

        found = look()
        if found is not None:
            return found
        return self._once(key, file, lambda: self._inner.get_range(path, start, None), look)

    def _between(self, path: str, start: int, stop: int) -> bytes | None:
        """A range: blocks that are there, those that others fetch, and the rest together."""
        wanted = Wanted(start, stop)
        self._look(path, wanted, wanted.missing())
        missing = wanted.missing()
        if missing and not self._fetch_blocks(path, wanted, missing):
            return None
        if wanted.missing():  # the other thread failed, or the cache lost some
            return self._inner.get_range(path, start, stop)
        return wanted.joined()

    def _look(self, path: str, wanted: Wanted, numbers: Iterable[int]) -> None:
        file = self._parts_file(path)
        for number in numbers:
            name = f"b{number}"
            part = self._cache.read(self._key(path, name), *wanted.inside(number), path=file + name)
            if part is not None:
                wanted.parts[number] = part

    def _fetch_blocks(self, path: str, wanted: Wanted, missing: list[int]) -> bool:
        """Fetch blocks, or wait for them; False if there is no such object."""
        keys = {self._key(path, f"b{number}"): number for number in missing}
        mine = {number: key for key, number in keys.items()}
        theirs: dict[str, Flight] = {}
        try:  # an interrupt while the flights begin must end them, too
            _, theirs = self._flights.begin(keys)
            for key in theirs:
                del mine[keys[key]]
            self._look(path, wanted, mine)  # somebody may have been quicker
            for first, stop in runs(number for number in mine if number not in wanted.parts):
                data = self._inner.get_range(path, first * BLOCK, stop * BLOCK)
                if data is None:
                    return False
                for number, block in pieces(data, first, stop):
                    name = f"b{number}"
                    self._cache.write(self._key(path, name), block, self._parts_file(path) + name)
                    wanted.put(number, block)
                    if number in mine:
                        self._flights.land(mine.pop(number), block)
        finally:
            for key in mine.values():
                self._flights.land(key, None)
        for key, flight in theirs.items():
            found = flight.wait()
            if found is not None:
                wanted.put(keys[key], found)
        return True

    def forget(self, path: str) -> bool:
        """Drop an object and all its parts; returns whether any was there."""
        file = self._cache.path_of(self._key(path))
        return self._cache.drop(file) | self._cache.drop_below(file + PARTS)
