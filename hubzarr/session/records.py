"""Arrays whose rows are records: one value each, which may point into an array beside them.

The attribute ``hubzarr.records`` of an array says so. Its rows are merged whole, never
element by element. With ``{"positions_in": "bytes"}`` the first column holds positions along
axis 0 of the sibling array of that name, and the second how many elements there belong to the
row, or a negative number where the row holds no position. When a merge puts what was appended
to the sibling behind somebody else's, the positions move along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hubzarr.engine import CellStore
from hubzarr.history.manifest import Node
from hubzarr.session.state import Side, is_array, shape_of
from hubzarr.table.table import Table, TableDraft, changed_cells

__all__ = ["has_rows", "is_records", "is_tensor", "moved_by", "relocated"]


def _marks(document: dict[str, Any]) -> dict[str, Any]:
    marks = document.get("attributes", {}).get("hubzarr")
    return marks if isinstance(marks, dict) else {}


def _records(document: dict[str, Any]) -> dict[str, Any] | None:
    found = _marks(document).get("records")
    return found if isinstance(found, dict) else None


def has_rows(document: dict[str, Any]) -> bool:
    """Whether rows of an array are samples of a tensor."""
    return not _marks(document).keys().isdisjoint(("records", "tensor"))


def is_tensor(document: dict[str, Any]) -> bool:
    """Whether a node is a tensor, alone or with the arrays in it."""
    return "tensor" in _marks(document)


def is_records(document: dict[str, Any]) -> bool:
    """Whether rows of an array are merged whole."""
    return _records(document) is not None


def moved_by(
    path: str,
    document: dict[str, Any],
    base: Mapping[str, Node],
    theirs: Mapping[str, Node],
) -> tuple[int, int] | None:
    """How far positions must move that an array's new rows hold.

    Returns
    -------
    (int, int) or None
        Positions from the first number on, and by how much; None if none moves.
    """
    records = _records(document)
    if records is None or "positions_in" not in records:
        return None
    sibling = f"{path.rpartition('/')[0]}/{records['positions_in']}".lstrip("/")
    before, now = (_length(nodes.get(sibling)) for nodes in (base, theirs))
    return (before, now - before) if now > before else None


def _length(node: Node | None) -> int:
    return shape_of(node.document)[0] if node is not None and is_array(node.document) else 0


def relocated(
    side: Side,
    draft: TableDraft,
    base: Table | None,
    move: tuple[int, int],
    cells: CellStore,
    fresh_id: Callable[[], int],
) -> Side:
    """A side whose positions from ``move[0]`` on are moved by ``move[1]``; `draft` gets them too.

    Only cells that differ from those of `base` can hold such positions.
    """
    if side.table is None:
        return side
    start, distance = move
    old = side.table.emptied() if base is None else base
    rows = shape_of(side.document)[0]
    size = cells.cell_shape[0]
    for cell, _, write_id in list(changed_cells(old, side.table)):
        if not write_id:
            continue
        block = np.array(cells.read_cell(write_id, cell, keep=False)[: rows - cell[0] * size])
        late = (block[:, 0] >= start) & (block[:, 1] >= 0)
        if late.any():
            block[late, 0] += distance
            new_id = fresh_id()
            draft.assign(cell, new_id, cells.store_cell(new_id, cell, block))
    return replace(side, table=draft.freeze()[0])
