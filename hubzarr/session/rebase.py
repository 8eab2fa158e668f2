"""Committing, and catching up after a lost race with what others committed."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from typing import TYPE_CHECKING, Any, Final

from hubzarr.errors import (
    ConflictError,
    NotFoundError,
    SealedError,
    StorageError,
)
from hubzarr.history.heads import head
from hubzarr.history.log import ancestors
from hubzarr.history.manifest import Commit, Manifest, Node
from hubzarr.history.nodes import nodes_of
from hubzarr.history.versions import holds, newer_exists
from hubzarr.indexing import Transform
from hubzarr.session.commit import next_manifest, pause, store
from hubzarr.session.merge import Conflict, Merged, Policy, merge_sides
from hubzarr.session.records import moved_by, relocated
from hubzarr.session.recovery import Doubt, intact, settle_doubt
from hubzarr.session.replaying import Replay, is_apart, replays
from hubzarr.session.state import ArrayState, Side, shape_of, side_of
from hubzarr.session.wholes import Removals
from hubzarr.table.table import TableDraft
from hubzarr.threads import Task, map_all, submit

if TYPE_CHECKING:
    from hubzarr.session.session import Session

__all__ = [
    "apply_merge",
    "ask_place",
    "catch_up",
    "check_open",
    "check_place",
    "do_again",
    "publish",
    "raise_conflicts",
]


#: Objects of some MB that are in memory together when they are copied.
_COPIED_AT_ONCE: Final = 16


def publish(
    session: Session,
    message: str | None,
    policy: Policy,
    state: str,
    merged: str | None,
    asked: Task[bool] | None = None,
) -> Commit:
    """Commit a session's changes, rebasing as often as others are quicker.

    Its buffers must have been flushed. `asked` comes from `ask_place`, before that.
    """
    began = time.monotonic()
    attempt = 0
    while True:
        if session.storage.is_local:
            check_place(session)
        if not session.storage.is_local or not newer_exists(
            session.storage, session.version, session.manifest.commit.number
        ):
            manifest, objects, tables = next_manifest(session, message, state, merged)
            try:
                ready = None if asked is None else functools.partial(check_place, session, asked)
                created = store(session.storage, manifest, objects, session.stored, ready)
            except NotFoundError:
                raise
            except BaseException:
                session.doubts.append(Doubt.of(session, manifest.commit))
                raise
            if created is not None:
                session.settle(created, tables)
                return created.commit
            if not session.storage.is_local:
                # It may be our own: the answer was lost, and what was read back was damaged.
                session.doubts.append(Doubt.of(session, manifest.commit))
            pause(attempt, time.monotonic() - began)
        attempt += 1
        began = time.monotonic()
        asked = None  # who catches up sees the newest commit
        made = catch_up(session, policy)
        if made is not None and made.state == state and not session.dirty:
            return made


def ask_place(session: Session) -> Task[bool] | None:
    """Begin to find out whether a session's commit is still there, where that takes a while."""
    storage, commit = session.storage, session.manifest.commit
    if storage.is_local:
        return None
    return submit(storage.concurrency, lambda: holds(storage, commit))


def check_place(session: Session, asked: Task[bool] | None = None) -> None:
    """Refuse to commit on top of nothing, where asking costs microseconds or was begun before.

    A repository that was deleted or renamed would come to life again with one lone commit, and
    in one that was made anew since, the commits of others would be lost.
    """
    commit = session.manifest.commit
    there = True
    if session.storage.is_local:
        there = holds(session.storage, commit)
    elif asked is not None:
        with contextlib.suppress(StorageError):  # then the commit will tell
            there = asked.result()
    if not there:
        raise NotFoundError(
            f"{session.name}:{commit.version} at {session.storage.url} was deleted or renamed "
            "meanwhile; what you wrote is kept in this handle: read it with compute() and store "
            "it under another name",
            version=commit.version,
        )


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
    newest = head(session.storage, session.version, session.manifest.commit.number)
    made = settle_doubt(session, newest)
    if made is not None and made.state != "open":
        return made
    mine = session.manifest
    theirs = _checked(session, newest, sealed_is_fine)
    if theirs.commit.number == mine.commit.number:
        return made
    used = list(session.writes.used)
    try:
        changed = [*session.removed, *session.groups, *_changed_arrays(session)]
        again = replays(mine, session, changed, theirs, policy)
        outcomes = _rebase(session, theirs, policy, again)
        kept_objects = _merge_objects(session, theirs, policy)
    except BaseException:
        session.writes.abandon(used)  # cells may have been merged, and stored, under its id
        raise
    with intact(session):
        apply_merge(session, theirs, outcomes)
        do_again(session, again)
    session.objects = kept_objects
    if theirs.sealed:
        session.writable = False
    return made


