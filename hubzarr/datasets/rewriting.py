"""Copying rows from one dataset into another, samples as they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.arrays.attributes import checked
from hubzarr.datasets import columns
from hubzarr.datasets.catalog import catalog_of
from hubzarr.datasets.rows import as_numbers
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.engine import ArrayEngine
from hubzarr.htypes import Prepared
from hubzarr.indexing import identity

if TYPE_CHECKING:
    from hubzarr.datasets.dataset import Dataset
    from hubzarr.datasets.view import DatasetView

__all__ = ["copy_rows", "copy_structure"]

_BATCH = 1024


def copy_structure(source: DatasetView, target: Dataset) -> None:
    """Give an empty dataset the tensors, groups and notes of another, in one commit."""
    with target.transaction():
        notes = checked(dict(source.info))
        if notes:
            target.info.update(notes)
        for key, tensor in source.tensors.items():
            target.create_tensor_like(key, tensor)


def copy_rows(source: DatasetView, target: Dataset, message: str | None = None) -> None:
    """Append the rows of a view to a dataset with the same tensors, in one commit.

    Files are copied byte for byte, nothing is decoded.
    """
    with target.transaction(message):
        for name, tensor in source.tensors.items():
            column = tensor._column
            if column is None:
                continue
            rows = as_numbers(tensor._selected())
            path = target._path_of(name)
            for start in range(0, len(rows), _BATCH):
                entry = catalog_of(target._session).tensors[path]
                batch = _stored(column, rows[start : start + _BATCH])
                columns.add(target._session, path, entry, batch)
        target._session.touch()


def _stored(column: columns.Column, rows: np.ndarray[Any, Any]) -> columns.Values:
    """Samples as they are stored."""
    if isinstance(column, UniformColumn):
        return column.read(rows)
    out = []
    for data, shape in column.many(rows):
        stored = data.read(identity(data.shape)) if isinstance(data, ArrayEngine) else data
        out.append(Prepared(stored, shape))
    return out
