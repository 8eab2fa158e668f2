"""Objects from one store to another: in parallel, in bounded memory, only what is missing."""

from __future__ import annotations

import os
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import batched
from typing import Final

from hubzarr.errors import DamagedError, StorageError
from hubzarr.progress import Progress
from hubzarr.session.transferring.contents import Item
from hubzarr.storage.base import Storage
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.threads import Task, at_once, in_pool, let_end, map_all, submit, threads_for

__all__ = ["Carrier", "past_cache"]

#: Objects that are looked for together.
BATCH: Final = 256
#: Bytes on their way at a time.
IN_FLIGHT: Final = 256 << 20
#: Local objects that make one task: a hop to a thread costs more than a small file.
LOCAL_TASK: Final = 16
LOCAL_BYTES: Final = 4 << 20
#: From so many objects in one directory on, listing it is cheaper than asking for each.
WORTH_LISTING: Final = 4
#: Names of objects that are remembered from listings.
NAMES_KEPT: Final = 1_000_000


def past_cache(storage: Storage) -> Storage:
    """The store itself: what is kept of it on this disk says nothing of what it has now.

    Nor should a transfer drive out of the cache what is read every day.
    """
    return storage.inner if isinstance(storage, CachedStorage) else storage


class Carrier:
    """Copies objects as they are.

    Parameters
    ----------
    source, target : Storage
    compare : bool
        Compare sizes with the target's afterwards, of objects that were there already too.
    only_count : bool
        Find out what is missing, and copy nothing.
    ask_always : bool
        Ask for each object, not only for those that are hardly there yet.
    bar : Progress, optional

    Attributes
    ----------
    objects, nbytes : int
        What was copied; with `only_count`, what would be.
    skipped : int
        Objects that were there already.
    """

    def __init__(
        self,
        source: Storage,
        target: Storage,
        *,
        compare: bool = False,
        only_count: bool = False,
        ask_always: bool = False,
        bar: Progress[None] | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.compare = compare
        self.only_count = only_count
        self.bar = bar
        self.objects = 0
        self.nbytes = 0
        self.skipped = 0
        self._presence = _Presence(target, ask_always)
        self._local = source.is_local and target.is_local
        self._concurrency = max(source.concurrency, target.concurrency)

    def carry(self, items: Iterable[Item]) -> None:
        """Copy what is missing; returns when all of it is there."""
        if self.only_count:
            for missing in self._missing(items):
                self._count(missing)
            return
        window = _Window(self._concurrency, self._account)
        try:
            for missing in self._missing(items):
                for group in self._tasks(missing):
                    window.add(partial(self._copy, group), sum(item.size for item in group))
            window.drain()
        except BaseException as failure:
            window.abandon(failure)
            raise

    # -- what is missing -------------------------------------------------------

    def _missing(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        for batch in batched(items, BATCH):
            for item in batch:
                _check_path(item.path)
            there = self._presence.of(batch)
            if self.compare and there:
                there -= self._cut_short([item for item in batch if item.path in there])
            missing = [item for item in batch if item.path not in there]
            self.skipped += len(batch) - len(missing)
            yield missing

    def _cut_short(self, items: Sequence[Item]) -> set[str]:
        """Paths of objects that have another size here and there."""

        def differs(item: Item) -> bool:
            return self.source.size(item.path) != self.target.size(item.path)

        found = map_all(differs, items, self._concurrency)
        return {item.path for item, unlike in zip(items, found, strict=True) if unlike}

    def _count(self, items: Sequence[Item]) -> None:
        sizes = map_all(lambda item: self.source.size(item.path), items, self._concurrency)
        self.objects += len(items)
        self.nbytes += sum(size or 0 for size in sizes)

    # -- copying ---------------------------------------------------------------

    def _tasks(self, items: Sequence[Item]) -> Iterator[list[Item]]:
        if not self._local:
            yield from ([item] for item in items)
            return
        group: list[Item] = []
        size = 0
        for item in items:
            group.append(item)
            size += item.size
            if len(group) == LOCAL_TASK or size >= LOCAL_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _copy(self, items: Sequence[Item]) -> tuple[int, int]:
        total = 0
        for item in items:
            data = self._sound(item)
            self.target.put_atomic(item.path, data)
            if self.compare and self.target.size(item.path) != len(data):
                raise StorageError(
                    f"object {item.path} did not arrive whole at {self.target.url}: try again",
                    path=item.path,
                )
            total += len(data)
        return len(items), total

    def _sound(self, item: Item) -> bytes:
        """The content of an object; read again if it was damaged on its way."""
        try:
            return self._read(item)
        except DamagedError as error:
            failure = error
        try:
            if self.source.distrust(item.path):
                return self._read(item)
        except DamagedError as error:
            failure = error
        raise DamagedError(
            f"{self.source.url}: {failure}; restore it from a copy, then try again",
            path=item.path,
        ) from failure

    def _read(self, item: Item) -> bytes:
        data = self.source.get(item.path)
        if data is None:
            raise DamagedError(f"object {item.path} is missing although a commit needs it")
        item.check(data)
        return data

    def _account(self, done: tuple[int, int]) -> None:
        objects, nbytes = done
        self.objects += objects
        self.nbytes += nbytes
        if self.bar is not None:
            self.bar.advance(objects)


def _check_path(path: str) -> None:
    """Refuse paths out of the repository: its commits may have been written by anybody."""
    parts = path.split("/") if os.name != "nt" else re.split(r"[/\\:]", path)
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in path:
        raise DamagedError(
            f"a commit refers to the object {path!r}, which would lie outside of its repository: "
            "somebody tampered with it",
            path=path,
        )


class _Window:
    """Tasks in flight, bounded in number and in bytes. Only its owner's thread may use it.

    Parameters
    ----------
    concurrency : int
    account : callable
        Told what each task returned.
    """

    def __init__(self, concurrency: int, account: Callable[[tuple[int, int]], None]) -> None:
        self.concurrency = concurrency
        self.limit = 2 * threads_for(concurrency)
        self.account = account
        self.tasks: deque[tuple[Task[tuple[int, int]], int]] = deque()
        self.reserved = 0
        #: How much of what was reserved was needed lately: chunks shrink when compressed.
        self.ratio = 1.0

    def add(self, work: Callable[[], tuple[int, int]], size: int) -> None:
        """Begin a task that needs at most about `size` bytes, once there is room for it."""
        if in_pool():  # whose threads must not wait for one another
            self.account(at_once(work).result())
            return
        while self.tasks and (
            len(self.tasks) >= self.limit or (self.reserved + size) * self.ratio > IN_FLIGHT
        ):
            self._finish_oldest()
        self.tasks.append((submit(self.concurrency, work), size))
        self.reserved += size

    def drain(self) -> None:
        """Wait for all tasks; raises what the first one that failed raised."""
        while self.tasks:
            self._finish_oldest()

    def abandon(self, failure: BaseException) -> None:
        """Keep tasks from beginning, and wait for those that have begun: after Ctrl-C not long."""
        tasks = [task for task, _ in self.tasks]
        for task in tasks:
            task.cancel()
        let_end(tasks, failure)
        self.tasks.clear()

    def _finish_oldest(self) -> None:
        task, size = self.tasks[0]
        done = task.result()
        self.tasks.popleft()
        self.reserved -= size
        self.ratio = max(0.98 * self.ratio, done[1] / size if size else 0.0)
        self.account(done)


class _Presence:
    """Which objects a store has, found out in few requests."""

    def __init__(self, storage: Storage, ask_always: bool) -> None:
        self.storage = storage
        self.ask_always = ask_always
        self._empty: bool | None = None
        self._listed: OrderedDict[str, frozenset[str]] = OrderedDict()

    def of(self, items: Sequence[Item]) -> set[str]:
        """Paths of those items that are there.

        Fresh ones came with a commit that the store does not have. If the first of them is
        missing, so are the others as a rule, and nobody asks for each: to copy one again does
        no harm.
        """
        if self.ask_always:
            return set() if self._is_empty() else self._ask([item.path for item in items])
        fresh = [item.path for item in items if item.fresh]
        wanted = [item.path for item in items if not item.fresh]
        if fresh and (self._was_listed(fresh[0]) or self.storage.exists(fresh[0])):
            wanted += fresh
        return self._ask(wanted)

    def _is_empty(self) -> bool:
        """Whether the store held nothing when it was first asked."""
        if self._empty is None:
            self._empty = not {"data/", "pages/"} & set(self.storage.list_dir(""))
        return self._empty

    def _was_listed(self, path: str) -> bool:
        return path.rpartition("/")[0] in self._listed

    def _ask(self, paths: Sequence[str]) -> set[str]:
        """Those paths that are there: asked for one by one, or listed where there are many."""
        storage = self.storage
        if storage.is_local:
            return {path for path in paths if storage.exists(path)}
        groups: dict[str, list[str]] = {}
        for path in paths:
            groups.setdefault(path.rpartition("/")[0], []).append(path)
        unknown = [directory for directory in groups if directory not in self._listed]
        listed = [
            directory for directory in unknown if _worth_listing(directory, groups[directory])
        ]
        listings = map_all(storage.list_dir, listed, storage.concurrency)
        self._listed |= zip(listed, map(frozenset, listings), strict=True)
        alone = [path for each in unknown if each not in self._listed for path in groups[each]]
        found = map_all(storage.exists, alone, storage.concurrency)
        there = {path for path, is_there in zip(alone, found, strict=True) if is_there}
        for directory, group in groups.items():
            names = self._listed.get(directory, frozenset())
            there.update(path for path in group if path.rpartition("/")[2] in names)
        while len(self._listed) > 1 and sum(map(len, self._listed.values())) > NAMES_KEPT:
            self._listed.popitem(last=False)
        return there


def _worth_listing(directory: str, group: Sequence[str]) -> bool:
    # All packs of a repository lie side by side: the listing grows with its history.
    return directory != "pages" and len(group) >= WORTH_LISTING
