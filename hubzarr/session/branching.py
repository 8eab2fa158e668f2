"""Versions as a whole: branch, merge, revert, seal, check out, copy, rename, delete."""

from __future__ import annotations

from hubzarr.errors import ExistsError, InvalidError, NotFoundError, SealedError
from hubzarr.history.heads import head
from hubzarr.history.log import extended
from hubzarr.history.manifest import Commit, Manifest
from hubzarr.names import check_segment
from hubzarr.session.commit import new_commit, pause, store
from hubzarr.session.log import Point, VersionInfo, head_of, log, state_at, versions
from hubzarr.session.merging import adopt, begin, merge
from hubzarr.session.opening import check_writable_store, create_version
from hubzarr.session.rebase import check_open, check_place
from hubzarr.session.session import Session
from hubzarr.storage.base import Storage

__all__ = [
    "VersionInfo",
    "branch",
    "checkout",
    "copy_version",
    "delete_version",
    "log",
    "merge",
    "rename_version",
    "revert",
    "seal",
    "versions",
]


def branch(session: Session, name: str, message: str | None = None) -> Manifest:
    """Start a new version from a session's state, at the cost of one small object.

    What the session has not committed is committed to its version first. Where that is no
    longer possible, because the version was sealed or deleted meanwhile, the changes go to
    the new version and the session goes with them.

    Parameters
    ----------
    session : Session
        One that only reads, at a point of the history say, will do.
    name : str
        Of the new version.
    message : str, optional

    Returns
    -------
    Manifest
        The new version's newest.

    Raises
    ------
    ExistsError
        The name is taken.

    Examples
    --------
    >>> from hubzarr.codecs import array_document
    >>> from hubzarr.session import create_repository, open_session
    >>> from hubzarr.session.branching import branch
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://branch-example")
    >>> _ = create_repository(storage, "main", array_document((4,), "i4", (2,)), author="me")
    >>> branch(open_session(storage, "main"), "dev").commit.parent
    'main@0'
    """
    name = check_segment(name, "version")
    with session.lock:
        _refuse_transaction(session, "branch()")
        homeless = False
        if session.dirty:
            _refuse_taken(session, name)
            try:
                session.sync()
            except SealedError:
                homeless = True
            except NotFoundError:
                homeless = True
                session.failure = None
        check_place(session)
        created = create_version(
            session.storage,
            name,
            session.manifest,
            author=session.author,
            message=message,
            name=session.name,
        )
        if not homeless:
            return created
        session.manifest = created  # the same nodes: the changes stay on top of them
        session.writable = True
        session.commit(None)
        return session.manifest


def _refuse_transaction(session: Session, what: str) -> None:
    if session.in_transaction:
        raise InvalidError(f"{what} can't be part of a transaction: end the transaction first")


def _refuse_taken(session: Session, name: str) -> None:
    """Find out before anything is committed."""
    old = head(session.storage, name)
    if old is not None and old.commit.state != "deleted":
        raise ExistsError(
            f"version {name!r} of {session.name} exists already; load it, or choose another "
            "version",
            version=name,
        )


def checkout(session: Session, version: str, create: bool = False) -> Manifest:
    """Move a session to another version; what it has not committed is committed first.

    Parameters
    ----------
    session : Session
    version : str
        A version, whose newest state it is; ``version@point`` for reading only.
    create : bool
        Start the version from the session's present state first.

    Raises
    ------
    NotFoundError
        There is no such version.
    ExistsError
        `create` is set and there is one already.
    """
    with session.lock:
        _refuse_transaction(session, "checkout()")
        session.check()
        if create:
            target = branch(session, version)
        else:
            session.sync()
            target = state_at(session, version if "@" in version else f":{version}")
        writable = session.may_write and "@" not in version and target.commit.state == "open"
        if writable:
            check_writable_store(session.storage)
        session.pin(target)
        session.writable = writable
        session.sync_interval = session.interval if writable else None
        return target


