"""Plain Zarr v3: a group that any Zarr library opens, of one version and without its history.

A tensor whose samples have one shape is an array with a row for each; text is an array of
strings. Other tensors are groups of two arrays, as in a hubzarr repository: ``index``,
int64, with a row for each sample (its first byte, number of bytes, and shape; -1 for an
axis that the sample lacks), and ``bytes``, uint8, the samples one behind the other: files
as they are, arrays in C order and little-endian, JSON in UTF-8. The attributes of each
node under ``hubzarr`` say what the samples are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from hubzarr.datasets.layout import BYTES, INDEX, MARK
from hubzarr.exporting.report import Written
from hubzarr.exporting.table import Field, Table
from hubzarr.exporting.target import MARK as EXPORT_MARK
from hubzarr.exporting.target import Target

__all__ = ["FORMAT", "is_single", "write"]

FORMAT: Final = "zarr"

type Advance = Callable[[int], None]
type Array = np.ndarray[Any, Any]

_CHUNK_BYTES: Final = 1 << 20
_PIECE: Final = 32 << 10
_SHARD: Final = 8 << 20
_TEXT_ROWS: Final = 4096
_MOST_ROWS: Final = 1 << 16


def is_single(url: str) -> bool:
    """Whether the target is one file: it is a folder."""
    return False


def write(table: Table, target: Target, advance: Advance, *, consolidated: bool = True) -> Written:
    """Write a group with a node for each tensor.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done; all at the end.
    consolidated : bool
        Whether to keep the metadata of all nodes in that of the group as well, which
        saves requests.
    """
    import zarr

    store = _store(target)
    about = table.document()
    origin = {"source": about["source"], "rows": about["rows"]}
    attributes = about["info"] | {EXPORT_MARK: 1, MARK: {"dataset": 1, "export": origin}}
    root = zarr.open_group(store, mode="w", zarr_format=3, attributes=attributes)
    for order, field in enumerate(table.fields):
        entry = replace(field.tensor._entry, order=order)
        _write_tensor(root, table, field, field.info | {MARK: entry.to_json()})
    if consolidated:
        with warnings.catch_warnings():  # that other libraries may not know consolidated metadata
            warnings.simplefilter("ignore", UserWarning)
            zarr.consolidate_metadata(store)
    advance(len(table))
    target.count_all()
    return Written()


def _store(target: Target) -> Any:
    """Made here, because Zarr takes ``memory://`` for a store of its own."""
    if target.is_local:
        return target.path()
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(target.url, storage_options=target.options)


def _write_tensor(root: Any, table: Table, field: Field, attributes: dict[str, Any]) -> None:
    if field.spec.stores == "text":
        _write_text(root, table, field, attributes)
    elif field.row_shape is not None:
        _write_rows(root, table, field, attributes)
    else:
        _write_ragged(root, table, field, attributes)


def _write_rows(root: Any, table: Table, field: Field, attributes: dict[str, Any]) -> None:
    """Samples of one shape: an array."""
    shape, dtype = field.row_shape or (), field.stored_dtype
    width = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    rows = max(1, min(_MOST_ROWS, _CHUNK_BYTES // width, max(1, len(table))))
    array = root.create_array(
        field.name, shape=(len(table), *shape), dtype=dtype,
        chunks=(rows, *(max(1, n) for n in shape)), attributes=attributes,
    )  # fmt: skip
    for start, block in _aligned(table, field, rows):
        array[start : start + len(block)] = block


def _aligned(table: Table, field: Field, rows: int) -> Iterator[tuple[int, Array]]:
    """Samples in pieces that end where chunks do."""
    start, count = 0, 0
    kept: list[Array] = []
    for _, numbers in table.pieces([field], rows=_MOST_ROWS):
        kept.append(np.asarray(field.raw(numbers)))
        count += len(numbers)
        if count >= rows:
            whole = np.concatenate(kept)
            cut = count - count % rows
            yield start, whole[:cut]
            start, kept, count = start + cut, [whole[cut:]], count - cut
    if count:
        yield start, np.concatenate(kept)


def _write_text(root: Any, table: Table, field: Field, attributes: dict[str, Any]) -> None:
    rows = max(1, min(_TEXT_ROWS, len(table)))
    array = root.create_array(
        field.name, shape=(len(table),), dtype=str, chunks=(rows,), attributes=attributes
    )
    for start in range(0, len(table), rows):
        texts = field.raw(table.numbers[start : start + rows])
        array[start : start + len(texts)] = np.array(texts, np.dtypes.StringDType())


def _write_ragged(root: Any, table: Table, field: Field, attributes: dict[str, Any]) -> None:
    """Other samples: their bytes, and where each is."""
    group = root.create_group(field.name, attributes=attributes)
    blob = _Blob(
        group.create_array(BYTES, shape=(0,), dtype="uint8", chunks=(_PIECE,), shards=(_SHARD,))
    )
    entries = []
    for _, numbers in table.pieces([field]):
        for data, shape in field.stored(numbers):
            entries.append((blob.total, len(data), *shape))
            blob.append(data)
    blob.flush()
    width = max(map(len, entries), default=2)
    index = np.full((len(entries), width), -1, np.int64)
    for row, entry in enumerate(entries):
        index[row, : len(entry)] = entry
    group.create_array(INDEX, data=index, chunks=(max(1, min(4096, len(index))), width))


class _Blob:
    """An array of bytes that grows by whole shards."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._stored = 0
        self._waiting = bytearray()

    @property
    def total(self) -> int:
        """Bytes so far."""
        return self._stored + len(self._waiting)

    def append(self, data: Any) -> None:
        """Add bytes."""
        self._waiting += data
        if len(self._waiting) >= 4 * _SHARD:
            self._store(len(self._waiting) // _SHARD * _SHARD)

    def flush(self) -> None:
        """Store the rest."""
        if self._waiting:
            self._store(len(self._waiting))

    def _store(self, count: int) -> None:
        stop = self._stored + count
        self._array.resize((stop,))
        self._array[self._stored : stop] = np.frombuffer(bytes(self._waiting[:count]), np.uint8)
        del self._waiting[:count]
        self._stored = stop
