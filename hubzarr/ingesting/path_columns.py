"""Which columns of a table name files, and where these are.

Paths with the extension of a medium are told by the files that they name. Names without one
(``7`` for ``train/7.png``) could be anything, so they count only where most of them are files,
and no other column names files, or the column is called after files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubzarr.errors import InvalidError
from hubzarr.ingesting.files import prevailing
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.source import Column
from hubzarr.media import get_format
from hubzarr.media.formats import by_extension

__all__ = ["LOOK", "PathColumn", "find_path_columns", "path_column_of"]

#: Rows, and folders, looked at to find the columns of paths.
LOOK = 20

_WEB = ("http://", "https://")
_PLURALS = {"image": "images", "video": "videos", "audio": "audio", "mesh": "meshes"}
_AFTER_FILES = re.compile(r"file|path|image|img|(?<![a-z])ids?(?![a-z])")


@dataclass(frozen=True)
class PathColumn:
    """A column of paths: where the files are, and the tensor of their samples.

    Attributes
    ----------
    key : str
        Of the column in the table.
    column : Column
        The tensor.
    folder : Place
        Where the paths begin.
    extension : str
        What the paths leave out, such as ``.jpg``.
    """

    key: str
    column: Column
    folder: Place
    extension: str

    def place(self, value: Any) -> Place:
        """The file that a value names."""
        return self.folder.resolve(f"{value}{self.extension}")


def find_path_columns(
    table: Any, base: Place, *, search: bool = True, compression: str | None = None
) -> list[PathColumn]:
    """The columns of a table whose values name files.

    Parameters
    ----------
    table : pyarrow.Table
        The first rows.
    base : Place
        The folder of the table.
    search : bool, default True
        Whether to look in the folders below as well, and for names without extensions, as
        suits a table that lies beside its files.
    compression : str, optional
        Format to keep the files in; by default the one that most of the first have.

    Examples
    --------
    >>> import pathlib, pyarrow
    >>> pathlib.Path("photos").mkdir()
    >>> _ = pathlib.Path("photos/tom.jpg").write_bytes(b"...")
    >>> table = pyarrow.table({"photo": ["photos/tom.jpg"], "name": ["tom"]})
    >>> [found.key for found in find_path_columns(table, Place("."))]
    ['photo']
    """
    keys = _text_columns(table)
    folders = _folders(base) if search else [base]
    paths = [found for key in keys if (found := _paths(table, key, folders, compression))]
    if not search:
        return paths
    rest = [key for key in keys if key not in {found.key for found in paths}]
    stems = [found for key in rest if (found := _stems(table, key, folders, compression))]
    if len(stems) > 1 or paths:
        stems = [found for found in stems if _AFTER_FILES.search(found.key.lower())]
    order = {key: number for number, key in enumerate(keys)}
    return sorted([*paths, *stems], key=lambda found: order[found.key])


def path_column_of(
    table: Any, key: str, base: Place, compression: str | None = None
) -> PathColumn | None:
    """The files that the values of one column name, wherever they are; None if there are none.

    Raises
    ------
    InvalidError
        There is no such column.
    """
    if key not in table.column_names:
        raise InvalidError(f"no column {key!r}; there are {', '.join(table.column_names)}")
    folders = _folders(base)
    found = _paths(table, key, folders, compression)
    return found or _stems(table, key, folders, compression)


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


def _values(table: Any, key: str) -> list[str | int]:
    """What may be names of files, if all values may be."""
    found = table.column(key).to_pylist()
    values = [value for value in found if isinstance(value, (str, int))]
    return values if all(map(_could_be_path, values)) else []


def _paths(
    table: Any, key: str, folders: Sequence[Place], compression: str | None
) -> PathColumn | None:
    """Whether at least half of the values are paths with the extension of a medium."""
    values = _values(table, key)
    if any(by_extension(str(value)) for value in values):
        for folder in folders:
            formats = _formats(folder, values, "")
            if formats.total() * 2 >= len(values):
                return _made(key, folder, "", formats, compression)
    return None


def _stems(
    table: Any, key: str, folders: Sequence[Place], compression: str | None
) -> PathColumn | None:
    """Whether most of the values are names of files without their extension."""
    values = _values(table, key)
    if not values or any(by_extension(str(value)) for value in values):
        return None
    for folder in folders:
        for extension in _extensions(folder):
            formats = _formats(folder, values, extension)
            if formats.total() * 2 > len(values):
                return _made(key, folder, extension, formats, compression)
    return None


def _formats(folder: Place, values: Sequence[str | int], extension: str) -> Counter[str]:
    """How many of the files are there, by their formats."""
    files = (folder.resolve(f"{value}{extension}") for value in values)
    return Counter(found for file in files if (found := by_extension(file.name)) and file.is_file())


def _made(
    key: str, folder: Place, extension: str, formats: Counter[str], compression: str | None
) -> PathColumn:
    kind = get_format(max(formats, key=lambda name: formats[name])).kind
    best = prevailing({name: n for name, n in formats.items() if get_format(name).kind == kind})
    options = {"htype": kind, "sample_compression": compression or best}
    return PathColumn(key, Column(_PLURALS.get(kind, kind), options), folder, extension)


def _could_be_path(value: str | int) -> bool:
    """Whether file systems may have such a name, which they refuse to look up otherwise."""
    return all(len(part.encode()) < 240 and "\0" not in part for part in str(value).split("/"))


def _folders(base: Place) -> list[Place]:
    """The folder of the table, and those in it."""
    children = [child for child in base.children() if child.is_dir() and not hidden(child.name)]
    inner = [child.child("images") for child in children if child.child("images").is_dir()]
    return [base, *children[:LOOK], *inner[:LOOK]]


def _extensions(folder: Place) -> list[str]:
    """What could be left out of names: ``.jpg`` if there are such files."""
    names = (child.name for child in folder.children()[:LOOK])
    found = Counter(f".{name.rpartition('.')[2]}" for name in names if by_extension(name))
    return list(found)
