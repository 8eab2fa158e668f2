"""Columns of Arrow tables as tensors: what suits each type, and values converted whole columns
at a time.

==============================  =====================================================
type                            tensor
==============================  =====================================================
numbers, booleans               the same dtype; with missing values float64 and NaN
decimals                        float64
dates, timestamps, durations    datetime64 and timedelta64; time zones become UTC
text                            text; "" where it is missing
dictionaries of text            class_label; text where values are missing
lists of numbers                arrays, of different lengths or all of one
lists of text                   list
bytes                           the media that they are files of, else arrays of uint8
structs with ``bytes``, ``path``  likewise: images and audio of Hugging Face
anything else                   json
==============================  =====================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from hubzarr.ingesting.columns import as_json, clean_names, is_label_name, media_options
from hubzarr.ingesting.source import Column
from hubzarr.media import Sample
from hubzarr.media.extras import need

__all__ = [
    "MAX_CLASSES",
    "ArrowField",
    "Known",
    "arrow_fields",
    "dictionary_names",
    "is_dictionary_of_text",
    "known_of",
    "label_names",
    "pyarrow",
]

# Values of a column that are looked at where its type leaves questions.
_LOOK = 64
# Text in a column named like labels is taken for names of so many classes at most.
MAX_CLASSES = 1000


def pyarrow(module: str = "pyarrow") -> Any:
    """The package pyarrow, or one of its modules."""
    return need(module, extra="tables", what="reading tables")


@dataclass(frozen=True)
class ArrowField:
    """A column of a table, and the tensor it becomes.

    Parameters
    ----------
    key : str
        Its name in the table.
    column : Column
        The tensor.
    values : callable
        From an Arrow array to an array or list of values.
    """

    key: str
    column: Column
    values: Callable[[Any], Any]


@dataclass(frozen=True)
class Known:
    """What is known of a table of which only the first rows are at hand.

    Parameters
    ----------
    lacking : set of str
        Columns in which values are missing.
    classes : dict
        Of columns that can be labels, the names of the classes.
    """

    lacking: frozenset[str] = frozenset()
    classes: Mapping[str, list[str]] = MappingProxyType({})


def arrow_fields(table: Any, known: Known | None = None) -> list[ArrowField]:
    """Tensors for the columns of a table.

    Parameters
    ----------
    table : pyarrow.Table
        The whole table, or its first rows.
    known : Known, optional
        What is known of all rows; by default the table has them all.

    Examples
    --------
    >>> import pyarrow
    >>> table = pyarrow.table({"age": [3, None], "name": ["Tom", "Rex"], "label": ["cat", "dog"]})
    >>> for field in arrow_fields(table):
    ...     print(field.column.name, field.column.options, field.values(table[field.key]))
    age {'htype': 'generic', 'dtype': 'float64'} [ 3. nan]
    name {'htype': 'text'} ['Tom', 'Rex']
    label {'htype': 'class_label', 'class_names': ['cat', 'dog']} [0 1]
    """
    names = clean_names(table.column_names)
    if known is None:
        known = known_of(table)
    fields = []
    for key, values in zip(table.column_names, table.columns, strict=True):
        options, convert = _tensor(key, values, known)
        fields.append(ArrowField(key, Column(names[key], options), convert))
    return fields


def known_of(table: Any) -> Known:
    """What a whole table tells."""
    lacking = frozenset(key for key in table.column_names if table.column(key).null_count)
    classes = {key: _class_names(key, table.column(key)) for key in table.column_names}
    return Known(lacking, {key: names for key, names in classes.items() if names is not None})


type _Tensor = tuple[dict[str, Any], Callable[[Any], Any]]


def _tensor(key: str, values: Any, known: Known) -> _Tensor:
    types = pyarrow("pyarrow.types")
    kind = values.type
    if key in known.classes:
        names = list(known.classes[key])
        return {"htype": "class_label", "class_names": names}, _labels(names)
    if types.is_dictionary(kind):
        kind = kind.value_type
        options, convert = _tensor(key, values.cast(kind), known)
        return options, lambda array: convert(array.cast(kind))
    if _is_text(kind):
        return {"htype": "text"}, lambda array: ["" if v is None else v for v in array.to_pylist()]
    number = _number(kind, key in known.lacking)
    if number is not None:
        return {"htype": "generic", "dtype": number.name}, _numbers(number)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _media_or_bytes(values, lambda value: (value, None))
    if types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}:
        return _media_or_bytes(values, lambda value: (value["bytes"], value["path"]))
    if _is_list(kind):
        return _lists(kind, values)
    return {"htype": "json"}, lambda array: [as_json(value) for value in array.to_pylist()]


def _is_text(kind: Any) -> bool:
    types = pyarrow("pyarrow.types")
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    types = pyarrow("pyarrow.types")
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _number(kind: Any, lacking: bool) -> np.dtype[Any] | None:
    """The dtype for a type of numbers or times; None for other types."""
    types = pyarrow("pyarrow.types")
    if types.is_decimal(kind):
        return np.dtype("f8")
    if types.is_date(kind):
        return np.dtype("M8[D]")
    if types.is_timestamp(kind):
        return np.dtype(f"M8[{kind.unit}]")
    if types.is_duration(kind):
        return np.dtype(f"m8[{kind.unit}]")
    if types.is_boolean(kind) or types.is_integer(kind):
        # Neither has a value to say that there is none.
        return np.dtype("f8") if lacking else np.dtype(kind.to_pandas_dtype())
    return np.dtype(kind.to_pandas_dtype()) if types.is_floating(kind) else None


def _numbers(dtype: np.dtype[Any]) -> Callable[[Any], Any]:
    missing = np.array("NaT" if dtype.kind in "mM" else np.nan if dtype.kind == "f" else 0, dtype)

    def convert(array: Any) -> Any:
        pa = pyarrow()
        if pa.types.is_decimal(array.type) or pa.types.is_boolean(array.type):
            array = array.cast(pa.float64()) if dtype.kind == "f" else array
        if array.null_count and dtype.kind != "f":
            if dtype.kind not in "mM":
                raise ValueError("values are missing, which the first rows did not")
            filled = array.to_numpy(zero_copy_only=False).astype(dtype)
            filled[np.asarray(array.is_null())] = missing
            return filled
        return _to_numpy(array).astype(dtype, copy=False)

    return convert


def _to_numpy(array: Any) -> Any:
    chunked = hasattr(array, "chunks")
    return array.to_numpy() if chunked else array.to_numpy(zero_copy_only=False)


def _class_names(key: str, values: Any) -> list[str] | None:
    """Names of classes, for a column that can be one of labels: text, and nothing missing."""
    if values.null_count:
        return None
    if is_dictionary_of_text(values.type):
        return dictionary_names([chunk.dictionary.to_pylist() for chunk in values.chunks])
    if is_label_name(key) and _is_text(values.type):
        return label_names(values.unique().to_pylist())
    return None


def is_dictionary_of_text(kind: Any) -> bool:
    """Whether values of a type are numbers of words in a dictionary."""
    return bool(pyarrow("pyarrow.types").is_dictionary(kind)) and _is_text(kind.value_type)


def dictionary_names(dictionaries: Sequence[Sequence[str | None]]) -> list[str] | None:
    """Names of classes from the dictionaries of the parts of a column, in their order if one
    has them all."""
    found = {name for each in dictionaries for name in each}
    names = next((list(each) for each in dictionaries if set(each) == found), None)
    names = sorted(found - {None}, key=str) if names is None else names
    return None if None in found else [str(name) for name in names]


def label_names(found: Sequence[str | None]) -> list[str] | None:
    """Names of classes from the different values of a column, if they can be such names."""
    names = [name for name in found if name]
    return sorted(names) if len(names) == len(found) and len(names) <= MAX_CLASSES else None


def _labels(names: Sequence[str]) -> Callable[[Any], Any]:
    def convert(array: Any) -> Any:
        pa = pyarrow()
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        compute = pyarrow("pyarrow.compute")
        numbers = compute.index_in(array, value_set=pa.array(names, array.type))
        if numbers.null_count:
            raise ValueError("a class that the first rows did not have")
        return _to_numpy(numbers).astype("u4")

    return convert


def _media_or_bytes(values: Any, parts: Callable[[Any], tuple[Any, Any]]) -> _Tensor:
    first = [parts(value)[0] for value in values[:_LOOK].to_pylist() if value is not None]
    options = media_options([data for data in first if data]) if any(first) else None
    if options is None:
        empty = np.empty(0, "u1")
        return {"htype": "generic", "dtype": "uint8"}, lambda array: [
            empty if not value or not parts(value)[0] else np.frombuffer(parts(value)[0], "u1")
            for value in array.to_pylist()
        ]

    def convert(array: Any) -> list[Sample | None]:
        files = (parts(value) if value is not None else (b"", None) for value in array.to_pylist())
        return [Sample(data or b"", path=path) for data, path in files]

    return options, convert


def _media_lists(values: Any) -> _Tensor | None:
    """Lists of files of media; None if they are of no known format."""
    first = [item["bytes"] for value in values[:_LOOK].to_pylist() for item in value or ()]
    options = media_options([data for data in first if data]) if any(first) else None
    if options is None:
        return None

    def convert(array: Any) -> list[list[Sample]]:
        return [
            [Sample(item["bytes"] or b"", path=item["path"]) for item in value or ()]
            for value in array.to_pylist()
        ]

    return options | {"htype": f"sequence[{options['htype']}]"}, convert


def _lists(kind: Any, values: Any) -> _Tensor:
    types = pyarrow("pyarrow.types")
    number = _number(kind.value_type, lacking=False)
    if number is not None:
        return {"htype": "generic", "dtype": number.name}, _arrays(number, kind)
    if types.is_struct(kind.value_type) and {f.name for f in kind.value_type} == {"bytes", "path"}:
        media = _media_lists(values)
        if media is not None:
            return media
    if _is_text(kind.value_type):
        return {"htype": "list"}, lambda array: [value or [] for value in array.to_pylist()]
    if _is_list(kind.value_type) and types.is_fixed_size_list(kind.value_type):
        inner = _number(kind.value_type.value_type, lacking=False)
        if inner is not None:
            size = kind.value_type.list_size
            empty = np.empty((0, size), inner)
            return {"htype": "generic", "dtype": inner.name}, lambda array: [
                np.array(value, inner) if value else empty for value in array.to_pylist()
            ]
    return {"htype": "json"}, lambda array: [as_json(value) for value in array.to_pylist()]


def _arrays(dtype: np.dtype[Any], kind: Any) -> Callable[[Any], Any]:
    fixed = pyarrow("pyarrow.types").is_fixed_size_list(kind)
    empty = np.empty(0, dtype)
    convert = _numbers(dtype)

    def values(array: Any) -> Any:
        if hasattr(array, "combine_chunks"):
            array = array.combine_chunks()
        if hasattr(array, "chunks"):  # an old pyarrow gives chunks back
            array = pyarrow().concat_arrays(array.chunks)
        if fixed and not array.null_count:
            return convert(array.flatten()).reshape(len(array), kind.list_size)
        flat = convert(array.flatten())
        lengths = np.asarray(array.value_lengths().fill_null(0))
        if fixed:
            lengths = np.where(np.asarray(array.is_null()), 0, kind.list_size)
        ends = np.cumsum(lengths)
        return [
            flat[end - length : end] if length else empty
            for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]

    return values
