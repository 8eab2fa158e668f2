"""What an iterator gives, made ahead in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, Final

__all__ = ["ahead"]

#: Seconds after which a thread that waits for room looks whether anybody still reads.
LOOK: Final = 0.2
_END: Final = object()


def ahead[T](items: Iterator[T], depth: int) -> Iterator[T]:
    """Give what an iterator gives; a thread is up to `depth` items ahead.

    Errors come where their item would. When the reader stops, so does the thread, after the
    item that it is at; nobody waits for it.

    Parameters
    ----------
    items : iterator
    depth : int

    Examples
    --------
    >>> list(ahead(iter(range(5)), 2))
    [0, 1, 2, 3, 4]
    """
    ready: SimpleQueue[Any] = SimpleQueue()
    room = threading.Semaphore(depth)
    stop = threading.Event()

    def work() -> None:
        failure: BaseException | None = None
        try:
            for item in items:
                while not room.acquire(timeout=LOOK):
                    if stop.is_set():
                        return
                if stop.is_set():
                    return
                ready.put((item, None))
                del item  # the reader's alone from now on
        except BaseException as error:
            failure = error
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
            ready.put((_END, failure))

    thread = threading.Thread(target=work, name="loader-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, failure = ready.get()
            if item is _END:
                if failure is not None:
                    raise failure
                return
            room.release()
            yield item
            del item
    finally:
        stop.set()
        room.release()
