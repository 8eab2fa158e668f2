"""Rows that may satisfy a condition, by the smallest and largest values of runs of rows.

Only what can't be true is left out: a comparison of a column with a constant is judged by
bounds that are a little wider than the constant, so that the engine's own rounding never
disagrees, and bounds that aren't known (NaN, NaT) rule nothing out. Conditions of any
other form rule nothing out either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from hubzarr.querying.references import Use
from hubzarr.querying.table import Bounds, RowTable
from hubzarr.querying.tree import Cast, Column, Constant, Node, Operation

__all__ = ["candidates"]

type Mask = npt.NDArray[np.bool_]

_MIRRORED = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_EXACT_FLOATS = 1 << 53
_DAY = np.timedelta64(1, "D")


def candidates(
    conditions: Sequence[Node], uses: Mapping[str, Use], table: RowTable
) -> list[tuple[int, int]]:
    """Runs of rows that may satisfy all conditions: first row, row after the last.

    Parameters
    ----------
    conditions : sequence of Node
        Resolved conditions.
    uses : mapping
        What the columns in them stand for.
    table : RowTable
        The rows.
    """
    if table.length == 0:
        return []
    pruner = _Pruner(uses, table)
    comparisons = [found for c in conditions for found in pruner.comparisons(c)]
    starts = [pruner.bounds[name].starts for name, _, _ in comparisons]
    if not starts:
        return [(0, table.length)]
    pruner.starts = np.unique(np.concatenate(starts))
    keep = np.ones(len(pruner.starts), bool)
    for condition in conditions:
        mask = pruner.mask(condition)
        if mask is not None:
            keep &= mask
    return _runs(keep, np.append(pruner.starts, table.length))


def _runs(keep: Mask, edges: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    padded = np.concatenate([[False], keep, [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    firsts, lasts = edges[changes[::2]], edges[changes[1::2]]
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True) if a < b]


class _Pruner:
    """Judges conditions on the common refinement of all runs."""

    def __init__(self, uses: Mapping[str, Use], table: RowTable) -> None:
        self.uses = uses
        self.table = table
        self.bounds: dict[str, Bounds] = {}
        self.starts: npt.NDArray[np.int64] = np.zeros(1, np.int64)

    def comparisons(self, node: Node) -> list[tuple[str, str, tuple[Any, ...]]]:
        """The comparisons in a condition that bounds can judge."""
        if isinstance(node, Operation) and node.kind in {"AND", "OR"}:
            return [found for part in node.arguments for found in self.comparisons(part)]
        found = self._comparison(node)
        return [] if found is None else [found]

    def mask(self, node: Node) -> Mask | None:
        """Which runs may satisfy a condition; None: all."""
        if isinstance(node, Operation) and node.kind in {"AND", "OR"}:
            masks = [self.mask(part) for part in node.arguments]
            known = [mask for mask in masks if mask is not None]
            if node.kind == "OR":
                return np.asarray(np.logical_or.reduce(known)) if len(known) == len(masks) else None
            return np.asarray(np.logical_and.reduce(known)) if known else None
        found = self._comparison(node)
        if found is None:
            return None
        name, kind, values = found
        bounds = self.bounds[name]
        dtype = self.table.columns[name].dtype
        possible = _possible(kind, values, bounds, np.dtype(dtype))
        if possible is None:
            return None
        return possible[np.searchsorted(bounds.starts, self.starts, side="right") - 1]

    def _comparison(self, node: Node) -> tuple[str, str, tuple[Any, ...]] | None:
        if not isinstance(node, Operation):
            return None
        kind, (first, *rest) = node.kind, node.arguments
        if kind in _MIRRORED and not isinstance(first, Column):
            kind, first, rest = _MIRRORED[kind], rest[0], [first]
        if kind not in {*_MIRRORED, "IN", "BETWEEN"}:
            return None
        name = self._bounded(first)
        values = tuple(map(_value, rest))
        if name is None or any(value is None for value in values):
            return None
        return name, kind, values

    def _bounded(self, node: Node) -> str | None:
        """The column of a plain name, if its bounds are known."""
        use = self.uses.get(node.path[-1]) if isinstance(node, Column) else None
        if use is None or use.part != "value":
            return None
        if use.name not in self.bounds:
            column = self.table.columns[use.name]
            ordered = column.kind in {"number", "label"} and not column.several
            bounds = self.table.bounds(use.name) if ordered else None
            if bounds is None or not len(bounds.starts):
                return None
            self.bounds[use.name] = bounds
        return use.name


def _value(node: Node) -> Any:
    """The value of a constant that can be judged, else None."""
    if isinstance(node, Cast) and node.type in {"DATE", "TIMESTAMP"}:
        node = node.value
    if not isinstance(node, Constant):
        return None
    value = node.value
    if isinstance(value, str):
        return np.datetime64(value.replace(" ", "T"), "us") if _TIME.fullmatch(value) else None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    return value if value is not None and math.isfinite(value) else None


def _possible(
    kind: str, values: tuple[Any, ...], bounds: Bounds, dtype: np.dtype[Any]
) -> Mask | None:
    """Which runs may hold a value that compares so; None: can't tell."""
    ranges = [_widened(value, dtype) for value in values]
    smallest, largest = bounds.smallest, bounds.largest
    if smallest.dtype.kind == "f":  # else the constants were rounded to the column's type
        smallest, largest = smallest.astype(np.float64), largest.astype(np.float64)
    known = [r for r in ranges if r is not None]
    if len(known) < len(ranges):
        return None
    if kind == "IN":
        held = [~((largest < low) | (smallest > high)) for low, high in known]
        return np.asarray(np.logical_or.reduce(held))
    low, high = known[0][0], known[-1][1]
    match kind:
        case "<":
            found = ~(smallest >= high)
        case "<=":
            found = ~(smallest > high)
        case ">":
            found = ~(largest <= low)
        case ">=":
            found = ~(largest < low)
        case _:  # = and BETWEEN
            found = ~((largest < low) | (smallest > high))
    return np.asarray(found)


def _widened(value: Any, dtype: np.dtype[Any]) -> tuple[Any, Any] | None:
    """Numbers below and above a constant between which the engine may see it."""
    if isinstance(value, np.datetime64) or dtype.kind == "M":
        if not isinstance(value, np.datetime64) or dtype.kind != "M":
            return None
        day = value.astype("datetime64[D]")  # a column of days drops the time of the constant
        return (value, value) if dtype != "datetime64[D]" else (day, day + _DAY)
    if dtype.kind in "iub":
        if isinstance(value, int):
            return value, value
        return (math.floor(value), math.ceil(value)) if abs(value) < _EXACT_FLOATS else None
    if dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):
        near = np.float32(value) if dtype.itemsize <= 4 else np.float64(value)
    if not np.isfinite(near):
        return None
    nearest = float(near)
    if nearest == value and _is_short(value):
        return nearest, nearest
    infinity = near.dtype.type(np.inf)
    below, above = np.nextafter(near, -infinity), np.nextafter(near, infinity)
    return min(float(below), float(value)), max(float(above), float(value))


def _is_short(value: Any) -> bool:
    """Whether the engine surely reads a literal without rounding."""
    if not isinstance(value, Decimal):
        return True
    _, digits, exponent = value.as_tuple()
    return len(digits) <= 15 and isinstance(exponent, int) and exponent >= -22
