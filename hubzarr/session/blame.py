"""Blame: which commit last changed each part of an array, when and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError
from hubzarr.history.compare import history
from hubzarr.history.manifest import Commit
from hubzarr.indexing import Box, box_cells
from hubzarr.session.regions import element_boxes, labelled_boxes
from hubzarr.session.session import Session

__all__ = ["BlameEntry", "blame"]


@dataclass(frozen=True, slots=True)
class BlameEntry:
    """What one commit last changed.

    Attributes
    ----------
    commit : Commit or None
        None for what no commit holds yet, or whose commit was expired.
    boxes : tuple of boxes
        Elements, as (start, stop) per axis. Cells of the chunk grid are not divided.
    cells : int
        How many cells these are.
    uncommitted : bool
        Whether this is the session's own, not committed yet.
    """

    commit: Commit | None
    boxes: tuple[Box, ...]
    cells: int
    uncommitted: bool = False


def blame(session: Session, path: str = "", box: Box | None = None) -> list[BlameEntry]:
    """Which commit last changed each part of a box, newest commit first.

    Parameters
    ----------
    session : Session
    path : str
        Of the array.
    box : tuple of (int, int), optional
        Start and stop per axis; the whole array by default. Cells never written are not
        listed.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.codecs import array_document
    >>> from hubzarr.indexing import apply, identity
    >>> from hubzarr.session import create_repository, open_session
    >>> from hubzarr.session.blame import blame
    >>> from hubzarr.storage import open_storage
    >>> storage = open_storage("memory://blame-example")
    >>> _ = create_repository(storage, "main", array_document((6,), "i4", (2,)), author="me")
    >>> session = open_session(storage, "main")
    >>> session.array().engine.write(apply(identity((6,)), slice(2, 5)), np.ones(3, "i4"))
    >>> _ = session.commit("ones")
    >>> [(entry.commit.message, entry.boxes) for entry in blame(session)]
    [('ones', (((2, 6),),))]
    """
    with session.lock:
        state = session.array(path)
        state.engine.flush()
        box = _checked(box, state.shape)
        cells = state.engine.cells
        first, last = box_cells(box, cells.cell_shape) if box else ((0,), (0,))
        stop = tuple(n + 1 for n in last)
        ids = state.engine.table.ids.read_box(first, stop)
        own = frozenset(session.writes.used)
        manifest = session.manifest
    labels, starts, stops = labelled_boxes(ids, first)
    order = np.argsort(labels, kind="stable")
    distinct, begins = np.unique(labels[order], return_index=True)
    parts = {
        int(write_id): chosen
        for write_id, chosen in zip(distinct, np.split(order, begins[1:]), strict=False)
    }

    def entry(found: list[int], commit: Commit | None, uncommitted: bool = False) -> BlameEntry:
        chosen = np.sort(np.concatenate([parts.pop(write_id) for write_id in found]))
        boxes = element_boxes(starts[chosen], stops[chosen], cells.cell_shape, box)
        count = int((stops[chosen] - starts[chosen]).prod(axis=1).sum())
        return BlameEntry(commit, tuple(boxes), count, uncommitted)

    out: list[BlameEntry] = []
    mine = [write_id for write_id in parts if write_id in own]
    if mine:
        out.append(entry(mine, None, uncommitted=True))
    if parts:
        for commit in history(manifest, session.storage, session.reader):
            found = [w for w in map(_number, commit.writes) if w in parts]
            if commit.parent is None and commit.changes.get(path, {}).get("created"):
                found = list(parts)  # it brought in a copy, with the write ids of elsewhere
            if found:
                out.append(entry(found, commit))
                if not parts:
                    break
    if parts:
        out.append(entry(list(parts), None))
    return out


def _number(write_id: str) -> int:
    return int(write_id, 16)


def _checked(box: Any, shape: tuple[int, ...]) -> Box:
    """The box inside the array."""
    if box is None:
        return tuple((0, n) for n in shape)
    pairs = [tuple(pair) for pair in box]
    if len(pairs) != len(shape) or any(len(pair) != 2 for pair in pairs):
        raise InvalidError(
            f"box {box!r} does not fit an array of shape {shape}: give (start, stop) for each of "
            f"its {len(shape)} axes"
        )
    for (start, stop), n in zip(pairs, shape, strict=True):
        if not 0 <= start <= stop <= n:
            raise InvalidError(
                f"box {box!r} reaches outside an array of shape {shape}: each start and stop must "
                "hold 0 <= start <= stop <= length"
            )
    return tuple((int(a), int(b)) for a, b in pairs)
