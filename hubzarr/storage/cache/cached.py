"""A slow store with a disk cache in front of it.

Only what never changes is kept: objects under ``data/`` and ``pages/``, and manifests.
Manifests are asked for anew each time, because a repository may be deleted and made
anew under its URL; the copies serve `CachedStorage.manifest_of` and offline work. So do
copies of hints. That something does not exist is never remembered.

Writes go through. Pages and manifests are small and needed by whoever opens the next
handle, so they are kept too; chunks are not, or each write of bulk data would be done
twice and push out what somebody reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from hubzarr.config import get_config
from hubzarr.storage.base import Counters, Data, Storage, check_range, joined, spread
from hubzarr.storage.below import StorageBelow
from hubzarr.storage.cache.diskcache import DiskCache, disk_cache
from hubzarr.storage.cache.kept import KeptObjects
from hubzarr.storage.cache.known import KnownManifests, known_below, manifest_parts
from hubzarr.storage.cache.unreachable import UnreachableStorage

__all__ = ["CachedStorage"]

_IMMUTABLE: Final = re.compile(r"data/[0-9a-f]{16}/.|pages/[0-9a-f]{16}\Z")
_HINT: Final = re.compile(r"versions/[^/]+/latest")
#: Written pages up to this size are kept.
_SMALL: Final = 1 << 20


class CachedStorage:
    """A storage whose immutable objects are also kept on the local disk.

    Parameters
    ----------
    inner : Storage
        The slow store; `UnreachableStorage` if `offline`.
    folder : str
        Of the cache. It may be shared with other processes and used for many stores.
    limit : int
        Bytes that the folder may hold.
    offline : bool
        Never ask the store. What is not in the cache raises `OfflineError`.
    server : str
        What tells stores apart that have one URL, such as the endpoint of S3.

    Examples
    --------
    >>> import tempfile
    >>> from hubzarr.storage import open_storage
    >>> inner = open_storage("memory://cached-example")
    >>> inner.put("data/0123456789abcdef/c.0", b"chunk")
    >>> storage = CachedStorage(inner, tempfile.mkdtemp(), 1 << 20)
    >>> storage.get("data/0123456789abcdef/c.0"), storage.get("data/0123456789abcdef/c.0")
    (b'chunk', b'chunk')
    >>> storage.counters.reads
    1
    """

    is_local = False

    def __init__(
        self, inner: Storage, folder: str, limit: int, offline: bool = False, server: str = ""
    ) -> None:
        self.inner = inner
        self.offline = offline
        self._server = server
        self._folder = folder
        self._place = f"{inner.url} {server}".rstrip()
        self.cache: DiskCache = disk_cache(folder, limit)
        self._known = KnownManifests(self.cache, self._place)
        self._kept = KeptObjects(inner, self.cache, self._place)

    def __repr__(self) -> str:
        return f"CachedStorage({self.inner!r}, {self._folder!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.inner, self._folder, self.cache.limit, self.offline, self._server)
        return (_reopened, parts)

    @property
    def url(self) -> str:
        """Address of the store."""
        return self.inner.url

    @property
    def concurrency(self) -> int:
        """As the store's."""
        return self.inner.concurrency

    @property
    def atomic_create(self) -> bool:
        """As the store's."""
        return self.inner.atomic_create

    @property
    def counters(self) -> Counters:
        """Requests to the store: what the cache answers is not counted."""
        return self.inner.counters

    def below(self, folder: str) -> CachedStorage:
        """The objects below a folder, over the same connections and in the same cache."""
        inner = StorageBelow(self.inner, folder)
        return CachedStorage(inner, self._folder, self.cache.limit, self.offline, self._server)

    # -- whole objects -----------------------------------------------------------

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        return self._kept.get(path) if _IMMUTABLE.match(path) else self._get_changing(path)

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        data = self.get(path)
        return None if data is None else spread(data, out)

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects; what is missing is read concurrently."""
        if self.offline:
            return [self.get(path) for path in paths]
        found = [self._kept.here(path) if _IMMUTABLE.match(path) else None for path in paths]
        missing = [i for i, data in enumerate(found) if data is None]
        if missing:
            answers = self.inner.get_many([paths[i] for i in missing])
            for i, data in zip(missing, answers, strict=True):
                found[i] = data
                self._keep(paths[i], data)
        return found

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return bytes ``start:stop``, or the last ``-start`` bytes if start is negative."""
        check_range(start, stop)
        if _IMMUTABLE.match(path):
            return self._kept.get_range(path, start, stop)
        known = self._noted(path) if self.offline else None
        return self.inner.get_range(path, start, stop) if known is None else known[start:stop]

    # -- manifests and the hint --------------------------------------------------

    def _get_changing(self, path: str) -> bytes | None:
        if self.offline:
            data = self._noted(path)
            return self.inner.get(path) if data is None and not _HINT.fullmatch(path) else data
        data = self.inner.get(path)
        self._keep(path, data)
        return data

    def _noted(self, path: str) -> bytes | None:
        """A manifest or a hint as the store held it last."""
        noted = manifest_parts(path) is not None or _HINT.fullmatch(path) is not None
        return self._known.get(path) if noted else None

    def _keep(self, path: str, data: bytes | None) -> None:
        """Keep what the store has just sent."""
        if manifest_parts(path) is not None:
            self._known.keep(path, data)
        elif _HINT.fullmatch(path):
            self._known.keep_hint(path, data)
        elif data is not None and _IMMUTABLE.match(path):
            self._kept.put(path, data)

    def manifest_of(self, commit: str) -> bytes | None:
        """The manifest of a commit id, if the cache holds it: no request, online or not."""
        return self._known.by_commit(commit)

    def known_head(self, version: str) -> int | None:
        """The highest number of a version that this cache has seen; None if none.

        A place to start looking from: online there may be a higher one, or none at all.
        """
        return self._known.newest(version)

    # -- names -------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Return whether there is an object (not a directory) of that name."""
        parts = manifest_parts(path)
        if parts is None:
            here = _IMMUTABLE.match(path) and self._kept.size(path) is not None
            return bool(here) or self.inner.exists(path)
        if self.offline:
            newest = self._known.newest(parts[0])
            return self.inner.exists(path) if newest is None else parts[1] <= newest
        found = self.inner.exists(path)
        if not found:
            self._known.check_absent(path)
        return found

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        if _IMMUTABLE.match(path):
            found = self._kept.size(path)
        else:
            known = self._noted(path) if self.offline else None
            found = None if known is None else len(known)
        return self.inner.size(path) if found is None else found

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children that sort after `after`."""
        if self.offline:
            names = self._known.names(path)
            names = names or known_below(self.cache, self.url, self._server, path)
            if not names:
                return self.inner.list_dir(path, after, limit)
            return [name for name in names if name > after][:limit]
        names = self.inner.list_dir(path, after, limit)
        if limit is None or len(names) < limit:
            self._known.check_listing(path, after, names)
        return names

    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below the directory `prefix` ('' for all)."""
        return self.inner.list_all(prefix)

    # -- writing -----------------------------------------------------------------

    def put(self, path: str, data: Data) -> None:
        """Store an object under a name that nobody else uses or reads yet."""
        if not path.startswith("pages/"):
            self.inner.put(path, data)
            return
        content = joined(data)
        self.inner.put(path, content)
        if len(content) <= _SMALL:
            self._keep(path, content)

    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing, replacing an older one of that name."""
        self.inner.put_atomic(path, data)
        if manifest_parts(path) is not None:
            self._known.forget()
        elif _IMMUTABLE.match(path):
            self._kept.forget(path)

    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken; return whether it was stored."""
        content = joined(data)
        created = self.inner.create(path, content)
        if created:
            self._keep(path, content)
        return created

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        gone = list(paths)
        self.inner.delete(gone)
        for path in gone:
            if _IMMUTABLE.match(path):
                self._kept.forget(path)
        if any(manifest_parts(path) for path in gone):
            self._known.forget()

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below; a missing one is fine."""
        self.inner.delete_dir(path)
        if not path or path.split("/")[0] == "versions":
            self._known.forget()

    # -- the cache ---------------------------------------------------------------

    def distrust(self, path: str) -> bool:
        """Forget what is kept of an object that turned out to be damaged.

        It may have been damaged on its way from the store, and asking again would find
        the same here.
        """
        if _IMMUTABLE.match(path):
            self._kept.forget(path)
        return self.inner.distrust(path)

    def holds(self, path: str) -> bool:
        """Return whether the cache has an object, or at least a part of it."""
        return self._kept.holds(path)


def _reopened(inner: Storage, folder: str, limit: int, offline: bool, server: str) -> CachedStorage:
    """Open an unpickled storage: its process's own settings count, else those of the sender."""
    config = get_config()
    if config.cache_dir is not None:
        folder, limit = config.cache_dir, config.cache_size
    if config.offline and not offline:
        inner, offline = UnreachableStorage(inner.url), True
    return CachedStorage(inner, folder, limit, offline, server)
