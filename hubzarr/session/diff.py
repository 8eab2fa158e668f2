"""What changed between two states of a repository: nodes, attributes, shapes, regions."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

import numpy as np

from hubzarr.engine import ArrayEngine, CellStore
from hubzarr.history.compare import differing_nodes
from hubzarr.history.manifest import Manifest, Node
from hubzarr.history.nodes import nodes_of
from hubzarr.indexing import Box
from hubzarr.session.cells import unlike
from hubzarr.session.difference import ABSENT, Change, Diff, NodeDiff
from hubzarr.session.log import Point, state_at
from hubzarr.session.merge import alike
from hubzarr.session.regions import element_boxes, joined, labelled_boxes
from hubzarr.session.session import Session
from hubzarr.session.state import Side, is_array, shape_of, side_of
from hubzarr.table.table import Table, changed_blocks
from hubzarr.threads import map_all

__all__ = ["Diff", "NodeDiff", "diff"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]
type Pairs = dict[str, tuple[Node | Side | None, Node | Side | None]]


def diff(session: Session, a: Point, b: Point = None, path: str = "", values: bool = False) -> Diff:
    """What changed from one state to another.

    Parameters
    ----------
    session : Session
    a, b : int, str, datetime or None
        See `state_at`. None as `a` is the session's last commit, as `b` its present state
        with everything that is not committed yet.
    path : str
        Only this node and those below it.
    values : bool
        Compare elements too: reads the chunks that changed.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.codecs import array_document
    >>> from hubzarr.indexing import apply, identity
    >>> from hubzarr.session import create_repository, open_session
    >>> from hubzarr.session.diff import diff
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://diff-example")
    >>> _ = create_repository(storage, "main", array_document((6,), "i4", (2,)), author="me")
    >>> session = open_session(storage, "main")
    >>> session.array().engine.write(apply(identity((6,)), slice(2, 5)), np.ones(3, "i4"))
    >>> diff(session, 0, values=True)
    diff main@0 -> main@0 + uncommitted
    node  change   shape  cells  elements  regions
    /     changed  (6,)   2      3         [2:6]
    """
    with session.lock:
        before = state_at(session, a)
        after = session.manifest if b is None else state_at(session, b)
        pairs: Pairs = {**differing_nodes(before, after, session.reader)}
        dirty = b is None and session.dirty
        if dirty:
            session.flush()
            _lay_over(session, before, pairs)
        path = path.strip("/")
        chosen = {p: pairs[p] for p in sorted(pairs) if _is_below(p, path)}
        sides = {p: (_side(session, x), _side(session, y)) for p, (x, y) in chosen.items()}
    found = (_compare(session, p, x, y, values) for p, (x, y) in sides.items())
    label = after.commit.address + (" + uncommitted" if dirty else "")
    return Diff(before.commit.address, label, tuple(n for n in found if n is not None))


def _is_below(path: str, root: str) -> bool:
    return not root or path == root or path.startswith(root + "/")


def _lay_over(session: Session, before: Manifest, pairs: Pairs) -> None:
    """Put what is not committed on top of the committed state."""
    changed: dict[str, Side | None] = dict.fromkeys(session.removed)
    changed |= {p: Side(document, p, None) for p, document in session.groups.items()}
    changed |= {p: state.side() for p, state in session.states.items() if state.changed}
    if not changed:
        return
    old = nodes_of(before, session.reader)
    for path, side in changed.items():
        pairs[path] = (old.get(path), side)


def _side(session: Session, node: Node | Side | None) -> Side | None:
    if isinstance(node, Node):
        return side_of(node, session.storage, session.reader)
    return node


def _compare(
    session: Session, path: str, a: Side | None, b: Side | None, values: bool
) -> NodeDiff | None:
    """How one node differs; None if it doesn't."""
    x, y = (None if s is None or s.table is None else shape_of(s.document) for s in (a, b))
    kind = _kind(a, b)
    if kind is None:
        return None
    attributes: tuple[Change, ...] = ()
    metadata: tuple[Change, ...] = ()
    if a is not None and b is not None:
        attributes = _keys(a.document.get("attributes", {}), b.document.get("attributes", {}))
        metadata = _keys(a.document, b.document, {"attributes", "shape"})
    regions: list[Box] = []
    cells, elements = 0, 0 if values else None
    if kind != "replaced":
        regions, cells, elements = _changed_cells(session, a, b, values)
    elif y is not None and b is not None and b.table is not None:
        regions, cells = [tuple((0, n) for n in y)], math.prod(b.table.grid)
        elements = math.prod(y) if values else None
    if kind == "changed" and not (cells or attributes or metadata or x != y):
        return None
    engines = (_engine(session, a), _engine(session, b)) if values else None
    return NodeDiff(
        path, kind, x, y, attributes, metadata, tuple(regions), cells, elements, engines
    )


