"""How a handle travels to other processes: a place and a commit, never live connections."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubzarr.errors import NotFoundError
from hubzarr.history.versions import read_manifest
from hubzarr.session import Session
from hubzarr.session.forks.forking import without_secrets_here
from hubzarr.storage.base import Storage

if TYPE_CHECKING:
    from hubzarr.engine import ArrayEngine

__all__ = ["Source", "open_engine", "open_shared", "open_source", "source_of"]

#: Commits that a process keeps open for tasks.
KEPT = 16


@dataclass(frozen=True)
class Source:
    """An array at one commit, small and picklable."""

    storage: Storage
    name: str
    version: str
    number: int
    commit: str
    path: str
    writable: bool
    author: str
    sync_interval: float | None

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and self.key == other.key

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What tells two commits apart, also where one repository took another's place."""
        return (self.storage.url, self.version, self.number, self.commit)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells two sources apart."""
        return (*self.place, self.path, self.writable)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return self.key


def source_of(session: Session, path: str) -> Source:
    """The source that stands for an array as committed."""
    commit = session.manifest.commit
    return Source(
        session.storage, session.name, commit.version, commit.number, commit.id, path,
        session.writable, session.author, session.sync_interval,
    )  # fmt: skip


def open_source(source: Source, writable: bool) -> Session:
    """A new session on the source's commit."""
    with without_secrets_here(source.storage):
        manifest = read_manifest(source.storage, source.version, source.number)
    if manifest is None or manifest.commit.id != source.commit:
        raise NotFoundError(
            f"commit {source.version}@{source.number} of {source.name} is gone, or this process "
            f"sees another place at {source.storage.url}; load the array again, from a place that "
            "all workers share",
        )
    return Session(
        source.storage, manifest, writable=writable and manifest.commit.state == "open",
        author=source.author, sync_interval=source.sync_interval if writable else None,
        name=source.name,
    )  # fmt: skip


class _Opened:
    """Sessions opened for tasks in this process, most recent last."""

    def __init__(self) -> None:
        self.sessions: OrderedDict[tuple[str, str, int, str], Session] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, source: Source) -> Session:
        # Threads that need the same commit wait for the first of them to open it.
        with self.lock:
            session = self.sessions.get(source.place)
            if session is None:
                session = self.sessions[source.place] = open_source(source, writable=False)
                if len(self.sessions) > KEPT:
                    self.sessions.popitem(last=False)
            else:
                self.sessions.move_to_end(source.place)
            return session


_opened = _Opened()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_opened.__init__)  # type: ignore[misc]


def open_shared(source: Source) -> Session:
    """A session that reads the source's commit; opened once per process, from any thread."""
    return _opened.get(source)


def open_engine(source: Source) -> ArrayEngine:
    """An engine that reads the source; opened once per process, from any thread."""
    return open_shared(source).array(source.path).engine
