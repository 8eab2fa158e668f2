"""Waiting for a client in a way that Ctrl-C ends at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from hubzarr.threads.tasks import Pool

__all__ = ["interruptible"]


class _Aside:
    """The one thread that asks on behalf of the main thread."""

    pool: Pool | None = None

    def forget(self) -> None:
        self.pool = None


_aside = _Aside()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_aside.forget)


def interruptible[T](work: Callable[[], T]) -> T:
    """Return what a call into a compiled client returns.

    Such a call does not notice signals, which only the main thread gets: there another
    thread does it. An interrupt leaves it to end by itself.

    Examples
    --------
    >>> interruptible(lambda: 6 * 7)
    42
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    try:
        if _aside.pool is None:
            _aside.pool = Pool(1, "hubzarr-request")
        task = _aside.pool.submit(work)
    except RuntimeError:  # no thread starts any more: the interpreter is shutting down
        return work()
    try:
        task.wait()
    except BaseException:
        _aside.forget()  # its thread is still busy
        raise
    return task.result()
