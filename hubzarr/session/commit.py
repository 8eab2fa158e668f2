"""Making commits: the next manifest, and storing it."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.errors import (
    HubzarrError,
    StorageError,
)
from hubzarr.history.compare import split_address
from hubzarr.history.documents import copied
from hubzarr.history.log import extended
from hubzarr.history.manifest import Commit, Manifest, Node, encode
from hubzarr.history.nodes import with_nodes
from hubzarr.history.versions import create_manifest, read_manifest
from hubzarr.storage.base import Storage
from hubzarr.table.table import Table
from hubzarr.threads import map_all

if TYPE_CHECKING:
    from hubzarr.session.session import Session

__all__ = ["document_changes", "new_commit", "next_manifest", "pause", "store"]


#: Content of objects by path.
type Objects = dict[str, list[bytes]]


def now() -> str:
    """The time, as commits note it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_commit(parent: Manifest | None, version: str, number: int, **fields: Any) -> Commit:
    """A commit on top of `parent` with a fresh id and the time of now."""
    return Commit(
        id=secrets.token_hex(8),
        version=version,
        number=number,
        parent=None if parent is None else parent.commit.address,
        merged=fields.pop("merged", None),
        message=fields.pop("message", None),
        time=now(),
        depth=max([-1 if parent is None else parent.commit.depth, fields.pop("depth", -1)]) + 1,
        **fields,
    )


def _depth_of(storage: Storage, merged: str | None) -> int:
    """Depth of the second parent of a merge."""
    if merged is None:
        return -1
    manifest = read_manifest(storage, *split_address(merged))
    return -1 if manifest is None else manifest.commit.depth


def next_manifest(
    session: Session, message: str | None, state: str, merged: str | None
) -> tuple[Manifest, Objects, dict[str, Table]]:
    """The manifest that would commit a session's changes, the objects it needs, its tables."""
    base = session.manifest
    old = session.committed_nodes()
    nodes = {path: node for path, node in old.items() if path not in session.removed}
    objects_needed: Objects = {}
    tables: dict[str, Table] = {}
    changes: dict[str, dict[str, Any]] = {p: {"removed": True} for p in session.removed & set(old)}
    for path, document in session.groups.items():
        nodes[path] = Node(_frozen(old.get(path), document), path)
        changes[path] = document_changes(old.get(path), document)
    for path, array in session.states.items():
        if array.changed:
            table, more = array.engine.table.freeze()
            objects_needed |= more
            nodes[path] = Node(_frozen(old.get(path), array.document), array.home, table.dump())
            tables[path] = table
            changes[path] = document_changes(old.get(path), array.document)
            changes[path] |= _cell_changes(array)
    log, more = extended(base.log, base.commit)
    objects_needed |= more
    commit = new_commit(
        base,
        base.commit.version,
        base.commit.number + 1,
        merged=merged,
        depth=_depth_of(session.storage, merged),
        message=message,
        author=session.author,
        state=state,
        writes=tuple(f"{w:016x}" for w in session.writes.used),
        changes=changes,
    )
    objects = dict(base.objects)
    for key, value in session.objects.items():
        if value is None:
            objects.pop(key, None)
        else:
            objects[key] = value
    manifest = Manifest(commit, {}, (), objects, log, base.digest)
    manifest, more = with_nodes(manifest, nodes, base, session.reader)
    return manifest, objects_needed | more, tables


def document_changes(old: Node | None, document: dict[str, Any]) -> dict[str, Any]:
    """The summary of how a node's document changed."""
    if old is None:
        return {"created": True}
    out: dict[str, Any] = {}
    before, after = old.document, document
    if before.get("shape") != after.get("shape"):
        out["shape"] = [before.get("shape"), after.get("shape")]
    a, b = before.get("attributes", {}), after.get("attributes", {})
    keys = sorted(k for k in {*a, *b} if a.get(k) != b.get(k) or (k in a) != (k in b))
    if keys:
        out["attributes"] = keys
    return out


def _cell_changes(array: Any) -> dict[str, Any]:
    table = array.engine.table
    count = array.replaced_cells() if array.moved else 0
    for index, rows in () if array.moved else table.ids.dirty.items():
        if table.base.block == table.ids.tree.block and _known(table.base, index):
            count += int((rows != table.base.ids.leaf(index)).sum())
        else:
            count += int(np.count_nonzero(rows))
    out: dict[str, Any] = {"cells": count} if count else {}
    if array.appended and array.base_shape:
        out["appended"] = array.appended
    return out


def _known(table: Table, index: tuple[int, ...]) -> bool:
    return all(i * n < max(g, 1) for i, n, g in zip(index, table.block, table.grid, strict=True))


def _frozen(old: Node | None, document: dict[str, Any]) -> dict[str, Any]:
    """A document that nobody changes any more: the committed one if it is the same."""
    if old is not None and old.document == document:
        return old.document
    return copied(document)


def store(
    storage: Storage,
    manifest: Manifest,
    objects: Objects,
    stored: set[str] | None = None,
    ready: Callable[[], None] | None = None,
) -> Manifest | None:
    """Store packs of pages, then create the manifest; None when another commit was quicker.

    Paths in `stored` are there already, from an earlier attempt; new ones are added to it.
    `ready` is called before the manifest is created, and may raise.
    """
    items = [item for item in objects.items() if stored is None or item[0] not in stored]
    batch = len(items) if storage.is_local else 1
    if items:
        map_all(lambda item: storage.put(*item), items, storage.concurrency, batch)
    if stored is not None:
        stored.update(objects)
    if ready is not None:
        ready()
    try:
        return create_manifest(storage, manifest)
    except StorageError:
        if _was_stored(storage, manifest):
            return encode(manifest)[1]
        raise


def _was_stored(storage: Storage, manifest: Manifest) -> bool:
    """Whether a manifest is there after all, though the store failed to say so."""
    commit = manifest.commit
    try:
        stored = read_manifest(storage, commit.version, commit.number)
    except HubzarrError:
        return False
    return stored is not None and stored.commit.id == commit.id


def pause(attempt: int, took: float = 0.005) -> None:
    """Wait a random while after a lost race, longer each time.

    The measure is how long the attempt took, in seconds: on a fast store, or an idle
    machine, a long sleep would only let others by. 16 attempts' time is enough to let
    the crowd thin out; waiting ever longer would starve those who lose most.
    """
    time.sleep(random.uniform(0, min(2.0, took * 2 ** min(attempt, 4))))
