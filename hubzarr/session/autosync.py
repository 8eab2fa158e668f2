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
from typing import TYPE_CHECKING, Final, Protocol

import hubzarr.threads  # noqa: F401 - what ends its threads must be registered before ours

if TYPE_CHECKING:
    from hubzarr.storage.base import Storage

__all__ = ["drain", "schedule", "sync_place"]

#: Seconds between attempts at syncing what can't be synced, at most.
LONGEST_WAIT: Final = 60.0


class Syncable(Protocol):
    """What can be synced: a session."""

    @property
    def name(self) -> str: ...

    @property
    def storage(self) -> Storage: ...

    sync_interval: float | None
    failure: Exception | None
    #: Whether the scheduler holds it.
    queued: bool

    def background_sync(self) -> bool:
        """Commit; remember an error. Says whether there was none."""


class _Scheduler:
    """Sessions by the time at which they are due."""

    def __init__(self) -> None:
        self.due: list[tuple[float, int, Syncable]] = []
        self.numbers = itertools.count()
        # `with` on the lock itself can't be interrupted half-way, on a Condition it can.
        self.lock = threading.RLock()
        self.condition = threading.Condition(self.lock)
        self.thread: threading.Thread | None = None
        #: The session that the thread works on.
        self.running: Syncable | None = None
        #: Attempts in vain, in a row, by session.
        self.vain: dict[int, int] = {}

    def add(self, session: Syncable, delay: float) -> None:
        with self.lock:
            heapq.heappush(self.due, (time.monotonic() + delay, next(self.numbers), session))
            if self.thread is None:
                thread = threading.Thread(target=self._run, name="hub-sync", daemon=True)
                try:
                    thread.start()
                    self.thread = thread
                except RuntimeError:
                    pass  # the interpreter is shutting down: `drain` will come by
            # Waking the thread costs as much as a small commit: only for an earlier time.
            if self.due[0][2] is session:
                self.condition.notify_all()

    def _run(self) -> None:
        while True:
            with self.lock:
                while not self.due:
                    self.condition.wait()
                wait = self.due[0][0] - time.monotonic()
                if wait > 0:
                    self.condition.wait(wait)
                    continue
                self.running = session = heapq.heappop(self.due)[2]
            session.queued = False
            done = session.background_sync()
            with self.lock:
                self._settle(session, done)
                self.running = None
                self.condition.notify_all()
            del session  # nothing keeps it alive while the thread waits

    def _settle(self, session: Syncable, done: bool) -> None:
        """Hold on to a session that could not be synced, and try it ever more rarely."""
        if done:
            self.vain.pop(id(session), None)
            return
        times = self.vain[id(session)] = self.vain.get(id(session), 0) + 1
        interval = session.sync_interval or 1.0
        self.add(session, min(interval * 2.0 ** min(times, 10), max(interval, LONGEST_WAIT)))

    def sync_place(self, url: str) -> None:
        """Sync the sessions at a place now; one in vain stays due, as it was."""
        if not (self.due or self.running):
            return
        with self.lock:
            sessions = [session for _, _, session in self.due]
            if self.running is not None:
                sessions.append(self.running)  # syncing it again waits until that has ended
        for session in sessions:
            if session.storage.url == url:
                session.background_sync()

    def drain(self) -> list[Syncable]:
        """Sync everything now; returns the sessions that could not be synced."""
        failed: list[Syncable] = []
        # Syncing what the thread works on waits until the thread is through with it. Waiting
        # for the thread itself could be for ever, if Ctrl-C left a lock with us.
        session = self.running
        while True:
            if session is not None:
                session.queued = False
                if not session.background_sync() and session not in failed:
                    failed.append(session)
            with self.lock:
                if not self.due:
                    return failed
                session = heapq.heappop(self.due)[2]


_scheduler = _Scheduler()
if hasattr(os, "register_at_fork"):
    # What the parent has written is the parent's to commit.
    os.register_at_fork(after_in_child=_scheduler.__init__)  # type: ignore[misc]


def schedule(session: Syncable, delay: float) -> None:
    """Sync a session after `delay` seconds."""
    _scheduler.add(session, delay)


def sync_place(url: str) -> None:
    """Sync what handles of this process wrote to a repository and did not commit yet.

    So a handle opened next shows it. An error waits for the next call of the handle that
    wrote.
    """
    _scheduler.sync_place(url)


def drain() -> None:
    """Sync all sessions that are due some time; say on stderr what could not be."""
    for session in _scheduler.drain():
        print(
            f"hubzarr: writes to {session.name} were NOT stored: {session.failure}",
            file=sys.stderr,
        )


# `threads` has registered before, so that its threads end after this.
atexit.register(drain)
# Earlier, while thread pools and event loops still take work: what most writes end by. It is
# also the only one of the two that runs in the children that multiprocessing forks.
getattr(threading, "_register_atexit", atexit.register)(drain)
