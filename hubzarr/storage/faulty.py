"""A storage that fails on purpose, and remembers what was asked of it: for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from hubzarr.errors import StorageError
from hubzarr.storage.base import Counters, Data, Storage, joined

__all__ = ["Fault", "FaultyStorage", "Operation"]

type Operation = tuple[str, str, int]
"""Verb, path and number of bytes (0 where none went through)."""

_WRITES = frozenset({"put", "put_atomic", "create", "delete", "delete_dir"})


def _unreachable() -> BaseException:
    return StorageError("the storage is out of reach (on purpose): try again", reason="test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, and when.

    Parameters
    ----------
    at : int
        The first operation that it hits, counted from 1 among those of `verb`.
    times : int
        How many operations it hits.
    verb : str, optional
        One method of `Storage`, or ``"write"`` for all that change something; None for
        every operation.
    kind : str
        ``"before"`` raises and does nothing. ``"after"`` does it, then raises, as when
        an answer is lost. ``"torn"`` stores half of a put, then raises. ``"lost"``
        makes a create that succeeded say that the name was taken. ``"delay"`` only waits.
    delay : float
        Seconds to wait first.
    error : callable
        Makes the error to raise.
    dead : bool
        From then on everything raises, as in a process that was killed, until
        `FaultyStorage.revive`.
    """

    at: int = 1
    times: int = 1
    verb: str | None = None
    kind: Literal["before", "after", "torn", "lost", "delay"] = "before"
    delay: float = 0.0
    error: Callable[[], BaseException] = field(default=_unreachable)
    dead: bool = False

    def counts(self, verb: str) -> bool:
        """Return whether an operation is one of those that this fault counts."""
        return self.verb in (None, verb) or (self.verb == "write" and verb in _WRITES)


class FaultyStorage:
    """Wrap a storage: log its operations and let some fail.

    Parameters
    ----------
    inner : Storage
        Where the objects really are.
    plan : iterable of Fault
        What goes wrong; nothing if empty.

    Attributes
    ----------
    log : list of (verb, path, nbytes)
        Every operation so far, failed ones too.

    Examples
    --------
    >>> from hubzarr.storage import open_storage
    >>> faulty = FaultyStorage(open_storage("memory://faulty"), [Fault(verb="create", kind="lost")])
    >>> faulty.create("a", b"123"), faulty.get("a")
    (False, b'123')
    >>> faulty.log
    [('create', 'a', 3), ('get', 'a', 3)]
    """

    def __init__(self, inner: Storage, plan: Iterable[Fault] = ()) -> None:
        self.inner = inner
        self.plan = list(plan)
        self.log: list[Operation] = []
        self._seen = [0] * len(self.plan)
        self._dead: Fault | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return (FaultyStorage, (self.inner, self.plan))

    @property
    def url(self) -> str:
        """Address of the wrapped storage."""
        return self.inner.url

    @property
    def is_local(self) -> bool:
        """As the wrapped storage."""
        return self.inner.is_local

    @property
    def concurrency(self) -> int:
        """As the wrapped storage."""
        return self.inner.concurrency

    @property
    def atomic_create(self) -> bool:
        """As the wrapped storage."""
        return self.inner.atomic_create

    @property
    def counters(self) -> Counters:
        """Those of the wrapped storage."""
        return self.inner.counters

    def schedule(self, *faults: Fault) -> None:
        """Replace the plan; counting starts anew."""
        with self._lock:
            self.plan, self._seen, self._dead = list(faults), [0] * len(faults), None

    def revive(self) -> None:
        """Let a dead storage work again, as a new process would find it."""
        self._dead = None

    def count(self, *verbs: str) -> int:
        """Return how many operations of these verbs (all, if none) are in the log."""
        return sum(not verbs or verb in verbs for verb, _, _ in self.log)

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        return self._do("get", path, lambda: self.inner.get(path))

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return a range of bytes of an object."""
        return self._do("get_range", path, lambda: self.inner.get_range(path, start, stop))

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        return self._do("get_into", path, lambda: self.inner.get_into(path, *out))

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the contents of several objects, each an operation of its own."""
        return [self.get(path) for path in paths]

    def exists(self, path: str) -> bool:
        """Return whether there is an object of that name."""
        return self._do("exists", path, lambda: self.inner.exists(path))

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        return self._do("size", path, lambda: self.inner.size(path))

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return the sorted names of direct children that sort after `after`."""
        return self._do("list_dir", path, lambda: self.inner.list_dir(path, after, limit))

    def list_all(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below a directory."""
        return self._do("list_all", prefix, lambda: self.inner.list_all(prefix))

    def distrust(self, path: str) -> bool:
        """Whether reading a damaged object again may help."""
        return self.inner.distrust(path)

    def put(self, path: str, data: Data) -> None:
        """Store an object under a new name."""
        content = joined(data)
        self._do("put", path, lambda: self.inner.put(path, content), content)

    def put_atomic(self, path: str, data: Data) -> None:
        """Store an object all or nothing."""
        content = joined(data)
        self._do("put_atomic", path, lambda: self.inner.put_atomic(path, content), content)

    def create(self, path: str, data: Data) -> bool:
        """Store an object unless the name is taken."""
        content = joined(data)
        return self._do("create", path, lambda: self.inner.create(path, content), content)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects, each an operation of its own."""
        for path in paths:
            self._do("delete", path, partial(self.inner.delete, [path]))

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is below."""
        self._do("delete_dir", path, lambda: self.inner.delete_dir(path))

    def _do[T](self, verb: str, path: str, act: Callable[[], T], content: bytes | None = None) -> T:
        fault = self._next_fault(verb)
        if fault is not None and fault.delay:
            time.sleep(fault.delay)
        kind = None if fault is None else fault.kind
        if fault is not None and kind == "torn" and verb == "put" and content is not None:
            self.inner.put(path, content[: len(content) // 2])
        if fault is not None and kind in ("before", "torn"):
            self._note(verb, path, 0)
            raise fault.error()
        answer = act()
        self._note(verb, path, _length(answer) if content is None else len(content))
        if fault is not None and kind == "after":
            raise fault.error()
        if kind == "lost" and answer is True:
            return False  # type: ignore[return-value]
        return answer

    def _next_fault(self, verb: str) -> Fault | None:
        with self._lock:
            if self._dead is not None:
                return Fault(error=self._dead.error)
            chosen = None
            for number, fault in enumerate(self.plan):
                if not fault.counts(verb):
                    continue
                self._seen[number] += 1
                if chosen is None and 0 <= self._seen[number] - fault.at < fault.times:
                    chosen = fault
            if chosen is not None and chosen.dead:
                self._dead = chosen
            return chosen

    def _note(self, verb: str, path: str, nbytes: int) -> None:
        self.log.append((verb, path, nbytes))


def _length(answer: object) -> int:
    if isinstance(answer, bytes):
        return len(answer)
    return answer if isinstance(answer, int) and not isinstance(answer, bool) else 0
