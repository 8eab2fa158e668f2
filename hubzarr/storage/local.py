"""Objects as files of a local disk: plain system calls in the caller's thread.

A chunk is read in some ten microseconds here, so this module goes round pathlib,
file objects and fsspec, each of which costs more than the read itself.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from hubzarr.errors import StorageError, UnsupportedError
from hubzarr.storage.base import Counters, Data, check_range, storage_error
from hubzarr.storage.files import SMALL, read_at, read_into, read_rest, write_all

__all__ = ["LocalStorage"]

_BINARY = getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | _BINARY
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_TEMPORARY = ".tmp-"
# What link(2) says where the file system or the system has no hard links.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
)


class LocalStorage:
    """Objects as files below a directory.

    Parameters
    ----------
    root : str
        The directory. It is made by the first write.
    fsync : bool
        Wait until the device holds every object (and its directory entry) before a
        write returns, so that finished commits survive a power cut.
    single_writer : bool
        Allow `create` on a file system without hard links, where it is not atomic:
        a promise that no two processes write at the same time.

    Examples
    --------
    >>> import tempfile
    >>> storage = LocalStorage(tempfile.mkdtemp())
    >>> storage.create("versions/main/000000000000.json", b"{}")
    True
    >>> storage.create("versions/main/000000000000.json", b"late")
    False
    >>> storage.get("versions/main/000000000000.json"), storage.get("nothing")
    (b'{}', None)
    """

    is_local = True

    def __init__(self, root: str, *, fsync: bool = False, single_writer: bool = False) -> None:
        self.root = os.path.abspath(os.path.expanduser(root))
        self._check_root()
        posix = self.root.replace(os.sep, "/")
        self._prefix = posix if posix.endswith("/") else posix + "/"
        self.url = "file://" + (posix if posix.startswith("/") else "/" + posix)
        self.fsync = fsync
        self.single_writer = single_writer
        self.atomic_create = True
        self.concurrency = min(8, 2 * (os.cpu_count() or 1))
        self.counters = Counters()

    def __repr__(self) -> str:
        return f"LocalStorage({self.root!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.root, self.fsync, self.single_writer))

    # Reading

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        try:
            fd = os.open(self._prefix + path, _READ)
        except OSError as error:
            return self._none_if_missing(error, path)
        try:
            data = os.read(fd, SMALL)
            # Some network mounts answer with less than there is.
            if len(data) == SMALL or (data and (rest := os.read(fd, SMALL))):
                data = read_rest(fd, data if len(data) == SMALL else data + rest)
        except OSError as error:
            return self._none_if_missing(error, path)
        finally:
            os.close(fd)
        counters = self.counters
        counters.reads += 1
        counters.read_bytes += len(data)
        return data

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return bytes ``start:stop``, or the last ``-start`` bytes if start is negative."""
        check_range(start, stop)
        try:
            fd = os.open(self._prefix + path, _READ)
        except OSError as error:
            return self._none_if_missing(error, path)
        try:
            # The size bounds what is allocated for a stop far past the end.
            if start < 0 or stop is None or stop - start > SMALL:
                size = os.fstat(fd).st_size
                start = max(0, size + start) if start < 0 else start
                stop = size if stop is None else min(stop, size)
            data = read_at(fd, start, stop)
        except OSError as error:
            return self._none_if_missing(error, path)
        finally:
            os.close(fd)
        counters = self.counters
        counters.reads += 1
        counters.read_bytes += len(data)
        return data

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        try:
            fd = os.open(self._prefix + path, _READ)
        except OSError as error:
            return self._none_if_missing(error, path)
        try:
            count = read_into(fd, out)
        except OSError as error:
            return self._none_if_missing(error, path)
        finally:
            os.close(fd)
        counters = self.counters
        counters.reads += 1
        counters.read_bytes += count
        return count

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects."""
        get = self.get
        return [get(path) for path in paths]

    def exists(self, path: str) -> bool:
        """Return whether there is an object (not a directory) of that name."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        try:
            found = os.stat(self._prefix + path)
        except OSError as error:
            return self._none_if_missing(error, path)
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children; those of directories end in ``/``."""
        names = (entry.name + "/" if entry.is_dir() else entry.name for entry in self._scan(path))
        return sorted(name for name in names if name > after)[:limit]

    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below the directory `prefix` ('' for all)."""
        waiting = [prefix]
        while waiting:
            directory = waiting.pop()
            start = directory + "/" if directory else ""
            for entry in self._scan(directory):
                if entry.is_dir():
                    waiting.append(start + entry.name)
                else:
                    yield start + entry.name

    def distrust(self, path: str) -> bool:
        """Whether reading a damaged object again may help: never."""
        return False

    # Writing

    def put(self, path: str, data: Data) -> None:
        """Store an object under a name that nobody else uses or reads yet."""
        full = self._prefix + path
        fd = self._open_new(full, _WRITE)
        self._fill(fd, full, data)
        if self.fsync:
            _sync_directory(os.path.dirname(full))

    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing, replacing an older one of that name."""
        full = self._prefix + path
        temporary = self._write_temporary(full, data)
        try:
            os.replace(temporary, full)
        except OSError as error:
            _unlink_quietly(temporary)
            raise storage_error(error, "write", full) from error
        if self.fsync:
            _sync_directory(os.path.dirname(full))

    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken; return whether it was stored."""
        full = self._prefix + path
        temporary = self._write_temporary(full, data)
        try:
            created = self._link(temporary, full)
        finally:
            _unlink_quietly(temporary)
        if self.fsync:
            # The loser waits too: it is about to build on the winner's object.
            _sync_directory(os.path.dirname(full))
        return created

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        for path in paths:
            try:
                os.unlink(self._prefix + path)
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise storage_error(error, "delete", self._prefix + path) from error

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below; a missing one is fine."""
        full = self._prefix + path
        try:
            shutil.rmtree(full, onexc=_raise_unless_missing)
        except OSError as error:
            raise storage_error(error, "delete", full) from error

    # Inside

    def _check_root(self) -> None:
        try:
            mode = os.stat(self.root).st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, "open", self.root) from error
        if not stat.S_ISDIR(mode):
            raise StorageError(
                f"can't open {self.root!r}: it is a file, not a directory; "
                "name a directory, or a path that does not exist yet",
                path=self.root,
                reason="ENOTDIR",
            )

    def _none_if_missing[T](self, error: OSError, path: str) -> T | None:
        """Return None if the error means that the object does not exist, else raise."""
        if isinstance(error, FileNotFoundError):
            self.counters.reads += 1
            return None
        if isinstance(error, (NotADirectoryError, IsADirectoryError)):
            self._check_root()
            return None
        full = self._prefix + path
        if isinstance(error, PermissionError) and os.path.isdir(full):
            return None  # how Windows answers to opening a directory
        raise storage_error(error, "read", full) from error

    def _scan(self, path: str) -> Iterator[os.DirEntry[str]]:
        full = self._prefix + path
        try:
            with os.scandir(full) as entries:
                found = [entry for entry in entries if not entry.name.startswith(_TEMPORARY)]
        except FileNotFoundError:
            return
        except NotADirectoryError:
            self._check_root()
            return
        except OSError as error:
            raise storage_error(error, "list", full) from error
        yield from found

    def _open_new(self, full: str, flags: int) -> int:
        try:
            return os.open(full, flags, 0o666)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise storage_error(error, "write", full) from error
        # Somebody may delete the new directory before the file is in it: try twice.
        for attempt in (1, 2):
            try:
                self._make_parents(os.path.dirname(full))
                return os.open(full, flags, 0o666)
            except OSError as error:
                if attempt == 1 and isinstance(error, FileNotFoundError):
                    continue
                raise storage_error(error, "write", full) from error
        raise StorageError(f"can't write {full!r}: its directory vanishes; try again", path=full)

    def _make_parents(self, directory: str) -> None:
        if not self.fsync:
            _make_directory(directory)
            return
        missing = []
        while not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for made in reversed(missing):
            os.makedirs(made, exist_ok=True)
            _sync_directory(os.path.dirname(made))

    def _fill(self, fd: int, full: str, data: Data) -> None:
        """Write and close a new file; a failure removes it."""
        try:
            try:
                count = write_all(fd, data)
                if self.fsync:
                    os.fsync(fd)
            finally:
                os.close(fd)  # reports a full disk on network mounts
        except BaseException as error:
            _unlink_quietly(full)
            if isinstance(error, OSError):
                raise storage_error(error, "write", full) from error
            raise
        counters = self.counters
        counters.writes += 1
        counters.write_bytes += count

    def _write_temporary(self, full: str, data: Data) -> str:
        """Write data beside its final name, so that link and rename stay atomic."""
        directory, _, _ = full.rpartition("/")
        temporary = f"{directory}/{_TEMPORARY}{os.urandom(8).hex()}"
        self._fill(self._open_new(temporary, _WRITE_NEW), temporary, data)
        return temporary

    def _link(self, temporary: str, full: str) -> bool:
        try:
            os.link(temporary, full)
        except FileExistsError:
            # A network mount may repeat a link whose answer was lost and then says
            # "exists"; the second link to our file shows that it was ours.
            return os.stat(temporary).st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise storage_error(error, "create", full) from error
        else:
            return True
        self.atomic_create = False
        if not self.single_writer:
            raise UnsupportedError(
                f"can't create {full!r} safely: this file system has no hard links, so two "
                "writers could both believe that they were first; use another file system, or "
                "pass single_writer=True if only one process ever writes",
                path=full,
            )
        if os.path.exists(full):
            return False
        os.replace(temporary, full)
        return True


def _reopen(root: str, fsync: bool, single_writer: bool) -> LocalStorage:
    return LocalStorage(root, fsync=fsync, single_writer=single_writer)


def _raise_unless_missing(function: object, path: str, error: BaseException) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _unlink_quietly(full: str) -> None:
    with suppress(OSError):
        os.unlink(full)


def _make_directory(directory: str) -> None:
    """Make a directory and those above it; with fewer questions than `os.makedirs` asks."""
    try:
        os.mkdir(directory)
    except FileNotFoundError:
        above = os.path.dirname(directory)
        if above == directory:
            raise
        _make_directory(above)
        _make_directory(directory)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise


def _sync_directory(directory: str) -> None:
    if os.name == "nt":  # has no handle on a directory to sync
        return
    try:
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise storage_error(error, "sync", directory) from error
