"""Merging one version into another."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hubzarr.errors import ConflictError, InvalidError
from hubzarr.history.compare import (
    MergeBase,
    appended_rows,
    differing_nodes,
    merge_base,
    split_address,
)
from hubzarr.history.log import extended
from hubzarr.history.manifest import Commit, Manifest, Node
from hubzarr.history.nodes import nodes_of
from hubzarr.history.versions import read_manifest
from hubzarr.session.commit import (
    document_changes,
    new_commit,
    pause,
    store,
)
from hubzarr.session.log import state_at
from hubzarr.session.merge import Conflict, Conflicting, Merged, Policy, merge_sides, policy_of
from hubzarr.session.rebase import apply_merge, do_again
from hubzarr.session.records import moved_by, relocated
from hubzarr.session.replaying import Replay, is_apart, replays
from hubzarr.session.session import Session
from hubzarr.session.state import Side, is_array, shape_of, side_of
from hubzarr.session.wholes import Removals
from hubzarr.table.table import Table, TableDraft, changed_blocks

__all__ = ["adopt", "begin", "merge"]

type Outcomes = dict[str, tuple[Merged | None, Side | None]]

_FLIPPED: dict[Policy, Conflicting] = {"raise": "raise", "mine": "ours", "theirs": "theirs"}


def begin(session: Session, what: str) -> None:
    """Check that a session may change its version as a whole now."""
    if session.in_transaction:
        raise InvalidError(f"{what} can't be part of a transaction: end the transaction first")
    session.check_writable()


def merge(
    session: Session,
    version: str,
    conflict: Conflicting = "raise",
    message: str | None = None,
) -> Commit:
    """Take what another version changed, since both went separate ways, into a session's one.

    What the session has not committed is committed first. Chunks are shared, never copied,
    except cells that both versions changed, and rows that both appended: the other version's
    rows go behind those of this one.

    Parameters
    ----------
    session : Session
    version : str
        The other version, or ``version@point``.
    conflict : {"raise", "ours", "theirs"}
        Whose values count where both changed the same: nobody's (an error), the session's
        version's, the other version's.
    message : str, optional

    Returns
    -------
    Commit
        The merge; the newest commit as it was if there was nothing to merge.

    Raises
    ------
    ConflictError
        Both changed the same to different values. Nothing was merged then.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.codecs import array_document
    >>> from hubzarr.indexing import identity
    >>> from hubzarr.session import create_repository, open_session
    >>> from hubzarr.session.branching import branch, merge
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://merge-example")
    >>> _ = create_repository(storage, "main", array_document((2,), "i4", (2,)), author="me")
    >>> main = open_session(storage, "main")
    >>> _ = branch(main, "dev")
    >>> dev = open_session(storage, "dev")
    >>> dev.array().engine.write(identity((2,)), np.array([1, 2], "i4"))
    >>> _ = dev.commit("numbers")
    >>> merge(main, "dev").merged
    'dev@1'
    >>> main.array().engine.read(identity((2,)))
    array([1, 2], dtype=int32)
    """
    policy = policy_of(conflict, ours="theirs")
    with session.lock:
        begin(session, "a merge")
        session.sync()
        other = state_at(session, version if "@" in version else f":{version}")
        text = (
            f"Merge {other.commit.address} into {session.version}" if message is None else message
        )
        for attempt in itertools.count():
            session.refresh()
            session.check_writable()
            base = merge_base(other, session.manifest, session.storage, session.reader)
            if base is not None and base.commit.id == other.commit.id:
                return session.manifest.commit
            if base is None or base.commit.id != session.manifest.commit.id:
                break
            commit = adopt(session, other, text, merged=other.commit.address, base=base)
            if commit is not None:
                return commit
            pause(attempt)
        try:
            _stage(session, other, base, policy)
            return session.commit(text, conflict=_FLIPPED[policy], merged=other.commit.address)
        except BaseException:
            session.discard()
            raise


def adopt(
    session: Session,
    target: Manifest,
    message: str | None,
    *,
    merged: str | None = None,
    base: MergeBase | None = None,
    state: str = "open",
) -> Commit | None:
    """Commit another state as it is on top of a session's; None if somebody was quicker.

    Costs one small object: all pages and chunks are there already.
    """
    old = session.manifest
    changes: dict[str, dict[str, Any]] = {}
    for path, (before, after) in differing_nodes(old, target, session.reader).items():
        changes[path] = _summary(session, before, after)
        shapes = changes[path].get("shape")
        if base is not None and shapes and shapes[0]:
            rows = appended_rows(base, path, tuple(shapes[0]), tuple(shapes[1]))
            changes[path] |= {"appended": rows} if rows else {}
    log, pages = extended(old.log, old.commit)
    commit = new_commit(
        old,
        old.commit.version,
        old.commit.number + 1,
        merged=merged,
        depth=target.commit.depth if merged else -1,
        message=message,
        author=session.author,
        state=state,
        changes=changes,
    )
    manifest = replace(target, commit=commit, log=log, parent_digest=old.digest, digest="")
    created = store(session.storage, manifest, pages)
    if created is None:
        return None
    session.pin(created)
    return created.commit


def _summary(session: Session, before: Node | None, after: Node | None) -> dict[str, Any]:
    """How a node changed, for the log."""
    if after is None:
        return {"removed": True}
    out = document_changes(before, after.document)
    old, new = (_table(session, node) for node in (before, after))
    if new is not None and (old is None or len(old.grid) == len(new.grid)):
        blocks = changed_blocks(old or new.emptied(), new)
        count = sum(int((a != b).sum()) for _, a, b in blocks)
        out |= {"cells": count} if count else {}
    return out


def _table(session: Session, node: Node | None) -> Table | None:
    return None if node is None else side_of(node, session.storage, session.reader).table


def _stage(session: Session, other: Manifest, base: MergeBase | None, policy: Policy) -> None:
    """Put the merge on top of the session's state, uncommitted."""
    onto = session.manifest
    common = None
    if base is not None:
        common = read_manifest(session.storage, *split_address(base.commit.address))
    base_nodes = {} if common is None else nodes_of(common, session.reader)
    their_nodes = nodes_of(onto, session.reader)
    moving = nodes_of(other, session.reader)
    paths = {*base_nodes, *moving}
    again: list[Replay] = []
    if common is not None:
        there = type(session)(session.storage, other, writable=False, name=session.name)
        changed = [path for path in paths if base_nodes.get(path) != moving.get(path)]
        for path in changed:
            if base is not None and _lost_rows(base, path, base_nodes, moving):
                there.array(path).appended = None
        again = replays(common, there, changed, onto, policy)
    conflicts = [conflict for replay in again for conflict in replay.conflicts]
    outcomes: Outcomes = {}
    for path in sorted(paths):
        if is_apart(path, again):
            continue
        trio = base_nodes.get(path), moving.get(path), their_nodes.get(path)
        if trio[1] in (trio[0], trio[2]):
            continue
        move = None
        if trio[1] is not None:
            move = moved_by(path, trio[1].document, base_nodes, their_nodes)
        merged, mine, found = _merge_node(session, path, trio, base, policy, move)
        conflicts += found
        if not found and (merged is not None or mine is None):
            outcomes[path] = (merged, mine)
    removals = Removals(
        base_nodes, their_nodes, moving.__contains__,
        lambda p: base_nodes.get(p) != moving.get(p),
        lambda node: side_of(node, session.storage, session.reader),
    )  # fmt: skip
    conflicts += removals.settle(outcomes, policy)
    objects = _merge_objects(
        {} if common is None else common.objects, other, onto, policy, conflicts
    )
    _raise(session, other, conflicts)
    apply_merge(session, onto, outcomes)
    session.objects = objects
    do_again(session, again)


