"""Threads that do tasks, from primitives that Ctrl-C can't break.

An exception that a signal raises inside `concurrent.futures` may leave one of its conditions
locked for ever, and then every later write waits for ever. Here each step is one operation
of a lock or a queue in C: it happens or it doesn't.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["Pool", "Task"]


class Task[T]:
    """A call, its result to come.

    Parameters
    ----------
    work : callable
        Takes no arguments.

    Examples
    --------
    >>> task = Task(lambda: 6 * 7)
    >>> task.run()
    >>> task.result()
    42
    """

    __slots__ = ("_claim", "_error", "_finished", "_value", "_work", "cancelled")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._claim = threading.Lock()
        self._finished = threading.Lock()
        self._finished.acquire()
        self._error: BaseException | None = None
        self._value: Any = None
        self.cancelled = False

    def run(self) -> None:
        """Do it, unless it was begun or cancelled already."""
        work = self._work
        if work is None or not self._claim.acquire(blocking=False):
            return
        try:
            self._value = work()
        except BaseException as error:
            self._error = error
        finally:
            self._work = None
            self._finished.release()

    def cancel(self) -> bool:
        """Keep it from being done; False if it was begun already."""
        if not self._claim.acquire(blocking=False):
            return self.cancelled
        self.cancelled = True
        self._work = None
        self._finished.release()
        return True

    def done(self) -> bool:
        """Whether it has ended."""
        return not self._finished.locked()

    def wait(self, seconds: float = -1) -> bool:
        """Wait until it has ended, for so many seconds at most; tell whether it has."""
        if not self._finished.acquire(timeout=seconds):
            return False
        self._finished.release()
        return True

    def exception(self) -> BaseException | None:
        """What it raised, once it has ended."""
        self.wait()
        return self._error

    def result(self) -> T:
        """What it returned, or raise what it raised, once it has ended."""
        self.wait()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value


class Pool:
    """Daemon threads that do tasks in the order of their coming.

    Parameters
    ----------
    threads : int
    name : str
        What the names of the threads begin with.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._tasks: SimpleQueue[Task[Any]] = SimpleQueue()
        for i in range(threads):
            threading.Thread(target=self._serve, name=f"{name}-{i}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            task = self._tasks.get()
            task.run()
            del task  # nothing keeps its memory alive while the thread waits

    def submit[T](self, work: Callable[[], T]) -> Task[T]:
        """Have a call done by one of the threads."""
        task = Task(work)
        self._tasks.put(task)
        return task
