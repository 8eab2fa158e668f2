"""Text of stored arrays: what NumPy would print, from the elements that it would print."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.indexing import apply_oindex

if TYPE_CHECKING:
    from hubzarr.arrays.readable import Readable

__all__ = ["edge_text", "html_table"]


def edge_text(a: Readable, prefix: str = "") -> str:
    """``str(numpy array)`` of the elements, reading only those that are printed."""
    options: Any = np.get_printoptions()
    edge = options["edgeitems"]
    if a.size <= options["threshold"]:
        return np.array2string(a.compute(), separator=" ", prefix=prefix)
    t = a._transform()
    key = tuple(
        slice(None) if n <= 2 * edge + 1 else np.r_[0 : edge + 1, n - edge : n] for n in t.shape
    )
    corner = a._engine().read(apply_oindex(t, key))
    return np.array2string(corner, separator=" ", prefix=prefix, threshold=0, edgeitems=edge)


def html_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A small table for notebooks."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(k)}</th>"
        f"<td style='text-align:left'>{html.escape(v)}</td></tr>"
        for k, v in rows
    )
    return f"<table><caption><b>{html.escape(title)}</b></caption>{cells}</table>"
