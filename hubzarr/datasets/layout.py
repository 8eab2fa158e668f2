"""How tensors lie in a repository: groups, arrays and the marks in their attributes.

docs/format.md describes all of this for readers without hubzarr.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from hubzarr.codecs import array_document, auto_chunks
from hubzarr.dtypes import as_dtype, kind_of

__all__ = [
    "BYTES",
    "INDEX",
    "LARGE",
    "LARGE_BYTES",
    "MARK",
    "STATISTICS",
    "VIEWS",
    "bytes_document",
    "group_document",
    "index_document",
    "large_document",
    "mark_of",
    "statistics_document",
    "uniform_document",
]

type Document = dict[str, Any]

#: The attribute that is ours; all others are the user's.
MARK: Final = "hubzarr"
#: Arrays of a ragged tensor, and the group of its large samples.
INDEX: Final = "index"
BYTES: Final = "bytes"
STATISTICS: Final = "statistics"
LARGE: Final = "large"
#: The group of saved views.
VIEWS: Final = "_views"

#: A sample that needs more bytes than this when decoded is an array of its own.
LARGE_BYTES: Final = 64 << 20
#: Rows that an append may have to store again stay in small chunks.
_CHUNK_BYTES: Final = 256 << 10
_MOST_ROWS: Final = 16384
_INDEX_ROWS: Final = 1024
_CELL: Final = 8 << 20
_PIECE: Final = 32 << 10
#: Nobody asks for the mean of positions or of the bytes of files.
_UNMEASURED: Final = {"measured": False}


def mark_of(document: Document | None) -> dict[str, Any]:
    """Our attribute of a node; empty if it has none."""
    found = (document or {}).get("attributes", {}).get(MARK)
    return found if isinstance(found, dict) else {}


def group_document(attributes: Mapping[str, Any]) -> Document:
    """A group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def uniform_document(
    shape: tuple[int, ...], dtype: Any, codec: Any, attributes: Mapping[str, Any]
) -> Document:
    """An array without rows, for samples of one shape."""
    row = max(1, math.prod(shape) * as_dtype(dtype).itemsize)
    if row > 8 * _CHUNK_BYTES:
        chunks = (1, *auto_chunks(shape, dtype, "auto", None)[0])
    else:
        chunks = (max(1, min(_MOST_ROWS, _CHUNK_BYTES // row)), *(max(1, n) for n in shape))
    return array_document(
        (0, *shape), dtype, chunks, None, codec=codec, fill_value=_zero(dtype),
        attributes=dict(attributes),
    )  # fmt: skip


def _zero(dtype: Any) -> Any:
    return 0 if kind_of(as_dtype(dtype)) in "biufc" else None


def index_document(ndim: int) -> Document:
    """The index of a ragged tensor: first byte, number of bytes and shape of each sample."""
    columns = 2 + ndim
    return array_document(
        (0, columns), "int64", (_INDEX_ROWS, columns), None,
        attributes={MARK: {"records": {"positions_in": BYTES}, **_UNMEASURED}},
    )  # fmt: skip


def bytes_document(codec: Any) -> Document:
    """The bytes of a ragged tensor's samples, one behind the other."""
    return array_document(
        (0,), "uint8", (_PIECE,), (_CELL,), codec=codec, attributes={MARK: dict(_UNMEASURED)}
    )


def statistics_document(channels: int) -> Document:
    """Count, sum, M2, minimum and maximum of each sample and channel."""
    return array_document(
        (0, channels, 5), "float64", (_INDEX_ROWS, channels, 5), None,
        attributes={MARK: {"records": {}, **_UNMEASURED}},
    )  # fmt: skip


def large_document(
    shape: tuple[int, ...], dtype: Any, tile: tuple[int, ...] | None, codec: Any
) -> Document:
    """An array that holds one large sample."""
    chunks, shards = auto_chunks(shape, dtype, tile or "auto", None)
    return array_document(shape, dtype, chunks, shards, codec=codec, fill_value=_zero(dtype))
