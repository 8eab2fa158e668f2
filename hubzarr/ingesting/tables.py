"""Tables: CSV, TSV, Arrow and Feather files, DataFrames; with the files that they name.

A column whose values are paths of files beside the table becomes the samples in those
files: ``cats.csv`` with a column ``file`` and a folder of images give images, and each
further column is a tensor beside them. A folder of images with one such table in it is
read the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.arrow import ArrowField, arrow_fields
from hubzarr.ingesting.files import prevailing, read_sample
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
from hubzarr.media import get_format
from hubzarr.media.formats import by_extension

__all__ = ["KIND", "TableSource", "from_table", "matches", "open_source"]

KIND = "table"

# Rows of a unit, if each has a file.
_FILES = 256
# Rows looked at to find the columns of paths.
_LOOK = 20
_WEB = ("http://", "https://")
_PLURALS = {"image": "images", "video": "videos", "audio": "audio", "mesh": "meshes"}


def matches(place: Place) -> bool:
    """Whether it is a file of a table, or a folder with one that names files beside it."""
    try:
        if place.is_file():
            return is_table_file(place.name, parquet=False)
        return place.is_dir() and bool(_listings(place))
    except HubzarrError:
        return False


def open_source(
    place: Place,
    *,
    table: str | None = None,
    path_column: str | None = None,
    files: str | None = None,
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
    files : str, optional
        Path of the folder that the paths are in; by default it is looked for.
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
    return _source(table_rows(file, encoding), base, file.name, path_column, sample_compression)


def from_table(
    data: Any,
    *,
    files: Place | None = None,
    path_column: str | None = None,
    sample_compression: str | None = None,
) -> TableSource:
    """The rows of a DataFrame or an Arrow table.

    Parameters
    ----------
    data : DataFrame or pyarrow.Table
        The table.
    files : Place, optional
        Folder that paths in the table are in; by default the working directory.
    path_column, sample_compression : str, optional
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
    return _source(MemoryRows(table), files or Place("."), name, path_column, sample_compression)


@dataclass(frozen=True)
class _Paths:
    """A column of paths: where the files are, and the tensor of their samples."""

    key: str
    column: Column
    folder: Place
    extension: str

    def place(self, value: Any) -> Place:
        return self.folder.resolve(f"{value}{self.extension}")


@dataclass(frozen=True)
class TableSource:
    """The rows of a table, and the samples in the files that it names."""

    table: TableRows
    fields: tuple[ArrowField, ...]
    paths: tuple[_Paths, ...]
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

    def _row(self, row: int, paths: list[tuple[_Paths, list[Any]]], columns: dict[str, Any]) -> Row:
        made = {name: values[row] for name, values in columns.items()}
        for each, values in paths:
            if values[row] is None or values[row] == "":
                return Skipped(f"row {row}", f"has no path in column {each.key!r}")
            try:
                made[each.column.name] = read_sample(each.place(values[row]))
            except HubzarrError as error:
                return Skipped(str(values[row]), error.message)
        return made


def _source(
    rows: TableRows,
    base: Place,
    name: str,
    path_column: str | None,
    sample_compression: str | None,
) -> TableSource:
    first = rows.first(_LOOK)
    if not first.column_names:
        raise InvalidError(f"{name}: a table without columns")
    keys = [path_column] if path_column else _text_columns(first)
    found = [paths for key in keys if (paths := _paths(first, key, base, sample_compression))]
    if path_column and not found:
        raise InvalidError(
            f"{name}: the values of column {path_column!r} name no files in {base.url!r}; "
            "say where they are with files=..."
        )
    fields = arrow_fields(first, rows.known)
    return TableSource(rows, tuple(fields), tuple(_named(found, fields)), name)


def _text_columns(table: Any) -> list[str]:
    """Columns that may hold paths. Addresses of the web are text: nobody asked to look them up."""
    return [
        key
        for key in table.column_names
        if any(
            isinstance(value, str) and not value.startswith(_WEB)
            for value in table.column(key).to_pylist()
        )
    ]


def _named(found: list[_Paths], fields: list[ArrowField]) -> list[_Paths]:
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
        named.append(_Paths(paths.key, column, paths.folder, paths.extension))
    return named


def _paths(table: Any, key: str, base: Place, compression: str | None) -> _Paths | None:
    """Whether the values of a column are paths of files, and from where."""
    if key not in table.column_names:
        raise InvalidError(f"no column {key!r}; there are {', '.join(table.column_names)}")
    found = table.column(key).to_pylist()
    values = [value for value in found if isinstance(value, (str, int))]
    if not values or not all(map(_could_be_path, values)):
        return None
    for folder in _folders(base):
        for extension in _extensions(folder, values):
            files = [folder.resolve(f"{value}{extension}") for value in values]
            formats = Counter(
                found for file in files if file.is_file() and (found := by_extension(file.name))
            )
            if formats.total() * 2 >= len(files):
                kind = get_format(max(formats, key=lambda name: formats[name])).kind
                best = prevailing(
                    {name: n for name, n in formats.items() if get_format(name).kind == kind}
                )
                options = {"htype": kind, "sample_compression": compression or best}
                return _Paths(key, Column(_PLURALS.get(kind, kind), options), folder, extension)
    return None


def _could_be_path(value: str | int) -> bool:
    """Whether file systems may have such a name, which they refuse to look up otherwise."""
    return all(len(part.encode()) < 240 and "\0" not in part for part in str(value).split("/"))


def _folders(base: Place) -> list[Place]:
    """The folder of the table, and those in it."""
    children = [child for child in base.children() if child.is_dir() and not hidden(child.name)]
    inner = [child.child("images") for child in children if child.child("images").is_dir()]
    return [base, *children[:_LOOK], *inner[:_LOOK]]


def _extensions(folder: Place, values: list[Any]) -> list[str]:
    """Nothing, and what could be left out of names: ``.jpg`` if there are such files."""
    if any(by_extension(str(value)) for value in values):
        return [""]
    names = (child.name for child in folder.children()[:_LOOK])
    found = Counter(f".{name.rpartition('.')[2]}" for name in names if by_extension(name))
    return list(found)


def _listings(place: Place) -> list[Place]:
    """Tables in a folder that name files in it."""
    found = []
    for child in place.children():
        if is_table_file(child.name) and not hidden(child.name) and child.is_file():
            first = peek(child, _LOOK)
            if any(_paths(first, key, child.parent(), None) for key in _text_columns(first)):
                found.append(child)
    return found


def _chosen(place: Place, table: str | None) -> Place:
    if table is not None:
        return place.child(table)
    found = _listings(place)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found)
        raise InvalidError(f"several tables in {place.url!r} name files; say table=..., of {names}")
    raise InvalidError(f"no table in {place.url!r} names files beside it")
