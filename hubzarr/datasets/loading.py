"""Tensors of a dataset as the source of loaders."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubzarr.arrays.handle import Source, open_shared
from hubzarr.arrays.loading import block_rows, read_rows
from hubzarr.datasets.catalog import catalog_of
from hubzarr.datasets.columns import Column, column_of
from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.pickling import source_for
from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.rows import Rows, as_numbers, check_rows
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.engine import ArrayEngine
from hubzarr.errors import DamagedError
from hubzarr.htypes import TensorSpec, restore
from hubzarr.indexing import identity
from hubzarr.loaders.source import Field, Stored
from hubzarr.media import Link, get_format, read
from hubzarr.session import Session

__all__ = ["TensorsSource", "source_of_tensors"]

type Numbers = npt.NDArray[np.int64]

#: Samples that are looked at in three places to tell how heavy they are.
PROBED: Final = 256


class TensorsSource:
    """Some rows of some tensors, as they are at one commit.

    Parameters
    ----------
    handle : Source
    paths : mapping
        Paths of tensors by the names that users know them by.
    chosen : range or ndarray of int64
        Numbers of the rows.
    single : bool
        Whether samples of one tensor are wanted, without its name.
    """

    def __init__(
        self, handle: Source, paths: Mapping[str, str], chosen: Rows, single: bool = False
    ) -> None:
        self._handle = handle
        self._paths = dict(paths)
        self._chosen = chosen
        self.single = single
        self.commit = handle.commit

    @property
    def _session(self) -> Session:
        return open_shared(self._handle)

    @property
    def concurrency(self) -> int:
        """Requests that the store answers at a time."""
        return self._session.storage.concurrency

    @cached_property
    def _entries(self) -> dict[str, TensorEntry]:
        tensors = catalog_of(self._session).tensors
        return {name: tensors[path] for name, path in self._paths.items()}

    def _column(self, name: str) -> Column | None:
        return column_of(self._session, self._paths[name], self._entries[name])

    @cached_property
    def fields(self) -> list[Field]:
        """The tensors."""
        return [_field(name, entry, self._column(name)) for name, entry in self._entries.items()]

    @cached_property
    def identity(self) -> Hashable:
        """The dataset, its commit, and the rows."""
        chosen = self._chosen
        if not isinstance(chosen, range):
            return self._handle.key, tuple(self._paths.items()), chosen.tobytes()
        return self._handle.key, tuple(self._paths.items()), chosen

    @property
    def selection(self) -> str:
        """Nothing: rows have numbers."""
        return ""

    def __len__(self) -> int:
        return len(self._chosen)

    @cached_property
    def _block(self) -> int:
        heaviest = max(self.fields, key=lambda one: one.nbytes, default=None)
        if heaviest is None:
            return 1
        column = self._column(heaviest.name)
        chunk = 1
        if isinstance(column, UniformColumn):
            chunk = column.state.engine.cells.chunk_shape[0]
        return block_rows(heaviest.nbytes, chunk)

    def block(self) -> int:
        """How many neighbouring rows of the dataset are worth reading together."""
        return self._block

    def numbers(self, rows: Numbers) -> Numbers:
        """Numbers in the dataset of rows of the selection."""
        chosen = self._chosen
        if isinstance(chosen, range):
            return rows * chosen.step + chosen.start
        return chosen[rows]

    def is_contiguous(self) -> bool:
        """Whether rows are neighbours in the dataset, in order."""
        return isinstance(self._chosen, range) and self._chosen.step == 1

    def load(
        self,
        name: str,
        rows: Numbers,
        out: npt.NDArray[Any] | None = None,
        keep: bool | None = None,
    ) -> npt.NDArray[Any] | list[Stored]:
        """Samples of a tensor, those that are files or differ in shape as they are stored."""
        column, numbers = self._column(name), self.numbers(rows)
        if column is None or not len(numbers):
            return [] if not isinstance(column, UniformColumn) else column.read(numbers)
        if isinstance(column, UniformColumn):
            engine = column.state.engine
            return read_rows(engine, identity(engine.shape), numbers, out, keep)
        in_order = len(numbers) and bool((np.diff(numbers) == 1).all())
        key = slice(int(numbers[0]), int(numbers[-1]) + 1) if in_order else numbers
        return [Stored(data, shape) for data, shape in column.many(key)]

    def decode(self, name: str, stored: Stored, out: npt.NDArray[Any] | None = None) -> Any:
        """A sample as Python and NumPy have it; links are followed."""
        data, shape = stored
        if not isinstance(data, ArrayEngine):
            found = restore(self._entries[name].spec, data, shape, out)
            return _followed(found) if out is None else out
        value = data.read(identity(data.shape))
        if out is None:
            return value
        if value.shape != out.shape:
            raise DamagedError(f"a sample of shape {value.shape} where {out.shape} is recorded")
        out[...] = value
        return out

    def to_bytes(self, name: str, stored: Stored) -> bytes:
        """The bytes of a sample as they are stored."""
        data = stored.data
        if isinstance(data, ArrayEngine):
            return bytes(data.read(identity(data.shape)).tobytes())
        return bytes(data)

    def __reduce__(self) -> tuple[Any, ...]:
        return TensorsSource, (self._handle, self._paths, self._chosen, self.single)


def source_of_tensors(
    session: Session, paths: Mapping[str, str], chosen: Rows, single: bool = False
) -> TensorsSource:
    """What loaders read: the session's state, which is committed first.

    Raises
    ------
    OutOfBoundsError
        A tensor does not have all the rows.
    """
    tensors = catalog_of(session).tensors
    for path in paths.values():
        column = column_of(session, path, tensors[path])
        check_rows(chosen, 0 if column is None else len(column), f"tensor {path!r}")
    if not isinstance(chosen, range):
        chosen = as_numbers(chosen)
    return TensorsSource(source_for(session), paths, chosen, single)


def _field(name: str, entry: TensorEntry, column: Column | None) -> Field:
    spec = entry.spec
    if isinstance(column, UniformColumn):
        kind = "text" if column.dtype.kind in "OUT" else "array"
        return Field(name, kind, column.dtype, column.row_shape, True, column.row_nbytes)
    nbytes, shape = 0.0, None
    if isinstance(column, RaggedColumn):
        nbytes = _mean_nbytes(column)
        shape = (None,) * column.ndim
    stores = spec.stores
    if stores in ("array", "file") or (stores == "link" and spec.base != "text"):
        cost = _decoding(spec) if stores == "file" else "store" if spec.is_link else "none"
        return Field(name, "array", spec.numpy_dtype, shape, False, nbytes, cost)
    kind = "text" if stores == "text" else "object"
    cost = "store" if spec.is_link else _decoding(spec) if spec.item_stores == "file" else "none"
    return Field(name, kind, None, None, False, nbytes, cost)


def _mean_nbytes(column: RaggedColumn) -> float:
    """Stored bytes of a sample, by those at the beginning, in the middle and at the end."""
    length = len(column)
    probes = np.linspace(0, max(0, length - PROBED), 3).astype(np.int64)
    rows = np.unique(probes[:, None] + np.arange(min(length, PROBED)))
    # Large samples, whose length is negative, are arrays of their own.
    return float(np.maximum(column.entries(rows)[:, 1], 0).mean()) if length else 0.0


def _decoding(spec: TensorSpec) -> str:
    """What it costs to decode files: those of common media are decoded beside Python."""
    kind = get_format(spec.sample_compression or "").kind
    return "threads" if kind in ("image", "audio", "video") else "cpu"


def _followed(value: Any) -> Any:
    if isinstance(value, Link):
        return read(value.path).array
    if isinstance(value, list):
        return [_followed(item) for item in value]
    return value
