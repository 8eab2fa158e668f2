"""Making commits: the next manifest, storing it, and catching up after a lost race."""

from __future__ import annotations

import copy
import functools
import itertools
import random
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.engine.pool import map_all
from hubzarr.errors import (
    ConflictError,
    HubzarrError,
    NotFoundError,
    SealedError,
    StorageError,
)
from hubzarr.history.compare import split_address
from hubzarr.history.log import ancestors, extended
from hubzarr.history.manifest import Commit, Manifest, Node, encode
from hubzarr.history.nodes import nodes_of, with_nodes
from hubzarr.history.versions import create_manifest, head, read_manifest
from hubzarr.indexing import Transform
from hubzarr.session.merge import Conflict, Merged, Policy, merge_sides
from hubzarr.session.recovery import intact, settle_doubt
from hubzarr.session.state import Side, shape_of, side_of
from hubzarr.storage.base import Storage
from hubzarr.table.table import Table

if TYPE_CHECKING:
    from hubzarr.session.session import Session

__all__ = [
    "apply_merge",
    "catch_up",
    "check_open",
    "document_changes",
    "new_commit",
    "next_manifest",
    "pause",
    "raise_conflicts",
    "store",
]


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
    return copy.deepcopy(document)


def store(
    storage: Storage, manifest: Manifest, objects: Objects, stored: set[str] | None = None
) -> Manifest | None:
    """Store packs of pages, then create the manifest; None when another commit was quicker.

    Paths in `stored` are there already, from an earlier attempt; new ones are added to it.
    """
    items = [item for item in objects.items() if stored is None or item[0] not in stored]
    batch = len(items) if storage.is_local else 1
    if items:
        map_all(lambda item: storage.put(*item), items, storage.concurrency, batch)
    if stored is not None:
        stored.update(objects)
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


def catch_up(session: Session, policy: Policy, sealed_is_fine: bool = False) -> Commit | None:
    """Move a session with its changes onto the newest commit of its version.

    Returns
    -------
    Commit or None
        An earlier attempt of this session that turns out to have been made.

    Raises
    ------
    ConflictError
        The session is then as it was.
    SealedError, NotFoundError
        The version was sealed or deleted meanwhile.
    """
    made = settle_doubt(session)
    if made is not None and made.state != "open":
        return made
    mine = session.manifest
    theirs = check_open(session, sealed_is_fine)
    if theirs.commit.number == mine.commit.number:
        return made
    outcomes = _rebase(session, theirs, policy)
    kept_objects = _merge_objects(session, theirs, policy)
    with intact(session):
        apply_merge(session, theirs, outcomes)
    session.objects = kept_objects
    if theirs.sealed:
        session.writable = False
    return made


def check_open(session: Session, sealed_is_fine: bool = False) -> Manifest:
    """The newest state of a session's version, if that takes commits."""
    mine = session.manifest.commit
    theirs = head(session.storage, session.version, mine.number)
    if theirs is None or theirs.commit.state == "deleted" or not _follows(session, theirs):
        raise NotFoundError(
            f"version {session.version!r} of {session.name} was deleted meanwhile; what you wrote "
            "is kept in this handle: branch() saves it under another name",
            version=session.version,
        )
    if theirs.sealed and not sealed_is_fine:
        raise SealedError(
            f"version {session.version!r} of {session.name} was sealed meanwhile; what you wrote "
            "is kept in this handle: branch() saves it under another name",
            version=session.version,
        )
    return theirs


def _follows(session: Session, newest: Manifest) -> bool:
    """Whether a state grew from the session's: not if its version was made anew meanwhile."""
    mine = session.manifest.commit
    line = ancestors(newest, session.reader)
    commit = next(itertools.islice(line, max(newest.commit.number - mine.number, 0), None), None)
    return commit is not None and commit.id == mine.id


type Outcomes = dict[str, tuple[Merged | None, Side | None]]


