"""Payloads in a folder of this machine, shared by processes, bounded, droppable at any time.

Whatever goes wrong here - a full disk, a folder that vanished, damaged files - means that
something is not found; it never raises and never returns a wrong byte.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from hubzarr.errors import InvalidError
from hubzarr.storage.cache.entries import BrokenEntry, Head, make_head, read_head, read_payload
from hubzarr.storage.cache.usage import TEMPORARY, Usage, files_below, room_for, temporary_name
from hubzarr.storage.files import write_all

__all__ = ["PARTS", "DiskCache", "disk_cache"]

#: What ends the name of a folder that holds parts of one object.
PARTS: Final = ".d"
_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__))
_BINARY: Final = getattr(os, "O_BINARY", 0)
_TAG: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Disk cache of hubzarr: safe to delete\n"
)
#: A use is noted at most this often, in seconds.
_TOUCH: Final = 60.0
#: After a failed write, nothing is written for so many seconds.
_REST: Final = 30.0
_ATTEMPTS: Final = 4
#: An entry may take at most this share of the limit.
_SHARE: Final = 4


class DiskCache:
    """A folder of payloads under text keys.

    Parameters
    ----------
    folder : str
        Made, with rights for its user only, when something is first written. Everything
        lies in its sub-folder ``hubzarr-1``.
    limit : int
        Bytes that it may take. What was not used for longest goes first.

    Examples
    --------
    >>> import tempfile
    >>> cache = DiskCache(tempfile.mkdtemp(), 1 << 20)
    >>> cache.write("s3://bucket/x", b"payload")
    True
    >>> cache.read("s3://bucket/x"), cache.read("s3://bucket/x", 3, 5), cache.read("y")
    (b'payload', b'lo', None)
    """

    def __init__(self, folder: str, limit: int) -> None:
        self.folder = os.path.join(os.path.realpath(folder), "hubzarr-1")
        self.objects = os.path.join(self.folder, "objects")
        self._usage = Usage(self.folder, self.objects, limit)
        self._resting = 0.0
        self._writable = self._prepare()

    def __repr__(self) -> str:
        return f"DiskCache({os.path.dirname(self.folder)!r}, {self.limit})"

    @property
    def limit(self) -> int:
        """Bytes that it may take."""
        return self._usage.limit

    @limit.setter
    def limit(self, value: int) -> None:
        self._usage.limit = value

    @property
    def writable(self) -> bool:
        """Whether new payloads can be kept."""
        return self._writable

    def wake(self) -> None:
        """Try to keep payloads again, though a write failed a moment ago."""
        self._resting = 0.0

    # -- payloads ----------------------------------------------------------------

    def path_of(self, key: str) -> str:
        """The file for a key."""
        name = hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
        return f"{self.objects}/{name[:2]}/{name[2:]}"

    def read(
        self, key: str, start: int = 0, stop: int | None = None, path: str | None = None
    ) -> bytes | None:
        """Bytes ``start:stop`` of a payload, cut at its end; None if it is not there."""
        path = path or self.path_of(key)
        try:
            fd = os.open(path, os.O_RDONLY | _BINARY)
        except OSError:
            return None
        try:
            data = read_payload(fd, key, start, stop)
            used = os.fstat(fd).st_mtime
        except (BrokenEntry, OSError):
            self._unlink(path)
            return None
        finally:
            os.close(fd)
        _note_use(path, used)
        return data

    def touch(self, path: str) -> bool:
        """Note the use of a payload by its file; returns whether there is such a file."""
        try:
            _note_use(path, os.stat(path).st_mtime)
        except OSError:
            return False
        return True

    def length(self, key: str) -> int | None:
        """Bytes of a payload, of which only the head is looked at; None if it is not there."""
        path = self.path_of(key)
        try:
            fd = os.open(path, os.O_RDONLY | _BINARY)
        except OSError:
            return None
        try:
            head = read_head(fd)
            if head.key == key and os.fstat(fd).st_size == head.start + head.length:
                return head.length
        except (BrokenEntry, OSError):
            pass
        finally:
            os.close(fd)
        self._unlink(path)
        return None

    def write(self, key: str, payload: bytes, path: str | None = None) -> bool:
        """Keep a payload; returns whether it is kept."""
        if not self._writable or time.monotonic() < self._resting:
            return False
        if type(payload) is not bytes:
            payload = bytes(payload)  # some transports hand out buffers of their own
        head = make_head(key, payload)
        room = room_for(len(head) + len(payload))
        if room > self.limit // _SHARE:
            return False
        path = path or self.path_of(key)
        temporary = f"{os.path.dirname(path)}/{temporary_name()}"
        try:
            self._fill(temporary, head, payload)
        except OSError:  # the disk is full, say: reads go on without us
            self._unlink(temporary)
            self._resting = time.monotonic() + _REST
            return False
        except BaseException:
            self._unlink(temporary)
            raise
        return self._finish(temporary, path, room)

    def _fill(self, temporary: str, head: bytes, payload: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
        for attempt in range(_ATTEMPTS):
            try:
                fd = os.open(temporary, flags, 0o600)
                break
            except FileNotFoundError:
                # Whoever drops the last file of a folder drops the folder too.
                if attempt == _ATTEMPTS - 1:
                    raise
                os.makedirs(os.path.dirname(temporary), 0o700, exist_ok=True)
        try:
            write_all(fd, [head, payload])
        finally:
            os.close(fd)

    def _finish(self, temporary: str, path: str, room: int) -> bool:
        try:
            if self._usage.admit(room, lambda: os.replace(temporary, path)):
                return True
        except OSError:
            self._resting = time.monotonic() + _REST
        self._unlink(temporary)
        return False

    def drop(self, path: str) -> bool:
        """Forget a payload by its file; returns whether it was there."""
        return self._unlink(path)

    def drop_below(self, folder: str) -> bool:
        """Forget all payloads whose files lie in a folder; returns whether there were any."""
        dropped = [self._unlink(file.path) for file in files_below(folder)]
        with suppress(OSError):
            os.rmdir(folder)
        return any(dropped)

    # -- all of it ---------------------------------------------------------------

    def heads(self) -> Iterator[tuple[Head, int]]:
        """The head of every whole entry, and what its file takes."""
        for file in files_below(self.objects):
            if TEMPORARY in file.path:
                continue
            with suppress(OSError, BrokenEntry):
                fd = os.open(file.path, os.O_RDONLY | _BINARY)
                try:
                    yield read_head(fd), file.size
                finally:
                    os.close(fd)

    def count(self) -> tuple[int, int]:
        """Files and the bytes that they take."""
        return self._usage.count()

    def clear(self) -> tuple[int, int]:
        """Forget everything; returns files and bytes that went."""
        files, nbytes = 0, 0
        for file in files_below(self.objects):
            if self._unlink(file.path):
                files, nbytes = files + 1, nbytes + file.size
        if self._writable:
            with suppress(OSError):
                self._usage.recount()
        return files, nbytes

    # -- the folder --------------------------------------------------------------

    def _prepare(self) -> bool:
        """Make the folder; returns whether it can be written."""
        try:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            _check_owner(self.folder)
            os.makedirs(self.objects, 0o700, exist_ok=True)
            with open(os.path.join(self.folder, "CACHEDIR.TAG"), "w") as file:
                file.write(_TAG)
        except OSError as error:
            reading = os.access(self.objects, os.R_OK | os.X_OK)
            warnings.warn(
                f"the disk cache {self.folder!r} can't be written "
                f"({error.strerror or error}): "
                + ("what is in it is read" if reading else "reads go on without it")
                + "; correct its rights, or set cache_dir to another folder",
                UserWarning,
                skip_file_prefixes=(_PACKAGE,),
            )
            return False
        return True

    def _unlink(self, path: str) -> bool:
        try:
            os.unlink(path)
        except OSError:
            return False
        return True


def _note_use(path: str, before: float) -> None:
    """Note that a file is used, unless that was noted just before."""
    if abs(time.time() - before) > _TOUCH:
        with suppress(OSError):
            os.utime(path)


def _check_owner(folder: str) -> None:
    """Refuse what another user could fill with content of his own."""
    if not hasattr(os, "getuid"):
        return
    found, me = os.stat(folder), os.getuid()
    if found.st_mode & stat.S_IWOTH or (me and found.st_uid not in (me, 0)):
        raise InvalidError(
            f"the disk cache {folder!r} belongs to another user, or others may write it, and so "
            "could change what you read; set cache_dir to a folder of your own"
        )


_caches: dict[str, DiskCache] = {}


def disk_cache(folder: str, limit: int) -> DiskCache:
    """The cache in a folder: one for each folder and process, with the limit named last."""
    if limit <= 0:
        raise InvalidError(f"cache_size is {limit}: expected a size such as '10GiB'")
    place = os.path.realpath(folder)
    cache = _caches.get(place)
    if cache is None:
        cache = _caches.setdefault(place, DiskCache(place, limit))
    cache.limit = limit
    return cache
