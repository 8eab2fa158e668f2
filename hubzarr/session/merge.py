"""Three-way merges of arrays and groups: by key, by cell, and inside cells by element.

The same functions rebase a session after a lost race and merge one version into another.
In both, *mine* holds the changes that move and *theirs* is what they are put on top of.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hubzarr.engine import CellStore
from hubzarr.engine.array import grid_of
from hubzarr.errors import ConflictError, InvalidError
from hubzarr.session.state import Side, shape_of
from hubzarr.stats import channels
from hubzarr.table.table import Table, TableDraft, changed_blocks

__all__ = [
    "Conflict",
    "Conflicting",
    "Merged",
    "Policy",
    "alike",
    "merge_sides",
    "policy_of",
    "unlike",
]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]
#: Whose values count where both sides changed the same: nobody's, the moving side's, theirs.
type Policy = Literal["raise", "mine", "theirs"]
#: The same as users say it: ours are the changes of the handle that they call.
type Conflicting = Literal["raise", "ours", "theirs"]

_MISSING = object()


def policy_of(conflict: Conflicting, ours: Policy = "mine") -> Policy:
    """The policy for a user's word; `ours` says which side of the merge that is."""
    words: dict[str, Policy] = {
        "raise": "raise",
        "ours": ours,
        "theirs": "theirs" if ours == "mine" else "mine",
    }
    if conflict not in words:
        raise InvalidError(
            f"conflict={conflict!r} is unknown; expected 'raise', 'ours' or 'theirs'"
        )
    return words[conflict]


@dataclass(frozen=True)
class Conflict:
    """Something that both sides changed, to different values."""

    path: str
    what: str


@dataclass(frozen=True)
class Merged:
    """The outcome for one node.

    Attributes
    ----------
    side : Side
        Document and home after the merge (its table is not used).
    draft : TableDraft or None
        The chunk table, as changes on top of theirs; None for groups.
    rows : (int, int) or None
        Rows of *mine* that are still to be appended, after theirs.
    """

    side: Side
    draft: TableDraft | None
    rows: tuple[int, int] | None = None


def merge_sides(
    path: str,
    base: Side | None,
    mine: Side,
    theirs: Side,
    policy: Policy,
    cells_for: Callable[[Side], CellStore],
    fresh_id: Callable[[], int],
) -> tuple[Merged | None, list[Conflict]]:
    """Merge one node that exists on both sides.

    Returns
    -------
    merged : Merged or None
        None when there are conflicts.
    conflicts : list of Conflict
    """
    if (
        base is None
        or base.home != mine.home
        or base.home != theirs.home
        or not alike(base, mine, theirs)
    ):
        return _merge_foreign(path, mine, theirs, policy)
    conflicts: list[Conflict] = []
    shape, rows = _merge_shapes(path, base, mine, theirs, policy, conflicts)
    document = _merge_documents(path, base, mine, theirs, policy, conflicts)
    if base.table is None or mine.table is None or theirs.table is None:
        side = replace(mine, document=document)
        return (None if conflicts else Merged(side, None)), conflicts
    document["shape"] = list(shape)
    merge = _CellMerge(path, base, mine, theirs, policy, cells_for(theirs), fresh_id, shape, rows)
    draft = merge.run(conflicts)
    if conflicts:
        return None, conflicts
    return Merged(replace(theirs, document=document), draft, rows), []


