"""The samples of one tensor, as arrays of a session.

A tensor is *empty* as long as nothing says what its samples look like, *uniform* (one array
with a row for each sample) while all have one shape, *ragged* otherwise, and where samples
are kept as files.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.datasets import layout
from hubzarr.datasets.entry import TensorEntry, write_entry
from hubzarr.datasets.ragged import RaggedColumn, check_axes, is_lazy
from hubzarr.datasets.rows import Rows
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.htypes import Prepared
from hubzarr.session import Session
from hubzarr.session.state import is_array

__all__ = ["Column", "add", "column_of", "replace_sample", "replace_samples"]

type Column = UniformColumn | RaggedColumn
type Values = list[Prepared] | np.ndarray[Any, Any]

#: Bytes that go over at a time when a uniform tensor becomes ragged.
_BLOCK = 32 << 20


def column_of(session: Session, path: str, entry: TensorEntry) -> Column | None:
    """The samples of a tensor; None while it is empty."""
    document = session.document(path)
    if document is not None and is_array(document):
        return UniformColumn(session.array(path))
    if session.document(f"{path}/{layout.INDEX}") is None:
        return None
    return RaggedColumn(session, path, entry)


def add(session: Session, path: str, entry: TensorEntry, values: Values) -> None:
    """Append samples. The tensor takes on the form that they need. Needs the lock."""
    if not len(values):
        return
    column = column_of(session, path, entry)
    if column is None:
        column = _first_form(session, path, entry, values)
    if isinstance(column, UniformColumn):
        block = column.block(values)
        if block is not None:
            column.append(block)
            return
        _check_axes(path, entry, column, values)
        column = _ragged_from(session, path, entry, column)
    column.append(values)


def _check_axes(path: str, entry: TensorEntry, column: UniformColumn, values: Values) -> None:
    """Refuse what a ragged tensor could not hold either, before it becomes one."""
    most = entry.axes(len(column.row_shape))
    if isinstance(values, np.ndarray):
        check_axes(path, values.shape[1:], most)
    else:
        for value in values:
            check_axes(path, value.shape, most)


def replace_sample(
    session: Session, path: str, entry: TensorEntry, row: int, value: Prepared
) -> None:
    """Put another sample in place of one. Needs the lock."""
    column = column_of(session, path, entry)
    if isinstance(column, UniformColumn):
        block = column.block([value])
        if block is not None:
            column.write(row, block[0])
            return
        _check_axes(path, entry, column, [value])
        column = _ragged_from(session, path, entry, column)
    if column is not None:
        column.write(row, value)


def replace_samples(
    session: Session, path: str, entry: TensorEntry, rows: Rows, values: Values
) -> None:
    """Put other samples in place of several. Needs the lock."""
    column = column_of(session, path, entry)
    if isinstance(column, UniformColumn) and isinstance(rows, range) and rows.step == 1:
        block = column.block(values)
        if block is not None:
            column.write(slice(rows.start, rows.stop), block)
            return
    for row, value in zip(rows, values, strict=True):
        one = value if isinstance(value, Prepared) else Prepared(np.asarray(value), value.shape)
        replace_sample(session, path, entry, int(row), one)


def create_ragged(session: Session, path: str, entry: TensorEntry, ndim: int) -> RaggedColumn:
    """Make the arrays of a ragged tensor whose first sample has `ndim` axes."""
    codec: Any = entry.spec.chunk_compression or "none"
    index = layout.index_document(entry.axes(ndim))
    session.create_array(f"{path}/{layout.INDEX}", index)
    session.create_array(f"{path}/{layout.BYTES}", layout.bytes_document(codec))
    if entry.statistics:
        document = layout.statistics_document(entry.statistics)
        session.create_array(f"{path}/{layout.STATISTICS}", document)
    return RaggedColumn(session, path, entry)


def _first_form(session: Session, path: str, entry: TensorEntry, values: Values) -> Column:
    """The form for the first samples of a tensor."""
    shapes = {values.shape[1:]} if isinstance(values, np.ndarray) else {v.shape for v in values}
    first = values[0]
    data: Any = first.data if isinstance(first, Prepared) else first
    if entry.starts_ragged or len(shapes) > 1 or any(map(is_lazy, _data_of(values))):
        if entry.spec.stores == "array" and entry.spec.dtype is None:
            entry = entry.with_spec(dtype=data.dtype.name)
            write_entry(session, path, entry)
        return create_ragged(session, path, entry, max(map(len, shapes)))
    return create_uniform(session, path, entry, shapes.pop(), np.asarray(data).dtype)


def _data_of(values: Values) -> list[Any]:
    return [] if isinstance(values, np.ndarray) else [value.data for value in values]


def create_uniform(
    session: Session, path: str, entry: TensorEntry, shape: tuple[int, ...], dtype: Any
) -> UniformColumn:
    """Make the array of a uniform tensor in place of its empty group."""
    attributes = (session.document(path) or {}).get("attributes", {})
    codec: Any = entry.spec.chunk_compression or "none"
    document = layout.uniform_document(shape, dtype, codec, attributes)
    return UniformColumn(session.create_array(path, document))


def _ragged_from(
    session: Session, path: str, entry: TensorEntry, old: UniformColumn
) -> RaggedColumn:
    """Turn a uniform tensor into a ragged one: all its samples are written again, once."""
    if entry.spec.dtype is None:
        entry = entry.with_spec(dtype=old.dtype.name)
        write_entry(session, path, entry)
    attributes = (session.document(path) or {}).get("attributes", {})
    new = create_ragged(session, path, entry, len(old.row_shape))
    step = max(1, _BLOCK // max(1, old.row_nbytes))
    for start in range(0, len(old), step):
        block = old.read(slice(start, min(start + step, len(old))))
        new.append([Prepared(row, row.shape) for row in block])
    session.set_group(path, layout.group_document(attributes))
    return new
