"""Samples as plain values, for tables of text and JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from hubzarr.exporting.table import Field
from hubzarr.media import Link

__all__ = ["cells", "has_cells", "json_text", "plain"]


def has_cells(field: Field) -> bool:
    """Whether samples of a tensor have a place in a table of text: files and images have not."""
    return not field.is_picture and "file" not in (field.spec.stores, field.spec.item_stores)


def plain(field: Field, value: Any) -> Any:
    """A sample as what JSON can hold: labels by name, arrays as lists.

    Examples
    --------
    >>> import hubzarr as hub
    >>> from hubzarr.exporting.table import Table
    >>> ds = hub.empty("examples/plain")
    >>> ds.create_tensor("pet", htype="class_label", class_names=["cat", "dog"]).append(1)
    >>> plain(Table(ds).field("pet"), 1)
    'dog'
    """
    if value is None:
        return None
    if field.spec.base == "class_label" and field.class_names and not field.spec.is_sequence:
        return field.names_of(value)
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return _plain((value.astype(str) if value.dtype.kind in "mM" else value).tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, complex):
        return [value.real, value.imag]
    return value.path if isinstance(value, Link) else value


def json_text(value: Any) -> str:
    """A value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def cells(field: Field, samples: Any) -> list[str]:
    """Samples as the texts of cells: numbers, names and text as they are, else JSON."""
    if isinstance(samples, np.ndarray) and field.is_scalar and not field.class_names:
        flat = samples.reshape(-1)
        texts = flat.astype(str).tolist()
        missing = (flat != flat).tolist() if flat.dtype.kind in "fcmM" else [False] * len(texts)
        return ["" if lacks else text for text, lacks in zip(texts, missing, strict=True)]
    if isinstance(samples, np.ndarray) and field.is_label:
        names = dict(enumerate(field.class_names))
        return [names.get(number, str(number)) for number in samples.reshape(-1).tolist()]
    return [_cell(field, sample) for sample in samples]


def _cell(field: Field, value: Any) -> str:
    found = plain(field, value)
    if field.is_label and isinstance(found, list) and len(found) == 1:
        (found,) = found
    if found is None:
        return ""
    return found if isinstance(found, str) else json_text(found)
