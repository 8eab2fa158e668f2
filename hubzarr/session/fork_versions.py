"""Which of the objects count that one process stored for the same chunk.

A chunk may be stored more than once: a task sets some of its rows, then some more, each time
reading what is there and storing the whole chunk anew. Then the last object holds everything.
But when two threads read the same state of a chunk, and each stores its own changes on top of
it, neither object holds everything: both count, and the owner merges them element by element.
A store sees only reads and writes and not who they come from, so whatever may be the second
case is taken for it.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from hubzarr.session.renewing import renew_after_fork

__all__ = ["ChunkVersions", "Write"]


@dataclass(slots=True)
class _Chunk:
    """One chunk, as this process has seen it.

    Attributes
    ----------
    newest, turn : int
        Write id of its newest object, and its turn; 0 and -1: as in the fork.
    begun, running : int
        How many writes were begun, and how many of them have not ended.
    fresh, stale : int
        Reads of the newest object, and of what may be an older one, that no write followed.
    """

    newest: int = 0
    turn: int = -1
    begun: int = 0
    running: int = 0
    fresh: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class Write:
    """An object that is being stored.

    Attributes
    ----------
    write_id : int
    apart : bool
        Whether it may lack changes that the process's object before this one holds.
    """

    write_id: int
    apart: bool


class ChunkVersions:
    """Reads and writes of chunks by this process.

    Parameters
    ----------
    sign : callable
        Called with each new write id: the group of chunks that it is for, its turn, the id.

    Examples
    --------
    >>> versions = ChunkVersions(lambda group, turn, write_id: None)
    >>> with versions.writing(0, "chunk") as first:
    ...     pass
    >>> versions.read("chunk") == first.write_id
    True
    >>> with versions.writing(0, "chunk") as second:  # on top of what was read
    ...     second.apart
    False
    >>> with versions.writing(0, "chunk") as third:  # of somebody who has not seen the second
    ...     third.apart
    True
    """

    def __init__(self, sign: Callable[[int, int, int], None]) -> None:
        self._sign = sign
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew: in a forked child, the write ids are the parent's."""
        #: Tells processes apart.
        self.writer = secrets.token_hex(4)
        self._chunks: dict[Hashable, _Chunk] = {}
        #: By group: write ids, of which the n-th is for the n-th write of any chunk.
        self._ids: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def newest(self, key: Hashable) -> int:
        """Write id of a chunk's newest object; 0: as in the fork."""
        with self._lock:
            chunk = self._chunks.get(key)
            return 0 if chunk is None else chunk.newest

    def read(self, key: Hashable) -> int:
        """The same, for somebody who may write on top of it."""
        with self._lock:
            chunk = self._chunks.setdefault(key, _Chunk())
            if chunk.running:
                chunk.stale += 1
            else:
                chunk.fresh += 1
            return chunk.newest

    @contextlib.contextmanager
    def writing(self, group: int, key: Hashable) -> Iterator[Write]:
        """Store a chunk anew, under a write id that it had not yet."""
        with self._lock:
            chunk = self._chunks.setdefault(key, _Chunk())
            turn = chunk.begun
            write = Write(self._id(group, turn), turn > 0 and (chunk.stale > 0 or not chunk.fresh))
            # One of the reads was this writer's. The others see an older object from now on.
            chunk.stale = max(0, chunk.stale + chunk.fresh - 1)
            chunk.fresh = 0
            chunk.begun += 1
            chunk.running += 1
        stored = False
        try:
            yield write
            stored = True
        finally:
            with self._lock:
                chunk.running -= 1
                chunk.stale += chunk.fresh
                chunk.fresh = 0
                if stored and turn > chunk.turn:
                    chunk.newest, chunk.turn = write.write_id, turn

    def _id(self, group: int, turn: int) -> int:
        ids = self._ids.setdefault(group, [])
        if turn == len(ids):
            write_id = secrets.randbits(64) or 1  # 0 means "never written"
            self._sign(group, turn, write_id)
            ids.append(write_id)
        return ids[turn]
