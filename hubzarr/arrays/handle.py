"""How a handle travels to other processes: a place and a commit, never live connections."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubzarr.errors import NotFoundError
from hubzarr.history.versions import read_manifest
from hubzarr.session import Session
from hubzarr.storage.base import Storage

if TYPE_CHECKING:
    from hubzarr.engine import ArrayEngine

__all__ = ["Source", "open_engine", "open_source", "source_of"]

#: Sessions opened for tasks in this process, most recent last.
_opened: OrderedDict[Source, Session] = OrderedDict()
KEPT = 16


@dataclass(frozen=True)
class Source:
    """An array at one commit, small and picklable."""

    storage: Storage
    name: str
    version: str
    number: int
    path: str
    writable: bool
    author: str
    sync_interval: float | None

    def __hash__(self) -> int:
        return hash((self.storage.url, self.version, self.number, self.path, self.writable))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and self.key == other.key

    @property
    def key(self) -> tuple[object, ...]:
        """What tells two sources apart."""
        return (self.storage.url, self.version, self.number, self.path, self.writable)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return self.key


def source_of(session: Session, path: str) -> Source:
    """The source that stands for an array as committed."""
    commit = session.manifest.commit
    return Source(
        session.storage, session.name, commit.version, commit.number, path, session.writable,
        session.author, session.sync_interval,
    )  # fmt: skip


def open_source(source: Source, writable: bool) -> Session:
    """A new session on the source's commit."""
    manifest = read_manifest(source.storage, source.version, source.number)
    if manifest is None:
        raise NotFoundError(
            f"commit {source.version}@{source.number} of {source.name} is gone; load the array "
            "again",
        )
    return Session(
        source.storage, manifest, writable=writable and manifest.commit.state == "open",
        author=source.author, sync_interval=source.sync_interval if writable else None,
        name=source.name,
    )  # fmt: skip


def open_engine(source: Source) -> ArrayEngine:
    """An engine that reads the source; opened once per process."""
    session = _opened.get(source)
    if session is None:
        session = _opened[source] = open_source(source, writable=False)
        if len(_opened) > KEPT:
            _opened.popitem(last=False)
    return session.array(source.path).engine
