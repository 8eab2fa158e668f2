"""Threads that end before the interpreter does.

A daemon thread that wants to run Python code while the interpreter is being taken down is
ended in the midst of whatever called it. C++ and Rust code can't be left so: they abort the
process, which by then had done all that it should, and its exit status tells of a crash.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

__all__ = ["begin"]

#: Seconds that the exit waits for threads, all of them together.
LEAVE: Final = 1.0

type _Living = weakref.WeakKeyDictionary[threading.Thread, Callable[[], None]]
_living: _Living = weakref.WeakKeyDictionary()


def begin(run: Callable[[], None], name: str, leave: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread that is told to leave, and waited for, when this process exits.

    Parameters
    ----------
    run : callable
        What it does.
    name : str
    leave : callable
        Has `run` return soon. Never waits; may be called when it has returned already, and
        several times.

    Raises
    ------
    RuntimeError
        The interpreter is shutting down.

    Examples
    --------
    >>> stop = threading.Event()
    >>> thread = begin(lambda: stop.wait() and None, "example", stop.set)
    >>> stop.set()
    >>> thread.join()
    """
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    _living[thread] = leave
    return thread


# Sessions are synced before: what they register comes later, and goes first.
@atexit.register
def _end() -> None:
    found = list(_living.items())
    for _, leave in found:
        leave()
    until = time.monotonic() + LEAVE
    for thread, _ in found:
        thread.join(max(0.0, until - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_living.clear)  # threads stay with the parent
