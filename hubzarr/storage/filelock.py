"""Locks among the processes of a machine that end with the process that holds them."""

from __future__ import annotations

import os
import sys
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
    pass it on. Threads of one process do not exclude each other: callers hold a lock of
    their own around this, and so keep to one open file at a time.

    Parameters
    ----------
    path : str
        The file; its content plays no part.
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
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + patience
        got = _acquire(fd)
        while not got and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            got = _acquire(fd)
        yield got
    finally:
        os.close(fd)  # which releases the lock


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
