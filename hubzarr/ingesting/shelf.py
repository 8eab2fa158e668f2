"""Contents of files that can only be read whole, kept while blocks of them are wanted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Shelf"]


class Shelf[Key: Hashable, Content]:
    """Keeps what a few files hold, for the blocks of a source that are read from them.

    Threads that want the same file wait for each other, so that it is read once. What is
    kept does not travel with a pickled source, and goes when the source goes.

    Parameters
    ----------
    load : callable
        ``load(key)`` reads a file; a function of a module, because it is pickled.
    size : int
        Number of files kept.

    Examples
    --------
    >>> shelf = Shelf(len)
    >>> shelf.get("abc")
    3
    """

    def __init__(self, load: Callable[[Key], Content], size: int = 2) -> None:
        self._load = load
        self._size = size
        self._kept: OrderedDict[Key, Content] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Content:
        """The content of a file."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            if len(self._kept) >= self._size:
                self._kept.popitem(last=False)
            content = self._kept[key] = self._load(key)
            return content

    def __reduce__(self) -> tuple[Any, ...]:
        return Shelf, (self._load, self._size)
