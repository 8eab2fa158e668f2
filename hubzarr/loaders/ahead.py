"""What an iterator gives, made ahead in a thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, Final

from hubzarr.errors import ClosedError
from hubzarr.threads import begin

__all__ = ["ahead"]

#: Seconds after which a thread that waits for room looks whether anybody still reads.
LOOK: Final = 1.0
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
    room: SimpleQueue[bool] = SimpleQueue()
    for _ in range(depth):
        room.put(True)
    wanted = [True]

    def leave() -> None:
        wanted[0] = False
        room.put(False)

    begin(lambda: _make(items, ready, room, wanted), "loader-ahead", leave)
    process = os.getpid()
    try:
        while True:
            if os.getpid() != process:
                raise ClosedError(
                    "this loop was begun before the process was forked, and what makes its batches "
                    "stayed in the parent: begin a new loop over the loader"
                )
            item, failure = ready.get()
            if item is _END:
                if failure is not None:
                    raise failure
                return
            room.put(True)
            yield item
            del item
    finally:
        leave()


def _make(
    items: Iterator[Any], ready: SimpleQueue[Any], room: SimpleQueue[bool], wanted: list[bool]
) -> None:
    """Make items as long as there is room for them and they are wanted."""
    # Whoever still reads must not take this for the end of the items.
    failure: BaseException | None = ClosedError(
        "this loop was ended before its last batch, as the process exits"
    )
    try:
        while wanted[0]:
            try:
                room.get(timeout=LOOK)
            except Empty:  # a reader that was interrupted may not have said that it is gone
                continue
            if not wanted[0]:
                break
            item = next(items, _END)
            if item is _END:
                failure = None
                break
            ready.put((item, None))
            del item  # the reader's alone from now on
    except BaseException as error:
        if wanted[0]:
            failure = error
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
        ready.put((_END, failure))
