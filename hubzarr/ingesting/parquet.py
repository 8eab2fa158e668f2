"""Parquet files and folders of them, also partitioned (``year=2026/part-0.parquet``).

Rows are read row group by row group. What tensor suits a column is told by its type (see
`arrow`) and by the features that Hugging Face's files carry (see `hf_features`); whether
values are missing is told by the statistics of the row groups, for all files at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import unquote

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.arrow import (
    MAX_CLASSES,
    ArrowField,
    Known,
    arrow_fields,
    dictionary_names,
    is_dictionary_of_text,
    label_names,
    pyarrow,
)
from hubzarr.ingesting.columns import clean_names, is_label_name
from hubzarr.ingesting.hf_features import features_of, with_features
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.source import Block, Column, Row, Skipped, Source, Unit
from hubzarr.ingesting.splits import Splits, relative_paths, splits_of

__all__ = ["KIND", "matches", "open_source"]

KIND = "parquet"

_SUFFIXES = (".parquet", ".pq")
_MAGIC = (b"PAR1", b"PARE")
_TEXT = ("string", "large_string", "string_view")
_LOOKED_AT = 1000
_LOOK_ROWS = 256
_BLOCK_BYTES = 16_000_000
#: Row groups are read in pieces of this size. What lies before a piece is decoded again.
_PIECE_BYTES = 64_000_000
_BLOCK_ROWS = 8192
_PARTITION = re.compile(r"([^/=]+)=([^/]*)")
_BESIDE = frozenset({"", ".crc", ".json", ".md", ".txt", ".yaml", ".yml"})


def matches(place: Place) -> bool:
    """Whether the place is a Parquet file, or a folder of such files.

    Examples
    --------
    >>> matches(Place("no/such/file.parquet"))
    False
    """
    try:
        if place.is_file():
            return _has_magic(place)
        files = list(islice(place.walk(), _LOOKED_AT))
        parquet = [file for file in files if file.suffix in _SUFFIXES]
        others = {file.suffix for file in files} - set(_SUFFIXES)
        return bool(parquet) and others <= _BESIDE and _has_magic(parquet[0])
    except HubzarrError:
        return False


def open_source(place: Place) -> Source:
    """Rows of tables.

    Parameters
    ----------
    place : Place
        A file, or a folder; its files follow each other in the order of their names.
        Where these name splits, such as train and test, a column ``split`` tells them;
        folders such as ``year=2026`` give a column ``year``.

    Raises
    ------
    SampleError
        If a file is broken, or files have different columns.

    Examples
    --------
    >>> import pyarrow, pyarrow.parquet
    >>> table = pyarrow.table({"age": [3, 4], "name": ["Tom", "Rex"]})
    >>> pyarrow.parquet.write_table(table, "pets.parquet")
    >>> source = open_source(Place("pets.parquet"))
    >>> [block.columns for unit in source.units() for block in source.rows(unit)]
    [{'age': array([3, 4]), 'name': ['Tom', 'Rex']}]
    """
    files = [place] if place.is_file() else _files(place)
    if not files:
        raise InvalidError(f"no Parquet file in {place.url!r}", path=place.url)
    return _opened_source(tuple(files), tuple(relative_paths(files, place)))


@dataclass(frozen=True)
class ParquetRows:
    """Rows of Parquet files, a block at a time.

    Examples
    --------
    >>> ParquetRows({}, (), (), _Partitions((), {}), splits_of(())).kind
    'parquet'
    """

    files: dict[str, Place]
    fields: tuple[ArrowField, ...]
    columns: tuple[Column, ...]
    partitions: _Partitions
    splits: Splits
    info: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND

    def __reduce__(self) -> tuple[Any, ...]:
        # Fields have functions in them, which don't travel; they are found out again.
        return _opened_source, (tuple(self.files.values()), tuple(self.files))

    def units(self) -> Iterator[Unit]:
        """The row groups of each file, very large ones in pieces."""
        for path, place in self.files.items():
            with place.open() as stream:
                metadata = _opened(stream, place).metadata
                for group in range(metadata.num_row_groups):
                    row_group = metadata.row_group(group)
                    size, rows = row_group.total_byte_size, row_group.num_rows
                    step = max(1, rows * _PIECE_BYTES // max(size, _PIECE_BYTES))
                    for start in range(0, rows, step):
                        stop = min(rows, start + step)
                        key = f"{path}/{group}" if step >= rows else f"{path}/{group}/{start}"
                        yield Unit(key, (path, group, start, stop), stop - start)

    def rows(self, unit: Unit) -> Iterator[Row]:
        """The rows of a piece of a row group, in blocks of bounded size."""
        path, group, start, stop = unit.payload
        constants = {**self.partitions.row(path), **self.splits.row(path)}
        place = self.files[path]
        with place.open() as stream:
            file = _opened(stream, place)
            metadata = file.metadata.row_group(group)
            each = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
            size = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // each))
            keys = [made.key for made in self.fields]
            first = 0
            try:
                for batch in file.iter_batches(size, row_groups=[group], columns=keys):
                    last = first + batch.num_rows
                    begin, end = max(first, start), min(last, stop)
                    if begin < end:
                        yield self._block(batch.slice(begin - first, end - begin), constants)
                    if last >= stop:
                        return
                    first = last
            except (OSError, ValueError) as cause:  # Arrow's errors are these
                rows = f"rows {max(first, start)} to {stop} of row group {group}"
                yield Skipped(f"{path}, {rows}", str(cause))

    def _block(self, batch: Any, constants: dict[str, Any]) -> Block:
        table = pyarrow().Table.from_batches([batch])
        values = {made.column.name: made.values(table.column(made.key)) for made in self.fields}
        rows = batch.num_rows
        values |= {name: [value] * rows for name, value in constants.items()}
        return Block(values, rows)


def _opened_source(files: tuple[Place, ...], paths: tuple[str, ...]) -> ParquetRows:
    look = _look(files)
    fields = tuple(with_features(arrow_fields(look.first, look.known), look.features, look.first))
    taken = {made.column.name for made in fields}
    partitions = _partitions(paths, taken)
    splits = splits_of(() if partitions.columns or "split" in taken else paths)
    columns = (*(made.column for made in fields), *partitions.columns, *splits.columns)
    return ParquetRows(dict(zip(paths, files, strict=True)), fields, columns, partitions, splits)


@dataclass(frozen=True)
class _Look:
    """What the footers of all files and some first rows tell."""

    first: Any
    known: Known
    features: dict[str, Any]


def _look(files: Sequence[Place]) -> _Look:
    lacking: set[str] = set()
    schema: Any = None
    first: list[Any] = []
    words: dict[str, list[list[Any]]] = {}
    for place in files:
        with place.open() as stream:
            file = _opened(stream, place)
            mine = file.schema_arrow
            schema = mine if schema is None else schema
            if mine.remove_metadata() != schema.remove_metadata():
                raise SampleError(
                    f"{place.url} has other columns or types than {files[0].url}; "
                    "ingest them one by one",
                    path=place.url,
                )
            lacking |= {name for name in mine.names if _lacks(file, name)}
            wanted = _LOOK_ROWS - sum(table.num_rows for table in first)
            if wanted > 0 and file.metadata.num_rows:
                first.append(_first_rows(file, wanted, place))
            for key in mine.names:
                words.setdefault(key, []).extend(_words(file, key))
    classes = {
        key: names
        for key, found in words.items()
        if key not in lacking and (names := _class_names(schema.field(key).type, found))
    }
    table = pyarrow().concat_tables(first) if first else schema.empty_table()
    return _Look(table, Known(frozenset(lacking), classes), features_of(schema.metadata))


def _lacks(file: Any, name: str) -> bool:
    """Whether values of a column are missing, by the statistics if there are some."""
    if not file.schema_arrow.field(name).nullable:
        return False
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        columns = [row_group.column(index) for index in range(row_group.num_columns)]
        chunk = next((column for column in columns if column.path_in_schema == name), None)
        statistics = None if chunk is None else chunk.statistics
        if statistics is None or not statistics.has_null_count:
            for batch in file.iter_batches(_BLOCK_ROWS, row_groups=[group], columns=[name]):
                if batch.column(0).null_count:
                    return True
        elif statistics.null_count:
            return True
    return False


def _first_rows(file: Any, rows: int, place: Place) -> Any:
    try:
        batches = file.iter_batches(min(rows, 32))
        taken, found = [], 0
        for batch in batches:
            taken.append(batch)
            found += batch.num_rows
            # Rows of large files: a few of them tell enough.
            if found >= rows or sum(part.nbytes for part in taken) > _BLOCK_BYTES:
                break
        return pyarrow().Table.from_batches(taken).slice(0, rows)
    except (OSError, ValueError) as cause:
        raise SampleError(f"{place.url}: broken Parquet file, {cause}", path=place.url) from cause


def _words(file: Any, name: str) -> list[list[Any]]:
    """Dictionaries of a column, or the different words of one of text named like labels."""
    kind = file.schema_arrow.field(name).type
    found: list[list[Any]] = []
    if is_dictionary_of_text(kind):
        for batch in file.iter_batches(_BLOCK_ROWS, columns=[name]):
            words = batch.column(0).dictionary.to_pylist()
            if words not in found[-1:]:
                found.append(words)
    elif is_label_name(name) and str(kind) in _TEXT:
        different: set[str] = set()
        for batch in file.iter_batches(_BLOCK_ROWS, columns=[name]):
            different.update(batch.column(0).unique().to_pylist())
            if len(different) > MAX_CLASSES:
                break
        found.append(list(different))
    return found


def _class_names(kind: Any, words: list[list[Any]]) -> list[str] | None:
    """Names of classes, if the words found in all files can be such names."""
    if not words:
        return None
    if is_dictionary_of_text(kind):
        return dictionary_names(words)
    return label_names(list({word for part in words for word in part}))


@dataclass(frozen=True)
class _Partitions:
    """Columns from folders such as ``year=2026``."""

    columns: tuple[Column, ...]
    values: dict[str, dict[str, Any]]

    def row(self, path: str) -> dict[str, Any]:
        return self.values.get(path, {})


def _partitions(paths: Sequence[str], taken: set[str]) -> _Partitions:
    found = {path: dict(_PARTITION.findall(path.rpartition("/")[0])) for path in paths}
    keys = list(found[paths[0]]) if paths else []
    if not keys or any(list(pairs) != keys for pairs in found.values()):
        return _Partitions((), {})
    names = {key: name for key, name in clean_names(keys).items() if name not in taken}
    columns = []
    values: dict[str, dict[str, Any]] = {path: {} for path in paths}
    for key, name in names.items():
        texts = {path: unquote(found[path][key]) for path in paths}
        whole = all(re.fullmatch(r"-?\d{1,18}", text) for text in texts.values())
        if whole:
            columns.append(Column(name, {"htype": "generic", "dtype": "int64"}))
        else:
            classes = sorted(set(texts.values()))
            columns.append(Column(name, {"htype": "class_label", "class_names": classes}))
        for path, text in texts.items():
            values[path][name] = int(text) if whole else classes.index(text)
    return _Partitions(tuple(columns), values)


def _opened(stream: Any, place: Place) -> Any:
    parquet = pyarrow("pyarrow.parquet")
    try:
        return parquet.ParquetFile(stream, buffer_size=1 << 20)
    except (OSError, ValueError) as cause:
        raise SampleError(f"{place.url}: broken Parquet file, {cause}", path=place.url) from cause


def _files(place: Place) -> list[Place]:
    files = [file for file in place.walk() if file.suffix in _SUFFIXES]
    return [file for file in files if not hidden(file.name) and not file.name.startswith("_")]


def _has_magic(place: Place) -> bool:
    with place.open() as file:
        return file.read(4) in _MAGIC
