"""Tensors as columns of Arrow tables.

==============================  =====================================================
tensor                          column
==============================  =====================================================
numbers                         the same type
single class labels             dictionary of the names; integers without names
lists of labels                 list of names, or of integers
text, addresses of links        string
tags                            list of strings
json, list                      string of JSON; lists of text stay lists
images, sound, video            struct of ``bytes`` and ``path``, as Hugging Face has it
other files                     binary
vectors and arrays              lists within lists, of fixed size where all have one
polygons, sequences             list of what one item is
==============================  =====================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.dtypes import wide_dtype
from hubzarr.exporting.cells import json_text
from hubzarr.exporting.table import Field, Table
from hubzarr.media import Link, Sample, get_format
from hubzarr.media.extras import need

__all__ = ["ArrowColumn", "arrow_column"]

type Array = np.ndarray[Any, Any]

_FEATURES = {"image": "Image", "audio": "Audio", "video": "Video"}


def pyarrow(module: str = "pyarrow") -> Any:
    """The package pyarrow, or one of its modules."""
    return need(module, extra="tables", what="writing Parquet")


@dataclass(frozen=True)
class ArrowColumn:
    """How a tensor becomes a column.

    Attributes
    ----------
    field : Field
    type : pyarrow.DataType
    convert : callable
        From samples, and the number of the first row, to an Arrow array.
    feature : dict or None
        What Hugging Face calls it, beyond its type.
    """

    field: Field
    type: Any
    convert: Callable[[Any, int], Any]
    feature: dict[str, Any] | None = None


def arrow_column(table: Table, field: Field) -> ArrowColumn | str:
    """The column for a tensor; or a text that says why there is none.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/arrow_column")
    >>> ds.create_tensor("pet", htype="class_label", class_names=["cat", "dog"]).extend([1, 0])
    >>> table = Table(ds)
    >>> column = arrow_column(table, table.field("pet"))
    >>> column.convert(np.array([1, 0]), 0).to_pylist()
    ['dog', 'cat']
    """
    stores = field.spec.stores
    if field.file_format:
        return _files(field)
    if stores == "text" or stores == "link":
        return _simple(field, pyarrow().string(), _text)
    if stores == "json":
        return _documents(table, field)
    if stores == "sequence":
        return _sequence(field)
    return _numbers(field)


def _simple(field: Field, kind: Any, plain: Callable[[Any], Any]) -> ArrowColumn:
    """A column whose values are converted one by one."""

    def convert(samples: Any, start: int) -> Any:
        return pyarrow().array([plain(sample) for sample in samples], kind)

    return ArrowColumn(field, kind, convert)


def _text(value: Any) -> Any:
    return value.path if isinstance(value, Link) else value


def _documents(table: Table, field: Field) -> ArrowColumn:
    pa = pyarrow()
    texts = field.spec.base == "tag" or (
        field.spec.base == "list"
        and all(isinstance(item, str) for value in _each(table, field) for item in value)
    )
    if texts:
        return _simple(field, pa.list_(pa.string()), lambda value: value or [])
    return _simple(field, pa.string(), lambda v: None if v is None else json_text(v))


def _each(table: Table, field: Field) -> Any:
    for block in table.blocks([field]):
        yield from block.columns[field.name]


def _files(field: Field) -> ArrowColumn:
    pa = pyarrow()
    feature = _FEATURES.get(get_format(str(field.file_format)).kind)
    extension, format_ = field.extension, str(field.file_format)
    kind = pa.binary()
    if feature is not None:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def one(sample: Sample | None, name: str) -> Any:
        if sample is None:
            return None
        data = sample.encoded(format_)
        return data if feature is None else {"bytes": data, "path": name + extension}

    if field.spec.is_sequence:
        return ArrowColumn(
            field,
            pa.list_(kind),
            lambda samples, start: pa.array(
                [
                    [one(item, f"{row:06d}_{i}") for i, item in enumerate(items)]
                    for row, items in enumerate(samples, start)
                ],
                pa.list_(kind),
            ),
        )
    return ArrowColumn(
        field,
        kind,
        lambda samples, start: pa.array(
            [one(sample, f"{row:06d}") for row, sample in enumerate(samples, start)], kind
        ),
        None if feature is None else {"_type": feature},
    )


def _number_type(dtype: np.dtype[Any]) -> Any:
    """Arrow's type for numbers and times; None if it has none."""
    if dtype.kind not in "biufmM" or dtype.itemsize > 8:
        return None
    if dtype.kind in "mM" and np.datetime_data(dtype)[0] not in ("D", "s", "ms", "us", "ns"):
        return None
    if dtype == np.dtype("m8[D]"):
        return None
    return pyarrow().from_numpy_dtype(dtype)


