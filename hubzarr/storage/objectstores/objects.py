"""Objects on S3, Google Cloud Storage and Azure through obstore, which is written in Rust.

Its clients answer several times as many requests per second as Python's own, from plain
calls in many threads. What stores and clients do, and what this module does about it:

- A request whose answer was lost is sent again, so that our own first attempt to create
  an object may look like somebody else's: `create` reads back and compares.
- The runtime does not survive a fork: a child of a process that used it asks by fsspec.
- A compiled call does not notice Ctrl-C: the main thread lets another one wait.
- A bucket in another region is found there, once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Final

from hubzarr.errors import HubzarrError, InvalidError, StorageError, UnsupportedError
from hubzarr.storage.base import Counters, Data, check_range, joined, spread
from hubzarr.storage.filesystems.remote import FsspecStorage
from hubzarr.storage.network.connect import check_url, restored_options, without_secrets
from hubzarr.storage.network.creating import create_once
from hubzarr.storage.network.failures import explained, failure_of, is_passing, may_be_missing
from hubzarr.storage.network.interrupts import interruptible
from hubzarr.storage.network.patience import Patience
from hubzarr.storage.network.retrying import Attempts
from hubzarr.storage.objectstores.clients import (
    installed,
    open_client,
    region_of,
    runtime_is_dead,
    settled,
)
from hubzarr.storage.objectstores.plans import Plan, plan_for
from hubzarr.threads import map_all

__all__ = ["ObjectStorage"]

_BULK: Final = 1000
# Above this an upload goes in parts: then a failure costs a part, not all of it.
_IN_PARTS: Final = 64 << 20
_PART: Final = 16 << 20
_WHOLE: Final = 1 << 62
_SIGNED: Final = re.compile(r"(sig|signature|token|credential)=", re.I)


def _or_by_fsspec[S: ObjectStorage, **P, T](
    verb: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """Let a verb go through fsspec where obstore can't do it, or not any more."""

    @functools.wraps(verb)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._can_ask():
            answer: T = getattr(self.by_fsspec(), verb.__name__)(*args, **kwargs)
            return answer
        return verb(self, *args, **kwargs)

    return call


