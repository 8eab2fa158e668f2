"""Threads that do tasks, from primitives that Ctrl-C can't break.

An exception that a signal raises inside `concurrent.futures` may leave one of its conditions
locked for ever, and then every later write waits for ever. Here each step is one operation
of a lock or a queue in C: it happens or it doesn't. A thread that is interrupted between two of
them leaves nothing behind that another would wait for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final

from hubzarr.errors import ClosedError
from hubzarr.threads.ending import begin

__all__ = ["Cancelled", "Pool", "Task"]

#: Seconds after which those who wait look by themselves.
LOOK: Final = 0.5


class Cancelled(ClosedError):
    """A task has no result: it was never done."""


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

    __slots__ = ("_claim", "_ended", "_error", "_finished", "_value", "_work", "cancelled")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._claim = threading.Lock()
        self._ended = False
        #: Wakes those who wait. Whoever is interrupted with it in hand keeps it.
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
            self._end()

    def cancel(self) -> bool:
        """Keep it from being done; False if it was begun already."""
        if not self._claim.acquire(blocking=False):
            return self.cancelled
        self.cancelled = True
        self._error = Cancelled(
            "what was to be done was cancelled before it began: the process exits, or the loop "
            "that wanted it has ended"
        )
        self._end()
        return True

    def _end(self) -> None:
        self._work = None
        self._ended = True
        self._finished.release()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def wait(self, seconds: float = -1) -> bool:
        """Wait until it has ended, for so many seconds at most; tell whether it has."""
        until = None if seconds < 0 else time.monotonic() + seconds
        while not self._ended:
            left = LOOK if until is None else min(LOOK, until - time.monotonic())
            if left < 0:
                return False
            if self._finished.acquire(timeout=left):
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
        self._tasks: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._threads = threads
        self._left = False
        for i in range(threads):
            begin(self._serve, f"{name}-{i}", self._leave)

    def _serve(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            task.run()
            del task  # nothing keeps its memory alive while the thread waits

    def close(self) -> None:
        """Let the threads end after what they were given; nothing may be submitted any more."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _leave(self) -> None:
        """Do nothing more: the process exits."""
        if self._left:
            return
        self._left = True
        with contextlib.suppress(Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    task.cancel()
        self.close()

    def submit[T](self, work: Callable[[], T]) -> Task[T]:
        """Have a call done by one of the threads.

        Raises
        ------
        RuntimeError
            The process exits.
        """
        if self._left:
            raise RuntimeError("the threads of this pool have ended, as the process exits")
        task = Task(work)
        self._tasks.put(task)
        if self._left and task.cancel():  # it may have come too late for all threads
            raise RuntimeError("the threads of this pool have ended, as the process exits")
        return task
