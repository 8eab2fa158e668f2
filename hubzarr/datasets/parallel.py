"""Samples that worker processes store themselves, so that the owner of a dataset handles only rows.

The owner sets room aside: cells of a ragged tensor's array of bytes, or rows of a uniform one.
A worker stores samples there, through a fork of the owner's session. What it returns is small:
rows of the index, statistics, and which cells it wrote. `parallel_owner` puts that into the
dataset. Samples that nobody refers to in the end, as of a worker that died, do no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hubzarr.datasets.ragged import bytes_of, is_large, measured
from hubzarr.htypes import Prepared, TensorSpec, restore
from hubzarr.session.forks.forking import Fork, ForkWriter, Written, open_fork
from hubzarr.session.forks.writer import ForkedArray
from hubzarr.stats import Rows
from hubzarr.threads import map_all

__all__ = [
    "Form",
    "RaggedForm",
    "Room",
    "Size",
    "Stored",
    "StoredBytes",
    "StoredRows",
    "UniformForm",
    "size_of",
    "store",
]

type Array = np.ndarray[Any, Any]
type Values = Sequence[Prepared] | Array

#: Samples of which statistics are taken by one task.
_MEASURED_TOGETHER: Final = 4


@dataclass(frozen=True)
class RaggedForm:
    """How samples of a ragged tensor lie in its arrays.

    Parameters
    ----------
    path : str
        Of the array of bytes.
    spec : TensorSpec
    ndim : int
        Axes of a sample.
    channels : int
        That pixel statistics are kept of; 0: none are.
    cell : int
        Bytes of a cell.
    """

    path: str
    spec: TensorSpec
    ndim: int
    channels: int
    cell: int


@dataclass(frozen=True)
class UniformForm:
    """How samples of a uniform tensor lie in its array.

    Parameters
    ----------
    path : str
        Of the array.
    shape : tuple of int
        Of a sample.
    dtype : numpy.dtype
    rows : int
        Samples in a cell.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int


type Form = RaggedForm | UniformForm


@dataclass(frozen=True)
class Room:
    """What is set aside for the samples of one batch in one tensor.

    Parameters
    ----------
    form : RaggedForm or UniformForm
    first : int
        First cell of a ragged tensor, first row of a uniform one.
    count : int
        How many of them.
    epoch : str
        The commit that this was set aside on top of.
    """

    form: Form
    first: int
    count: int
    epoch: str = ""


@dataclass(frozen=True)
class Size:
    """How much prepared samples take.

    Parameters
    ----------
    rows, nbytes : int
    largest : int
        Bytes of the largest one.
    """

    rows: int
    nbytes: int
    largest: int = 0


@dataclass(frozen=True)
class StoredBytes:
    """Samples of a ragged tensor, stored; what is left to do is to append rows to its index.

    Parameters
    ----------
    room : Room
    index : ndarray of int64, shape (n, 2 + axes)
    statistics : ndarray of float64, shape (n, channels, 5), or None
    written : Written
        The cells that hold them.
    nbytes : int
    """

    room: Room
    index: Array
    statistics: Array | None
    written: Written
    nbytes: int

    def __len__(self) -> int:
        return len(self.index)

    def kept(self, keep: Array) -> StoredBytes:
        """Some of the samples; the bytes of others stay, and nobody refers to them."""
        statistics = None if self.statistics is None else self.statistics[keep]
        return replace(self, index=self.index[keep], statistics=statistics)


@dataclass(frozen=True)
class StoredRows:
    """Samples of a uniform tensor, stored but for those that share a cell with other batches.

    Parameters
    ----------
    room : Room
    count : int
        How many samples.
    head, tail : ndarray
        The first and the last ones, which the owner writes.
    written : Written
        The cells that hold the others.
    nbytes : int
    """

    room: Room
    count: int
    head: Array
    tail: Array
    written: Written
    nbytes: int

    def __len__(self) -> int:
        return self.count

    def kept(self, keep: Array) -> StoredRows:
        """All of the samples: their rows are fixed, so they are stored only where none goes."""
        return self


type Stored = StoredBytes | StoredRows


def size_of(values: Values) -> Size:
    """How much prepared samples take; a `largest` of -1 says that they can't be stored here.

    Examples
    --------
    >>> size_of([Prepared(b"abc", ()), Prepared(b"de", ())])
    Size(rows=2, nbytes=5, largest=3)
    """
    if isinstance(values, np.ndarray):
        one = values.nbytes // max(1, len(values))
        return Size(len(values), values.nbytes, one)
    if any(is_large(data) for data, _ in values):
        return Size(len(values), 0, -1)
    sizes = [data.nbytes if isinstance(data, np.ndarray) else len(data) for data, _ in values]
    return Size(len(values), sum(sizes), max(sizes, default=0))


def store(fork: Fork, room: Room, values: Values) -> Stored | None:
    """Store prepared samples in the room that was set aside for them, in any process.

    Returns
    -------
    StoredBytes, StoredRows or None
        None if they don't fit in: the owner has to append them then.
    """
    writer, form = open_fork(fork), room.form
    if isinstance(form, UniformForm):
        block = _block(form, values)
        if block is None or len(block) != room.count:
            return None
        return _store_rows(writer, room, form, block)
    if isinstance(values, np.ndarray):
        values = [Prepared(value, value.shape) for value in values]
    if any(len(shape) > form.ndim or is_large(data) for data, shape in values):
        return None
    parts = [bytes_of(data) for data, _ in values]
    if sum(map(len, parts)) > room.count * form.cell:
        return None
    array = writer.array(form.path)
    statistics = _measured(form, values, writer) if form.channels else None
    return _store_bytes(writer, array, room, form, values, parts, statistics)


