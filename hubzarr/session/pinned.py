"""What a process opens once, however often it is sent there: states of sessions.

A task on a cluster brings its store along. The first one reads the manifest; later ones, in
any thread, find the session that the first one opened.
"""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from hubzarr.errors import NotFoundError
from hubzarr.history.versions import read_manifest
from hubzarr.session.renewing import renew_after_fork
from hubzarr.session.session import Session

__all__ = ["OpenedOnce", "pinned_session"]

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


_sessions: OpenedOnce[Session] = OpenedOnce()


def pinned_session(place: bytes, name: str, version: str, number: int, commit: str) -> Session:
    """A session of one commit, for reading; one for each process.

    Parameters
    ----------
    place : bytes
        The repository's storage, pickled.
    name : str
        For messages.
    version, number, commit : str, int, str

    Raises
    ------
    NotFoundError
        This process does not find that commit.
    """

    def make() -> Session:
        storage = pickle.loads(place)
        manifest = read_manifest(storage, version, number)
        if manifest is None or manifest.commit.id != commit:
            raise NotFoundError(
                f"this process finds no commit {version}@{number} of {name} at {storage.url}: the "
                "place must be one that all processes share, such as a bucket or a network disk, "
                "and the version must not have been deleted meanwhile",
                version=version,
            )
        session = Session(storage, manifest, writable=False, name=name)
        session.refusal = (
            f"this store is a copy of {name}:{version}@{number} in another process, and only "
            "reads. To write from many processes, use `with store.fork(message) as fork:` and "
            "give them `fork`"
        )
        return session

    return _sessions.get((place, version, number, commit), make)
