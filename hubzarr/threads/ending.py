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
from collections.abc import Callable
from typing import Final

__all__ = ["begin"]

#: Seconds that the exit waits for threads, all of them together.
LEAVE: Final = 1.0
#: Seconds after which it looks for threads that were begun meanwhile.
LOOK: Final = 0.02

#: Threads and what has them leave. A dict's own methods need no lock.
_living: dict[threading.Thread, Callable[[], None]] = {}


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

    def live() -> None:
        try:
            run()
        finally:
            _living.pop(thread, None)

    thread = threading.Thread(target=live, name=name, daemon=True)
    _living[thread] = leave
    try:
        thread.start()
    except RuntimeError:
        _living.pop(thread, None)
        raise
    return thread


# Sessions are synced before: what they register comes later, and goes first.
@atexit.register
def _end() -> None:
    until = time.monotonic() + LEAVE
    told: dict[threading.Thread, None] = {}
    # Those that have not left yet may begin others.
    while time.monotonic() < until:
        for thread, leave in _living.copy().items():
            if thread not in told:
                told[thread] = None
                leave()
        running = [thread for thread in told if thread.is_alive()]
        if not running:
            return
        running[0].join(LOOK)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_living.clear)  # threads stay with the parent
