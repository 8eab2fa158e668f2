"""Rows of tables by pieces, wherever a table is: in memory, in an Arrow file, in CSV."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterator
from typing import Any, Protocol

from hubzarr.errors import InvalidTypeError, SampleError
from hubzarr.ingesting.arrow import (
    Known,
    dictionary_names,
    is_dictionary_of_text,
    known_of,
    pyarrow,
)
from hubzarr.ingesting.csv_rows import CsvRows
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.shelf import Shelf

__all__ = [
    "ArrowRows",
    "MemoryRows",
    "TableRows",
    "is_table_file",
    "peek",
    "table_of",
    "table_rows",
]

_CSV = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz")
_ARROW = (".arrow", ".feather", ".ipc")
_PARQUET = (".parquet", ".pq")
_PIECE = 8192


class TableRows(Protocol):
    """A table that is read by pieces."""

    @property
    def known(self) -> Known:
        """What all rows tell of the columns."""

    def first(self, rows: int) -> Any:
        """A table of the first rows."""

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Number and rows of each piece."""

    def read(self, piece: int) -> Any:
        """A table of the rows of one piece."""


def is_table_file(name: str, *, parquet: bool = True) -> bool:
    """Whether a file's name is one of a table.

    Examples
    --------
    >>> is_table_file("cats.CSV"), is_table_file("cats.jpg")
    (True, False)
    """
    return name.lower().endswith(_CSV + _ARROW + (_PARQUET if parquet else ()))


def table_rows(place: Place, encoding: str = "utf8") -> TableRows:
    """The rows of a table in a file; the encoding is that of text in CSV."""
    name = place.name.lower()
    if name.endswith(_CSV):
        return CsvRows(place, encoding)
    if name.endswith(_ARROW):
        return ArrowRows(place)
    parquet = pyarrow("pyarrow.parquet")
    try:
        with place.open() as file:
            return MemoryRows(parquet.read_table(file))
    except (pyarrow().ArrowInvalid, OSError) as error:
        raise SampleError(f"{place.url}: broken table: {error}", path=place.url) from error


def peek(place: Place, rows: int) -> Any:
    """The first rows of a table in a file, without going through all of it.

    Of CSV, types may turn out to be others later on.
    """
    name = place.name.lower()
    if name.endswith(_CSV):
        return CsvRows(place).head(rows)
    if name.endswith(_ARROW):
        return next(_each_batch(place)).slice(0, rows)
    pa, parquet = pyarrow(), pyarrow("pyarrow.parquet")
    try:
        with place.open() as file:
            reader = parquet.ParquetFile(file)
            batches = itertools.islice(reader.iter_batches(batch_size=rows), 1)
            return pa.Table.from_batches(batches, reader.schema_arrow)
    except (pa.ArrowInvalid, OSError) as error:
        raise SampleError(f"{place.url}: broken table: {error}", path=place.url) from error


def table_of(data: Any) -> Any:
    """An Arrow table of a DataFrame of pandas or polars, or of a table.

    Examples
    --------
    >>> import pandas
    >>> table_of(pandas.DataFrame({"age": [3, 4]})).column_names
    ['age']
    """
    pa = pyarrow()
    if isinstance(data, pa.Table):
        return data
    if hasattr(data, "to_arrow"):
        return data.to_arrow()
    if not hasattr(data, "columns") or not hasattr(data, "__getitem__"):
        raise InvalidTypeError(f"expected a table or DataFrame, not {type(data).__name__}")
    return pa.table({_name(name): _column(name, data[name]) for name in data.columns})


def _name(name: Any) -> str:
    """Of columns with several levels, a group for each."""
    return "/".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _column(name: Any, series: Any) -> Any:
    pa = pyarrow()
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # objects of several types
        return pa.array([None if value is None else str(value) for value in series])
    except pa.ArrowNotImplementedError as error:
        raise InvalidTypeError(
            f"column {name!r} has values that no table can hold ({error}): leave it out, or "
            "make it text"
        ) from error


def digest_of(table: Any) -> str:
    """A few letters that tell a table from others.

    Examples
    --------
    >>> import pyarrow
    >>> one, other = pyarrow.table({"a": [1, 2]}), pyarrow.table({"a": [1, 3]})
    >>> digest_of(one) == digest_of(one), digest_of(one) == digest_of(other)
    (True, False)
    """
    sink = _HashingFile()
    with pyarrow("pyarrow.ipc").new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return sink.hash.hexdigest()


class _HashingFile(io.RawIOBase):
    """Takes bytes, and keeps nothing but their digest."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=8)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)


class MemoryRows:
    """A table in memory."""

    def __init__(self, table: Any) -> None:
        self._table = table

    @property
    def known(self) -> Known:
        """What all rows tell of the columns."""
        return known_of(self._table)

    def first(self, rows: int) -> Any:
        """A table of the first rows."""
        return self._table.slice(0, rows)

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Number and rows of each piece."""
        for piece, start in enumerate(range(0, self._table.num_rows, _PIECE)):
            yield piece, min(_PIECE, self._table.num_rows - start)

    def read(self, piece: int) -> Any:
        """A table of the rows of one piece."""
        return self._table.slice(piece * _PIECE, _PIECE)


class ArrowRows:
    """An Arrow file or Feather file; its record batches are the pieces."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._batches = Shelf(_load_batch)
        self._rows: list[int] = []
        self._first: Any = None
        self.known = self._look()

    def first(self, rows: int) -> Any:
        """A table of the first rows."""
        return self._first.slice(0, rows)

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Number and rows of each piece."""
        yield from enumerate(self._rows)

    def read(self, piece: int) -> Any:
        """A table of the rows of one piece."""
        return self._batches.get((self._place, piece))

    def _look(self) -> Known:
        """Go through all batches once: only together they tell what is missing."""
        lacking: set[str] = set()
        dictionaries: dict[str, dict[tuple[str | None, ...], None]] = {}
        for table in _each_batch(self._place):
            if self._first is None:
                self._first = table
            self._rows.append(table.num_rows)
            for key, values in zip(table.column_names, table.columns, strict=True):
                if values.null_count:
                    lacking.add(key)
                if is_dictionary_of_text(values.type):
                    for chunk in values.chunks:
                        names = tuple(chunk.dictionary.to_pylist())
                        dictionaries.setdefault(key, {})[names] = None
        named = {
            key: dictionary_names(list(found))
            for key, found in dictionaries.items()
            if key not in lacking
        }
        classes = {key: found for key, found in named.items() if found is not None}
        return Known(frozenset(lacking), classes)


def _each_batch(place: Place, only: int | None = None) -> Iterator[Any]:
    """The record batches of a file, or one of them, as tables; an empty one if there are none."""
    pa = pyarrow()
    ipc = pyarrow("pyarrow.ipc")
    try:
        with pa.memory_map(place.local()) as source:
            try:
                reader = ipc.open_file(source)
            except pa.ArrowInvalid:  # a stream, which has no list of batches at its end
                source.seek(0)
                reader = ipc.open_stream(source)
                batches: Iterator[Any] = itertools.islice(
                    reader, only, None if only is None else only + 1
                )
            else:
                numbers = range(reader.num_record_batches) if only is None else [only]
                batches = map(reader.get_batch, numbers)
            first = next(batches, None)
            if first is None:
                yield reader.schema.empty_table()
                return
            for batch in itertools.chain([first], batches):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, OSError) as error:
        raise SampleError(f"{place.url}: broken Arrow file: {error}", path=place.url) from error


def _load_batch(at: tuple[Place, int]) -> Any:
    place, number = at
    return next(_each_batch(place, number))
