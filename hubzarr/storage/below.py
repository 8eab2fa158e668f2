"""A folder of a storage as a storage of its own, over the same connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hubzarr.storage.base import Counters, Data, Storage

__all__ = ["StorageBelow"]


class StorageBelow:
    """The objects below a folder of another storage.

    To look into hundreds of repositories, this opens one connection, not hundreds.

    Examples
    --------
    >>> from hubzarr.storage import open_storage
    >>> root = open_storage("memory://below-example")
    >>> folder = StorageBelow(root, "alice/x")
    >>> folder.put("a", b"1")
    >>> folder.url, root.get("alice/x/a"), list(folder.list_all(""))
    ('memory://below-example/alice/x', b'1', ['a'])
    """

    def __init__(self, whole: Storage, folder: str) -> None:
        self._whole = whole
        self._folder = folder

    def __repr__(self) -> str:
        return f"StorageBelow({self._whole!r}, {self._folder!r})"

    @property
    def url(self) -> str:
        """Address of the folder."""
        return f"{self._whole.url.rstrip('/')}/{self._folder}"

    @property
    def is_local(self) -> bool:
        """As the whole."""
        return self._whole.is_local

    @property
    def concurrency(self) -> int:
        """As the whole."""
        return self._whole.concurrency

    @property
    def atomic_create(self) -> bool:
        """As the whole."""
        return self._whole.atomic_create

    @property
    def counters(self) -> Counters:
        """Of the whole."""
        return self._whole.counters

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        return self._whole.get(self._full(path))

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return some bytes of an object."""
        return self._whole.get_range(self._full(path), start, stop)

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        return self._whole.get_into(self._full(path), *out)

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects."""
        return self._whole.get_many([self._full(path) for path in paths])

    def distrust(self, path: str) -> bool:
        """Forget what is kept of an object that turned out to be damaged."""
        return self._whole.distrust(self._full(path))

    def put(self, path: str, data: Data) -> None:
        """Store an object under a name that nobody else uses or reads yet."""
        self._whole.put(self._full(path), data)

    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing, replacing an older one of that name."""
        self._whole.put_atomic(self._full(path), data)

    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken; return whether it was stored."""
        return self._whole.create(self._full(path), data)

    def exists(self, path: str) -> bool:
        """Return whether there is an object (not a directory) of that name."""
        return self._whole.exists(self._full(path))

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        return self._whole.size(self._full(path))

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children; those of directories end in ``/``."""
        return self._whole.list_dir(self._full(path), after, limit)

    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below the directory `prefix` ('' for all)."""
        start = len(self._folder) + 1
        return (path[start:] for path in self._whole.list_all(self._full(prefix)))

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        self._whole.delete(map(self._full, paths))

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below; a missing one is fine."""
        self._whole.delete_dir(self._full(path))

    def _full(self, path: str) -> str:
        return f"{self._folder}/{path}" if path else self._folder
