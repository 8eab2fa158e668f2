"""What every source is: columns, units of work, and the rows of a unit.

A module of a source has ``KIND``, a short name; ``matches(place)``, which tells cheaply
and without raising whether the place holds such data; and ``open_source(place,
**options)``, which gives a `Source`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from hubzarr.errors import NotFoundError
from hubzarr.ingesting.place import Place

__all__ = [
    "Block",
    "Column",
    "Row",
    "Skipped",
    "Source",
    "SourceModule",
    "Unit",
    "file_units",
    "path_units",
]

#: A unit of files ends at so many files, or so many bytes.
UNIT_FILES = 256
UNIT_BYTES = 32_000_000


@dataclass(frozen=True)
class Column:
    """A tensor that a source fills.

    Parameters
    ----------
    name : str
        Its name; a slash stands between group and name: ``annotations/boxes``.
    options : dict
        What `create_tensor` gets: ``htype``, ``dtype``, ``sample_compression``,
        ``class_names`` and so on.

    Examples
    --------
    >>> Column("labels", {"htype": "class_label", "class_names": ["cat", "dog"]}).name
    'labels'
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """A part of a source that is read in one piece: some hundred rows, some tens of MB.

    Parameters
    ----------
    key : str
        Tells it from the other units, and stays the same between runs: finished units
        are remembered by it.
    payload : Any
        What the source needs to read it; small, and fit to be sent to another process.
    rows : int, optional
        How many rows it has, where that is known.

    Examples
    --------
    >>> Unit("part/3", payload=(300, 400), rows=100).key
    'part/3'
    """

    key: str
    payload: Any = None
    rows: int | None = None


@dataclass(frozen=True)
class Skipped:
    """Something in a source that became no row.

    Parameters
    ----------
    what : str
        A path, or where in a file.
    why : str
        The reason.
    broken : bool, default True
        Whether it should have become one: unless the caller skips broken samples, this
        ends the ingest. A file that is no part of the data is not broken.

    Examples
    --------
    >>> print(Skipped("cats/tom.jpg", "the file is empty"))
    cats/tom.jpg: the file is empty
    """

    what: str
    why: str
    broken: bool = True

    def __str__(self) -> str:
        # Errors of samples have the path in them already.
        return self.why if self.what in self.why else f"{self.what}: {self.why}"


@dataclass(frozen=True)
class Block:
    """Many rows at once, column by column: how arrays and tables go fastest.

    Parameters
    ----------
    columns : dict
        By name, a sequence with the value of each row, or an array with one along its
        first axis.
    rows : int
        How many rows these are.

    Examples
    --------
    >>> import numpy as np
    >>> Block({"images": np.zeros((100, 28, 28), "u1"), "labels": np.zeros(100, "u4")}, 100).rows
    100
    """

    columns: dict[str, Any]
    rows: int


#: What a source gives.
type Row = dict[str, Any] | Block | Skipped


class Source(Protocol):
    """Data of one kind, as rows of a dataset.

    `units` gives the same units in the same order on each run. `rows` may be called in
    any order, from several threads or processes at once; a row is a dict of values by
    the names of columns, a `Block` is many of them, and what has to be left out is a
    `Skipped`. A source that knows how many rows it has says so in an attribute `total`,
    which only the progress bar looks at.
    """

    @property
    def kind(self) -> str:
        """The KIND of the module."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The tensors that the rows fill."""

    @property
    def info(self) -> dict[str, Any]:
        """What to keep in the dataset's info, as JSON."""

    def units(self) -> Iterator[Unit]:
        """The parts to read, in order."""

    def rows(self, unit: Unit) -> Iterator[Row]:
        """The rows of one part, in order."""


class SourceModule(Protocol):
    """A module that reads one kind of source."""

    KIND: str

    def matches(self, place: Place) -> bool:
        """Whether the place looks like this kind. Cheap; never raises."""

    def open_source(self, place: Place, **options: Any) -> Source:
        """The source at the place."""


def file_units(
    files: Iterable[Place],
    root: Place,
    *,
    max_files: int = UNIT_FILES,
    max_bytes: int = UNIT_BYTES,
    size: Callable[[Place], int] = Place.size,
) -> Iterator[Unit]:
    """Files in units of a good size; the payload is the tuple of their paths in a folder.

    Parameters
    ----------
    files : iterable of Place
        The files.
    root : Place
        The folder.
    max_files, max_bytes : int, optional
        Where a unit ends, though one file may be larger.
    size : callable, optional
        Tells the bytes of a file, where other files come with it.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("photos").mkdir()
    >>> for name in "abc":
    ...     _ = pathlib.Path(f"photos/{name}.jpg").write_bytes(b"...")
    >>> photos = Place("photos")
    >>> for unit in file_units(photos.walk(), photos, max_files=2):
    ...     print(unit)
    Unit(key='a.jpg', payload=('a.jpg', 'b.jpg'), rows=2)
    Unit(key='c.jpg', payload=('c.jpg',), rows=1)
    """
    pairs = ((file.relative(root), _safely(size, file)) for file in files)
    return path_units(pairs, max_files=max_files, max_bytes=max_bytes)


def path_units(
    files: Iterable[tuple[str, int]],
    *,
    max_files: int = UNIT_FILES,
    max_bytes: int = UNIT_BYTES,
) -> Iterator[Unit]:
    """The same for pairs of path and bytes, as `Place.files` gives them.

    Examples
    --------
    >>> files = [("a.jpg", 5), ("b.jpg", 3), ("c.jpg", 4)]
    >>> [unit.payload for unit in path_units(files, max_bytes=8)]
    [('a.jpg', 'b.jpg'), ('c.jpg',)]
    """
    batch: list[str] = []
    total = 0
    for path, size in files:
        if batch and (len(batch) >= max_files or total + size > max_bytes):
            yield Unit(batch[0], tuple(batch), len(batch))
            batch, total = [], 0
        batch.append(path)
        total += size
    if batch:
        yield Unit(batch[0], tuple(batch), len(batch))


def _safely(size: Callable[[Place], int], file: Place) -> int:
    try:
        return size(file)
    except NotFoundError:  # a broken link, say: reading it will tell
        return 0