# -- ragged tensors ---------------------------------------------------------------------


def _store_bytes(
    writer: ForkWriter,
    array: ForkedArray,
    room: Room,
    form: RaggedForm,
    values: Sequence[Prepared],
    parts: list[memoryview],
    statistics: Array | None,
) -> StoredBytes:
    lengths = np.array([len(part) for part in parts], np.int64)
    total = int(lengths.sum())
    index = np.full((len(values), 2 + form.ndim), -1, np.int64)  # -1: axes that it doesn't have
    index[:, 0] = room.first * form.cell + np.cumsum(lengths) - lengths
    index[:, 1] = lengths
    for row, (_, shape) in zip(index, values, strict=True):
        row[2 : 2 + len(shape)] = shape
    packed = np.empty(-(-total // form.cell) * form.cell, np.uint8)
    place = 0
    for part in parts:
        memoryview(packed)[place : place + len(part)] = part
        place += len(part)
    blocks = list(enumerate(packed.reshape(-1, form.cell), room.first))
    with writer.write_id(form.path, [(k,) for k, _ in blocks]) as write_id:

        def put(work: tuple[int, Array]) -> None:
            cell, block = work
            used = min(form.cell, total - (cell - room.first) * form.cell)
            array.cells.store_start(write_id, (cell,), block, used)

        map_all(put, blocks, writer.storage.concurrency)
    cells = np.array([[k] for k, _ in blocks], np.int64).reshape(-1, 1)
    return StoredBytes(room, index, statistics, _written(array, cells, write_id, None), total)


def _measured(form: RaggedForm, values: Sequence[Prepared], writer: ForkWriter) -> Array:
    """Pixel statistics of each sample."""

    def measure(value: Prepared) -> Array:
        array = np.asarray(restore(form.spec, value.data, value.shape))
        return measured(array, form.channels)

    found = map_all(measure, values, writer.storage.concurrency, _MEASURED_TOGETHER)
    return np.stack(found) if found else np.zeros((0, form.channels, 5))


# -- uniform tensors --------------------------------------------------------------------


def _block(form: UniformForm, values: Values) -> Array | None:
    """Samples as rows of the array; None if they have other shapes or another dtype."""
    dtype = form.dtype
    if isinstance(values, np.ndarray):
        return values if values.shape[1:] == form.shape and values.dtype == dtype else None
    out = np.empty((len(values), *form.shape), dtype)
    for i, (data, shape) in enumerate(values):
        if shape != form.shape or not isinstance(data, np.ndarray) or data.dtype != dtype:
            return None
        out[i] = data
    return out


def _store_rows(writer: ForkWriter, room: Room, form: UniformForm, block: Array) -> StoredRows:
    """Store the cells that lie wholly inside the rows of a batch."""
    array = writer.array(form.path)
    first, stop = room.first, room.first + room.count
    low, high = -(-first // form.rows), stop // form.rows
    if low >= high:
        cells = np.zeros((0, 1 + len(form.shape)), np.int64)
        return StoredRows(
            room, len(block), block, block[:0], _written(array, cells, 0, None), block.nbytes
        )
    begin, end = low * form.rows - first, high * form.rows - first
    pieces = _pieces(array, form, low, block[begin:end])
    batch = max(1, len(pieces) // 64) if writer.storage.is_local else 1
    with writer.write_id(form.path, [cell for cell, _ in pieces]) as write_id:

        def put(work: tuple[tuple[int, ...], Array]) -> tuple[bool, Rows | None]:
            cell, values = work
            if array.cells.codec.is_fill(values):
                return False, None  # a cell never written reads as fill already
            return True, array.cells.store_cell(write_id, cell, values)

        found = map_all(put, pieces, writer.storage.concurrency, batch)
    cells = np.array([c for (c, _), (put_, _) in zip(pieces, found, strict=True) if put_], np.int64)
    rows = [row for _, row in found if row is not None]
    written = _written(
        array, cells.reshape(-1, 1 + len(form.shape)), write_id, np.stack(rows) if rows else None
    )
    return StoredRows(room, len(block), block[:begin], block[end:], written, block.nbytes)


def _pieces(
    array: ForkedArray, form: UniformForm, low: int, block: Array
) -> list[tuple[tuple[int, ...], Array]]:
    """Cells from row `low` of the grid on, with their elements."""
    sizes = array.cells.cell_shape
    grid = (
        len(block) // form.rows,
        *(-(-n // c) for n, c in zip(form.shape, sizes[1:], strict=True)),
    )
    out = []
    for at in np.ndindex(*grid):
        where = tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, sizes, strict=True))
        out.append(((low + at[0], *at[1:]), np.ascontiguousarray(block[where])))
    return out


def _written(array: ForkedArray, cells: Array, write_id: int, rows: Rows | None) -> Written:
    """Cells that were empty before, whatever shape the array has."""
    count = len(cells)
    ids, before = np.full(count, write_id, np.uint64), np.zeros(count, np.uint64)
    return Written(array.path, array.layout, None, cells, ids, before, rows)
