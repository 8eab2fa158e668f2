"""Which rows of which tensors changed between two states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hubzarr.datasets import layout
from hubzarr.datasets.catalog import Catalog, catalog_of
from hubzarr.datasets.columns import Column, column_of
from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.session import Session
from hubzarr.session.cells import unlike
from hubzarr.session.diff import diff as node_diff
from hubzarr.session.difference import NodeDiff
from hubzarr.session.log import Point, state_at

__all__ = ["RowDiff", "TensorDiff", "row_diff"]

type Rows = np.ndarray[Any, np.dtype[np.int64]]

_NONE: Rows = np.empty(0, np.int64)
#: Rows that are compared at a time.
_BLOCK = 65536


@dataclass(frozen=True)
class TensorDiff:
    """What changed in one tensor.

    Attributes
    ----------
    name : str
    kind : str
        "created", "removed" or "changed".
    added, updated : ndarray of int64
        Row numbers after the change.
    removed : ndarray of int64
        Row numbers before the change.
    info : tuple of str
        Keys of its info that changed.
    """

    name: str
    kind: str
    added: Rows
    updated: Rows
    removed: Rows
    info: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowDiff:
    """What changed in a dataset from one state to another; prints as a table.

    Attributes
    ----------
    before, after : str
        Addresses of the states.
    tensors : dict
        `TensorDiff` by name; tensors that did not change are left out.
    info : tuple of str
        Keys of the dataset's info that changed.
    """

    before: str
    after: str
    tensors: dict[str, TensorDiff]
    info: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tensors or self.info)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, rows as [start, stop] runs."""
        return {
            "before": self.before,
            "after": self.after,
            "info_updated": list(self.info),
            "tensors": {
                name: {
                    "kind": t.kind,
                    "data_added": runs(t.added),
                    "data_updated": runs(t.updated),
                    "data_deleted": runs(t.removed),
                    "info_updated": list(t.info),
                }
                for name, t in self.tensors.items()
            },
        }

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [("tensor", "change", "added", "updated", "removed", "info")]
        for name, t in self.tensors.items():
            cells = (_said(rows) for rows in (t.added, t.updated, t.removed))
            rows.append((name, t.kind, *cells, ", ".join(t.info)))
        if self.info:
            rows.append(("(dataset)", "changed", "", "", "", ", ".join(self.info)))
        head = f"diff {self.before} -> {self.after}"
        if len(rows) == 1:
            return f"{head}\nnothing changed"
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = (
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        )
        return "\n".join([head, *lines])


def runs(rows: Rows) -> list[list[int]]:
    """Sorted row numbers as [start, stop] runs."""
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [[int(part[0]), int(part[-1]) + 1] for part in np.split(rows, breaks)]


def _said(rows: Rows) -> str:
    found = [f"{a}" if b == a + 1 else f"{a}:{b}" for a, b in runs(rows)[:4]]
    more = ", …" if len(runs(rows)) > 4 else ""
    return f"{len(rows)} [{', '.join(found)}{more}]" if len(rows) else ""


def row_diff(session: Session, a: Point, b: Point, group: str = "") -> RowDiff:
    """What changed from state `a` to state `b` (None: the present one), row by row.

    Only index rows and rows of arrays in chunks that differ are read, never files.
    """
    with session.lock:
        found = node_diff(session, a, b, path=group)
        nodes = {node.path: node for node in found}
        old = _pinned(session, a)
        new = session if b is None else _pinned(session, b)
        catalogs = catalog_of(old), catalog_of(new)
        tensors = {}
        for path in sorted({p for c in catalogs for p in c.under(group)}):
            tensor = _tensor_diff(path, (old, new), catalogs, nodes)
            if tensor is not None:
                tensors[path[len(group) + 1 :] if group else path] = tensor
        _explain_by_moves(tensors, group, (old, new), catalogs)
        root = nodes.get(group)
        info = () if root is None else _info_keys(root)
        return RowDiff(found.before, found.after, tensors, info)


def _pinned(session: Session, point: Point) -> Session:
    return Session(session.storage, state_at(session, point), writable=False, name=session.name)


def _info_keys(node: NodeDiff) -> tuple[str, ...]:
    return tuple(change.key for change in node.attributes if change.key != layout.MARK)


def _tensor_diff(
    path: str,
    sessions: tuple[Session, Session],
    catalogs: tuple[Catalog, Catalog],
    nodes: dict[str, NodeDiff],
) -> TensorDiff | None:
    entries = [catalog.tensors.get(path) for catalog in catalogs]
    columns = [
        None if entry is None else column_of(session, path, entry)
        for entry, session in zip(entries, sessions, strict=True)
    ]
    before, after = (0 if column is None else len(column) for column in columns)
    if entries[0] is None:
        return TensorDiff(path, "created", np.arange(after), _NONE, _NONE)
    if entries[1] is None:
        return TensorDiff(path, "removed", _NONE, _NONE, np.arange(before))
    touched = [n for p, n in nodes.items() if p == path or p.startswith(path + "/")]
    if not touched:
        return None
    rows = _NONE, _NONE, _NONE
    old, new = columns
    if old is None or new is None or type(old) is not type(new):
        common = min(before, after)
        rows = np.arange(common, after), np.arange(common), np.arange(common, before)
    else:
        inner = path if isinstance(new, UniformColumn) else f"{path}/{layout.INDEX}"
        if inner in nodes:
            rows = _changed_rows(old, new, nodes[inner])
    info = tuple(key for n in touched if n.path == path for key in _info_keys(n))
    if not (info or any(map(len, rows))):
        return None
    return TensorDiff(path, "changed", *rows, info)


