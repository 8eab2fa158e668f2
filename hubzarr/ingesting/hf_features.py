"""What Hugging Face's metadata says of columns, beyond their Arrow types.

Tables that `datasets` writes keep their features as JSON in the metadata of the schema:
names of classes, shapes of arrays. Features are read as JSON here, so that the package
`datasets` is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hubzarr.ingesting.arrow import ArrowField
from hubzarr.ingesting.columns import guess
from hubzarr.ingesting.source import Column

__all__ = ["features_of", "with_features"]

_LOOK = 64


def features_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Features by column, from the metadata of an Arrow schema; none if there are none.

    Examples
    --------
    >>> text = b'{"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}'
    >>> features_of({b"huggingface": text})["label"]["names"]
    ['no', 'yes']
    """
    try:
        found = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def with_features(
    fields: Sequence[ArrowField], features: Mapping[str, Any], first: Any
) -> list[ArrowField]:
    """Fields of a table, with what the features say of them.

    Class labels get the names of their classes, and a label of -1, which stands for "not
    known", becomes an empty sample. Nested lists become arrays where the first ones are.

    Parameters
    ----------
    fields : sequence of ArrowField
    features : mapping
        See `features_of`.
    first : pyarrow.Table
        The first rows.

    Examples
    --------
    >>> import pyarrow
    >>> from hubzarr.ingesting.arrow import arrow_fields
    >>> table = pyarrow.table({"label": [1, -1]})
    >>> features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    >>> field = with_features(arrow_fields(table), features, table)[0]
    >>> field.column.options, field.values(table["label"])
    ({'htype': 'class_label', 'class_names': ['no', 'yes']}, [1, None])
    """
    return [_with_feature(field, features.get(field.key), first) for field in fields]


def _with_feature(field: ArrowField, feature: Any, first: Any) -> ArrowField:
    kind = feature.get("_type") if isinstance(feature, dict) else None
    if kind == "ClassLabel" and isinstance(feature.get("names"), list):
        options = {"htype": "class_label", "class_names": [str(n) for n in feature["names"]]}
        return ArrowField(field.key, Column(field.column.name, options), _labels)
    if field.column.options["htype"] == "json":
        return _nested(field, first)
    return field


def _labels(array: Any) -> Any:
    """Numbers of classes; None where there is none."""
    numbers = np.asarray(array.fill_null(-1))
    if numbers.size and numbers.min() < 0:
        return [None if number < 0 else number for number in numbers.tolist()]
    return numbers


def _nested(field: ArrowField, first: Any) -> ArrowField:
    """Lists of lists of numbers as arrays, if the first ones are not ragged."""
    values = first.column(field.key)[:_LOOK].to_pylist()
    if not any(isinstance(value, list) for value in values):
        return field
    guessed = guess(field.key, values, name=field.column.name)
    if guessed.how != "array":
        return field
    dtype = _leaf(first.schema.field(field.key).type) or guessed.column.options["dtype"]
    column = Column(guessed.column.name, {"htype": "generic", "dtype": dtype})
    exact = replace(guessed, column=column, missing=guessed.missing.astype(dtype))
    return replace(field, column=column, values=_Each(exact.convert, dtype))


def _leaf(kind: Any) -> str | None:
    """Dtype of the numbers in lists of lists, where their type tells it."""
    kind = getattr(kind, "storage_type", kind)
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    try:
        dtype = np.dtype(kind.to_pandas_dtype())
    except NotImplementedError:
        return None
    return dtype.name if dtype.kind in "biuf" else None


class _Each:
    """Converts a column value by value."""

    def __init__(self, convert: Callable[[Any], Any], dtype: str) -> None:
        self._convert = convert
        self._dtype = dtype

    def __call__(self, array: Any) -> list[Any]:
        return [self._convert(self._typed(value)) for value in array.to_pylist()]

    def _typed(self, value: Any) -> Any:
        """Lists of numbers as an array; others as they are, to be told by the conversion."""
        try:
            return np.array(value, self._dtype) if isinstance(value, list) else value
        except (TypeError, ValueError):
            return value
