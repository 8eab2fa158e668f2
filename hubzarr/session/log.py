"""Looking at the history: the log, the versions, and the state at any point."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hubzarr.errors import InvalidNameError, InvalidTypeError, NotFoundError
from hubzarr.history.compare import history
from hubzarr.history.heads import head
from hubzarr.history.log import ancestors
from hubzarr.history.manifest import Commit, Manifest
from hubzarr.history.versions import list_versions, read_manifest
from hubzarr.names import check_segment, parse_point
from hubzarr.session.session import Session
from hubzarr.storage.base import Storage
from hubzarr.threads import map_all

__all__ = ["Point", "VersionInfo", "head_of", "log", "state_at", "versions"]

#: A commit's number, id or time; ``version`` or ``version@point``; None: the session's.
type Point = int | str | datetime | None


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version and its newest commit.

    Attributes
    ----------
    name : str
    sealed : bool
        Whether it is frozen for ever.
    number, commit_id, time, author, message
        Of the newest commit.
    """

    name: str
    sealed: bool
    number: int
    commit_id: str
    time: str
    author: str
    message: str | None


def versions(storage: Storage) -> list[VersionInfo]:
    """All versions of a repository that were not deleted, by name.

    Examples
    --------
    >>> from hubzarr.codecs import array_document
    >>> from hubzarr.session import create_repository
    >>> from hubzarr.session.log import versions
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://versions-example")
    >>> _ = create_repository(storage, "main", array_document((4,), "i4", (2,)), author="me")
    >>> [(v.name, v.number, v.sealed) for v in versions(storage)]
    [('main', 0, False)]
    """
    names = list_versions(storage)
    heads = map_all(
        lambda name: head(storage, name), names, storage.concurrency, _batch(storage, len(names))
    )
    commits = [m.commit for m in heads if m is not None and m.commit.state != "deleted"]
    return [
        VersionInfo(c.version, c.state == "sealed", c.number, c.id, c.time, c.author, c.message)
        for c in commits
    ]


def _batch(storage: Storage, items: int) -> int:
    """Items per task of the pool: a hop to a thread costs more than a local request."""
    return items if storage.is_local else 1


def log(session: Session, limit: int | None = None, syncs: bool = False) -> list[Commit]:
    """Commits that led to a session's state, newest first.

    Parameters
    ----------
    session : Session
    limit : int, optional
        How many at most.
    syncs : bool
        Automatic syncs too, which have no message.

    Examples
    --------
    >>> from hubzarr.codecs import array_document
    >>> from hubzarr.session import create_repository, open_session
    >>> from hubzarr.session.log import log
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://log-example")
    >>> document = array_document((4,), "i4", (2,))
    >>> _ = create_repository(storage, "main", document, author="me", message="created")
    >>> session = open_session(storage, "main")
    >>> _ = session.commit("nothing yet")
    >>> [commit.message for commit in log(session)]
    ['nothing yet', 'created']
    """
    out: list[Commit] = []
    if limit is not None and limit <= 0:
        return out
    for commit in ancestors(session.manifest, session.reader):
        if syncs or _is_named(commit):
            out.append(commit)
            if len(out) == limit:
                break
    return out


def _is_named(commit: Commit) -> bool:
    """Whether a commit is more than a sync: named, the first of its version, its last."""
    return (
        commit.message is not None
        or commit.state != "open"
        or commit.merged is not None
        or commit.parent is None
        or commit.parent.rpartition("@")[0] != commit.version
    )


def head_of(storage: Storage, version: str, name: str = "") -> Manifest:
    """The newest state of a version.

    Raises
    ------
    NotFoundError
        There is no such version; the message lists those that exist.
    """
    newest = head(storage, version)
    if newest is None or newest.commit.state == "deleted":
        what = "does not exist" if newest is None else "was deleted"
        there = ", ".join(v.name for v in versions(storage)) or "none"
        raise NotFoundError(
            f"version {version!r} of {name or storage.url} {what}; versions there: {there}",
            version=version,
        )
    return newest


def state_at(session: Session, point: Point) -> Manifest:
    """The state at a point, seen from a session.

    Parameters
    ----------
    session : Session
    point : int, str, datetime or None
        A number or a time counts in the session's version. Text may also be a commit id,
        ``version@point`` or the name of a version, whose newest state it is (``:version``
        if it looks like something else).

    Raises
    ------
    NotFoundError
        There is no such point or version.
    """
    if point is None:
        return session.manifest
    if isinstance(point, datetime):
        aware = point if point.tzinfo else point.replace(tzinfo=UTC)
        return _at_time(session, session.manifest, aware)
    if isinstance(point, int) and not isinstance(point, bool):
        return _at_number(session, session.version, point)
    if not isinstance(point, str):
        raise InvalidTypeError(
            f"a point of the history is a number, an id, a time or a version, not {point!r}"
        )
    version, at, rest = point.partition("@")
    if at:
        version = version.removeprefix(":") or session.version
        return _parsed(session, version, rest)
    if not point.startswith(":"):
        try:
            return _parsed(session, session.version, point)
        except InvalidNameError:
            pass
    return head_of(session.storage, check_segment(point.removeprefix(":"), "version"), session.name)


def _parsed(session: Session, version: str, text: str) -> Manifest:
    wanted = parse_point(text)
    if isinstance(wanted, int):
        return _at_number(session, version, wanted)
    if version == session.version:
        newest = session.manifest
    else:
        newest = head_of(session.storage, check_segment(version, "version"), session.name)
    if isinstance(wanted, datetime):
        return _at_time(session, newest, wanted)
    return _with_id(session, newest, wanted)


def _at_number(session: Session, version: str, number: int) -> Manifest:
    commit = session.manifest.commit
    if version == commit.version and number == commit.number:
        return session.manifest
    found = None
    if number >= 0:
        found = read_manifest(session.storage, check_segment(version, "version"), number)
    if found is None:
        newest = head_of(session.storage, version, session.name)
        raise NotFoundError(
            f"{session.name}:{version} has no commit {number}; its newest is "
            f"{newest.commit.number}; see log()",
            point=number,
        )
    return found


def _at_time(session: Session, newest: Manifest, time: datetime) -> Manifest:
    text = time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    for commit in ancestors(newest, session.reader, text):
        if commit.time <= text:
            return _manifest_of(session, commit)
    raise NotFoundError(
        f"no commit of {session.name}:{newest.commit.version} was made at or before {text}; "
        "see log()",
        point=text,
    )


def _with_id(session: Session, newest: Manifest, wanted: str) -> Manifest:
    for commit in history(newest, session.storage, session.reader):
        if commit.id == wanted:
            return _manifest_of(session, commit)
    latest = head_of(session.storage, newest.commit.version, session.name)
    if latest.commit.id != newest.commit.id:  # the session may stand before it
        for commit in history(latest, session.storage, session.reader):
            if commit.id == wanted:
                return _manifest_of(session, commit)
    raise NotFoundError(
        f"no commit of {session.name}:{newest.commit.version} has the id {wanted}; see log()",
        point=wanted,
    )


def _manifest_of(session: Session, commit: Commit) -> Manifest:
    if commit.id == session.manifest.commit.id:
        return session.manifest
    manifest = read_manifest(session.storage, commit.version, commit.number)
    if manifest is None:
        raise NotFoundError(
            f"commit {commit.address} of {session.name} was expired from the history",
            point=commit.id,
        )
    return manifest
