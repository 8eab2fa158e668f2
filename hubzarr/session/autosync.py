"""Writing syncs by itself: one thread commits for sessions whose time has come.

A session with uncommitted changes is held here, so that a handle that was dropped without
`close()` is committed all the same; at the interpreter's exit everything left is.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import os
import sys
import threading
import time
from typing import Protocol

from hubzarr.errors import HubzarrError

__all__ = ["drain", "schedule"]


class Syncable(Protocol):
    """What can be synced: a session."""

    @property
    def name(self) -> str: ...

    failure: HubzarrError | None

    def background_sync(self) -> None:
        """Commit; remember an error."""


class _Scheduler:
    """Sessions by the time at which they are due."""

    def __init__(self) -> None:
        self.due: list[tuple[float, int, Syncable]] = []
        self.numbers = itertools.count()
        self.condition = threading.Condition()
        self.thread: threading.Thread | None = None

    def add(self, session: Syncable, delay: float) -> None:
        with self.condition:
            heapq.heappush(self.due, (time.monotonic() + delay, next(self.numbers), session))
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="hub-sync", daemon=True)
                self.thread.start()
            self.condition.notify()

    def _run(self) -> None:
        while True:
            with self.condition:
                while not self.due:
                    self.condition.wait()
                wait = self.due[0][0] - time.monotonic()
                if wait > 0:
                    self.condition.wait(wait)
                    continue
                _, _, session = heapq.heappop(self.due)
            session.background_sync()

    def drain(self) -> list[Syncable]:
        """Sync everything now; returns the sessions that could not be synced."""
        failed: list[Syncable] = []
        while True:
            with self.condition:
                if not self.due:
                    return failed
                _, _, session = heapq.heappop(self.due)
            session.background_sync()
            if session.failure is not None:
                failed.append(session)


_scheduler = _Scheduler()
if hasattr(os, "register_at_fork"):
    # What the parent has written is the parent's to commit.
    os.register_at_fork(after_in_child=_scheduler.__init__)  # type: ignore[misc]


def schedule(session: Syncable, delay: float) -> None:
    """Sync a session after `delay` seconds."""
    _scheduler.add(session, delay)


def drain() -> None:
    """Sync all sessions that are due some time; say on stderr what could not be."""
    for session in _scheduler.drain():
        print(
            f"hubzarr: writes to {session.name} were NOT stored: {session.failure}",
            file=sys.stderr,
        )


atexit.register(drain)
