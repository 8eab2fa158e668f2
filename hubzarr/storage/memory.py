"""Objects in the memory of this process, for tests, examples and scratch data."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hubzarr.storage.base import Counters, Data, check_range, joined, spread

__all__ = ["MemoryStorage"]


class _Tree:
    """All objects in memory, by full path, with an index of the directories."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, bytes] = {}
        self.children: dict[str, dict[str, None]] = {}

    def store(self, path: str, data: bytes) -> None:
        if path not in self.objects:
            name = path
            while name:
                directory, _, last = name.rpartition("/")
                siblings = self.children.get(directory)
                if siblings is not None:
                    siblings[last] = None
                    break
                self.children[directory] = {last: None}
                name = directory
        self.objects[path] = data

    def remove(self, path: str) -> None:
        if self.objects.pop(path, None) is None:
            return
        # One name may be an object and a directory: it goes when it is neither any more.
        while path and path not in self.children and path not in self.objects:
            directory, _, last = path.rpartition("/")
            siblings = self.children[directory]
            del siblings[last]
            if not siblings:
                del self.children[directory]
            path = directory

    def below(self, directory: str) -> list[str]:
        found, waiting = [], [directory]
        while waiting:
            directory = waiting.pop()
            start = directory + "/" if directory else ""
            for name in self.children.get(directory, ()):
                path = start + name
                if path in self.objects:
                    found.append(path)
                if path in self.children:
                    waiting.append(path)
        return found


_TREE = _Tree()


def _renew_lock() -> None:
    # Another thread of the parent may have held it while this one forked.
    _TREE.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class MemoryStorage:
    """Objects in the memory of this process, below a path.

    All storages of a process share one tree: ``memory://lab`` holds as ``mnist/x``
    what ``memory://lab/mnist`` holds as ``x``. Another process has a tree of its own.

    Parameters
    ----------
    root : str
        Path inside the tree, '' for all of it.

    Examples
    --------
    >>> MemoryStorage("lab").put("mnist/x", b"data")
    >>> MemoryStorage("lab/mnist").get("x")
    b'data'
    """

    is_local = True
    concurrency = 1
    atomic_create = True

    def __init__(self, root: str = "") -> None:
        self.root = "/".join(part for part in root.split("/") if part)
        self._prefix = self.root + "/" if self.root else ""
        self.url = "memory://" + self.root
        self.counters = Counters()

    def __repr__(self) -> str:
        return f"MemoryStorage({self.root!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (MemoryStorage, (self.root,))

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        data = _TREE.objects.get(self._prefix + path)
        counters = self.counters
        counters.reads += 1
        if data is not None:
            counters.read_bytes += len(data)
        return data

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return bytes ``start:stop``, or the last ``-start`` bytes if start is negative."""
        check_range(start, stop)
        data = _TREE.objects.get(self._prefix + path)
        counters = self.counters
        counters.reads += 1
        if data is None:
            return None
        if stop is not None and stop < start:
            stop = start
        part = data[start:stop]
        counters.read_bytes += len(part)
        return part

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        data = self.get(path)
        return None if data is None else spread(data, out)

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects."""
        return [self.get(path) for path in paths]

    def distrust(self, path: str) -> bool:
        """Whether reading a damaged object again may help: never."""
        return False

    def put(self, path: str, data: Data) -> None:
        """Store an object under a name that nobody else uses or reads yet."""
        content = joined(data)
        with _TREE.lock:
            _TREE.store(self._prefix + path, content)
        self._count_write(content)

    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing, replacing an older one of that name."""
        self.put(path, data)

    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken; return whether it was stored."""
        content = joined(data)
        full = self._prefix + path
        with _TREE.lock:
            created = full not in _TREE.objects
            if created:
                _TREE.store(full, content)
        self._count_write(content)
        return created

    def exists(self, path: str) -> bool:
        """Return whether there is an object (not a directory) of that name."""
        return self._prefix + path in _TREE.objects

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        data = _TREE.objects.get(self._prefix + path)
        return None if data is None else len(data)

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children; those of directories end in ``/``."""
        directory = (self._prefix + path).rstrip("/")
        start = directory + "/" if directory else ""
        with _TREE.lock:
            names = list(_TREE.children.get(directory, ()))
            found = [name + "/" for name in names if start + name in _TREE.children]
            found += [name for name in names if start + name in _TREE.objects]
        return sorted(name for name in found if name > after)[:limit]

    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below the directory `prefix` ('' for all)."""
        directory = (self._prefix + prefix).rstrip("/")
        with _TREE.lock:
            found = _TREE.below(directory)
        skip = len(self._prefix)
        return (path[skip:] for path in found)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        with _TREE.lock:
            for path in paths:
                _TREE.remove(self._prefix + path)

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below; a missing one is fine."""
        directory = (self._prefix + path).rstrip("/")
        with _TREE.lock:
            for found in _TREE.below(directory):
                _TREE.remove(found)

    def _count_write(self, content: bytes) -> None:
        counters = self.counters
        counters.writes += 1
        counters.write_bytes += len(content)
