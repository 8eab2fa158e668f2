"""A difference between two states, as values that print as tables."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from hubzarr.engine import ArrayEngine
from hubzarr.errors import InvalidError, NotFoundError
from hubzarr.indexing import Box, apply, blocks, identity

__all__ = ["ABSENT", "Change", "Diff", "NodeDiff", "read_box"]

type Array = np.ndarray[Any, Any]

#: Elements of the blocks that `regions_values` yields at most.
BLOCK: Final = 1 << 22
#: Lines of a printed diff and boxes in a line of it.
MAX_LINES: Final = 40
MAX_BOXES: Final = 4


class _Absent:
    """The value of a key that is not there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "(absent)"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


class Change(NamedTuple):
    """One key with its values; `ABSENT` where it is not there."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class NodeDiff:
    """What changed in one group or array.

    Attributes
    ----------
    path : str
        "" is the root.
    kind : str
        "created", "removed", "changed", or "replaced" where the node became another kind
        of array or group, so that its cells can't be compared one by one.
    shape_before, shape_after : tuple of int or None
        None where there is no array.
    attributes, metadata : tuple of Change
        Attributes, and other keys of ``zarr.json`` except the shape.
    regions : tuple of boxes
        Elements of the cells that changed, as (start, stop) per axis.
    cells : int
        How many cells these are.
    elements : int or None
        How many elements in the regions differ, those that only one side has included;
        None unless values were asked for.
    """

    path: str
    kind: str
    shape_before: tuple[int, ...] | None
    shape_after: tuple[int, ...] | None
    attributes: tuple[Change, ...] = ()
    metadata: tuple[Change, ...] = ()
    regions: tuple[Box, ...] = ()
    cells: int = 0
    elements: int | None = None
    _engines: tuple[ArrayEngine | None, ArrayEngine | None] | None = field(
        default=None, repr=False, compare=False
    )

    def regions_values(self) -> Iterator[tuple[Box, Array, Array]]:
        """The regions with the values before and after, large ones in several pieces.

        Yields
        ------
        box : tuple of (int, int)
        before, after : ndarray
            Of the part of the box inside the array's shape at that time: what an array
            doesn't reach is missing, possibly all.

        Raises
        ------
        InvalidError
            Values were not asked for.
        """
        if self._engines is None:
            raise InvalidError("this diff holds no values; ask for them with values=True")
        for region in self.regions:
            shape = tuple(b - a for a, b in region)
            for _, out in blocks(identity(shape), BLOCK):
                box = tuple(
                    (a + s.start, a + s.stop) for (a, _), s in zip(region, out, strict=True)
                )
                before, after = (read_box(engine, box) for engine in self._engines)
                yield box, before, after

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values that JSON can hold; absent values are left out."""
        out: dict[str, Any] = {"path": self.path, "kind": self.kind}
        for name in ("shape_before", "shape_after"):
            shape = getattr(self, name)
            out[name] = None if shape is None else list(shape)
        for name in ("attributes", "metadata"):
            out[name] = [
                {k: v for k, v in change._asdict().items() if v is not ABSENT}
                for change in getattr(self, name)
            ]
        out["regions"] = [[list(pair) for pair in box] for box in self.regions]
        return {**out, "cells": self.cells, "elements": self.elements}


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed between two states; prints as a table.

    Attributes
    ----------
    before, after : str
        The states compared: ``version@number``, with "+ uncommitted" where that counts.
    nodes : tuple of NodeDiff
        By path; empty if nothing changed.
    """

    before: str
    after: str
    nodes: tuple[NodeDiff, ...]

    def __bool__(self) -> bool:
        return bool(self.nodes)

    @property
    def cells(self) -> int:
        """How many cells changed, over all nodes."""
        return sum(node.cells for node in self.nodes)

    def __iter__(self) -> Iterator[NodeDiff]:
        return iter(self.nodes)

    def __getitem__(self, path: str) -> NodeDiff:
        for node in self.nodes:
            if node.path == path.strip("/"):
                return node
        raise NotFoundError(
            f"{path or '/'!r} did not change between {self.before} and {self.after}", path=path
        )

    def regions_values(self, path: str = "") -> Iterator[tuple[Box, Array, Array]]:
        """Changed regions of one array with their values; see `NodeDiff.regions_values`.

        Nothing is yielded for an array that did not change.
        """
        for node in self.nodes:
            if node.path == path.strip("/"):
                yield from node.regions_values()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values that JSON can hold."""
        nodes = [node.to_dict() for node in self.nodes]
        return {"before": self.before, "after": self.after, "nodes": nodes}

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("node", "change", "shape", "cells", "elements", "regions")]
        for n in self.nodes:
            elements = "" if n.elements is None else f"{n.elements:,}"
            cells = f"{n.cells:,}" if n.cells else ""
            rows.append((n.path or "/", n.kind, _shapes(n), cells, elements, _boxes(n.regions)))
        return rows

    def __repr__(self) -> str:
        title = f"diff {self.before} -> {self.after}"
        if not self.nodes:
            return f"{title}: nothing changed"
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines = [title, table[0]]
        for line, node in zip(table[1:], self.nodes, strict=True):
            lines += [line, *("    " + text for text in _key_lines(node))]
        if len(lines) > MAX_LINES:
            lines[MAX_LINES:] = [f"… and {len(lines) - MAX_LINES} more lines; see .nodes"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        title = html.escape(f"diff {self.before} → {self.after}")
        if not self.nodes:
            return f"<p>{title}: nothing changed</p>"
        head, *rows = self._rows()
        out = [f"<table><caption>{title}</caption><thead><tr>"]
        out += [f"<th>{text}</th>" for text in head]
        out.append("</tr></thead><tbody>")
        for row, node in list(zip(rows, self.nodes, strict=True))[:MAX_LINES]:
            out += ["<tr>", *(f"<td>{html.escape(text)}</td>" for text in row), "</tr>"]
            for text in _key_lines(node):
                out.append(f'<tr><td></td><td colspan="5">{html.escape(text)}</td></tr>')
        out.append("</tbody></table>")
        return "".join(out)


def _shapes(node: NodeDiff) -> str:
    a, b = node.shape_before, node.shape_after
    if a == b or a is None or b is None:
        shape = b if a is None else a
        return "" if shape is None else str(shape)
    return f"{a} -> {b}"


def _boxes(boxes: tuple[Box, ...]) -> str:
    shown = [f"[{', '.join(f'{a}:{b}' for a, b in box)}]" for box in boxes[:MAX_BOXES]]
    if len(boxes) > MAX_BOXES:
        shown.append(f"… {len(boxes) - MAX_BOXES} more")
    return " ".join(shown)


def _key_lines(node: NodeDiff) -> list[str]:
    changes = [(f"attribute {c.key!r}", c) for c in node.attributes]
    changes += [(c.key, c) for c in node.metadata]
    return [f"{what}: {_short(c.before)} -> {_short(c.after)}" for what, c in changes]


def _short(value: Any) -> str:
    text = repr(value) if value is ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def read_box(engine: ArrayEngine | None, box: Box) -> Array:
    """The part of a box that an array reaches; nothing at all if there is no array."""
    if engine is None:
        return np.empty((0,) * len(box))
    t = identity(engine.shape)
    return engine.read(apply(t, tuple(slice(a, b) for a, b in box)))
