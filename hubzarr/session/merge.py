"""Three-way merges of arrays and groups: by key, by cell, and inside cells by element.

The same functions rebase a session after a lost race and merge one version into another.
In both, *mine* holds the changes that move and *theirs* is what they are put on top of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from hubzarr.engine import CellStore
from hubzarr.errors import InvalidError
from hubzarr.history.documents import copied
from hubzarr.session.cells import CellMerge, Policy
from hubzarr.session.records import has_rows, is_records
from hubzarr.session.state import Side, shape_of
from hubzarr.table.table import TableDraft, changed_cells

__all__ = [
    "Conflict",
    "Conflicting",
    "Merged",
    "Policy",
    "alike",
    "merge_sides",
    "policy_of",
]

type Cell = tuple[int, ...]
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
    if base is None or base.table is None:
        base = _common_start(mine, theirs) or base
    if (
        base is None
        or base.home != mine.home
        or base.home != theirs.home
        or not alike(base, mine, theirs)
    ):
        return _merge_foreign(path, mine, theirs, policy)
    if has_rows(mine.document) and _rows_went(base, mine, theirs):
        return _merge_whole(path, base, mine, theirs, policy)
    conflicts: list[Conflict] = []
    shape, rows = _merge_shapes(path, base, mine, theirs, policy, conflicts)
    document = _merge_documents(path, base, mine, theirs, policy, conflicts)
    if base.table is None or mine.table is None or theirs.table is None:
        side = replace(mine, document=document)
        return (None if conflicts else Merged(side, None)), conflicts
    document["shape"] = list(shape)
    shapes = shape_of(base.document), shape_of(mine.document), shape_of(theirs.document), shape
    tables = base.table, mine.table, theirs.table
    merge = CellMerge(
        tables, shapes, policy, cells_for(theirs), fresh_id, rows, is_records(mine.document)
    )
    draft, found = merge.run()
    conflicts += [Conflict(path, what) for what in found]
    if conflicts:
        return None, conflicts
    return Merged(replace(theirs, document=document), draft, rows), []


def _common_start(mine: Side, theirs: Side) -> Side | None:
    """The empty array that both sides made alike and appended to, if that is what happened."""
    if mine.table is None or theirs.table is None or mine.home != theirs.home:
        return None
    shape = shape_of(mine.document)
    same = mine.document | {"shape": None} == theirs.document | {"shape": None}
    if not same or not shape or mine.appended != shape[0]:
        return None
    if shape[1:] != shape_of(theirs.document)[1:]:
        return None
    return Side(mine.document | {"shape": [0, *shape[1:]]}, mine.home, mine.table.emptied())


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


def _rows_went(base: Side, mine: Side, theirs: Side) -> bool:
    """Whether rows have other numbers now, on a side that did more than append."""
    if base.table is None:
        return False
    b, m, t = (shape_of(side.document)[0] for side in (base, mine, theirs))
    if m < b or mine.removed:
        return t != b or _differ(base, theirs)
    # What was only appended goes behind the rest, whatever numbers that has.
    return t < b and not 0 < mine.appended == m - b and (m != b or _differ(base, mine))


def _differ(base: Side, side: Side) -> bool:
    """Whether any elements were written."""
    if base.table is None or side.table is None:
        return True
    return next(iter(changed_cells(base.table, side.table)), None) is not None


def _merge_whole(
    path: str, base: Side, mine: Side, theirs: Side, policy: Policy
) -> tuple[Merged | None, list[Conflict]]:
    """All rows of one side: where rows were removed, the same number means different rows."""
    conflicts: list[Conflict] = []
    document = _merge_documents(path, base, mine, theirs, policy, conflicts)
    if policy == "raise":
        b, m, t = (shape_of(side.document)[0] for side in (base, mine, theirs))
        what = f"rows were removed, so that {b} became {m} here and {t} there"
        return None, [Conflict(path, what), *conflicts]
    chosen = mine if policy == "mine" else theirs
    document["shape"] = list(shape_of(chosen.document))
    draft = None if chosen.table is None else TableDraft(chosen.table)
    return Merged(replace(chosen, document=document), draft), []


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
    out = copied(theirs.document)
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
    merged = copied(c)
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
            out[key] = copied(m)
