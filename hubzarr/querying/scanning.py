"""Columns of a table as the Arrow data that the engine sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubzarr.media.extras import need
from hubzarr.querying.arrow import arrow_lists, arrow_numbers, arrow_texts, plain_numbers
from hubzarr.querying.references import Use
from hubzarr.querying.table import Rows, RowTable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["block_rows", "count", "scan", "split", "stream"]

type Ints = npt.NDArray[np.int64]

#: Bytes of a block of rows.
_BLOCK = 64 << 20
_FEWEST = 256
_WIDTHS = {"name": 4, "shape": 40, "axis": 8, "ndim": 8, "row": 8}


def block_rows(table: RowTable, uses: Mapping[Use, str]) -> int:
    """How many rows to read at a time, so that memory stays bounded."""
    width = 8
    for use in uses:
        column = table.columns.get(use.name)
        found = _WIDTHS.get(use.part, column.width if column is not None else 8)
        width += max(found, 4 if column is None or not column.several else column.width)
    return max(_FEWEST, _BLOCK // width)


def count(rows: Rows) -> int:
    """Number of rows."""
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def split(rows: Rows, size: int) -> Iterator[Rows]:
    """The rows in blocks."""
    if isinstance(rows, slice):
        for start in range(rows.start, rows.stop, size):
            yield slice(start, min(start + size, rows.stop))
    else:
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def scan(table: RowTable, uses: Mapping[Use, str], rows: Rows) -> pa.Table:
    """Read what is used; each tensor is read once."""
    arrow = need("pyarrow", extra="query", what="running queries")
    values: dict[str, Any] = {}
    shapes: dict[str, Ints] = {}
    arrays = []
    for use in uses:
        if use.part == "row":
            arrays.append(arrow_numbers(_numbers(rows)))
        elif use.part in {"value", "name"}:
            if use.name not in values:
                values[use.name] = _without_nan(table.read(use.name, rows))
            found = values[use.name]
            if use.part == "name":
                found = _names(found, table.columns[use.name].class_names)
            arrays.append(found)
        else:
            if use.name not in shapes:
                shapes[use.name] = table.shapes(use.name, rows)
            arrays.append(_shape_part(shapes[use.name], use))
    return arrow.Table.from_arrays(arrays, names=list(uses.values()))


def stream(table: RowTable, uses: Mapping[Use, str], rows: Rows, failures: list[Exception]) -> Any:
    """Read what is used: at once if it is little, else block by block while it is needed.

    What goes wrong while the engine pulls blocks is added to `failures`: the engine would
    pass on its text only.
    """
    size = block_rows(table, uses)
    if count(rows) <= size:
        return scan(table, uses, rows)
    arrow = need("pyarrow", extra="query", what="running queries")
    blocks = (scan(table, uses, block) for block in split(rows, size))
    first = next(blocks)

    def batches() -> Iterator[Any]:
        yield from first.to_batches()
        try:
            for block in blocks:
                yield from block.cast(first.schema).to_batches()
        except Exception as error:
            failures.append(error)
            raise

    return arrow.RecordBatchReader.from_batches(first.schema, batches())


def _numbers(rows: Rows) -> Ints:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def _without_nan(values: Any) -> Any:
    """NaN is a missing value, as in pandas; to the engine it were the largest number."""
    arrow = need("pyarrow", extra="query", what="running queries")
    if not arrow.types.is_floating(values.type) or values.null_count:
        return values
    return arrow_numbers(plain_numbers(values))


def _names(numbers: Any, names: tuple[str, ...]) -> Any:
    """Labels as texts; a number without a name is its digits."""
    arrow = need("pyarrow", extra="query", what="running queries")
    if arrow.types.is_list(numbers.type) or arrow.types.is_large_list(numbers.type):
        inner = _names(numbers.flatten(), names).dictionary_decode()
        return arrow_lists(np.diff(plain_numbers(numbers.offsets)), inner)
    found = plain_numbers(numbers)
    if len(found) and (found.min() < 0 or found.max() >= len(names)):
        present, found = np.unique(found, return_inverse=True)
        names = tuple(names[n] if 0 <= n < len(names) else str(n) for n in present.tolist())
    indices = arrow_numbers(found.astype(np.int32))
    return arrow.DictionaryArray.from_arrays(indices, arrow_texts(names))


def _shape_part(shapes: Ints, use: Use) -> Any:
    n, axes = shapes.shape
    present = shapes >= 0
    ndim = present.sum(axis=1)
    if use.part == "ndim":
        return arrow_numbers(ndim)
    if use.part == "shape":
        return arrow_lists(ndim, arrow_numbers(shapes[present]))
    axis = np.full(n, use.axis) if use.axis >= 0 else ndim + use.axis
    exists = (axis >= 0) & (axis < ndim)
    if not axes:
        return arrow_numbers(np.zeros(n, np.int64), missing=~exists)
    lengths = shapes[np.arange(n), np.where(exists, axis, 0)]
    return arrow_numbers(lengths, missing=~exists)