def _numbers(field: Field) -> ArrowColumn | str:
    dtype = field.dtype
    if dtype is None:
        return _simple(field, pyarrow().null(), lambda value: None)
    if field.spec.base == "class_label" and field.class_names:
        return _labels(field)
    kind = _number_type(dtype)
    if kind is None:
        return f"Arrow has no type for {dtype}"
    if field.is_scalar:
        return _fixed(field, kind, ())
    if field.row_shape is not None and all(field.row_shape):
        return _fixed(field, kind, field.row_shape)
    low, high = field.interval
    if any(n < 0 for n in low):
        return "its samples differ in their number of axes"
    return _lists(field, kind, low, high)


def _fixed(field: Field, kind: Any, shape: tuple[int, ...]) -> ArrowColumn:
    """Samples of one shape: lists of fixed size, from one buffer."""
    pa = pyarrow()
    whole = kind
    for size in reversed(shape):
        whole = pa.list_(whole, size)

    def convert(samples: Any, start: int) -> Any:
        array = np.ascontiguousarray(samples).reshape(-1)
        if not shape and array.dtype.kind == "f":
            made = pa.array(array, kind, mask=np.isnan(array))
        else:
            made = pa.array(array, kind)
        for size in reversed(shape):
            made = pa.FixedSizeListArray.from_arrays(made, size)
        return made

    return ArrowColumn(field, whole, convert)


def _lists(field: Field, kind: Any, low: tuple[int, ...], high: tuple[int, ...]) -> ArrowColumn:
    """Samples of different shapes; axes on which all agree are of fixed size."""
    pa = pyarrow()
    fixed = 0
    while fixed < len(high) - 1 and low[-1 - fixed] == high[-1 - fixed] > 0:
        fixed += 1
    tail = high[len(high) - fixed :] if fixed else ()
    open_axes = len(high) - fixed
    whole = kind
    for size in reversed(tail):
        whole = pa.list_(whole, size)
    for _ in range(open_axes):
        whole = pa.list_(whole)
    dtype = field.dtype

    def convert(samples: Any, start: int) -> Any:
        arrays = [np.asarray(sample, dtype) for sample in samples]
        flat = np.concatenate([a.reshape(-1) for a in arrays]) if arrays else np.empty(0, dtype)
        made = pa.array(flat, kind)
        for size in reversed(tail):
            made = pa.FixedSizeListArray.from_arrays(made, size)
        for axis in reversed(range(open_axes)):
            made = pa.ListArray.from_arrays(_offsets([a.shape for a in arrays], axis), made)
        return made

    return ArrowColumn(field, whole, convert)


def _offsets(shapes: list[tuple[int, ...]], axis: int) -> Any:
    """Where the lists along an axis begin and end, of arrays one behind the other."""
    counts = [np.full(int(np.prod(shape[:axis])), shape[axis]) for shape in shapes]
    ends = np.cumsum(np.concatenate([[0], *counts])).astype(np.int64)
    return pyarrow().array(ends, pyarrow().int32())


def _labels(field: Field) -> ArrowColumn:
    pa = pyarrow()
    names = field.class_names
    if field.is_label:
        kind = pa.dictionary(pa.int32(), pa.string())
        words = pa.array(names, pa.string())

        def convert(samples: Any, start: int) -> Any:
            numbers = np.asarray(samples).reshape(-1).astype(np.int64)
            known = numbers < len(names)
            indices = pa.array(np.where(known, numbers, 0).astype("i4"), mask=~known)
            return pa.DictionaryArray.from_arrays(indices, words)

        return ArrowColumn(field, kind, convert, {"names": names, "_type": "ClassLabel"})
    kind = pa.list_(pa.string())
    return ArrowColumn(
        field,
        kind,
        lambda samples, start: pa.array(
            [field.names_of(np.asarray(sample).reshape(-1)) for sample in samples], kind
        ),
    )


def _sequence(field: Field) -> ArrowColumn | str:
    """Sequences and polygons: a list of items."""
    pa = pyarrow()
    item = field.spec.item
    if item.stores in ("text", "link"):
        return _simple(field, pa.list_(pa.string()), lambda value: [_text(v) for v in value])
    if item.stores == "json":
        return _simple(field, pa.list_(pa.string()), lambda value: [json_text(v) for v in value])
    dtype = item.numpy_dtype
    kind = None if dtype is None else _number_type(wide_dtype(dtype))
    axes = 2 if field.spec.base == "polygon" else item.ndim
    if kind is None or axes is None:
        return "the type of its items is not fixed"
    for _ in range(axes + 1):
        kind = pa.list_(kind)
    return _simple(field, kind, lambda value: [np.asarray(v).tolist() for v in value])