def _rebase(session: Session, theirs: Manifest, policy: Policy) -> Outcomes:
    """What becomes of each node that the session changed; (merged, mine) by path."""
    base_nodes = session.committed_nodes()
    their_nodes = nodes_of(theirs, session.reader)
    conflicts: list[Conflict] = []
    outcomes: Outcomes = {}
    mine: dict[str, Side | None] = dict.fromkeys(session.removed)
    mine |= {path: Side(document, path, None) for path, document in session.groups.items()}
    mine |= {path: array.side() for path, array in session.states.items() if array.changed}
    for path, side in mine.items():
        base, their = base_nodes.get(path), their_nodes.get(path)
        if their == base:
            draft = None
            if side is not None and side.table is not None:
                draft = session.states[path].engine.table
            merged = None if side is None else Merged(side, draft)
            outcomes[path] = (merged, None)
            continue
        if side is None and their is None:
            continue
        if side is None or their is None:
            if policy == "raise":
                what = (
                    "removed there, but changed here"
                    if their is None
                    else ("removed here, but changed there")
                )
                conflicts.append(Conflict(path, what))
            elif policy == "mine":
                draft = None
                if side is not None and side.table is not None:
                    draft = session.states[path].engine.table
                outcomes[path] = (None if side is None else Merged(side, draft), None)
            continue
        outcome, found = merge_sides(
            path,
            None if base is None else side_of(base, session.storage, session.reader),
            side,
            side_of(their, session.storage, session.reader),
            policy,
            lambda s: session.cells_for(s.home, s.document),
            functools.cache(session.writes.rotate),  # one id for all cells of the array
        )
        conflicts += found
        outcomes[path] = (outcome, side)
    raise_conflicts(session.name, conflicts, theirs)
    return outcomes


def raise_conflicts(name: str, conflicts: list[Conflict], theirs: Manifest) -> None:
    """Raise a ConflictError that says what clashes, unless there is nothing."""
    if not conflicts:
        return
    commit = theirs.commit
    listed = "; ".join(f"{c.path or '/'}: {c.what}" for c in conflicts[:5])
    more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
    raise ConflictError(
        f"{name}: both sides changed the same, to different values: {listed}{more}. The other "
        f"side is commit {commit.id} ({commit.address}, by {commit.author}). Your changes are "
        "kept in this handle: commit(conflict='ours') or conflict='theirs' decides, discard() "
        "drops them",
        conflicts=[(c.path, c.what) for c in conflicts],
        commit=commit.id,
        other=commit.address,
    )


def _merge_objects(
    session: Session, theirs: Manifest, policy: Policy
) -> dict[str, tuple[str, int] | None]:
    conflicts = []
    kept = dict(session.objects)
    for key in session.objects:
        if theirs.objects.get(key) != session.manifest.objects.get(key):
            if policy == "raise":
                conflicts.append(Conflict(key, "the object was written on both sides"))
            elif policy == "theirs":
                del kept[key]
    raise_conflicts(session.name, conflicts, theirs)
    return kept


def apply_merge(session: Session, onto: Manifest, outcomes: Outcomes) -> None:
    """Put merged nodes on top of `onto` in a session."""
    nodes = nodes_of(onto, session.reader)
    used = list(session.writes.used)
    late: list[tuple[str, Side, tuple[int, int]]] = []
    groups: dict[str, dict[str, Any]] = {}
    removed: set[str] = set()
    staged: dict[str, tuple[Merged, Side | None]] = {}
    for path, (merged, mine) in outcomes.items():
        if merged is None:
            removed.add(path)
        elif merged.draft is None:
            groups[path] = merged.side.document
        else:
            staged[path] = (merged, mine)
    session.pin(onto)
    for path in (*groups, *removed):
        session.forget_state(path)
    session.writes.used = used
    session.groups, session.removed = groups, removed
    for path, (merged, mine) in staged.items():
        draft = merged.draft
        if draft is None:
            continue
        node = nodes.get(path)
        if path not in session.states:
            session.create_array(path, merged.side.document)
        array = session.states[path]
        array.stage(node, merged.side, draft)
        if merged.rows is not None and mine is not None:
            late.append((path, mine, merged.rows))
        elif node is not None and array.shape != shape_of(node.document):
            array.appended = (mine or merged.side).appended
    for path, mine, (start, stop) in late:
        _append_again(session, path, mine, start, stop)


def _append_again(session: Session, path: str, mine: Side, start: int, stop: int) -> None:
    """Write rows that were appended here behind those that others appended."""
    array = session.states[path]
    source = session.reader_for(mine)
    rows = array.engine.cells.cell_shape[0]
    step = max(1, (32 << 20) // max(1, array.engine.cells.codec.nbytes // rows))
    first = array.grow(stop - start)
    tail = tuple((0, n) for n in array.shape[1:])
    for low in range(start, stop, step):
        high = min(low + step, stop)
        block = source.read(box_view(((low, high), *tail)))
        at = first + low - start
        array.engine.write(box_view(((at, at + high - low), *tail)), block)
    array.engine.flush()


def box_view(box: tuple[tuple[int, int], ...]) -> Transform:
    """The view of a box."""
    return Transform(tuple(b - a for a, b in box), box, tuple(range(len(box))))