def _explain_by_moves(
    tensors: dict[str, TensorDiff],
    group: str,
    sessions: tuple[Session, Session],
    catalogs: tuple[Catalog, Catalog],
) -> None:
    """Let uniform tensors lose the rows that ragged ones lost, if that explains their changes.

    Samples of ragged tensors are known again when they move; values of an array are not. Rows
    belong together, so that what was removed from one tensor was likely removed from all.
    """
    moves = {
        (tuple(t.removed.tolist()), tuple(t.added.tolist())): t
        for t in tensors.values()
        if t.kind == "changed" and len(t.removed)
    }
    for name, found in tensors.items():
        path = f"{group}/{name}" if group else name
        columns = [
            column_of(session, path, catalog.tensors[path])
            for session, catalog in zip(sessions, catalogs, strict=True)
            if found.kind == "changed" and len(found.updated) + len(found.removed)
        ]
        if len(columns) == 2 and all(isinstance(column, UniformColumn) for column in columns):
            old, new = columns
            for move in moves.values():
                better = _after_move(old, new, move)
                cost = len(found.updated) + len(found.removed)
                # A shorter array lost as many rows as its neighbours: surely the same.
                sure = not len(found.added) and len(found.removed) > 0
                if better is not None and (sure or len(better) + len(move.removed) <= cost):
                    found = replace(found, added=move.added, updated=better, removed=move.removed)
            tensors[name] = found


def _after_move(old: Any, new: Any, move: TensorDiff) -> Rows | None:
    """Rows that differ between two columns after the same removals and appends as elsewhere."""
    kept = np.setdiff1d(np.arange(len(old)), move.removed)
    landed = np.setdiff1d(np.arange(len(new)), move.added)
    if len(kept) != len(landed):
        return None
    changed = []
    for start in range(0, len(kept), _BLOCK):
        rows = landed[start : start + _BLOCK]
        differs = unlike(old.read(kept[start : start + _BLOCK]), new.read(rows))
        changed.append(rows[differs.reshape(len(rows), -1).any(axis=1)])
    return np.concatenate(changed) if changed else _NONE


def _changed_rows(old: Column, new: Column, node: NodeDiff) -> tuple[Rows, Rows, Rows]:
    """Rows added, updated and removed between two columns of one form."""
    before, after = len(old), len(new)
    spans = sorted({box[0] for box in node.regions})
    parts = [np.arange(max(0, a), b) for a, b in spans]
    candidates = np.unique(
        np.concatenate([*parts, np.arange(min(before, after), max(before, after))])
    )
    was, now = candidates[candidates < before], candidates[candidates < after]
    if isinstance(old, RaggedColumn) and isinstance(new, RaggedColumn):
        return _by_identity(old.entries(was), new.entries(now), was, now)
    if isinstance(old, UniformColumn) and isinstance(new, UniformColumn):
        return _by_content(old, new, was, now)
    return _NONE, _NONE, _NONE


def _by_identity(old: Rows, new: Rows, was: Rows, now: Rows) -> tuple[Rows, Rows, Rows]:
    """Compare samples by where their bytes lie, which no two samples share."""
    keys = [np.ascontiguousarray(x[:, :2]).view("V16").reshape(-1) for x in (old, new)]
    gone = was[~np.isin(keys[0], keys[1])]
    fresh = now[~np.isin(keys[1], keys[0])]
    updated = np.intersect1d(gone, fresh)
    return np.setdiff1d(fresh, updated), updated, np.setdiff1d(gone, updated)


def _by_content(
    old: UniformColumn, new: UniformColumn, was: Rows, now: Rows
) -> tuple[Rows, Rows, Rows]:
    common = min(len(old), len(new))
    if len(new) < len(old):
        return _after_removal(old, new, int(was[0]) if len(was) else common)
    changed = []
    rows = now[now < common]
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        differs = unlike(old.read(part), new.read(part))
        changed.append(part[differs.reshape(len(part), -1).any(axis=1)])
    updated = np.concatenate(changed) if changed else _NONE
    return np.arange(common, len(new)), updated, _NONE


def _after_removal(old: UniformColumn, new: UniformColumn, first: int) -> tuple[Rows, Rows, Rows]:
    """Explain a shorter array by removed rows, and by updated ones where that is not enough."""
    x, y = old.read(slice(first, None)), new.read(slice(first, None))
    a = [row.tobytes() for row in x]
    b = [row.tobytes() for row in y]
    spare = len(a) - len(b)
    removed: list[int] = []
    updated: list[int] = []
    i = 0
    for j, row in enumerate(b):
        while a[i] != row and len(removed) < spare:
            removed.append(first + i)
            i += 1
        if a[i] != row:
            updated.append(first + j)
        i += 1
    removed += range(first + i, first + len(a))
    return _NONE, np.array(updated, np.int64), np.array(removed, np.int64)
