"""What hubzarr asks of a store of bytes: a small protocol, its counters and its errors.

Paths are relative to the root of the storage, use ``/`` and have been validated by
the caller. Except for `Storage.put_atomic`, an object is written once under its name
and never changed, so no method needs to promise more than that about overwriting.
"""

from __future__ import annotations

import errno
from collections.abc import Buffer, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hubzarr.errors import InvalidError, StorageError

__all__ = [
    "Counters",
    "Data",
    "Storage",
    "check_range",
    "is_read_only",
    "joined",
    "spread",
    "storage_error",
]

type Data = Buffer | Sequence[Buffer]
"""The content of an object: one buffer, or a list or tuple of buffers stored in a row."""


@dataclass(slots=True)
class Counters:
    """Requests and bytes that went through a storage.

    They are updated without a lock, so that they cost nothing: under many threads a
    count may be off by a few. Unpickled storages start at zero.

    Examples
    --------
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://counters-example")
    >>> before = storage.counters.copy()
    >>> storage.put("a", b"12345")
    >>> storage.counters - before
    Counters(reads=0, read_bytes=0, writes=1, write_bytes=5)
    """

    reads: int = 0
    read_bytes: int = 0
    writes: int = 0
    write_bytes: int = 0

    def copy(self) -> Counters:
        """Return the counts of now, to compare with later ones."""
        return replace(self)

    def __sub__(self, earlier: Counters) -> Counters:
        return Counters(
            self.reads - earlier.reads,
            self.read_bytes - earlier.read_bytes,
            self.writes - earlier.writes,
            self.write_bytes - earlier.write_bytes,
        )


class Storage(Protocol):
    """A store of named, immutable byte objects.

    Every storage can be pickled: it carries its place and its options, never secrets
    or connections, and opens itself again. It can be used from many threads and after
    a fork.

    Attributes
    ----------
    url : str
        Canonical address of the root, without secrets.
    is_local : bool
        True where a request costs microseconds: a disk or memory of this machine.
    concurrency : int
        How many requests in flight at the same time pay off.
    atomic_create : bool
        True if `create` has exactly one winner among racing processes.
    counters : Counters
        Requests and bytes so far.
    """

    @property
    def url(self) -> str: ...

    @property
    def is_local(self) -> bool: ...

    @property
    def concurrency(self) -> int: ...

    @property
    def atomic_create(self) -> bool: ...

    @property
    def counters(self) -> Counters: ...

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return bytes ``start:stop``, or the last ``-start`` bytes if start is negative.

        A range that reaches past the end is cut there, as for a slice of bytes.
        """

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers in a row and return its size, None if it does not exist.

        Buffers of bytes are filled exactly if the result equals the sum of their lengths. For
        an object that is longer the result is only some number above that.
        """

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects, read concurrently where that pays."""

    def distrust(self, path: str) -> bool:
        """Forget what is kept of an object that turned out to be damaged.

        Returns whether reading it again may help: not on a disk, but on a network.
        """

    def put(self, path: str, data: Data) -> None:
        """Store an object under a name that nobody else uses or reads yet.

        A crash may leave a part of it, so the name must be one to which nothing
        refers before this returns: not a name made from the content.
        """

    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing, replacing an older one of that name."""

    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken; return whether it was stored.

        One of several racing callers gets True, and nobody ever sees a part of it.
        """

    def exists(self, path: str) -> bool:
        """Return whether there is an object (not a directory) of that name."""

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children; those of directories end in ``/``.

        Only names that sort after `after`: object stores start their listing there, so
        that the newest of a million numbered names cost one request. Where a listing takes
        several requests it may stop once it has `limit` names, the first ones.
        """

    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below the directory `prefix` ('' for all)."""

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below; a missing one is fine."""


def is_read_only(storage: Storage) -> bool:
    """Whether a store can only be read, whoever asks: web servers.

    Examples
    --------
    >>> from hubzarr.storage import open_storage
    >>> is_read_only(open_storage("https://host/hub")), is_read_only(open_storage("memory://x"))
    (True, False)
    """
    return storage.url.startswith(("http://", "https://"))


def joined(data: Data) -> bytes:
    """Return the content of an object as one bytes.

    Examples
    --------
    >>> joined([b"ab", bytearray(b"cd")]), joined(memoryview(b"ef"))
    (b'abcd', b'ef')
    """
    if type(data) is bytes:
        return data
    if isinstance(data, (list, tuple)):
        return b"".join(data)
    return bytes(data)  # type: ignore[arg-type]


def spread(data: Buffer, out: Sequence[memoryview]) -> int:
    """Copy into buffers in a row as much of an object as there is room for; return its size.

    Examples
    --------
    >>> first, second = bytearray(3), bytearray(3)
    >>> spread(b"abcd", [memoryview(first), memoryview(second)])
    4
    >>> first, second
    (bytearray(b'abc'), bytearray(b'd\\x00\\x00'))
    """
    view, start = memoryview(data), 0
    for part in out:
        count = min(len(view) - start, len(part))
        part[:count] = view[start : start + count]
        start += count
    return len(view)


def check_range(start: int, stop: int | None) -> None:
    """Refuse a suffix range that has an end too."""
    if start < 0 and stop is not None:
        raise InvalidError(
            f"range {start}:{stop}: a negative start means the last bytes and takes no stop; "
            "pass stop=None"
        )


_ADVICE = {
    "ENOSPC": "the disk is full: free some space, then try again",
    "EDQUOT": "the disk quota is used up: free some space or raise the quota, then try again",
    "EFBIG": "the file is larger than this system allows: raise the limit or use smaller chunks",
    "EACCES": "access is denied: correct the rights, or use a place of your own",
    "EPERM": "the system forbids it: correct the rights, or use a place of your own",
    "EROFS": "the file system is read-only: mount it for writing, or use another place",
    "EIO": "the device failed: check the disk or the network mount, then try again",
    "ENOTDIR": "a part of the path is a file, not a directory: move it away or use another place",
    "EISDIR": "it is a directory, not an object: move it away or use another name",
    "EEXIST": "a part of the path is a file, not a directory: move it away or use another place",
    "ENAMETOOLONG": "the path is too long for this file system: use shorter names",
    "EMFILE": "too many files are open: close some, or raise the limit (ulimit -n)",
    "ENFILE": "too many files are open on this machine: close some, or raise the limit",
}


def storage_error(error: OSError, verb: str, where: str) -> StorageError:
    """Turn an error of the system into ours: what failed, where, what to do.

    Examples
    --------
    >>> import errno
    >>> print(storage_error(OSError(errno.ENOSPC, "No space left"), "write", "/data/x"))
    can't write '/data/x': the disk is full: free some space, then try again
    """
    reason = errno.errorcode.get(error.errno or 0, type(error).__name__)
    advice = _ADVICE.get(reason)
    if advice is None:
        text = error.strerror or str(error) or type(error).__name__
        advice = f"{text}: check the place and the connection, then try again"
    return StorageError(f"can't {verb} {where!r}: {advice}", path=where, reason=reason)