def revert(
    session: Session, point: Point, message: str | None = None, discard: bool = False
) -> Commit:
    """Commit the content of another point again; the history in between stays.

    Parameters
    ----------
    session : Session
    point : int, str or datetime
        See `state_at`.
    message : str, optional
    discard : bool
        Drop what is not committed instead of refusing.

    Raises
    ------
    InvalidError
        There is something that was not committed.

    Examples
    --------
    >>> from hubzarr.codecs import array_document
    >>> from hubzarr.session import create_repository, open_session
    >>> from hubzarr.session.branching import revert
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://revert-example")
    >>> _ = create_repository(storage, "main", array_document((4,), "i4", (2,)), author="me")
    >>> session = open_session(storage, "main")
    >>> session.array().resize((9,))
    >>> _ = session.commit("longer")
    >>> revert(session, 0).message, session.array().shape
    ('Revert to main@0', (4,))
    """
    with session.lock:
        begin(session, "revert()")
        if discard:
            session.discard()
        elif session.dirty:
            raise InvalidError(
                f"{session.name}:{session.version} has changes that were not committed, which "
                "reverting would lose: commit() them first, or drop them with discard()"
            )
        target = state_at(session, point)
        if target.commit.state == "deleted":
            raise NotFoundError(
                f"{session.name}:{target.commit.address} is where the version was deleted: it has "
                "no content to go back to"
            )
        text = f"Revert to {target.commit.address}" if message is None else message
        attempt = 0
        while True:
            session.pin(check_open(session))
            commit = adopt(session, target, text)
            if commit is not None:
                return commit
            pause(attempt)
            attempt += 1


def seal(session: Session, message: str | None = None) -> Commit:
    """Commit what was written and freeze the version for ever, both in one commit.

    Raises
    ------
    SealedError
        It is sealed already.
    """
    with session.lock:
        begin(session, "seal()")
        return session.commit(message, state="sealed")


def delete_version(storage: Storage, version: str, author: str, force: bool = False) -> Commit:
    """Delete a version: writers are refused from now on, and its name is free again.

    Its data stays until it is cleaned up, as do commits that other versions grew from.

    Parameters
    ----------
    storage : Storage
    version : str
    author : str
    force : bool
        Delete it though it is sealed.

    Raises
    ------
    NotFoundError
        There is no such version.
    SealedError
        It is sealed and `force` is not set.
    """
    check_writable_store(storage)
    attempt = 0
    while True:
        old = head_of(storage, version)
        if old.sealed and not force:
            raise SealedError(
                f"version {version!r} of {storage.url} is sealed; delete it with force=True if "
                "nobody relies on it",
                version=version,
            )
        commit = _delete_at(storage, old, author)
        if commit is not None:
            return commit
        pause(attempt)
        attempt += 1


def _delete_at(storage: Storage, newest: Manifest, author: str) -> Commit | None:
    """Append the manifest that deletes a version; None if somebody else committed."""
    old = newest.commit
    earlier, pages = extended(newest.log, old)
    commit = new_commit(newest, old.version, old.number + 1, author=author, state="deleted")
    manifest = Manifest(commit, {}, log=earlier, parent_digest=newest.digest)
    return None if store(storage, manifest, pages) is None else commit


def copy_version(
    storage: Storage, version: str, new: str, author: str, message: str | None = None
) -> Manifest:
    """Start version `new`, open for writing, from the newest state of another."""
    name = check_segment(new, "version")
    return create_version(storage, name, head_of(storage, version), author=author, message=message)


def rename_version(storage: Storage, version: str, new: str, author: str) -> Manifest:
    """Give an open version another name.

    The history stays as well, under the old name: commits are never rewritten.

    Raises
    ------
    ExistsError
        The new name is taken.
    SealedError
        It is sealed, and keeps its name.
    """
    name = check_segment(new, "version")
    old = head_of(storage, version)
    if old.sealed:
        raise SealedError(
            f"version {version!r} of {storage.url} is sealed: its name stays; branch or copy it to "
            "have another name for the same content",
            version=version,
        )
    message = f"Renamed from {version}"
    created = create_version(
        storage, name, old, author=author, message=message, state=old.commit.state
    )
    while _delete_at(storage, old, author) is None:
        # Somebody committed meanwhile, which must not be lost.
        old = head_of(storage, version)
        session = Session(storage, head_of(storage, name), author=author)
        adopt(session, old, message, state=old.commit.state)
        created = session.manifest
    return created
