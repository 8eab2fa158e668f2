"""What a dataset holds, as a table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hubzarr.htypes import picture

if TYPE_CHECKING:
    from hubzarr.datasets.tensor import Tensor
    from hubzarr.datasets.view import DatasetView

__all__ = ["html", "text"]

LEFT = "'text-align:left'"
_TITLES = ("tensor", "htype", "shape", "dtype", "compression")


def _row(name: str, tensor: Tensor) -> tuple[str, ...]:
    low, high = tensor.shape_interval
    shape = ", ".join(
        str(a) if a == b else f"{max(a, 0)}:{b}" for a, b in zip(low, high, strict=True)
    )
    compression = tensor.sample_compression or tensor.chunk_compression or "none"
    dtype = "" if tensor.dtype is None else str(tensor.dtype)
    return (name, f"{picture(tensor.spec)} {tensor.htype}", f"({shape})", dtype, compression)


def _rows(view: DatasetView) -> list[tuple[str, ...]]:
    return [_row(name, tensor) for name, tensor in view.tensors.items()]


def text(view: DatasetView) -> str:
    """The table for a terminal."""
    rows = [_TITLES, *_rows(view)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_TITLES))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join([repr(view), "", *(line.rstrip() for line in lines)])


def html(view: DatasetView) -> str:
    """The table for a notebook."""
    if view._session.closed:
        return f"<p>{escape(repr(view))}</p>"
    head = "".join(f"<th style={LEFT}>{title}</th>" for title in _TITLES)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in _rows(view)
    )
    return f"<p>{escape(repr(view))}</p><table><tr>{head}</tr>{body}</table>"