def check_open(session: Session, sealed_is_fine: bool = False) -> Manifest:
    """The newest state of a session's version, if that takes commits."""
    newest = head(session.storage, session.version, session.manifest.commit.number)
    return _checked(session, newest, sealed_is_fine)


def _checked(session: Session, theirs: Manifest | None, sealed_is_fine: bool) -> Manifest:
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


def _changed_arrays(session: Session) -> list[str]:
    return [path for path, array in session.states.items() if array.changed]


def do_again(session: Session, again: list[Replay]) -> None:
    """Do changes again that could not be merged, on top of a merge."""
    for replay in again:
        replay.again(session)
    if again:
        session.flush()


def _rebase(session: Session, theirs: Manifest, policy: Policy, again: list[Replay]) -> Outcomes:
    """What becomes of each node that the session changed; (merged, mine) by path."""
    base_nodes = session.committed_nodes()
    their_nodes = nodes_of(theirs, session.reader)
    conflicts = [conflict for replay in again for conflict in replay.conflicts]
    outcomes: Outcomes = {}
    mine: dict[str, Side | None] = dict.fromkeys(session.removed)
    mine |= {path: Side(document, path, None) for path, document in session.groups.items()}
    drafts: dict[str, TableDraft] = {}
    for path in _changed_arrays(session):
        if not is_apart(path, again):
            array = session.states[path]
            mine[path], drafts[path] = _moved_side(session, path, array, base_nodes, their_nodes)
    for path, side in mine.items():
        if is_apart(path, again):
            continue
        base, their = base_nodes.get(path), their_nodes.get(path)
        draft = drafts.get(path)
        if their == base:
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
    if session.removed or not base_nodes.keys() <= their_nodes.keys():
        removals = Removals(
            base_nodes, their_nodes, lambda p: p not in session.removed, mine.__contains__,
            lambda node: side_of(node, session.storage, session.reader),
        )  # fmt: skip
        conflicts += removals.settle(outcomes, policy)
    raise_conflicts(session.name, conflicts, theirs)
    return outcomes


def _moved_side(
    session: Session,
    path: str,
    array: ArrayState,
    base: dict[str, Node],
    theirs: dict[str, Node],
) -> tuple[Side, TableDraft]:
    """A changed array as a side of the merge, and its table as changes on top of the base."""
    side, draft = array.side(), array.engine.table
    move = moved_by(path, array.document, base, theirs)
    if move is None:
        return side, draft
    old = base.get(path)
    table = None if old is None else side_of(old, session.storage, session.reader).table
    draft = draft.copy()
    cells = session.cells_for(side.home, side.document)
    return relocated(side, draft, table, move, cells, functools.cache(session.writes.rotate)), draft


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
            side = mine or merged.side
            array.appended = None if side.removed else side.appended
    for path, mine, (start, stop) in late:
        _append_again(session, path, mine, start, stop)


def _append_again(session: Session, path: str, mine: Side, start: int, stop: int) -> None:
    """Write rows that were appended here behind those that others appended."""
    array = session.states[path]
    source = session.reader_for(mine)
    rows = array.engine.cells.cell_shape[0]
    if start % rows == 0 and array.shape[0] % rows == 0 and len(array.shape) == 1:
        _append_cells(array, mine, start, stop)
        return
    step = max(1, (32 << 20) // max(1, array.engine.cells.codec.nbytes // rows))
    first = array.grow(stop - start)
    tail = tuple((0, n) for n in array.shape[1:])
    for low in range(start, stop, step):
        high = min(low + step, stop)
        block = source.read(box_view(((low, high), *tail)))
        at = first + low - start
        array.engine.write(box_view(((at, at + high - low), *tail)), block)
    array.engine.flush()


def _append_cells(array: ArrayState, mine: Side, start: int, stop: int) -> None:
    """The same for whole cells of one axis: their objects are copied as they are."""
    engine = array.engine
    size = engine.cells.cell_shape[0]
    first = array.grow(stop - start) // size
    table = TableDraft(mine.table) if mine.table is not None else engine.table
    distance = first - start // size
    written = [(k, write_id) for k in range(start // size, -(-stop // size))
               if (write_id := table.id_of((k,)))]  # fmt: skip
    if not written:
        return
    new_id = engine.fresh_id([(k + distance,) for k, _ in written])

    def copy(work: tuple[int, int]) -> None:
        k, write_id = work
        engine.cells.copy_cell(write_id, (k,), new_id, (k + distance,))

    for some in itertools.batched(written, _COPIED_AT_ONCE):
        map_all(copy, some, engine.cells.storage.concurrency)
        for k, _ in some:
            engine.table.assign((k + distance,), new_id, None)


def box_view(box: tuple[tuple[int, int], ...]) -> Transform:
    """The view of a box."""
    return Transform(tuple(b - a for a, b in box), box, tuple(range(len(box))))
