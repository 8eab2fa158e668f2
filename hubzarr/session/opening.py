"""Opening sessions, creating repositories and versions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from hubzarr.errors import (
    DamagedError,
    ExistsError,
    NotFoundError,
    ReadOnlyError,
    UnsupportedError,
)
from hubzarr.history.heads import head
from hubzarr.history.log import ancestors, extended
from hubzarr.history.manifest import Manifest, Node, decode
from hubzarr.history.nodes import with_nodes
from hubzarr.history.versions import list_versions, read_manifest
from hubzarr.names import parse_point
from hubzarr.session.commit import new_commit, store
from hubzarr.session.session import Session
from hubzarr.storage.base import Storage, is_read_only
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.table.reader import PageReader
from hubzarr.threads import map_all

__all__ = [
    "create_repository",
    "create_version",
    "existing_versions",
    "manifest_at",
    "open_session",
]

_ONLY_READS: Final = "{} is on a web server, which only reads; write to the store behind it"


def check_writable_store(storage: Storage) -> None:
    """Refuse a store that only reads, and one on which two writers could both win."""
    if is_read_only(storage):
        raise ReadOnlyError(_ONLY_READS.format(storage.url))
    if not storage.atomic_create:
        raise UnsupportedError(
            f"{storage.url} can't create an object only if it is absent, so two writers could "
            "overwrite each other; if only one process ever writes there, say so with "
            "storage_options={'single_writer': True}"
        )


def existing_versions(storage: Storage) -> list[Manifest]:
    """The newest manifests of all versions that were not deleted."""
    names = list_versions(storage)
    heads = map_all(lambda name: head(storage, name), names, storage.concurrency, _batch(storage))
    return [m for m in heads if m is not None and m.commit.state != "deleted"]


def create_repository(
    storage: Storage,
    version: str,
    document: dict[str, Any],
    *,
    author: str,
    message: str | None = None,
    name: str = "",
    nodes: dict[str, Node] | None = None,
) -> Manifest:
    """Create a version that starts from nothing but one node at the root."""
    node = Node(document, "")
    return create_version(
        storage,
        version,
        None,
        author=author,
        message=message,
        name=name,
        nodes=nodes or {"": node},
    )


def create_version(
    storage: Storage,
    version: str,
    parent: Manifest | None,
    *,
    author: str,
    message: str | None = None,
    name: str = "",
    nodes: dict[str, Node] | None = None,
    objects: dict[str, tuple[str, int]] | None = None,
    state: str = "open",
) -> Manifest:
    """Take a version's name by creating its first manifest.

    Parameters
    ----------
    parent : Manifest or None
        The state to start from; None starts an independent version from `nodes`.
    state : str
        "sealed" freezes it at once.

    Raises
    ------
    ExistsError
        The name is taken.
    """
    check_writable_store(storage)
    tried: set[str] = set()
    while True:
        old = head(storage, version)
        if old is not None and old.commit.id in tried:
            return old  # the answer was lost, and what was read back was damaged
        if old is not None and old.commit.state != "deleted":
            raise ExistsError(
                f"version {version!r} of {name or storage.url} exists already; load it, or choose "
                "another version",
                version=version,
            )
        number = 0 if old is None else old.commit.number + 1
        changes = {path: {"created": True} for path in nodes or {}}
        commit = new_commit(
            parent, version, number, message=message, author=author, changes=changes, state=state
        )
        pages: dict[str, list[bytes]] = {}
        if parent is None:
            bare = Manifest(commit, {}, objects=objects or {})
            manifest, pages = with_nodes(bare, nodes or {})
        else:
            log, pages = extended(parent.log, parent.commit)
            manifest = replace(
                parent, commit=commit, log=log, parent_digest=parent.digest, digest=""
            )
            if nodes is not None:
                manifest = replace(manifest, nodes=dict(nodes), node_pages=())
        tried.add(commit.id)
        created = store(storage, manifest, pages)
        if created is not None:
            return created


def open_session(
    storage: Storage,
    version: str,
    point: str | None = None,
    *,
    mode: str = "r+",
    author: str = "",
    sync_interval: float | None = None,
    name: str = "",
) -> Session:
    """Open a version, or a point of its history for reading.

    Raises
    ------
    NotFoundError
        No such version or point; the message lists what there is.
    """
    mode = "r" if is_read_only(storage) else mode
    kept = _kept_commit(storage, version, point)
    newest, manifest = (kept, kept) if kept else _newest_and_numbered(storage, version, point)
    if newest is None or newest.commit.state == "deleted":
        raise _no_version(storage, version, name, newest)
    if point is None:
        manifest = newest
    elif manifest is None or manifest.commit.number > newest.commit.number:
        manifest = manifest_at(storage, newest, point, name)
    writable = mode == "r+" and point is None and newest.commit.state == "open"
    if writable:
        check_writable_store(storage)
    session = Session(
        storage,
        manifest,
        writable=writable,
        author=author,
        sync_interval=sync_interval if writable else None,
        name=name,
    )
    session.interval = sync_interval
    session.may_write = mode == "r+"
    if is_read_only(storage):
        session.refusal = _ONLY_READS.format(storage.url)
    return session


def _newest_and_numbered(
    storage: Storage, version: str, point: str | None
) -> tuple[Manifest | None, Manifest | None]:
    """The newest commit, and at the same time the one that a point names by its number.

    The newest may be damaged: that can't hide one that is asked for by its number.
    """
    wanted = None if point is None else parse_point(point)
    if not isinstance(wanted, int):
        return head(storage, version), None

    def newest() -> Manifest | DamagedError | None:
        try:
            return head(storage, version)
        except DamagedError as error:
            return error

    asked: list[Callable[[], Manifest | DamagedError | None]] = [
        newest,
        lambda: read_manifest(storage, version, wanted),
    ]
    found, numbered = map_all(lambda ask: ask(), asked, storage.concurrency, _batch(storage))
    if isinstance(numbered, DamagedError):
        raise numbered
    if isinstance(found, DamagedError):
        if numbered is None:
            raise found
        return numbered, numbered
    return found, numbered


def _kept_commit(storage: Storage, version: str, point: str | None) -> Manifest | None:
    """The commit with the id in a point, if the disk cache has it: no request then."""
    wanted = None if point is None else parse_point(point)
    if not isinstance(storage, CachedStorage) or not isinstance(wanted, str):
        return None
    data = storage.manifest_of(wanted)
    with contextlib.suppress(DamagedError):
        manifest = None if data is None else decode(data, f"of commit {wanted}")
        if manifest is not None and manifest.commit.version == version:
            return manifest
    return None


def _batch(storage: Storage) -> int:
    """Requests that one thread makes one after the other."""
    return 1 << 16 if storage.is_local else 1


def _no_version(
    storage: Storage, version: str, name: str, newest: Manifest | None
) -> NotFoundError:
    there = [m.commit.version for m in existing_versions(storage)]
    label = name or storage.url
    if not there:
        return NotFoundError(
            f"no array or dataset named {label!r} ({storage.url}); hub.list() shows what there is, "
            "hub.array(shape, name) creates one",
            name=label,
            version=version,
        )
    gone = "was deleted" if newest is not None else "does not exist"
    return NotFoundError(
        f"version {version!r} of {label} {gone}; versions there: {', '.join(there)}. "
        f"For example: hub.load('{label}:{there[0]}')",
        name=label,
        version=version,
    )


def manifest_at(storage: Storage, newest: Manifest, point: str, name: str = "") -> Manifest:
    """The state of a version at a commit number, commit id or ISO time."""
    wanted = parse_point(point)
    version = newest.commit.version
    label = name or storage.url
    if isinstance(wanted, int):
        found = None
        if wanted <= newest.commit.number:
            found = read_manifest(storage, version, wanted)
        if found is None:
            raise NotFoundError(
                f"{label}:{version} has no commit {wanted}; its newest is {newest.commit.number}",
                point=point,
            )
        return found
    reader = PageReader(storage)
    if isinstance(wanted, datetime):
        text = wanted.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        match = next((c for c in ancestors(newest, reader, text) if c.time <= text), None)
        what = f"was made at or before {text}; the first was later"
    else:
        match = next((c for c in ancestors(newest, reader) if c.id == wanted), None)
        what = f"has the id {wanted}"
    if match is None:
        raise NotFoundError(f"no commit of {label}:{version} {what}; see log()", point=point)
    manifest = read_manifest(storage, match.version, match.number)
    if manifest is None:
        raise NotFoundError(
            f"commit {match.address} of {label} was expired from the history", point=point
        )
    return manifest