def _lost_rows(
    base: MergeBase, path: str, before: Mapping[str, Node], after: Mapping[str, Node]
) -> bool:
    """Whether rows were removed from an array that has more of them now all the same."""
    sides = before.get(path), after.get(path)
    if any(node is None or not is_array(node.document) for node in sides):
        return False
    old, new = (shape_of(node.document) for node in sides if node is not None)
    return new[:1] > old[:1] and not appended_rows(base, path, old, new)


def _merge_node(
    session: Session,
    path: str,
    nodes: tuple[Node | None, Node | None, Node | None],
    base: MergeBase | None,
    policy: Policy,
    move: tuple[int, int] | None,
) -> tuple[Merged | None, Side | None, list[Conflict]]:
    """The outcome for one node that the other version changed: merged, its side, conflicts.

    Neither a merge nor a side means that the node goes.
    """
    b, m, t = (None if n is None else side_of(n, session.storage, session.reader) for n in nodes)
    if b is not None and m is not None and base is not None and b.table and m.table:
        before, after = shape_of(b.document), shape_of(m.document)
        rows = appended_rows(base, path, before, after)
        m = replace(m, appended=rows, removed=not rows and after[:1] > before[:1])
    draft = None if m is None or m.table is None else TableDraft(m.table)
    if move is not None and m is not None and draft is not None:
        cells = session.cells_for(m.home, m.document)
        fresh = functools.cache(session.writes.rotate)
        m = relocated(m, draft, None if b is None else b.table, move, cells, fresh)
    if nodes[0] == nodes[2]:
        return _moved(m, draft), m, []
    if m is None or t is None:
        if policy == "raise":
            what = (
                "removed there, but changed here"
                if t is None
                else "removed here, but changed there"
            )
            return None, m, [Conflict(path, what)]
        if policy == "theirs":
            return None, t, []
        return _moved(m, draft), m, []
    merged, found = merge_sides(
        path,
        b,
        m,
        t,
        policy,
        lambda side: session.cells_for(side.home, side.document),
        functools.cache(session.writes.rotate),
    )
    return merged, m, found


def _moved(side: Side | None, draft: TableDraft | None) -> Merged | None:
    return None if side is None else Merged(side, draft)


def _merge_objects(
    base: dict[str, tuple[str, int]],
    other: Manifest,
    onto: Manifest,
    policy: Policy,
    conflicts: list[Conflict],
) -> dict[str, tuple[str, int] | None]:
    """Store keys outside all nodes that the merge changes; None where they go."""
    out: dict[str, tuple[str, int] | None] = {}
    for key in sorted({*base, *other.objects}):
        b, m, t = base.get(key), other.objects.get(key), onto.objects.get(key)
        if m in (b, t):
            continue
        if t != b and policy == "raise":
            conflicts.append(Conflict(key, "the object was written on both sides"))
        elif t == b or policy == "mine":
            out[key] = m
    return out


def _raise(session: Session, other: Manifest, conflicts: list[Conflict]) -> None:
    if not conflicts:
        return
    commit = other.commit
    listed = "; ".join(f"{c.path or '/'}: {c.what}" for c in conflicts[:5])
    more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
    raise ConflictError(
        f"{session.name}: {commit.address} (here) and {session.manifest.commit.address} (there) "
        f"changed the same, to different values: {listed}{more}. Nothing was merged; "
        f"conflict='ours' lets {session.version!r} win, conflict='theirs' {commit.version!r}",
        conflicts=[(c.path, c.what) for c in conflicts],
        commit=commit.id,
        other=commit.address,
    )
