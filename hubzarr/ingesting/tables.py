"""Tables: CSV, TSV, Arrow and Feather files, DataFrames; with the files that they name.

A column whose values are paths of files beside the table becomes the samples in those
files: ``cats.csv`` with a column ``file`` and a folder of images give images, and each
further column is a tensor beside them. A folder of images with one such table in it is
read the same way, and so is a folder with nothing but a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.arrow import ArrowField, arrow_fields
from hubzarr.ingesting.files import read_sample
from hubzarr.ingesting.path_columns import LOOK, PathColumn, find_path_columns, path_column_of
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.source import Block, Column, Row, Skipped, Unit
from hubzarr.ingesting.table_rows import (
    MemoryRows,
    TableRows,
    digest_of,
    is_table_file,
    peek,
    table_of,
    table_rows,
)

__all__ = ["KIND", "TableSource", "from_table", "matches", "open_source"]

KIND = "table"

# Rows of a unit, if each has a file.
_FILES = 256
# What may lie beside the only table of a folder, as it is about it.
_NOTES = (".md", ".rst", ".txt", ".pdf", ".html")
_ABOUT = ("readme", "license", "licence", "citation")


def matches(place: Place) -> bool:
    """Whether it is a file of a table, or a folder with one that names files, or with nothing else.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("pets").mkdir()
    >>> _ = pathlib.Path("pets/pets.csv").write_text("name,age\\ntom,3\\n")
    >>> matches(Place("pets"))
    True
    """
    try:
        if place.is_file():
            return is_table_file(place.name, parquet=False)
        return place.is_dir() and (_is_alone(place) or bool(_listings(place)))
    except HubzarrError:
        return False


def open_source(
    place: Place,
    *,
    table: str | None = None,
    path_column: str | None = None,
    files: str | Literal[False] | None = None,
    sample_compression: str | None = None,
    encoding: str = "utf8",
) -> TableSource:
    """A table in a file, with the files that it names.

    Parameters
    ----------
    place : Place
        The file, or the folder that has it.
    table : str, optional
        Path of the table in the folder, where there are several.
    path_column : str, optional
        Column of paths; by default any whose first values name files.
    files : str or False, optional
        Path of the folder that the paths are in; by default it is looked for. False takes
        all columns as they are, and reads no files.
    sample_compression : str, optional
        Format to keep the files in; by default the one that most of the first have.
    encoding : str, default "utf8"
        Of the text in CSV.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("pets").mkdir()
    >>> _ = pathlib.Path("pets/tom.jpg").write_bytes(b"...")
    >>> _ = pathlib.Path("pets/pets.csv").write_text("file,age,label\\ntom.jpg,3,cat\\n")
    >>> for column in open_source(Place("pets")).columns:
    ...     print(column.name, column.options)
    images {'htype': 'image', 'sample_compression': 'jpeg'}
    file {'htype': 'text'}
    age {'htype': 'generic', 'dtype': 'int64'}
    label {'htype': 'class_label', 'class_names': ['cat']}
    """
    file = place if place.is_file() else _chosen(place, table)
    root = place.parent() if place.is_file() else place
    base = root.resolve(files) if files else file.parent()
    rows = table_rows(file, encoding)
    first = _first(rows, file.name)
    if path_column is None:
        found = (
            [] if files is False else find_path_columns(first, base, compression=sample_compression)
        )
    else:
        found = _told(first, path_column, base, files, file.name, sample_compression)
    return _source(rows, first, found, file.name)


def from_table(
    data: Any,
    *,
    files: str | Place | Literal[False] | None = None,
    path_column: str | None = None,
    sample_compression: str | None = None,
) -> TableSource:
    """The rows of a DataFrame or an Arrow table.

    Parameters
    ----------
    data : DataFrame or pyarrow.Table
        The table.
    files : str, Place or False, optional
        Folder that paths in the table are in; by default the working directory. Paths have
        their extensions, and are not searched for in other folders. False takes all columns
        as they are, and reads no files.
    path_column : str, optional
        Column of paths, which are searched for as `open_source` does.
    sample_compression : str, optional
        As for `open_source`.

    Examples
    --------
    >>> import pandas
    >>> source = from_table(pandas.DataFrame({"age": [3, 4], "name": ["Tom", "Rex"]}))
    >>> next(source.rows(next(source.units()))).columns
    {'age': array([3, 4]), 'name': ['Tom', 'Rex']}
    """
    table = table_of(data)
    # The name tells it from others, so that only the same table counts as ingested.
    name = f"{type(data).__name__} {digest_of(table)}"
    base = files if isinstance(files, Place) else Place(files or ".")
    rows = MemoryRows(table)
    first = _first(rows, name)
    if path_column is None:
        found = (
            []
            if files is False
            else find_path_columns(first, base, search=False, compression=sample_compression)
        )
    else:
        found = _told(first, path_column, base, files, name, sample_compression)
    return _source(rows, first, found, name)


@dataclass(frozen=True)
class TableSource:
    """The rows of a table, and the samples in the files that it names."""

    table: TableRows
    fields: tuple[ArrowField, ...]
    paths: tuple[PathColumn, ...]
    name: str
    kind: str = KIND

    @property
    def columns(self) -> tuple[Column, ...]:
        """The samples, then the columns of the table."""
        return (
            *(paths.column for paths in self.paths),
            *(field.column for field in self.fields),
        )

    @property
    def info(self) -> dict[str, Any]:
        """Nothing: a table has no more to tell."""
        return {}

    @property
    def total(self) -> int:
        """How many rows there are."""
        return sum(rows for _, rows in self.table.pieces())

    def units(self) -> Iterator[Unit]:
        """Parts of the table; small ones where each row has a file."""
        for piece, rows in self.table.pieces():
            step = _FILES if self.paths else max(rows, 1)
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                yield Unit(f"{piece}/{start}", (piece, start, stop), stop - start)

    def rows(self, unit: Unit) -> Iterator[Row]:
        """The rows of one part."""
        piece, start, stop = unit.payload
        table = self.table.read(piece).slice(start, stop - start)
        columns = {field.column.name: self._values(field, table) for field in self.fields}
        if not self.paths:
            yield Block(columns, table.num_rows)
            return
        paths = [(each, table.column(each.key).to_pylist()) for each in self.paths]
        for row in range(table.num_rows):
            yield self._row(row, paths, columns)

    def _values(self, field: ArrowField, table: Any) -> Any:
        try:
            return field.values(table.column(field.key))
        except (ValueError, TypeError, OverflowError) as error:
            raise SampleError(
                f"{self.name}: column {field.key!r} does not go on as it began: {error}",
                path=self.name,
            ) from error

    def _row(
        self, row: int, paths: list[tuple[PathColumn, list[Any]]], columns: dict[str, Any]
    ) -> Row:
        made = {name: values[row] for name, values in columns.items()}
        for each, values in paths:
            if values[row] is None or values[row] == "":
                return Skipped(f"row {row}", f"has no path in column {each.key!r}")
            try:
                made[each.column.name] = read_sample(each.place(values[row]))
            except HubzarrError as error:
                why = f"{error.message}; files=False takes column {each.key!r} as it is"
                return Skipped(str(values[row]), why)
        return made


def _first(rows: TableRows, name: str) -> Any:
    """A table of the first rows, which has columns."""
    first = rows.first(LOOK)
    if not first.column_names:
        raise InvalidError(f"{name}: a table without columns")
    return first


def _told(
    first: Any,
    key: str,
    base: Place,
    files: str | Place | Literal[False] | None,
    name: str,
    compression: str | None,
) -> list[PathColumn]:
    """The column that the user says has paths."""
    if files is False:
        raise InvalidError("path_column and files=False exclude each other: leave out one")
    found = path_column_of(first, key, base, compression)
    if found is None:
        raise InvalidError(
            f"{name}: the values of column {key!r} name no files in {base.url!r}; say where "
            "they are with files=..., or leave out path_column to take the column as it is"
        )
    return [found]


def _source(rows: TableRows, first: Any, found: list[PathColumn], name: str) -> TableSource:
    fields = arrow_fields(first, rows.known)
    return TableSource(rows, tuple(fields), tuple(_named(found, fields)), name)


def _named(found: list[PathColumn], fields: list[ArrowField]) -> list[PathColumn]:
    """Tensors of samples are called images and so on, or after their columns if several are."""
    counts = Counter(paths.column.name for paths in found)
    taken = {field.column.name for field in fields}
    named = []
    for paths in found:
        name = paths.column.name
        if counts[name] > 1:
            name = next(f.column.name for f in fields if f.key == paths.key) + f"_{name}"
        while name in taken:
            name += "_"
        taken.add(name)
        column = Column(name, paths.column.options)
        named.append(PathColumn(paths.key, column, paths.folder, paths.extension))
    return named


def _tables(place: Place, *, parquet: bool = True) -> list[Place]:
    """Files of tables in a folder."""
    return [
        child
        for child in place.children()
        if is_table_file(child.name, parquet=parquet) and not hidden(child.name) and child.is_file()
    ]


def _listings(place: Place) -> list[Place]:
    """Tables in a folder that name files in it."""
    return [
        child for child in _tables(place) if find_path_columns(peek(child, LOOK), child.parent())
    ]


def _is_alone(place: Place) -> bool:
    """Whether a folder has one table, and nothing else but notes on it."""
    tables = _tables(place, parquet=False)
    return len(tables) == 1 and all(
        hidden(child.name)
        or child.name == tables[0].name
        or (_is_note(child.name.lower()) and child.is_file())
        for child in place.children()
    )


def _is_note(name: str) -> bool:
    return name.endswith(_NOTES) or name.startswith(_ABOUT)


def _chosen(place: Place, table: str | None) -> Place:
    if table is not None:
        return place.child(table)
    there = _tables(place)
    if len(there) == 1:
        return there[0]
    found = _listings(place)
    if len(found) == 1:
        return found[0]
    if not there:
        raise InvalidError(f"no table in {place.url!r}; expected a file such as pets.csv")
    names = ", ".join(file.name for file in found or there)
    what = "name files" if found else "are there, none of which names files"
    raise InvalidError(f"several tables in {place.url!r} {what}; say table=..., of {names}")
