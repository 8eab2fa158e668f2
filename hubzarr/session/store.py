"""A session as a zarr Store: what zarr, xarray, dask and others read and write.

Keys are those of a plain Zarr v3 store; see `hubzarr.session.keyspace` for what becomes of
them. Nothing is visible to others before `Session.commit` (or the automatic sync), and two
sessions that wrote different chunks both get through.

Two things differ from a plain store, for the better:

- Shrinking an array empties what is cut off its edge chunks, so growing it again shows the
  fill value there, not the old data.
- Consolidated metadata, once asked for, is made anew for every reader, so it is never stale.

And deleting an array's ``zarr.json`` deletes its chunks with it.

A store that is sent to another process only reads there, at the commit that its owner saw. To
write from many processes in one commit, send them what `VersionedStore.fork` gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import islice
from typing import Any, Final

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.session.forks.gathering import Gathering
from hubzarr.session.forks.keys import ForkKeys
from hubzarr.session.keys import node_path
from hubzarr.session.keyspace import KeySpace
from hubzarr.session.listing import delete_below, list_children, list_keys, size_below
from hubzarr.session.pinned import PinnedKeys
from hubzarr.session.session import Session
from hubzarr.threads import threads_for

__all__ = ["VersionedStore"]

#: Where a copy finds its keys.
type Source = PinnedKeys | ForkKeys

#: Keys listed per hop to another thread.
BATCH: Final = 1000


class VersionedStore(Store):
    """The state of a session as a store for zarr.

    Methods that end in ``_sync`` do the work. The asynchronous ones call them: at once on
    local storages, where a hop to another thread would cost more than the work, and in a
    thread on remote ones.

    A store can be pickled. Uncommitted changes are committed first; the copies only read, at
    that commit, and a process opens it once for all of them. See `fork` for copies that write.

    Parameters
    ----------
    session : Session
        What is read and written. Closing the store does not close it.
    path : str
        Node that the store begins at; the root by default.
    read_only : bool, optional
        Refuse writes. Default: as the session does.
    gathering : Gathering, optional
        What takes in what other processes store.

    Examples
    --------
    >>> import zarr
    >>> from hubzarr.session import create_repository, open_session
    >>> from hubzarr.session.store import VersionedStore
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://store-example")
    >>> group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    >>> _ = create_repository(storage, "main", group, author="me")
    >>> session = open_session(storage, "main", author="me")
    >>> root = zarr.open_group(VersionedStore(session))
    >>> array = root.create_array("x", shape=(4,), dtype="int16", chunks=(2,))
    >>> array[1:3] = [7, 8]
    >>> commit = session.commit("x")
    >>> zarr.open_array(VersionedStore(open_session(storage, "main")), path="x", mode="r")[:]
    array([0, 7, 8, 0], dtype=int16)
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(
        self,
        session: Session,
        path: str = "",
        *,
        read_only: bool | None = None,
        gathering: Gathering | None = None,
    ) -> None:
        writable = session.writable
        if read_only is False and not writable:
            session.check_writable()
        super().__init__(read_only=not writable if read_only is None else read_only)
        self._begin(path, None, gathering, KeySpace(session))

    def _begin(
        self,
        path: str,
        source: Source | None,
        gathering: Gathering | None = None,
        keys: KeySpace | None = None,
    ) -> None:
        self.path = path.strip("/")
        self._prefix = self.path + "/" if self.path else ""
        self._source = source
        self._gathering = gathering
        self._keys = keys

    @classmethod
    def copied(cls, source: Source, path: str, read_only: bool) -> VersionedStore:
        """A copy in another process. It opens nothing before somebody uses it."""
        store = cls.__new__(cls)
        Store.__init__(store, read_only=read_only)
        store._begin(path, source)
        return store

    @property
    def _space(self) -> KeySpace:
        if self._keys is None and self._source is not None:
            self._keys = self._source.open()
        return self._keys  # type: ignore[return-value]

    @property
    def session(self) -> Session:
        """What is read and written."""
        return self._space.session

    @property
    def _supports_sync_io(self) -> bool:
        """Whether zarr should call the ``_sync`` methods: on remote storages, threads are few."""
        return self.session.storage.is_local

    @property
    def _label(self) -> tuple[str, str]:
        """Name and version."""
        if self._source is not None:
            return self._source.name, self._source.version
        return self.session.name, self.session.version

    def __repr__(self) -> str:
        (name, version), path = self._label, f", path={self.path!r}" if self.path else ""
        return f"VersionedStore({name!r}, version={version!r}{path})"

    def __str__(self) -> str:
        name, version = self._label
        return f"hubzarr://{name}:{version}/{self.path}".rstrip("/")

    def __eq__(self, other: object) -> bool:
        """Whether two stores show the same session, or the same commit without changes."""
        if not isinstance(other, VersionedStore):
            return NotImplemented
        if self.path != other.path or self.read_only != other.read_only:
            return False
        if self._source is not None and self._source == other._source:
            return True
        mine, theirs = self.session, other.session
        return mine is theirs or (
            mine.storage.url == theirs.storage.url
            and mine.manifest.commit.id == theirs.manifest.commit.id
            and not mine.dirty
            and not theirs.dirty
        )

    __hash__ = None  # type: ignore[assignment]

    def _shared(self) -> Source:
        """Where another process finds what this store shows.

        Changes are committed first, or shared where this is a fork.
        """
        if self._source is not None:
            return self._source
        session = self.session
        place, commit = pickle.dumps(session.storage), session.manifest.commit
        if self._gathering is not None:
            state = self._gathering.share()
            return ForkKeys(place, session.name, commit.version, self._gathering.token, state)
        if session.writable and session.dirty:
            if session.in_transaction:
                raise InvalidError(
                    "a store can't be sent to other processes inside a transaction with changes: "
                    "they would not have them. Use `with store.fork(message) as fork:` instead of "
                    "the transaction, and send `fork`"
                )
            session.sync()
            commit = session.manifest.commit
        return PinnedKeys(place, session.name, commit.version, commit.number, commit.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return VersionedStore.copied, (self._shared(), self.path, self.read_only)

    def __dask_tokenize__(self) -> Any:
        """What tells this state of this store from all others."""
        if self._source is None and (self._gathering is not None or self.session.dirty):
            return uuid.uuid4().hex
        return *astuple(self._shared()), self.path

    def with_read_only(self, read_only: bool = False) -> VersionedStore:
        """The same session and path, for reading only or for writing too."""
        if self._source is not None:
            return self.copied(self._source, self.path, read_only)
        return type(self)(self.session, self.path, read_only=read_only, gathering=self._gathering)

    @contextlib.contextmanager
    def fork(self, message: str | None = None) -> Iterator[VersionedStore]:
        """Write from many processes, in one commit at the end of the with block.

        The store that this gives can be sent to other processes, as dask does: they store
        chunks through it, and read what it held when it was sent. Groups and arrays are made,
        resized and deleted in this process. Nothing is visible to others before the end, and an
        exception drops everything.

        Wait for all tasks inside the block. What they write after it is refused.

        Parameters
        ----------
        message : str, optional
            Of the commit.

        Raises
        ------
        ConflictError
            At the end: two tasks set the same elements to different values, or somebody else
            committed other values for them meanwhile.

        Examples
        --------
        >>> import pickle
        >>> import hubzarr as hub
        >>> import zarr
        >>> store = hub.store("examples/fork")
        >>> with store.fork("two tasks") as fork:
        ...     x = zarr.create_array(fork, name="x", shape=(4,), chunks=(2,), dtype="int16")
        ...     for task in range(2):
        ...         elsewhere = pickle.loads(pickle.dumps(x))  # as in another process
        ...         elsewhere[2 * task : 2 * task + 2] = task + 1
        >>> zarr.open_array(store, path="x")[:], store.session.manifest.commit.number
        (array([1, 1, 2, 2], dtype=int16), 1)
        """
        self._check_writable()
        with self.session.transaction(message):
            gathering = Gathering(self.session)
            try:
                yield type(self)(self.session, self.path, gathering=gathering)
                gathering.end()
            finally:
                gathering.forget()

    def _writing(self) -> None:
        """Called before every write."""
        self._check_writable()
        if self._gathering is not None:
            self._gathering.changing()

    def _reading(self, key: str = "") -> None:
        """Called before every read."""
        if self._gathering is not None:
            self._gathering.reading(documents_only=node_path(key) is not None)

    # -- in the caller's thread ----------------------------------------------

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Bytes of a key, None if there is no such key."""
        if not self._is_open:
            self._is_open = True
        self._reading(key)
        if prototype is None:
            prototype = default_buffer_prototype()
        if byte_range is None:
            data = self._space.get(self._prefix + key)
        elif isinstance(byte_range, SuffixByteRequest) and not byte_range.suffix:
            data = b"" if self._space.exists(self._prefix + key) else None
        else:
            data = self._space.get(self._prefix + key, *_span(byte_range))
        return None if data is None else prototype.buffer.from_bytes(data)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Set a key."""
        self._writing()
        if not self._is_open:
            self._is_open = True
        if not isinstance(value, Buffer):
            raise InvalidTypeError(
                f"the value of {key!r} is a {type(value).__name__}; expected a zarr Buffer: wrap "
                "bytes as zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(...)"
            )
        view = memoryview(value.as_buffer_like())
        self._space.put(self._prefix + key, view, view.nbytes)

    def delete_sync(self, key: str) -> None:
        """Remove a key; one that is not there is fine."""
        self._writing()
        self._space.delete(self._prefix + key)

    # -- asynchronous --------------------------------------------------------

    async def _run[T](self, work: Callable[..., T], *args: Any) -> T:
        storage = self.session.storage
        if storage.is_local:
            return work(*args)
        executor = _executors.get(threads_for(storage.concurrency))
        return await asyncio.get_running_loop().run_in_executor(executor, work, *args)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a key, None if there is no such key."""
        return await self._run(self._get, key, prototype, byte_range)

    def _get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None
    ) -> Buffer | None:
        return self.get_sync(key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Bytes of several keys or pieces of keys, in their order."""
        wanted = (self.get(key, prototype, byte_range) for key, byte_range in key_ranges)
        return list(await asyncio.gather(*wanted))

    async def set(self, key: str, value: Buffer) -> None:
        """Set a key."""
        await self._run(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Set a key unless this session has it already."""
        await self._run(self._set_if_absent, key, value)

    def _set_if_absent(self, key: str, value: Buffer) -> None:
        self._check_writable()
        with self.session.lock:
            if not self._space.exists(self._prefix + key):
                self.set_sync(key, value)

    async def delete(self, key: str) -> None:
        """Remove a key; one that is not there is fine."""
        await self._run(self.delete_sync, key)

    async def delete_dir(self, prefix: str) -> None:
        """Remove all keys below a directory: nodes with all their chunks, or some chunks."""
        self._check_writable()
        await self._run(self._delete_below, prefix)

    def _delete_below(self, prefix: str) -> None:
        self._writing()
        delete_below(self._space, self._directory(prefix))

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return await self._run(self._exists, key)

    def _exists(self, key: str) -> bool:
        self._reading(key)
        return self._space.exists(self._prefix + key)

    async def getsize(self, key: str) -> int:
        """Number of bytes of a key."""
        await self._run(self._reading, key)
        size = await self._run(self._space.size, self._prefix + key)
        if size is None:
            raise FileNotFoundError(key)
        return size

    async def getsize_prefix(self, prefix: str) -> int:
        """Number of bytes of all keys below a directory."""
        await self._run(self._reading)
        return await self._run(size_below, self._space, self._directory(prefix))

    # -- listing -------------------------------------------------------------

    def _directory(self, prefix: str) -> str:
        """A directory given as zarr does, with or without its slash, from the root."""
        prefix = prefix.rstrip("/")
        return self._prefix + (prefix + "/" if prefix else "")

    def list(self) -> AsyncIterator[str]:
        """All keys."""
        return self.list_prefix("")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All keys that begin with a text."""
        await self._run(self._reading)
        size = len(self._prefix)
        keys = list_keys(self._space, self._prefix + prefix)
        if self.session.storage.is_local:
            for key in keys:
                yield key[size:]
        else:
            while batch := await self._run(_take, keys):
                for key in batch:
                    yield key[size:]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names of keys and directories right below a directory."""
        await self._run(self._reading)
        for name in await self._run(list_children, self._space, self._directory(prefix)):
            yield name


def _take(keys: Iterator[str]) -> tuple[str, ...]:
    return tuple(islice(keys, BATCH))


def _span(byte_range: ByteRequest) -> tuple[int, int | None]:
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, byte_range.end
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, None
    if isinstance(byte_range, SuffixByteRequest):
        return -byte_range.suffix, None
    raise InvalidError(
        f"Unexpected byte_range, got {byte_range!r}; expected a RangeByteRequest, "
        "OffsetByteRequest or SuffixByteRequest from zarr.abc.store"
    )


class _Executors:
    """Threads that wait for remote storages on behalf of zarr's event loop.

    Not those of the engine: these here may wait for them.
    """

    def __init__(self) -> None:
        self.by_size: dict[int, ThreadPoolExecutor] = {}

    def get(self, threads: int) -> ThreadPoolExecutor:
        executor = self.by_size.get(threads)
        if executor is None:
            fresh = ThreadPoolExecutor(threads, thread_name_prefix="zarr-keys")
            executor = self.by_size.setdefault(threads, fresh)
        return executor


_executors = _Executors()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_executors.__init__)  # type: ignore[misc]