class ObjectStorage:
    """Objects below a URL, asked for through obstore.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/hub``, ``gs://bucket/hub`` or ``az://container/hub``.
    options : mapping, optional
        Options as s3fs, gcsfs and adlfs take them; ``timeout`` in seconds and ``retries``.
        Secrets among them are used, but not pickled: another process finds its own in
        its environment or config file.
    single_writer : bool
        A promise that no two processes write at the same time, for S3-compatible stores
        that ignore or refuse the condition "only if absent".

    Raises
    ------
    UnsupportedError
        obstore is not installed, or can't do what the options say.

    Examples
    --------
    >>> ObjectStorage("s3://lab/hub", {"anon": True, "region": "eu-west-1"})
    ObjectStorage('s3://lab/hub')
    """

    is_local = False
    atomic_create = True
    concurrency = 64

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        *,
        single_writer: bool = False,
    ) -> None:
        check_url(url)
        protocol, _, place = url.partition("://")
        self.url = f"{protocol.lower()}://{place.rstrip('/')}"
        self.single_writer = single_writer
        self._options = dict(options or {})
        rest = dict(self._options)
        self._patience = Patience.taken_from(rest)
        self._plan = _plan_of(self.url, rest)
        self._is_settled = self._is_unknown = False
        self._start = self._plan.base + "/" if self._plan.base else ""
        self.counters = Counters()
        self._substitute: FsspecStorage | None = None
        self._has_read = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        public = without_secrets(self._options)
        return (_reopen, (type(self), self.url, public, self.single_writer))

    def by_fsspec(self) -> FsspecStorage:
        """Return the same place as fsspec serves it."""
        if self._substitute is None:
            self._substitute = FsspecStorage(
                self.url, self._options, single_writer=self.single_writer
            )
            self._substitute.counters = self.counters
        return self._substitute

    # Reading

    @_or_by_fsspec
    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        full = self._start + path
        data = self._read(path, lambda client: _content(client.get(full)))
        return self._count_read(data)

    @_or_by_fsspec
    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return bytes ``start:stop``, or the last ``-start`` bytes if start is negative."""
        check_range(start, stop)
        if stop is not None and stop <= start:
            return b"" if self.exists(path) else None
        try:
            data = self._read(path, functools.partial(self._part, path, start, stop))
        except StorageError as error:
            # Stores refuse a range that begins at or after the end of the object.
            if error.fields.get("status") not in (None, 416) or is_passing(error):
                raise
            size = self.size(path)
            if size is None or (0 <= start < size) or (start < 0 < size):
                raise
            data = b""
        return self._count_read(data)

    @_or_by_fsspec
    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        full = self._start + path
        data = self._read(path, lambda client: client.get(full).bytes())
        if data is None:
            self._count_read(None)
            return None
        size = spread(data, out)
        self.counters.reads += 1
        self.counters.read_bytes += size
        return size

    @_or_by_fsspec
    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects, read concurrently."""
        return map_all(self.get, paths, self.concurrency)

    @_or_by_fsspec
    def exists(self, path: str) -> bool:
        """Return whether there is an object (not a directory) of that name."""
        return self.size(path) is not None

    @_or_by_fsspec
    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        full = self._start + path
        return self._read(path, lambda client: _size_of(client, full))

    @_or_by_fsspec
    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children; those of directories end in ``/``."""
        names = self._listed_after(path, after, limit) if after or limit is not None else None
        if names is None:
            names = self._listed(path)
        return sorted(name for name in names if name > after)[:limit]

    @_or_by_fsspec
    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below the directory `prefix` ('' for all)."""
        return (self._start_of(prefix, "") + name for name in self._below(prefix))

    def distrust(self, path: str) -> bool:
        """Whether reading a damaged object again may help."""
        return True

    # Writing

    @_or_by_fsspec
    def put(self, path: str, data: Data) -> None:
        """Store an object under a name that nobody else uses or reads yet."""
        full, content = self._start + path, joined(data)
        in_parts = len(content) > _IN_PARTS
        self._write(
            path,
            lambda client: client.put(full, content, use_multipart=in_parts, chunk_size=_PART),
            _PART if in_parts else len(content),
        )
        self._count_write(content)

    @_or_by_fsspec
    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing, replacing an older one of that name."""
        self.put(path, data)

    @_or_by_fsspec
    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken; return whether it was stored.

        Also True if an object with the same content is there: then an earlier attempt
        of ours won, though its answer was lost. So `data` should name its writer.
        """
        full, content = self._start + path, joined(data)

        def attempt() -> bool:
            ask = functools.partial(_created, full=full, content=content)
            return self._write_once(path, ask, len(content), Attempts(self._patience))

        def read() -> bytes | None:
            return self.get(path)

        if self.single_writer and (stored := read()) is not None:
            return stored == content
        created = create_once(attempt, read, content, self._patience)
        self._count_write(content)
        return created

    @_or_by_fsspec
    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        full = [self._start + path for path in paths]
        if self._plan.kind == "s3":  # deletes a thousand objects in one request
            batches = [full[i : i + _BULK] for i in range(0, len(full), _BULK)]
        else:  # where a missing object ends the batch that it is in
            batches = [[name] for name in full]

        def delete(batch: list[str]) -> None:
            path = batch[0][len(self._start) :]
            self._read(path, lambda client: client.delete(batch), "delete")

        map_all(delete, batches, self.concurrency)

    @_or_by_fsspec
    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below; a missing one is fine."""
        self.delete(self.list_all(path))

    # Asking

    def _can_ask(self) -> bool:
        """Whether obstore can serve this store, as far as this process and profile go."""
        if not self._is_settled:
            try:
                self._plan = settled(self._plan)
            except UnsupportedError:
                self._is_unknown = True
            self._is_settled = True
        return not (self._is_unknown or runtime_is_dead())

    def _client(self, size: int = 0) -> Any:
        patience = self._patience
        # An upload in parts would begin anew for each part that fails.
        retries = patience.retries if size == _PART else 0
        return open_client(self._plan, patience, patience.for_upload(size), retries)

    def _ask[T](self, ask: Callable[[Any], T], size: int = 0) -> T:
        try:
            return interruptible(lambda: ask(self._client(size)))
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # which is no Exception
                raise
            raise StorageError(
                f"obstore failed inside while it asked {self.url!r}: check the endpoint, or pass "
                "transport='fsspec'",
                reason="panic",
            ) from None

    def _read[T](self, path: str, ask: Callable[[Any], T], verb: str = "read") -> T | None:
        """Ask the store; None means that the object or directory is missing."""
        attempts = Attempts(self._patience)
        while True:
            plan = self._plan
            try:
                answer = self._ask(ask)
            except (HubzarrError, MemoryError):
                raise
            except Exception as error:
                failed = self._failed(error, verb, path, attempts)
                if self._is_missing(error, failed):
                    return None
                if failed.status == 403 and verb == "list":
                    raise UnsupportedError(failed.message) from None
                if self._has_read and verb == "read" and may_be_missing(failed):
                    return None
                if not (self._found_region(failed, plan) or attempts.again(failed)):
                    raise failed from _shown(error)
            else:
                self._has_read = True
                return answer

    def _write[T](self, path: str, ask: Callable[[Any], T], size: int) -> T:
        """Store an object whole, as often as it takes."""
        attempts = Attempts(self._patience)
        while True:
            try:
                return self._write_once(path, ask, size, attempts)
            except StorageError as failed:
                if not attempts.again(failed):
                    raise

    def _write_once[T](
        self, path: str, ask: Callable[[Any], T], size: int, attempts: Attempts
    ) -> T:
        while True:
            plan = self._plan
            try:
                return self._ask(ask, size)
            except (HubzarrError, MemoryError):
                raise
            except Exception as error:
                failed = self._failed(error, "write", path, attempts)
                if not self._found_region(failed, plan):
                    raise failed from _shown(error)

    def _is_missing(self, error: Exception, failed: StorageError) -> bool:
        return isinstance(error, FileNotFoundError) and failed.reason != "ENOENT"

    def _failed(self, error: Exception, verb: str, path: str, attempts: Attempts) -> StorageError:
        return explained(attempts.counted(failure_of(error)), verb, f"{self.url}/{path}")

    def _found_region(self, failed: StorageError, asked: Plan) -> bool:
        """Whether the bucket turned out to be in another region, where it is asked from now on."""
        if failed.reason != "region" or asked.kind != "s3":
            return False
        region = region_of(asked, self._patience.connect)
        if region is None or region == asked.get("region"):
            return False
        config = dict(self._plan.config) | {"region": region}
        self._plan = replace(self._plan, config=tuple(config.items()))
        return True

    def _part(self, path: str, start: int, stop: int | None, client: Any) -> bytes:
        full = self._start + path
        wanted: Any = (start, stop) if stop is not None else {"offset": start}
        if start < 0:
            wanted = {"suffix": -start}
            if self._plan.kind == "azure":  # knows no suffixes
                size = int(client.head(full)["size"])
                wanted = (max(0, size + start), size)
        return _content(client.get(full, options={"range": wanted}))

    # Listing

    def _start_of(self, path: str, root: str) -> str:
        return f"{root}{path}/" if path else root

    def _listed(self, path: str) -> list[str]:
        start = self._start_of(path, self._start)
        found = self._read(
            path, lambda client: client.list_with_delimiter(start.rstrip("/") or None), "list"
        )
        if found is None:
            return []
        names = [one["path"][len(start) :] for one in found["objects"]]
        folders = [one[len(start) :].rstrip("/") + "/" for one in found["common_prefixes"]]
        return [name for name in (*names, *folders) if name not in ("", "/")]

    def _listed_after(self, path: str, after: str, limit: int | None) -> list[str] | None:
        """Names after one, listed from there; None if there are directories among them.

        obstore starts a listing at a name only where it goes down into directories too.
        """
        names: list[str] = []
        for name in self._below(path, after):
            if "/" in name:
                return None
            names.append(name)
            if limit is not None and len(names) >= limit:
                break
        return names

    def _below(self, path: str, after: str = "") -> Iterator[str]:
        """Yield what lies below a directory, sorted as the store sorts it, page by page."""
        start = self._start_of(path, self._start)
        pages = _Pages(start, start + after if after else None)
        while (page := self._read(path, pages.following, "list")) is not None:
            yield from (name for one in page if (name := one["path"][len(start) :]))

    # Counting

    def _count_read(self, data: bytes | None) -> bytes | None:
        self.counters.reads += 1
        if data is not None:
            self.counters.read_bytes += len(data)
        return data

    def _count_write(self, content: bytes) -> None:
        self.counters.writes += 1
        self.counters.write_bytes += len(content)


class _Pages:
    """The pages of a listing, from where it stood if a request for one of them fails.

    A stream of obstore that failed is at its end: what it had not told yet would be lost.
    """

    def __init__(self, start: str, after: str | None) -> None:
        self._start = start
        self._last = after
        self._stream: Any = None

    def following(self, client: Any) -> Any:
        """Return the next page, None after the last one."""
        stream, self._stream = self._stream, None
        if stream is None:
            prefix = self._start.rstrip("/") or None
            stream = iter(client.list(prefix=prefix, offset=self._last, chunk_size=_BULK))
        page = next(stream, None)
        self._stream = stream
        if page:
            self._last = page[-1]["path"]
        return page


def _content(answer: Any) -> bytes:
    """The body of an answer; as one part of a stream it is copied once, not twice."""
    return b"".join(answer.stream(_WHOLE))


def _size_of(client: Any, full: str) -> int:
    try:
        return int(client.head(full)["size"])
    except Exception as error:
        if failure_of(error).status != 403:
            raise
        # The answer to HEAD has no body that says why: to GET it has.
        return int(client.get(full, options={"range": (0, 1)}).meta["size"])


def _created(client: Any, full: str, content: bytes) -> bool:
    from obstore.exceptions import AlreadyExistsError

    try:
        client.put(full, content, mode="create")
    except AlreadyExistsError:
        return False
    return True


def _plan_of(url: str, options: Mapping[str, Any]) -> Plan:
    if not (runtime_is_dead() or installed()):
        raise UnsupportedError(
            f"can't open {url!r} with obstore: it is not installed; "
            "pip install 'hubzarr[obstore]', or pass transport='fsspec'"
        )
    plan = plan_for(url, options)
    if plan is None:
        raise UnsupportedError(
            f"can't open {url!r} with obstore: it does not know this store or some of the "
            f"options {', '.join(map(repr, options)) or '(none)'}; pass transport='fsspec'"
        )
    if not plan.bucket:
        raise InvalidError(f"{url!r} names no bucket: expected {plan.kind}://bucket/folder")
    return plan


def _shown(error: Exception) -> Exception | None:
    """The cause to show with our error; signed URLs in it would show a secret."""
    return None if _SIGNED.search(str(error)) else error


def _reopen(
    kind: type[ObjectStorage], url: str, options: dict[str, Any], single_writer: bool
) -> ObjectStorage | FsspecStorage:
    options = restored_options(url, options)
    try:
        return kind(url, options, single_writer=single_writer)
    except UnsupportedError:  # no obstore here, or secrets that only fsspec knows
        return FsspecStorage(url, options, single_writer=single_writer)
