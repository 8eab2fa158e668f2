"""Saved views: which rows of which commit, kept in the repository under a name."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from hubzarr.codecs import array_document
from hubzarr.datasets.catalog import checked_name
from hubzarr.datasets.layout import MARK, VIEWS, group_document, mark_of
from hubzarr.datasets.rows import Rows, as_numbers
from hubzarr.errors import ExistsError, InvalidError, NotFoundError
from hubzarr.history.manifest import Manifest
from hubzarr.history.versions import read_manifest
from hubzarr.indexing import identity
from hubzarr.session import Session, open_session
from hubzarr.session.opening import manifest_at

__all__ = [
    "ViewEntry",
    "delete_view",
    "entry_of",
    "load_rows",
    "pinned",
    "save_view",
    "saved_views",
]


_REFUSAL = (
    "a view that a query, a filter or load_view gave stays on its commit and only reads; "
    "ds[view.sample_indices] selects the same rows of the dataset, to be written to"
)


@dataclass(frozen=True)
class ViewEntry:
    """A saved view.

    Attributes
    ----------
    id : str
    message : str or None
    query : str
        What selected the rows; "" if they were selected by their numbers.
    commit : str
        Address of the commit that the rows are of, as ``version@number``.
    commit_id : str
    length : int
        Number of rows.
    group : str
    tensors : tuple of str, or None
        Paths of the tensors that it is limited to.
    """

    id: str
    message: str | None
    query: str
    commit: str
    commit_id: str
    length: int
    group: str = ""
    tensors: tuple[str, ...] | None = None


def pinned(session: Session) -> Session:
    """A read-only session on what a session has committed; it commits what was written first."""
    with session.lock:
        session.check()
        if session.in_transaction and session.dirty:
            raise InvalidError(
                "what this transaction wrote is not committed, so its rows can't be pinned: end "
                "the transaction first"
            )
        if session.writable:
            session.sync()
        other = Session(
            session.storage, session.manifest, writable=False, author=session.author,
            name=session.name,
        )  # fmt: skip
        other.interval = session.interval
        other.refusal = _REFUSAL
        return other


def _newest(session: Session, mode: str = "r") -> Session:
    """A session on the newest commit of a version, where its saved views are."""
    return open_session(
        session.storage, session.version, None, mode=mode, author=session.author,
        name=session.name,
    )  # fmt: skip


def save_view(
    session: Session,
    rows: Rows | None,
    length: int,
    *,
    name: str | None,
    message: str | None,
    query: str,
    group: str,
    tensors: tuple[str, ...] | None,
) -> ViewEntry:
    """Keep a selection of rows; `rows` None means all."""
    target = pinned(session)
    commit = target.manifest.commit
    entry = ViewEntry(
        checked_name(name or secrets.token_hex(6), "view"), message, query, commit.address,
        commit.id, length, group, tensors,
    )  # fmt: skip
    writer = _newest(session, "r+")
    with writer.lock:
        path = f"{VIEWS}/{entry.id}"
        if writer.document(path) is not None:
            raise ExistsError(f"there is a saved view {entry.id!r}; choose another id", id=entry.id)
        if writer.document(VIEWS) is None:
            writer.set_group(VIEWS, group_document({MARK: {"hidden": True}}))
        marks = {"view": _to_json(entry), "hidden": True}
        writer.set_group(path, group_document({MARK: marks}))
        if rows is not None:
            document = array_document((len(rows),), "int64", (max(1, min(len(rows), 65536)),), None)
            state = writer.create_array(f"{path}/rows", document)
            if len(rows):
                from_rows = as_numbers(rows)
                state.engine.write(identity((len(rows),)), from_rows)
        writer.sync()
    return entry


def _to_json(entry: ViewEntry) -> dict[str, Any]:
    values = dict(vars(entry))
    values["tensors"] = None if entry.tensors is None else list(entry.tensors)
    return values


def saved_views(session: Session) -> list[ViewEntry]:
    """All saved views of the version that a session is of."""
    return _views_in(_newest(session))


def _views_in(session: Session) -> list[ViewEntry]:
    found = []
    for path in session.paths():
        if path.startswith(VIEWS + "/"):
            values = mark_of(session.document(path)).get("view")
            if values:
                tensors = values.get("tensors")
                found.append(
                    ViewEntry(**values | {"tensors": None if tensors is None else tuple(tensors)})
                )
    return found


def entry_of(session: Session, id: str) -> ViewEntry:
    """A saved view by its id."""
    return _found(session, id)[0]


def _found(session: Session, id: str) -> tuple[ViewEntry, Session]:
    """A saved view, and a session that sees it."""
    newest = _newest(session)
    views = {view.id: view for view in _views_in(newest)}
    if id not in views:
        raise NotFoundError(f"no saved view {id!r}; there are: {', '.join(views) or 'none'}", id=id)
    return views[id], newest


def load_rows(session: Session, id: str) -> tuple[ViewEntry, Session, Rows | None]:
    """A saved view, a session on its commit, and its rows."""
    entry, session = _found(session, id)
    target = Session(session.storage, _commit_of(session, entry), writable=False, name=session.name)
    target.interval = session.interval
    target.refusal = _REFUSAL
    path = f"{VIEWS}/{id}/rows"
    if session.document(path) is None:
        return entry, target, None
    engine = session.array(path).engine
    return entry, target, engine.read(identity(engine.shape))


def _commit_of(session: Session, entry: ViewEntry) -> Manifest:
    version, _, number = entry.commit.rpartition("@")
    found = read_manifest(session.storage, version, int(number))
    if found is not None and found.commit.id == entry.commit_id:
        return found
    try:  # pushed under another version name it has another address
        return manifest_at(session.storage, session.manifest, entry.commit_id, session.name)
    except NotFoundError as error:
        raise NotFoundError(
            f"the commit {entry.commit} of saved view {entry.id!r} is gone", id=entry.id
        ) from error


def delete_view(session: Session, id: str) -> None:
    """Forget a saved view."""
    entry_of(session, id)
    writer = _newest(session, "r+")
    with writer.lock:
        for path in reversed(writer.paths()):
            if path == f"{VIEWS}/{id}" or path.startswith(f"{VIEWS}/{id}/"):
                writer.remove(path)
        writer.sync()
