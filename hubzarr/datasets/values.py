"""Reading samples: stored bytes to values, many at a time and in parallel."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.datasets.columns import Column
from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.rows import Rows, as_numbers
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.engine import ArrayEngine
from hubzarr.errors import InvalidError, SampleError
from hubzarr.htypes import TensorSpec, restore
from hubzarr.indexing import apply, identity
from hubzarr.media import Link, read
from hubzarr.threads import map_all

__all__ = ["as_array", "one_value", "stacked", "stored_bytes", "values"]

type Array = np.ndarray[Any, Any]


def one_value(column: Column, entry: TensorEntry, row: int, subs: tuple[Any, ...] = ()) -> Any:
    """One sample as Python and NumPy have it, or the part of it that keys select in turn."""
    if isinstance(column, UniformColumn):
        first = subs[0] if subs else ()
        value: Any = column.read((row, *(first if isinstance(first, tuple) else (first,))))
        return _within(value, subs[1:])
    data, shape = column.data(row)
    if isinstance(data, ArrayEngine):
        first = subs[0] if subs else ...
        return _within(data.read(apply(identity(data.shape), first)), subs[1:])
    return _within(_restored(entry.spec, data, shape, column.path, row), subs)


def values(column: Column, entry: TensorEntry, rows: Rows) -> list[Any] | Array:
    """Samples in the order of `rows`: an array where they are rows of one."""
    if isinstance(column, UniformColumn):
        return column.read(_key(rows))
    found = column.many(_key(rows))
    spec = entry.spec

    def work(item: tuple[int, tuple[Any, tuple[int, ...]]]) -> Any:
        row, (data, shape) = item
        if isinstance(data, ArrayEngine):
            return data.read(identity(data.shape))
        return _restored(spec, data, shape, column.path, row)

    items = list(zip(map(int, rows), found, strict=True))
    # Arrays of large samples take the session's lock, which the caller may hold.
    large = any(isinstance(data, ArrayEngine) for data, _ in found)
    cheap = spec.stores != "file" and not spec.is_link
    if cheap or large:
        return [work(item) for item in items]
    return map_all(work, items, column.session.storage.concurrency, 4)


def _restored(spec: TensorSpec, data: Any, shape: tuple[int, ...], path: str, row: int) -> Any:
    try:
        value = restore(spec, data, shape)
    except SampleError as error:
        raise SampleError(f"sample {row} of tensor {path!r}: {error}", **error.fields) from error
    return value


def stored_bytes(column: RaggedColumn, row: int) -> bytes:
    """The bytes of a sample as they are stored."""
    data, _ = column.data(row)
    if isinstance(data, ArrayEngine):
        return bytes(data.read(identity(data.shape)).tobytes())
    return bytes(data)


def _key(rows: Rows) -> Any:
    if isinstance(rows, range):
        if rows.step == 1:
            return slice(rows.start, rows.stop)
        if rows.step > 0:
            return slice(rows.start, rows.stop, rows.step)
    return as_numbers(rows)


def _within(value: Any, subs: tuple[Any, ...]) -> Any:
    for key in subs:
        value = as_array(value)[key] if not isinstance(value, list) else value[key]
    return value


def as_array(value: Any) -> Array:
    """A sample as NumPy has it: links are followed, text is a string, JSON an object."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Link):
        return read(value.path).array
    if isinstance(value, list | dict):
        out = np.empty((), object)
        out[()] = value
        return out
    return np.asarray(value)


def stacked(samples: list[Any] | Array, name: str, dtype: Any = None) -> Array:
    """Samples of one shape as one array."""
    if isinstance(samples, np.ndarray):
        return samples
    arrays = [as_array(sample) for sample in samples]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        low, high = sorted(shapes)[0], sorted(shapes)[-1]
        raise InvalidError(
            f"samples of tensor {name!r} have different shapes, such as {low} and {high}, and make "
            "no single array: numpy(aslist=True) gives a list of arrays"
        )
    return np.stack(arrays) if arrays else np.empty((0,), dtype)
