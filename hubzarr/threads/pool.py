"""The threads that encode, decode and wait for stores: one pool per process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from hubzarr.config import get_config
from hubzarr.threads.tasks import Cancelled, Pool, Task

__all__ = ["at_once", "in_pool", "let_end", "map_all", "submit", "threads_for"]


#: Seconds that an interrupted caller waits for tasks that were begun.
GRACE: Final = 1.0


class _Pools:
    """Pools by number of threads, made when first needed and again after a fork."""

    def __init__(self) -> None:
        self.by_size: dict[int, Pool] = {}
        self.lock = threading.Lock()

    def get(self, threads: int) -> Pool:
        pool = self.by_size.get(threads)
        if pool is None:
            with self.lock:
                pool = self.by_size.get(threads)
                if pool is None:
                    pool = Pool(threads, "hubzarr")
                    self.by_size[threads] = pool
        return pool


_pools = _Pools()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.__init__)  # type: ignore[misc]


def in_pool() -> bool:
    """Whether this thread belongs to the pool: it must not wait for the pool."""
    return threading.current_thread().name.startswith("hubzarr")


def threads_for(concurrency: int) -> int:
    """Threads for work on a store with that much useful concurrency."""
    return max(get_config().threads, concurrency if concurrency > 8 else 1)


def submit[T](concurrency: int, work: Callable[[], T]) -> Task[T]:
    """Start work in the pool."""
    return _begun(threads_for(concurrency), work)


def _begun[T](threads: int, work: Callable[[], T]) -> Task[T]:
    try:
        return _pools.get(threads).submit(work)
    except RuntimeError:
        # The interpreter is shutting down and no thread starts any more; what was written
        # must still be stored.
        return at_once(work)


def at_once[T](work: Callable[[], T]) -> Task[T]:
    """Do work in this thread; the result as if it came from the pool."""
    task = Task(work)
    task.run()
    return task


def map_all[S, T](
    work: Callable[[S], T], items: Sequence[S], concurrency: int, batch: int = 1
) -> list[T]:
    """Results of `work` for all items, in order; `batch` items make one task.

    Runs in the caller's thread when there is only one task: a hop to another thread
    costs more than a small read. The first error is raised after all tasks have ended,
    so that nothing goes on behind the caller's back. Ctrl-C waits for them only `GRACE`
    seconds: a store that doesn't answer must not keep anybody from leaving.
    """
    threads = 1 if len(items) <= batch or in_pool() else threads_for(concurrency)
    if threads == 1:
        return [work(item) for item in items]
    groups = [items[i : i + batch] for i in range(0, len(items), batch)]

    def run(group: Iterable[S]) -> list[T]:
        return [work(item) for item in group]

    # The caller works too instead of only waiting: one thread hop less.
    tasks: list[Task[list[T]]] = []
    failure: BaseException | None = None
    out: list[T] = []
    try:
        # What was begun before an interrupt is in the list, and waited for.
        tasks.extend(_begun(threads, partial(run, group)) for group in groups[1:])
        out.extend(run(groups[0]))
        for task, group in zip(tasks, groups[1:], strict=True):
            try:
                out.extend(task.result())
            except Cancelled:  # the pool has ended, as the process exits
                out.extend(run(group))
    except BaseException as error:
        failure = error
        for task in tasks:
            task.cancel()  # what has not begun
    if failure is not None:
        let_end(tasks, failure)
        raise failure
    return out


def let_end(tasks: Sequence[Task[Any]], failure: BaseException) -> None:
    """Wait for tasks that were begun, after an interrupt not for long."""
    limit = None
    while True:
        try:
            if limit is None and not isinstance(failure, Exception):
                limit = time.monotonic() + GRACE
            for task in tasks:
                task.wait(-1 if limit is None else max(0.0, limit - time.monotonic()))
            return
        except KeyboardInterrupt as again:
            failure = again
