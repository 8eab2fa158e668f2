"""Locks among the processes of a machine that end with the process that holds them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["file_lock"]

_PAUSE: Final = 0.002


@contextmanager
def file_lock(path: str, patience: float = 0.0) -> Iterator[bool]:
    """Hold the lock on a file, which is made if need be; yields whether it was got.

    The system releases it when the process ends, however it ends, and a fork does not
    pass it on. Threads of one process exclude each other too.

    Parameters
    ----------
    path : str
        The file, always named alike; its content plays no part.
    patience : float
        Seconds to try for. A process that was stopped while it held the lock must not
        stop the others too.

    Examples
    --------
    >>> import tempfile
    >>> with file_lock(tempfile.mktemp()) as got:
    ...     got
    True
    """
    # For the system, all threads are one holder, and closing any of several files that
    # are open at the same time would release the lock of all: so threads come one by one.
    with _guard:
        lock = _threads.setdefault(path, threading.Lock())
    if not lock.acquire(timeout=patience):
        yield False
        return
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _acquired(fd, patience)
        finally:
            os.close(fd)  # which releases the lock
    finally:
        lock.release()


_guard = threading.Lock()
_threads: dict[str, threading.Lock] = {}


def _renew() -> None:
    # Other threads of the parent may have held them while this one forked.
    global _guard
    _guard = threading.Lock()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def _acquired(fd: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not _acquire(fd):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True


if sys.platform == "win32":
    import msvcrt

    def _acquire(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _acquire(fd: int) -> bool:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # somebody else holds it
            return False
        return True
