"""Contents of files that can only be read whole, kept while blocks of them are wanted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from hubzarr.ingesting.place import Place

__all__ = ["Shelf"]


class Shelf:
    """Keeps what a few files hold, for the blocks of a source that are read from them.

    Threads that want the same file wait for each other, so that it is read once. What is
    kept does not travel with a pickled source, and goes when the source goes.

    Parameters
    ----------
    load : callable
        ``load(place)`` reads a file; a function of a module, because it is pickled.
    size : int
        Number of files kept.

    Examples
    --------
    >>> import pathlib
    >>> _ = pathlib.Path("a.txt").write_bytes(b"abc")
    >>> shelf = Shelf(Place.read)
    >>> shelf.get(Place("a.txt"))
    b'abc'
    """

    def __init__(self, load: Callable[[Place], Any], size: int = 2) -> None:
        self._load = load
        self._size = size
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: Place) -> Any:
        """The content of a file."""
        with self._lock:
            if place.url in self._kept:
                self._kept.move_to_end(place.url)
            else:
                if len(self._kept) >= self._size:
                    self._kept.popitem(last=False)
                self._kept[place.url] = self._load(place)
            return self._kept[place.url]

    def __reduce__(self) -> tuple[type[Shelf], tuple[Callable[[Place], Any], int]]:
        return Shelf, (self._load, self._size)
