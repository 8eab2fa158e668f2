"""Getting over failures: commits whose answer was lost, merges that broke off, forks."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubzarr.history.manifest import Commit, Manifest
from hubzarr.history.versions import read_manifest

if TYPE_CHECKING:
    from hubzarr.session.session import Session

__all__ = ["Doubt", "intact", "settle_doubt", "watch_forks"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A commit that may have been made: the store failed before it said so.

    Attributes
    ----------
    commit : Commit
        As it would be.
    appended : dict
        By path: rows that it appends, None after a `resize`.
    """

    commit: Commit
    appended: dict[str, int | None]

    @classmethod
    def of(cls, session: Session, commit: Commit) -> Doubt:
        """The doubt about committing what a session holds now."""
        return cls(commit, {path: state.appended for path, state in session.states.items()})


def settle_doubt(session: Session, newest: Manifest | None) -> Commit | None:
    """Find out whether a commit in doubt was made; if so, the session goes on from it.

    Else the same rows would be appended again, and the session would meet its own values
    as somebody else's.

    Parameters
    ----------
    newest : Manifest or None
        Of the session's version: most often that is the one to look at.
    """
    if not session.doubts:
        return None
    commit = session.doubts[-1].commit  # all attempts were at the same number
    stored = newest
    if newest is None or newest.commit.number != commit.number:
        stored = read_manifest(session.storage, commit.version, commit.number)
    if stored is None:
        return None  # a request on its way may still make it
    doubt = next((d for d in session.doubts if d.commit.id == stored.commit.id), None)
    session.doubts.clear()
    if doubt is None:
        return None
    session.manifest = stored
    nodes = session.committed_nodes()
    for path, state in session.states.items():
        if path in doubt.appended and path in nodes:
            state.adopt(nodes[path], doubt.appended[path])
    session.groups = {
        path: document
        for path, document in session.groups.items()
        if path not in nodes or nodes[path].document != document
    }
    session.removed &= set(nodes)
    session.objects = {
        key: value for key, value in session.objects.items() if stored.objects.get(key) != value
    }
    if stored.commit.state != "open":
        session.writable = False
    return stored.commit


@contextlib.contextmanager
def intact(session: Session) -> Iterator[None]:
    """Put a session back as it was if what is done inside fails.

    Its buffers must have been flushed.
    """
    names = ("manifest", "groups", "removed", "objects", "writable", "failure", "_states")
    before: dict[str, Any] = {name: getattr(session, name) for name in names}
    for name in ("groups", "removed", "objects", "_states"):
        before[name] = before[name].copy()
    used = list(session.writes.used)
    states = [(state, state.memento()) for state in session.states.values()]
    try:
        yield
    except BaseException:
        vars(session).update(before)
        session.writes.rotate()
        session.writes.used[:0] = used
        for state, memento in states:
            state.restore(memento)
        raise


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


def watch_forks(session: Session) -> None:
    """Let a session begin anew in forked children."""
    _sessions.add(session)


def _forget_parent() -> None:
    """In a child: every session stands at its last commit, with locks that nobody holds.

    What the parent wrote is the parent's to commit, and a thread of the parent may have
    held a lock, or been half through a commit, at the time of the fork.
    """
    for session in list(_sessions):
        session.lock = threading.RLock()
        session.writes.reset()  # the parent goes on with its own
        session.in_transaction = session.sync_due = session.queued = False
        session.reader.after_fork()
        session.turn_away()
        for state in session.states.values():
            state.lock = session.lock
            state.engine.after_fork(session.lock)
        try:
            session.discard()
        except Exception as error:
            session.failure = error


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
