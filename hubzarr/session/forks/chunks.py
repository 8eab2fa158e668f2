"""The chunks that one process stores for a fork: the newest object of each holds everything.

Several tasks may set elements of one chunk, each by reading it, changing it and storing it
anew. A store sees only the reads and writes, and a task may have read an older state than
what it replaces. So what is stored for the second time is merged, element by element, with
what this process stored before. Each element is set once: two different values are a
conflict, whichever task comes last.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hubzarr.errors import ConflictError
from hubzarr.session.cells import unlike
from hubzarr.session.renewing import renew_after_fork

__all__ = ["OwnChunk", "OwnChunks", "merged_by_element"]

type Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class OwnChunk:
    """A chunk that this process stores.

    Attributes
    ----------
    newest : int
        Write id of its newest object, 0 if there is none yet.
    turns : int
        How often it was stored, or may have been.
    lock : Lock
        Held while it is stored.
    """

    newest: int = 0
    turns: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class OwnChunks:
    """What this process has stored, by chunk.

    Parameters
    ----------
    sign : callable
        Called with each new write id: the group of chunks that it is for, its turn, the id.

    Examples
    --------
    >>> chunks = OwnChunks(lambda group, turn, write_id: None)
    >>> one, two = chunks.get("one"), chunks.get("two")
    >>> first = chunks.next_id(0, one)
    >>> chunks.next_id(0, two) == first, chunks.next_id(0, one) == first
    (True, False)
    """

    def __init__(self, sign: Callable[[int, int, int], None]) -> None:
        self._sign = sign
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew: in a forked child, the write ids are the parent's."""
        #: Tells processes apart.
        self.writer = secrets.token_hex(4)
        self._chunks: dict[Hashable, OwnChunk] = {}
        #: By group: write ids, of which the n-th is for the n-th object of any chunk.
        self._ids: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def newest(self, key: Hashable) -> int:
        """Write id of a chunk's newest object, 0 if there is none."""
        chunk = self._chunks.get(key)
        return 0 if chunk is None else chunk.newest

    def get(self, key: Hashable) -> OwnChunk:
        """A chunk."""
        with self._lock:
            return self._chunks.setdefault(key, OwnChunk())

    def next_id(self, group: int, chunk: OwnChunk) -> int:
        """The write id for a chunk's next object. Needs its lock."""
        with self._lock:
            ids = self._ids.setdefault(group, [])
            if chunk.turns == len(ids):
                write_id = secrets.randbits(64) or 1  # 0 means "never written"
                self._sign(group, chunk.turns, write_id)
                ids.append(write_id)
            chunk.turns += 1
            return ids[chunk.turns - 1]


def merged_by_element(base: Array, ours: Array, new: Array, origin: tuple[int, ...]) -> Array:
    """What two writers made of a chunk.

    Parameters
    ----------
    base, ours, new : ndarray
        As it was, and as each of them left it. An element that is as it was counts as not set.
    origin : tuple of int
        Position of the chunk's first element in the array.

    Raises
    ------
    ConflictError
        Both set an element, to different values.

    Examples
    --------
    >>> import numpy as np
    >>> base = np.zeros(3)
    >>> merged_by_element(base, np.array([1.0, 0, 3]), np.array([0, 2.0, 3]), (30,))
    array([1., 2., 3.])
    >>> merged_by_element(base, np.array([1.0, 0, 3]), np.array([0, 2.0, 4]), (30,))
    Traceback (most recent call last):
    ...
    hubzarr.errors.ConflictError: elements [32] were set to two different values
    """
    by_us, by_them = unlike(ours, base), unlike(new, base)
    clash = by_us & by_them & unlike(ours, new)
    if clash.any():
        spans = [
            (first + int(at.min()), first + int(at.max()) + 1)
            for first, at in zip(origin, np.nonzero(np.atleast_1d(clash)), strict=False)
        ]
        where = ", ".join(f"{a}:{b}" if b > a + 1 else f"{a}" for a, b in spans)
        raise ConflictError(f"elements [{where}] were set to two different values")
    return new if not (by_us & ~by_them).any() else np.where(by_them, new, ours)