def _engine(session: Session, side: Side | None) -> ArrayEngine | None:
    return None if side is None or side.table is None else session.reader_for(side)


def _kind(a: Side | None, b: Side | None) -> str | None:
    if a is None or b is None:
        return "created" if b is not None else "removed" if a is not None else None
    if is_array(a.document) != is_array(b.document):
        return "replaced"
    same = not is_array(a.document) or (a.home == b.home and alike(a, b))
    return "changed" if same else "replaced"


def _keys(a: dict[str, Any], b: dict[str, Any], skip: Set[str] = frozenset()) -> tuple[Change, ...]:
    pairs = ((k, a.get(k, ABSENT), b.get(k, ABSENT)) for k in sorted({*a, *b} - skip))
    return tuple(Change(k, x, y) for k, x, y in pairs if x is not y and x != y)


def _changed_cells(
    session: Session, a: Side | None, b: Side | None, values: bool
) -> tuple[list[Box], int, int | None]:
    """Regions of the cells whose write ids differ, their number, elements that differ."""
    tables = [None if side is None else side.table for side in (a, b)]
    one = a if tables[1] is None else b
    if one is None or one.table is None:
        return [], 0, 0 if values else None
    before, after = (one.table.emptied() if t is None else t for t in tables)
    starts, stops, cells, ids = _differences(before, after, values)
    count = int((stops - starts).prod(axis=1).sum())
    store = session.cells_for(one.home, one.document)
    nothing = (0,) * len(shape_of(one.document))
    x, y = (nothing if s is None else shape_of(s.document) for s in (a, b))
    limits = tuple((0, max(m, n)) for m, n in zip(x, y, strict=True))
    regions = element_boxes(starts, stops, store.cell_shape, limits)
    if not values:
        return regions, count, None
    if a is None or b is None:  # all of them are on one side only
        return regions, count, sum(math.prod(n - m for m, n in box) for box in regions)
    return regions, count, _count_elements(store, cells, ids, x, y)


def _differences(before: Table, after: Table, cells_too: bool) -> tuple[Array, Array, Array, Array]:
    """Boxes of differing cells (starts, stops); the cells one by one and their ids."""
    nd = len(after.grid)
    parts: list[tuple[Array, ...]] = []
    for first, ids_a, ids_b in changed_blocks(before, after):
        changed = ids_a != ids_b
        _, low, high = labelled_boxes(changed, first)
        one_by_one: tuple[Array, ...] = (np.empty((0, nd), np.int64), np.empty((0, 2), "u8"))
        if cells_too:
            ids = np.stack([ids_a[changed], ids_b[changed]], axis=1)
            one_by_one = np.argwhere(changed) + np.array(first), ids
        parts.append((low, high, *one_by_one))
    if not parts:
        none = np.empty((0, nd), np.int64)
        return none, none, none, np.empty((0, 2), "u8")
    low, high, cells, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, low, high = joined(np.ones(len(low), bool), low, high)
    return low, high, cells, ids


def _count_elements(store: CellStore, cells: Array, ids: Array, x: Cell, y: Cell) -> int:
    """Elements of cells that differ; `x` and `y` are the shapes of the array."""

    def differing(job: tuple[Array, Array]) -> int:
        at = tuple(job[0].tolist()) if x else ()
        chunks = (
            store.read_cell(w, at, keep=False) if w else store.codec.filled()
            for w in job[1].tolist()
        )
        a, b = (c[_inside(at, store.cell_shape, n)] for c, n in zip(chunks, (x, y), strict=True))
        both = tuple(slice(min(m, n)) for m, n in zip(a.shape, b.shape, strict=True))
        p, q = a[both], b[both]
        return int(np.count_nonzero(unlike(p, q))) + a.size + b.size - 2 * p.size

    jobs = list(zip(cells, ids, strict=True))
    batch = max(1, (1 << 20) // max(1, store.codec.nbytes)) if store.storage.is_local else 1
    return sum(map_all(differing, jobs, store.storage.concurrency, batch))


def _inside(cell: Cell, cell_shape: Cell, shape: Cell) -> tuple[slice, ...]:
    """The part of a cell inside an array."""
    return tuple(
        slice(max(0, min(c, n - i * c))) for i, c, n in zip(cell, cell_shape, shape, strict=True)
    )
