"""Work on each of many samples, shared by threads where that is worth it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from hubzarr.threads import map_all, threads_for

__all__ = ["Sharing"]

#: Seconds of work that are not worth the hops to other threads.
SHORT: Final = 5e-4


class Sharing:
    """How long work of each kind took so far, and whether threads share it.

    Examples
    --------
    >>> Sharing().each("square", lambda i: i * i, 5, 1)
    [0, 1, 4, 9, 16]
    """

    def __init__(self) -> None:
        #: Seconds for one sample.
        self._paces: dict[Any, float] = {}

    def each(
        self, kind: Any, work: Callable[[int], Any], count: int, concurrency: int
    ) -> list[Any]:
        """Results of `work` for 0, 1, … `count` - 1, in order.

        Parameters
        ----------
        kind : hashable
            What tells work of one pace from other work.
        work : callable
        count : int
        concurrency : int
            Requests that a store answers at a time, if it is one that work waits for; else 1.
        """
        spent: list[float] = []

        def run(numbers: range) -> list[Any]:
            begin = time.perf_counter()
            found = [work(i) for i in numbers]
            spent.append(time.perf_counter() - begin)
            return found

        pace = self._paces.get(kind)
        if pace is not None and pace * count < SHORT:
            found = run(range(count))
        else:
            shares = shares_of(count, threads_for(concurrency))
            found = [one for share in map_all(run, shares, concurrency) for one in share]
        self._paces[kind] = sum(spent) / max(1, count)
        return found


def shares_of(count: int, threads: int) -> list[range]:
    """Ranges that cut 0 … `count` - 1, the last ones small, so that all threads end together.

    Examples
    --------
    >>> [len(share) for share in shares_of(32, 2)]
    [8, 6, 5, 4, 3, 2, 1, 1, 1, 1]
    """
    out, start = [], 0
    while start < count:
        size = -(-(count - start) // (2 * threads))
        out.append(range(start, start + size))
        start += size
    return out
