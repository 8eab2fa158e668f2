"""Objects on any store that fsspec reaches: S3, Google Cloud, Azure, HTTP, SFTP and more.

What differs between stores, and what this module does about it:

- Only some create an object atomically if it is absent; elsewhere `create` is refused
  unless the caller promises to be the only writer.
- They repeat requests whose answer was lost, so that our own first attempt may look
  like somebody else's: after "exists" and after doubt, `create` reads back and compares.
- They cache listings and then deny that newer objects exist: the caches stay off.
- Their connections do not survive a fork: a child opens its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hubzarr.errors import HubzarrError, ReadOnlyError, StorageError, UnsupportedError
from hubzarr.storage.base import Counters, Data, check_range, joined, spread
from hubzarr.storage.filesystems.listing import names_after
from hubzarr.storage.filesystems.web import web_info
from hubzarr.storage.network.connect import (
    check_url,
    open_filesystem,
    restored_options,
    translated,
    without_secrets,
)
from hubzarr.storage.network.creating import create_once
from hubzarr.storage.network.failures import Failure, explained, is_passing, may_be_missing
from hubzarr.storage.network.patience import Patience
from hubzarr.storage.network.retrying import Attempts
from hubzarr.threads import map_all

__all__ = ["FsspecStorage"]

_AZURE = frozenset({"abfs", "abfss", "az"})
_CREATES = _AZURE | {"s3", "s3a", "gs", "gcs", "memory"}
# Here an overwrite is atomic too; elsewhere it takes a temporary object and a rename.
_OVERWRITES = _CREATES | {"oss", "oci", "http", "https"}
_READ_ONLY = frozenset({"http", "https", "github", "zip", "tar"})
_HTTP = frozenset({"http", "https"})
_TEMPORARY = ".tmp-"
_BULK = 1000
_LARGE = 1 << 24
# A create above this could be sent in parts, which not every store creates atomically.
_ONE_PART = 50 << 20


class FsspecStorage:
    """Objects below a URL of an fsspec filesystem.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/hub``.
    options : mapping, optional
        Options of the filesystem. Secrets among them are used, but not pickled:
        another process finds its own in its environment.
    single_writer : bool
        Allow `create` on a store that can't create atomically: a promise that no two
        processes write at the same time.

    Examples
    --------
    >>> storage = FsspecStorage("memory://remote-example")
    >>> storage.create("a", b"mine"), storage.create("a", b"other"), storage.get("a")
    (True, False, b'mine')
    """

    is_local = False

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        *,
        single_writer: bool = False,
    ) -> None:
        self.protocol = url.partition("://")[0].lower()
        check_url(url)
        self.url = self.protocol + url[len(self.protocol) :].rstrip("/")
        self.single_writer = single_writer
        self.atomic_create = self.protocol in _CREATES
        self.counters = Counters()
        self._options = dict(options or {})
        self._patience = Patience.taken_from(dict(self._options))
        self._ranges: bool | None = None if self.protocol in _HTTP else True
        self._has_read = False
        self._connect()
        self.concurrency = 32 if self._fs.async_impl else 1

    def __repr__(self) -> str:
        return f"FsspecStorage({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.url, without_secrets(self._options), self.single_writer))

    # Reading

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        full = self._full(path)
        return self._count_read(
            self._read(path, lambda fs: fs.cat_file(full, **self._whole_options()))
        )

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return bytes ``start:stop``, or the last ``-start`` bytes if start is negative."""
        check_range(start, stop)
        if stop is not None and stop <= start:
            return b"" if self.exists(path) else None
        if not self._has_ranges(path):
            data = self.get(path)
            return None if data is None else data[start:stop]
        if stop is not None and stop - start > _LARGE and not self._filesystem().async_impl:
            # Filesystems built on files make room for all that was asked for.
            stop = min(stop, max(start, self.size(path) or 0))
        if start < 0 and self.protocol in _AZURE:  # knows no suffixes
            size = self.size(path)
            if not size:
                return None if size is None else self._count_read(b"")
            start, stop = max(0, size + start), size
        full = self._full(path)
        try:
            data = self._read(path, lambda fs: fs.cat_file(full, start=start, end=stop))
        except StorageError as error:
            # Stores refuse a range that begins at or after the end of the object.
            if error.fields.get("status") not in (None, 400, 416) or is_passing(error):
                raise
            size = self.size(path)
            if size is None or (0 <= start < size) or (start < 0 < size):
                raise
            data = b""
        return self._count_read(data)

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        data = self.get(path)
        return None if data is None else spread(data, out)

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects, read concurrently."""
        return map_all(self.get, paths, self.concurrency)

    def exists(self, path: str) -> bool:
        """Return whether there is an object (not a directory) of that name."""
        return self._info(path) is not None

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        info = self._info(path)
        if info is None:
            return None
        if info.get("size") is None:  # an HTTP server need not tell
            data = self.get(path)
            return None if data is None else len(data)
        return int(info["size"])

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children; those of directories end in ``/``."""
        self._check_lists(after, limit)
        full = self._full(path)
        if after or limit is not None:
            names = self._read(
                path, lambda fs: names_after(fs, self.protocol, full, after, limit), verb="list"
            )
            if names is not None:
                return sorted(names)[:limit]
        entries = self._read(path, lambda fs: fs.ls(full, detail=True), verb="list") or ()
        found = set()
        for entry in entries:
            name = self._below(entry["name"], path)
            if name and not name.startswith(_TEMPORARY):
                found.add(name + "/" if entry["type"] == "directory" else name)
        if not (found or path) and self.protocol in _HTTP:
            raise UnsupportedError(
                f"can't list {self.url!r}: this web server lists nothing there; name the array "
                "or dataset itself, such as "
                f"hub.load({self.url + '/name'!r})"
            )
        return sorted(name for name in found if name > after)[:limit]

    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below the directory `prefix` ('' for all)."""
        self._check_lists(prefix or "/")
        full = self._full(prefix)
        names = self._read(prefix, lambda fs: fs.find(full), verb="list") or ()
        start = prefix + "/" if prefix else ""
        for name in names:
            below = self._below(name, prefix)
            if below and not name.endswith("/") and _TEMPORARY not in below:
                yield start + below

    def distrust(self, path: str) -> bool:
        """Whether reading a damaged object again may help."""
        return True

    # Writing

    def put(self, path: str, data: Data) -> None:
        """Store an object under a name that nobody else uses or reads yet."""
        full, content = self._full(path), joined(data)
        self._write(path, lambda fs: fs.pipe_file(full, content))
        self._count_write(content)

    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing, replacing an older one of that name."""
        if self.protocol in _OVERWRITES:
            self.put(path, data)
            return
        directory, slash, _ = path.rpartition("/")
        temporary = f"{directory}{slash}{_TEMPORARY}{os.urandom(8).hex()}"
        self.put(temporary, data)
        source, target = self._full(temporary), self._full(path)
        try:
            self._write(path, lambda fs: fs.mv(source, target))
        except HubzarrError:
            self.delete([temporary])
            raise

    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken; return whether it was stored.

        Also True if an object with the same content is there: then an earlier attempt
        of ours won, though its answer was lost. So `data` should name its writer.
        """
        content = joined(data)
        self._check_writable(path)
        if not self.atomic_create:
            return self._create_alone(path, content)
        if self.single_writer and (stored := self.get(path)) is not None:
            return stored == content
        created = create_once(
            lambda: self._attempt(path, content), lambda: self.get(path), content, self._patience
        )
        self._count_write(content)
        return created

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        self._check_writable("", "delete")
        full = [self._full(path) for path in paths]
        fs = self._filesystem()
        if fs.async_impl and hasattr(fs, "_bulk_delete"):  # a thousand objects in one request
            batches = [full[i : i + _BULK] for i in range(0, len(full), _BULK)]
            ask: Callable[[Any, Any], None] = _remove_many
        else:
            batches, ask = [[path] for path in full], _remove

        def delete(batch: list[str]) -> None:
            path = self._below(batch[0], "")
            self._read(path, lambda fs: ask(fs, batch), verb="delete")

        map_all(delete, batches, self.concurrency)

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below; a missing one is fine."""
        if self._filesystem().async_impl:
            self.delete(self.list_all(path))
        else:
            full = self._full(path)
            self._read(path, lambda fs: fs.rm(full, recursive=True), verb="delete")

    # Inside

    def _connect(self) -> None:
        self._fs, base = open_filesystem(self.url, self._options, retrying=False)
        self._base = base.rstrip("/")
        self._pid = os.getpid()
        # FTP and its like have one connection; async filesystems take care themselves.
        self._lock = threading.RLock()

    def _filesystem(self) -> Any:
        if self._pid != os.getpid():
            self._connect()
        return self._fs

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base or "/"

    def _below(self, name: str, path: str) -> str:
        """Return a listed name relative to the directory that was listed."""
        start = self._full(path).rstrip("/") + "/"
        name = name.rstrip("/")
        if not name.startswith(start):
            name = "/" + name  # some filesystems leave out the first slash
        return name[len(start) :] if name.startswith(start) else ""

    def _read[T](self, path: str, ask: Callable[[Any], T], verb: str = "read") -> T | None:
        """Ask the filesystem; None means that the object or directory is missing."""
        attempts = Attempts(self._patience)
        while True:
            try:
                answer = self._ask(ask)
            except (NotADirectoryError, IsADirectoryError):
                return None
            except MemoryError:
                raise
            except Exception as error:
                failed = translated(error, verb, f"{self.url}/{path}", attempts)
                if self._is_missing(error, failed, verb):
                    return None
                if verb == "list" and failed.fields.get("status") == 403:
                    raise UnsupportedError(failed.message) from error
                if not attempts.again(failed):
                    raise failed from error
            else:
                self._has_read = True
                return answer

    def _ask[T](self, ask: Callable[[Any], T]) -> T:
        fs = self._filesystem()
        if fs.async_impl:
            return ask(fs)
        with self._lock:
            return ask(fs)

    def _is_missing(self, error: Exception, failed: HubzarrError, verb: str) -> bool:
        if isinstance(error, FileNotFoundError):
            return failed.fields.get("code") not in ("NoSuchBucket", "ContainerNotFound")
        return self._has_read and verb == "read" and may_be_missing(failed)

    def _write(self, path: str, ask: Callable[[Any], object]) -> None:
        """Store an object whole, as often as it takes."""
        attempts = Attempts(self._patience)
        while True:
            try:
                return self._write_once(path, ask, attempts)
            except StorageError as failed:
                if not attempts.again(failed):
                    raise

    def _write_once(
        self, path: str, ask: Callable[[Any], object], attempts: Attempts | None = None
    ) -> None:
        where = f"{self.url}/{path}"
        self._check_writable(path)
        try:
            self._ask(ask)
        except NotImplementedError as error:
            raise ReadOnlyError(f"can't write {where!r}: this store is read-only") from error
        except FileNotFoundError as error:
            if self.protocol not in _CREATES:
                raise translated(error, "write", where) from error
            missing = Failure(status=404, code="NoSuchBucket")
            raise explained(missing, "write", where) from error
        except Exception as error:
            raise translated(error, "write", where, attempts) from error

    def _check_writable(self, path: str, verb: str = "write") -> None:
        if self.protocol in _READ_ONLY:
            raise ReadOnlyError(
                f"can't {verb} '{self.url}/{path}': {self.protocol} stores are read-only"
            )

    def _check_lists(self, after: str = "", limit: int | None = None) -> None:
        """Refuse to list on a web server where every name must be there."""
        if self.protocol in _HTTP and (after or limit is not None):
            raise UnsupportedError(
                f"can't list {self.url!r}: a web server does not tell all that it holds"
            )

    def _whole_options(self) -> dict[str, Any]:
        # Otherwise s3fs asks for the size first: two requests for each object.
        return {"max_concurrency": 1} if self.protocol in ("s3", "s3a") else {}

    def _has_ranges(self, path: str) -> bool:
        """Return whether the store serves ranges: some HTTP servers send all instead."""
        if self._ranges is None:
            size = self.size(path)
            if size is None or size < 2:
                return False
            full = self._full(path)
            first = self._read(path, lambda fs: fs.cat_file(full, start=0, end=1))
            if first is None:
                return False
            self._ranges = len(first) == 1
        return self._ranges

    def _info(self, path: str) -> dict[str, Any] | None:
        full = self._full(path)
        ask = web_info if self.protocol in _HTTP else _info
        info = self._read(path, lambda fs: ask(fs, full))
        return info if info is not None and info["type"] == "file" else None

    def _attempt(self, path: str, content: bytes) -> bool:
        """Ask once to create an object; False if the store says that the name is taken."""
        full = self._full(path)
        options: dict[str, Any] = {"mode": "create"}
        if len(content) > _ONE_PART:
            options["chunksize"] = len(content) + 1
        try:
            self._write_once(path, lambda fs: fs.pipe_file(full, content, **options))
        except StorageError as error:
            if error.reason == "EEXIST" or error.fields.get("status") == 412:
                return False
            raise
        return True

    def _create_alone(self, path: str, content: bytes) -> bool:
        if not self.single_writer:
            raise UnsupportedError(
                f"can't create '{self.url}/{path}' safely: {self.protocol} stores can't create an "
                "object atomically, so two writers could both believe that they were first; use "
                "another store, or pass single_writer=True if only one process ever writes",
                path=path,
            )
        if self.exists(path):
            return False
        self.put_atomic(path, content)
        return True

    def _count_read(self, data: bytes | None) -> bytes | None:
        self.counters.reads += 1
        if data is not None:
            self.counters.read_bytes += len(data)
        return data

    def _count_write(self, content: bytes) -> None:
        self.counters.writes += 1
        self.counters.write_bytes += len(content)


def _info(fs: Any, path: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = fs.info(path)
    except PermissionError:
        # The answer to HEAD has no body that says why: to GET it has.
        fs.cat_file(path, start=0, end=1)
        raise
    return found


def _remove(fs: Any, paths: list[str]) -> None:
    for path in paths:
        fs.rm_file(path)


def _remove_many(fs: Any, paths: list[str]) -> None:
    from fsspec.asyn import sync

    sync(fs.loop, fs._bulk_delete, paths)


def _reopen(url: str, options: dict[str, Any], single_writer: bool) -> FsspecStorage:
    # Secrets are where this process finds them, such as in the config file.
    return FsspecStorage(url, restored_options(url, options), single_writer=single_writer)
