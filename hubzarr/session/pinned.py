"""What a process opens once, however often it is sent there: the keys of a commit.

A task on a cluster brings its store along. The first one that uses it reads the manifest; later
ones, in any thread, find what the first one opened. Nothing is opened on the way: a scheduler
that hands the store on may not even see the place.
"""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from hubzarr.errors import NotFoundError
from hubzarr.history.versions import read_manifest
from hubzarr.session.keyspace import KeySpace
from hubzarr.session.renewing import renew_after_fork
from hubzarr.session.session import Session

__all__ = ["OpenedOnce", "PinnedKeys"]

#: Sessions that a process keeps.
KEPT: Final = 32


class OpenedOnce[T]:
    """Things by key, opened when first asked for; those not used for long are let go.

    A child that was forked begins with none.

    Parameters
    ----------
    kept : int

    Examples
    --------
    >>> numbers = OpenedOnce()
    >>> numbers.get("seven", lambda: 7), numbers.get("seven", lambda: 8)
    (7, 7)
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew."""
        self._found: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is under a key; made by one thread while the others wait."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
            made = self._found[key] = make()
            if len(self._found) > self._kept:
                self._found.popitem(last=False)
            return made


_opened: OpenedOnce[KeySpace] = OpenedOnce()


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """Where the keys of one commit are to be found, for reading; it has not opened anything.

    Parameters
    ----------
    place : bytes
        The repository's storage, pickled.
    name, version : str
    number : int
    commit : str
        The commit's id.
    """

    place: bytes = field(repr=False)
    name: str
    version: str
    number: int
    commit: str

    def open(self) -> KeySpace:
        """The keys; one object for each process.

        Raises
        ------
        NotFoundError
            This process does not find the commit.
        """
        return _opened.get(self, self._open)

    def _open(self) -> KeySpace:
        storage = pickle.loads(self.place)
        address = f"{self.version}@{self.number}"
        manifest = read_manifest(storage, self.version, self.number)
        if manifest is None or manifest.commit.id != self.commit:
            raise NotFoundError(
                f"this process finds no commit {address} of {self.name} at {storage.url}: use a "
                "place that all processes share, such as a bucket or a network disk, and don't "
                "delete versions that others read",
                version=self.version,
            )
        session = Session(storage, manifest, writable=False, name=self.name)
        session.refusal = (
            f"this store is a copy of {self.name}:{address} in another process, and only reads. To "
            "write from many processes, use `with store.fork(message) as fork:` and give them "
            "`fork`"
        )
        return KeySpace(session)