def alike(first: Side, *others: Side) -> bool:
    """Whether the chunks of all sides can be compared cell by cell."""
    keys = ("node_type", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")
    return all(first.document.get(k) == side.document.get(k) for k in keys for side in others)


def _merge_foreign(
    path: str, mine: Side, theirs: Side, policy: Policy
) -> tuple[Merged | None, list[Conflict]]:
    """Both sides made or replaced the node: one of them must give way."""
    if mine.document == theirs.document and mine.table is None and theirs.table is None:
        return Merged(theirs, None), []
    if policy == "raise":
        return None, [Conflict(path, "the node was created or replaced on both sides")]
    chosen = mine if policy == "mine" else theirs
    draft = None if chosen.table is None else TableDraft(chosen.table)
    return Merged(chosen, draft), []


def _merge_shapes(
    path: str, base: Side, mine: Side, theirs: Side, policy: Policy, conflicts: list[Conflict]
) -> tuple[Cell, tuple[int, int] | None]:
    """The merged shape, and the rows of mine that must move behind theirs."""
    if base.table is None:
        return (), None
    b, m, t = (shape_of(side.document) for side in (base, mine, theirs))
    if m == b:
        return t, None
    if mine.appended and m == (b[0] + mine.appended, *b[1:]):
        if t == b:
            return m, None
        if t[1:] == b[1:]:
            return (t[0], *t[1:]), (b[0], m[0])
    if t in (b, m):
        return m, None
    if all(x >= y for x, y in zip(m, b, strict=True)) and all(
        x >= y for x, y in zip(t, b, strict=True)
    ):
        return tuple(map(max, m, t)), None
    if policy == "raise":
        conflicts.append(Conflict(path, f"shape {b} became {m} here and {t} there"))
    return (t if policy == "theirs" else m), None


def _merge_documents(
    path: str, base: Side, mine: Side, theirs: Side, policy: Policy, conflicts: list[Conflict]
) -> dict[str, Any]:
    """Merge the documents key by key, attributes too; shapes are merged elsewhere."""
    out = copy.deepcopy(theirs.document)
    _merge_keys(
        path,
        "",
        base.document,
        mine.document,
        theirs.document,
        out,
        policy,
        conflicts,
        skip={"attributes", "shape"},
    )
    a, b, c = (side.document.get("attributes", {}) for side in (base, mine, theirs))
    merged = copy.deepcopy(c)
    _merge_keys(path, "attribute ", a, b, c, merged, policy, conflicts, skip=set())
    if merged or "attributes" in out:
        out["attributes"] = merged
    return out


def _merge_keys(
    path: str,
    what: str,
    base: dict[str, Any],
    mine: dict[str, Any],
    theirs: dict[str, Any],
    out: dict[str, Any],
    policy: Policy,
    conflicts: list[Conflict],
    skip: set[str],
) -> None:
    for key in sorted({*base, *mine} - skip):
        b, m, t = (side.get(key, _MISSING) for side in (base, mine, theirs))
        if m in (b, t):
            continue
        if t != b:
            if policy == "raise":
                conflicts.append(Conflict(path, f"{what}{key!r} is {m!r} here and {t!r} there"))
            if policy != "mine":
                continue
        if m is _MISSING:
            out.pop(key, None)
        else:
            out[key] = copy.deepcopy(m)


class _CellMerge:
    """The merge of one array's cells."""

    def __init__(
        self,
        path: str,
        base: Side,
        mine: Side,
        theirs: Side,
        policy: Policy,
        cells: CellStore,
        fresh_id: Callable[[], int],
        shape: Cell,
        rows: tuple[int, int] | None,
    ) -> None:
        self.path = path
        self.tables = _tables(base, mine, theirs)
        self.policy = policy
        self.cells = cells.with_channels(channels(shape, cells.cell_shape))
        self.fresh_id = fresh_id
        self.shape = shape
        self.keep = tuple(
            map(min, shape_of(mine.document), shape) if shape else ()
        )  # nothing of mine counts outside
        self.limit = None if rows is None else rows[0]
        self.shrunk = any(
            m < b for m, b in zip(shape_of(mine.document), shape_of(base.document), strict=True)
        )

    def run(self, conflicts: list[Conflict]) -> TableDraft:
        """The merged table, as changes on top of theirs."""
        base, mine, theirs = self.tables
        draft = TableDraft(theirs)
        grid = grid_of(self.shape, self.cells.cell_shape)
        if self.shrunk:
            self._check_shrink(grid, conflicts)
        draft.resize(grid)
        draft.forget_statistics(self.cells.channels)
        if conflicts and self.policy == "raise":
            return draft
        for first, ids_base, ids_mine in changed_blocks(base, mine):
            stop = tuple(min(f + n, g) for f, n, g in zip(first, ids_base.shape, grid, strict=True))
            if any(a >= b for a, b in zip(first, stop, strict=True)):
                continue
            inside = tuple(slice(b - a) for a, b in zip(first, stop, strict=True))
            self._merge_block(draft, first, stop, ids_base[inside], ids_mine[inside], conflicts)
        return draft

    def _check_shrink(self, grid: Cell, conflicts: list[Conflict]) -> None:
        base, _, theirs = self.tables
        for first, a, b in changed_blocks(base, theirs):
            for within in np.argwhere(a != b).tolist():
                cell = [f + w for f, w in zip(first, within, strict=True)]
                outside = any(c >= g for c, g in zip(cell, grid, strict=True))
                if outside and self.policy == "raise":
                    what = f"cell {tuple(cell)} was written there, but cut off here"
                    conflicts.append(Conflict(self.path, what))
                    return

    def _merge_block(
        self,
        draft: TableDraft,
        first: Cell,
        stop: Cell,
        ids_base: Array,
        ids_mine: Array,
        conflicts: list[Conflict],
    ) -> None:
        ids_theirs = draft.ids.read_box(first, stop)
        changed = ids_base != ids_mine
        both = changed & (ids_base != ids_theirs)
        if self.limit is not None:
            # Appended rows are written again behind theirs; only what was changed in the
            # rows that all sides have is merged here.
            edge, cut = divmod(self.limit, self.cells.cell_shape[0])
            row = np.arange(first[0], stop[0]).reshape(-1, *[1] * (changed.ndim - 1))
            changed = changed & (row < edge + bool(cut))
            both = (both | (row == edge)) & changed
        alone = changed & ~both
        if alone.any():
            _take(draft, self.tables[1], first, stop, alone)
        for within in np.argwhere(both).tolist():
            cell = tuple(f + w for f, w in zip(first, within, strict=True))
            at = tuple(within)
            ids = (int(ids_base[at]), int(ids_mine[at]), int(ids_theirs[at]))
            self._merge_cell(draft, cell, ids, conflicts)

    def _merge_cell(
        self, draft: TableDraft, at: Cell, ids: tuple[int, int, int], conflicts: list[Conflict]
    ) -> None:
        cell = at if self.shape else ()
        base, mine, theirs = (self._chunk(write_id, cell) for write_id in ids)
        changed = unlike(mine, base)
        if self.limit is not None:
            changed[max(0, self.limit - cell[0] * self.cells.cell_shape[0]) :] = False
        clash = changed & unlike(theirs, base) & unlike(mine, theirs)
        if clash.any():
            if self.policy == "raise":
                conflicts.append(Conflict(self.path, f"elements {self._region(cell, clash)}"))
                return
            if self.policy == "theirs":
                changed &= ~clash
        if not changed.any():
            return
        extent = tuple(
            min(c, n - i * c)
            for i, c, n in zip(cell, self.cells.cell_shape, self.shape, strict=True)
        )
        block = np.where(changed, mine, theirs).astype(mine.dtype, copy=False)
        block = block[tuple(map(slice, extent))]
        write_id = self.fresh_id()
        draft.assign(at, write_id, self.cells.store_cell(write_id, cell, block))

    def _chunk(self, write_id: int, cell: Cell) -> Array:
        if not write_id:
            return self.cells.codec.filled()
        return self.cells.read_cell(write_id, cell, keep=False)

    def _region(self, cell: Cell, clash: Array) -> str:
        where = np.nonzero(np.atleast_1d(clash))
        parts = []
        for axis, index in enumerate(where[: len(cell)]):
            origin = cell[axis] * self.cells.cell_shape[axis]
            low, high = origin + int(index.min()), origin + int(index.max())
            parts.append(f"{low}" if low == high else f"{low}:{high + 1}")
        return f"[{', '.join(parts)}]"


def _tables(*sides: Side) -> tuple[Table, Table, Table]:
    base, mine, theirs = (side.table for side in sides)
    if base is None or mine is None or theirs is None:
        raise ConflictError("an array and a group stand under one name on the two sides")
    return base, mine, theirs


def _take(draft: TableDraft, source: Table, first: Cell, stop: Cell, chosen: Array) -> None:
    """Copy chosen cells of a box from another table."""
    inside = tuple(slice(b - a) for a, b in zip(first, stop, strict=True))
    ids = np.zeros(chosen.shape, "<u8")
    reach = tuple(min(b, g) for b, g in zip(stop, source.grid, strict=True))
    covered = tuple(slice(max(0, b - a)) for a, b in zip(first, reach, strict=True))
    ids[covered] = source.ids.read_box(first, reach)
    old = draft.ids.read_box(first, stop)[inside]
    draft.ids.set_box(first, stop, np.where(chosen, ids, old))
    if draft.stats is not None and source.stats is not None:
        rows = draft.stats.read_box(first, stop)
        new = np.zeros_like(rows)
        if source.stats.kind.channels == rows.shape[-1]:
            new[covered] = source.stats.read_box(first, reach)
        else:
            new["unknown"][ids != 0] = 1
        rows[chosen] = new[chosen]
        draft.stats.set_box(first, stop, rows)
    draft.touch()


def unlike(a: Array, b: Array) -> Array:
    """Where two arrays differ, bit for bit for floats, so that NaN equals itself."""
    if a.dtype.kind == "f" and a.dtype.itemsize in (2, 4, 8):
        bits = f"u{a.dtype.itemsize}"
        return np.asarray(np.ascontiguousarray(a).view(bits) != np.ascontiguousarray(b).view(bits))
    if a.dtype.kind in "cmM":
        return np.asarray((a != b) & ~((a != a) & (b != b)))
    return np.asarray(a != b)
