"""One request for what several threads want at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

__all__ = ["Flight", "Flights"]


class Flight:
    """Something that one thread is fetching, and for which others may wait."""

    __slots__ = ("_landed", "data")

    def __init__(self) -> None:
        self._landed = threading.Event()
        self.data: bytes | None = None

    def land(self, data: bytes | None) -> None:
        """Give out what was fetched; None if that failed or there is nothing."""
        self.data = data
        self._landed.set()

    def wait(self) -> bytes | None:
        """What the other thread fetched; None means: ask yourself."""
        self._landed.wait()
        return self.data


class Flights:
    """What the threads of this process are fetching just now, by key.

    A thread that begins flights must land every one of them, whatever happens, and must
    not wait for those of others before that.

    Examples
    --------
    >>> flights = Flights()
    >>> mine, theirs = flights.begin(["a", "b"])
    >>> mine, theirs
    (['a', 'b'], {})
    >>> flights.land("a", b"data")
    >>> flights.begin(["a"])
    (['a'], {})
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._flying: dict[str, Flight] = {}

    def begin(self, keys: Iterable[str]) -> tuple[list[str], dict[str, Flight]]:
        """Split keys into those that the caller is to fetch and those that others are."""
        if self._pid != os.getpid():
            self._start()  # the threads that had begun stayed in the parent
        mine, theirs = [], {}
        with self._lock:
            for key in keys:
                flight = self._flying.get(key)
                if flight is None:
                    self._flying[key] = Flight()
                    mine.append(key)
                else:
                    theirs[key] = flight
        return mine, theirs

    def land(self, key: str, data: bytes | None) -> None:
        """End a flight that this thread began; ending it twice is fine.

        To end that of another thread does no harm: those who wait for it ask themselves.
        """
        with self._lock:
            flight = self._flying.pop(key, None)
        if flight is not None:
            flight.land(data)
