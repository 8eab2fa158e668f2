"""Sessions that many processes write to, for one commit: fork, write, merge.

The owner of a session forks it; workers store chunks under write ids of their own
(`write_block`) and return which (`Written`, a few bytes per chunk); the owner merges them
into its session and commits. Until then nobody sees any of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.errors import ConflictError, InvalidError
from hubzarr.history.documents import copied
from hubzarr.history.manifest import Node
from hubzarr.indexing import Box
from hubzarr.session.cells import CellMerge
from hubzarr.session.forks.parts import (
    Fork,
    Written,
    combine,
    flattened,
    layout_of,
    without_secrets_here,
)
from hubzarr.session.forks.writer import ForkWriter, open_fork, write_block
from hubzarr.session.state import ArrayState, is_array
from hubzarr.table.table import Table, TableDraft

if TYPE_CHECKING:
    from hubzarr.session.session import Session

__all__ = [
    "Fork",
    "ForkWriter",
    "Written",
    "combine",
    "fork_session",
    "layout_of",
    "merge_forks",
    "open_fork",
    "without_secrets_here",
    "write_block",
]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]


def fork_session(session: Session, paths: Sequence[str] | None = None) -> Fork:
    """Let other processes write to arrays of a session as it stands now.

    What was written to it is stored first, and need not be committed.

    Parameters
    ----------
    session : Session
    paths : sequence of str, optional
        Arrays that they may write; all by default.

    Examples
    --------
    >>> import numpy as np
    >>> import hubzarr as hub
    >>> a = hub.array((4, 4), "examples/forking", chunks=(2, 2), dtype="int16")
    >>> fork = fork_session(a._session)
    >>> one = write_block(fork, "", ((0, 2), (0, 4)), np.ones((2, 4), "int16"))
    >>> one, a.sum()
    (<2 chunks of '/' stored>, np.int64(0))
    >>> merge_forks(a._session, [one])
    >>> a.commit("two chunks").number, a.sum()
    (1, np.int64(8))
    """
    with session.lock:
        session.check_writable()
        session.flush()
        if paths is None:
            paths = [path for path in session.paths() if is_array(session.document(path) or {})]
        nodes = tuple([(path, _carried(session, session.array(path))) for path in paths])
        commit = session.manifest.commit
        return Fork(
            session.storage, session.name, commit.version, commit.number, commit.id, nodes,
            secrets.token_hex(8),
        )  # fmt: skip


def _carried(session: Session, state: ArrayState) -> Node | None:
    """An array that differs from the committed one; its pages are stored."""
    if not state.changed:
        return None
    table, packs = state.engine.table.freeze()
    for path, pages in packs.items():
        if path not in session.stored:  # else the commit to come, or a fork, has done so
            session.storage.put(path, pages)
            session.stored.add(path)
    return Node(copied(state.document), state.home, table.dump())


def merge_forks(session: Session, written: Iterable[Written | Iterable[Written]]) -> None:
    """Put what workers wrote into a session; its next commit holds it.

    Chunks that changed in the session since the fork, and chunks of which several tasks
    wrote a part, are merged element by element.

    Parameters
    ----------
    session : Session
        The one that was forked, or another of the same repository.
    written : iterable of Written
        Lists of lists are fine.

    Raises
    ------
    ConflictError
        Two tasks wrote the same elements, or the session changed what a task wrote to
        another value. The session is then as it was.
    InvalidError
        The cells are of another array, or lie outside.
    """
    with session.lock:
        session.check_writable()
        session.flush()
        merges = [_Merge(session, one) for one in combine_by_array(written)]
        drafts = [merge.run() for merge in merges]
        for merge, draft in zip(merges, drafts, strict=True):
            merge.state.engine.table = draft
        # The session's own stay last: it goes on with the last of them.
        ids = {write_id for merge in merges for write_id in np.unique(merge.one.ids).tolist()}
        ids.discard(0)
        session.writes.used[:0] = sorted(ids.difference(session.writes.used))
        if ids:
            session.touch()


def combine_by_array(written: Iterable[Written | Iterable[Written]]) -> Iterator[Written]:
    """The same as `combine`, with exactly one for each array."""
    found: dict[str, list[Written]] = {}
    for one in flattened(written):
        found.setdefault(one.path, []).append(one)
    for path, group in found.items():
        parts = combine(group)
        if len({(one.layout, one.shape) for one in parts}) > 1:
            raise InvalidError(
                f"these results of tasks are of different arrays at {path or '/'!r}, or of one "
                "that was resized between two forks; merge those of one fork at a time"
            )
        yield from parts if len(parts) < 2 else combine([_with_rows(one, parts) for one in parts])


def _with_rows(one: Written, others: list[Written]) -> Written:
    """The same, with unknown statistics spelt out as some of the others have theirs."""
    if one.rows is not None:
        return one
    like = next(other.rows for other in others if other.rows is not None)
    rows = np.zeros((len(one), like.shape[1]), like.dtype)
    rows["unknown"] = 1
    return Written(one.path, one.layout, one.shape, one.cells, one.ids, one.before, rows, one.parts)


class _Merge:
    """Merges cells into the table of one array, without touching it.

    Parameters
    ----------
    session : Session
    one : Written
        All cells of the array.
    """

    def __init__(self, session: Session, one: Written) -> None:
        self.session = session
        self.one = one
        self.state = session.array(one.path)
        self.label = f"{session.name}:{session.version}" + (f" {one.path}" if one.path else "")
        self._check()

    def _check(self) -> None:
        one, state = self.one, self.state
        if one.layout != layout_of(state.engine.cells, state.document):
            raise InvalidError(
                f"these chunks were written for another array than {self.label}: merge them "
                "into the one that was forked"
            )
        if one.shape is not None and any(
            now < then for now, then in zip(state.shape, one.shape, strict=True)
        ):
            raise ConflictError(
                f"{self.label} was cut from shape {one.shape} to {state.shape} while tasks wrote "
                "to it; write again",
            )
        grid = state.engine.table.grid
        if len(one) and ((one.cells < 0) | (one.cells >= np.array(grid))).any():
            raise InvalidError(
                f"a cell lies outside the grid {grid} of {self.label}: resize the array first"
            )

    def run(self) -> TableDraft:
        """The table with the cells in it."""
        one = self.one
        draft = self.state.engine.table.copy()
        turn = _turns(one.cells)
        if turn.any():
            self._check_parts(turn)
        for n in range(int(turn.max(initial=-1)) + 1):
            chosen = np.flatnonzero(turn == n)
            now = _gathered(draft, one.cells[chosen])
            # Merged before, or fill values where there was nothing: no change to make.
            same = (now == one.ids[chosen]) | (one.ids[chosen] == 0)
            clean = ~same & (now == one.before[chosen])
            rows = None if one.rows is None else one.rows[chosen[clean]]
            _scatter(draft, one.cells[chosen[clean]], one.ids[chosen[clean]], rows)
            self._by_element(draft, chosen[~clean & ~same])
        return draft

    def _check_parts(self, turn: Array) -> None:
        """Refuse tasks that wrote the same elements, of whatever value.

        Two that wrote the fill value where nothing is stored agree.
        """
        one = self.one
        parts = dict(one.parts)
        again = {tuple(cell) for cell in one.cells[turn > 0].tolist()}
        seen: dict[Cell, list[tuple[int, Box | None]]] = {}
        for i, cell in enumerate(map(tuple, one.cells.tolist())):
            if cell not in again:
                continue
            write_id, part = int(one.ids[i]), parts.get(i)
            for other_id, other in seen.get(cell, ()):
                common = _common(part or self._whole, other or self._whole)
                if other_id != write_id and common is not None:
                    region = self._region(cell, common)
                    raise ConflictError(
                        f"two tasks wrote {region} of {self.label}; each element must come from "
                        "one of them only: give tasks regions that don't overlap",
                        path=one.path,
                        cell=cell,
                    )
            seen.setdefault(cell, []).append((write_id, part))

    @property
    def _whole(self) -> Box:
        return tuple([(0, n) for n in self.state.engine.cells.cell_shape])

    def _region(self, cell: Cell, part: Box) -> str:
        sizes = self.state.engine.cells.cell_shape
        spans = zip(cell, sizes, part, strict=False)
        return "[" + ", ".join(f"{i * n + a}:{i * n + b}" for i, n, (a, b) in spans) + "]"

    def _by_element(self, draft: TableDraft, chosen: Array) -> None:
        """Merge cells that were changed since they were forked, as a rebase would."""
        if not len(chosen):
            return
        one, state = self.one, self.state
        cells = one.cells[chosen]
        theirs, _ = draft.freeze()
        base = _with_ids(theirs, cells, one.before[chosen])
        mine = _with_ids(base, cells, one.ids[chosen])
        shape = state.shape
        fresh: Callable[[], int] = cache(self.session.writes.rotate)
        merge = CellMerge(
            (base, mine, theirs), (shape, shape, shape, shape), "raise", state.engine.cells,
            fresh, None,
        )  # fmt: skip
        merged, conflicts = merge.run()
        if conflicts:
            raise ConflictError(
                f"{self.label}: {'; '.join(conflicts[:5])} changed while tasks wrote to them, to "
                "other values; the session is as it was: read what is there, then write again",
                path=one.path,
            )
        rows = None
        if merged.stats is not None:
            rows = np.array([merged.stats.get(tuple(cell)) for cell in cells.tolist()])
        _scatter(draft, cells, _gathered(merged, cells), rows)


def _common(a: Box, b: Box) -> Box | None:
    """The elements that two boxes have in common."""
    both = tuple(
        [(max(p), min(q)) for p, q in (zip(x, y, strict=True) for x, y in zip(a, b, strict=True))]
    )
    return None if any(low >= high for low, high in both) else both


def _turns(cells: Array) -> Array:
    """For each cell, how many times it occurred before."""
    turn = np.zeros(len(cells), np.int64)
    if len(cells) < 2:
        return turn
    order = np.lexsort(cells.T[::-1])
    same = (cells[order[1:]] == cells[order[:-1]]).all(axis=1)
    if not same.any():
        return turn
    begins = np.concatenate([[True], ~same])
    at = np.arange(len(cells))
    turn[order] = at - np.maximum.accumulate(np.where(begins, at, 0))
    return turn


def _leaves(draft: TableDraft, cells: Array) -> Iterator[tuple[Cell, Array, tuple[Array, ...]]]:
    """Cells by the leaf that they lie in: (its index, which of them, where in it)."""
    block = np.array(draft.ids.tree.block)
    index, within = np.divmod(cells, block)
    leaves, which = np.unique(index, axis=0, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    stops = np.cumsum(np.bincount(which.reshape(-1), minlength=len(leaves)))
    for leaf, group in zip(leaves.tolist(), np.split(order, stops[:-1]), strict=True):
        yield tuple(leaf), group, tuple(within[group].T)


def _gathered(draft: TableDraft, cells: Array) -> Array:
    """Write ids of cells."""
    out = np.zeros(len(cells), np.uint64)
    if len(cells):
        for leaf, group, within in _leaves(draft, cells):
            out[group] = draft.ids.leaf(leaf)[within]
    return out


def _scatter(draft: TableDraft, cells: Array, ids: Array, rows: Array | None) -> None:
    """Set write ids of cells, and their statistics; None: unknown."""
    if not len(cells):
        return
    stats = draft.stats
    if stats is not None and (rows is None or rows.shape[1:] != (stats.tree.kind.channels,)):
        rows = np.zeros((len(cells), stats.tree.kind.channels), draft.row_dtype)
        rows["unknown"] = (ids != 0)[:, None]
    for leaf, group, within in _leaves(draft, cells):
        draft.ids.own_leaf(leaf)[within] = ids[group]
        if stats is not None and rows is not None:
            stats.own_leaf(leaf)[within] = rows[group]
    draft.touch()


def _with_ids(table: Table, cells: Array, ids: Array) -> Table:
    """A table with other write ids in some cells, of unknown statistics."""
    draft = TableDraft(table)
    _scatter(draft, cells, ids, None)
    return draft.freeze()[0]
