"""Which kind of source a place holds.

Modules are asked in order, and the first that matches wins: so what is told by an
unmistakable mark comes before what is told by extensions alone, and a plain folder of
images comes last.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, cast

from hubzarr.errors import HubzarrError, InvalidError, NotFoundError
from hubzarr.ingesting.exported import restored
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.source import Source, SourceModule
from hubzarr.ingesting.table_rows import is_table_file

__all__ = ["MODULES", "check_options", "kinds", "load", "open_source", "option_names", "recognise"]

#: Names of the modules, in the order in which they are asked. They are imported then. The
#: last one takes any folder of images.
MODULES: tuple[str, ...] = (
    "hub2",
    "precomputed",
    "idx",
    "cifar",
    "npy",
    "hdf5",
    "exported_zarr",
    "zarrs",
    "mds",
    "tfrecord",
    "webdataset",
    "coco",
    "voc",
    "yolo",
    "huggingface",
    "tables",
    "parquet",
    "dicom",
    "geotiff",
    "nifti",
    "points",
    "clips",
    "folders",
)


# Folders in a folder whose listings are kept while it is recognised.
_LISTED = 50
# Tables that an error names.
_NAMED = 3


def load(name: str) -> SourceModule:
    """The module of this name.

    Examples
    --------
    >>> load("folders").KIND
    'folders'
    """
    return cast(SourceModule, importlib.import_module(f"hubzarr.ingesting.{name}"))


def kinds() -> list[str]:
    """The kinds of sources there are.

    Examples
    --------
    >>> "folders" in kinds()
    True
    """
    return [load(name).KIND for name in MODULES]


def option_names() -> frozenset[str]:
    """The options that some kind of source has.

    Examples
    --------
    >>> "table" in option_names()
    True
    """
    parameters = (inspect.signature(load(name).open_source).parameters for name in MODULES)
    return frozenset(name for known in parameters for name in list(known)[1:])


def recognise(place: Place) -> SourceModule:
    """The module that reads what is at a place.

    Raises
    ------
    NotFoundError
        Nothing is there.
    InvalidError
        No module knows what is there.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("photos/cats").mkdir(parents=True)
    >>> _ = pathlib.Path("photos/cats/tom.jpg").write_bytes(b"...")
    >>> recognise(Place("photos")).KIND
    'folders'
    """
    return _found(place)[0]


def open_source(place: Place, kind: str | None = None, **options: Any) -> Source:
    """The source at a place, of the kind given or recognised.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("photos/cats").mkdir(parents=True)
    >>> _ = pathlib.Path("photos/cats/tom.jpg").write_bytes(b"...")
    >>> [column.name for column in open_source(Place("photos")).columns]
    ['images', 'labels']
    """
    module, inner = (_of_kind(kind), place) if kind else _found(place)
    check_options(module.open_source, f"kind {module.KIND!r}", options)
    source = module.open_source(inner, **options)
    # Who gives options wants something else than what was exported.
    return source if options else restored(inner, source)


def check_options(function: Callable[..., Any], what: str, options: Iterable[str]) -> None:
    """Refuse options that a function which opens a source does not have.

    Examples
    --------
    >>> check_options(load("hdf5").open_source, "kind 'hdf5'", ["table"])
    Traceback (most recent call last):
    hubzarr.errors.InvalidError: kind 'hdf5' has no option table; there are: whole
    """
    known = list(inspect.signature(function).parameters)[1:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InvalidError(
            f"{what} has no option {', '.join(unknown)}; there are: {', '.join(known) or 'none'}"
        )


def _found(place: Place) -> tuple[SourceModule, Place]:
    """The module for what is at a place, and where exactly it is.

    Archives and downloads often have all in one folder. It is looked into unless what is
    around it has a mark of its own.
    """
    if not place.exists():
        raise NotFoundError(f"nothing is at {place.url!r}: check the path", path=place.url)
    _list_once(place)
    *marked, last = MODULES
    inner: Place | None = place
    while inner is not None:
        for name in marked:
            module = load(name)
            if module.matches(inner):
                return module, inner
        inner = _only_folder(inner)
    module = load(last)
    if module.matches(place):
        return module, place
    raise InvalidError(
        f"can't tell what {place.url!r} holds{_tables_in(place)}; say it with kind=..., one of: "
        f"{', '.join(kinds())}",
        path=place.url,
    )


def _tables_in(place: Place) -> str:
    """Advice to take a table of a folder, if there is one."""
    children = place.children() if place.is_dir() else []
    tables = [child.name for child in children if is_table_file(child.name)]
    if not tables:
        return ""
    more = ", ..." if len(tables) > _NAMED else ""
    return f"; give a table in it itself ({', '.join(tables[:_NAMED])}{more})"


def _list_once(place: Place) -> None:
    """List what all modules look at, so that it is not listed again for each."""
    with contextlib.suppress(HubzarrError):  # the module that wants it says so
        for folder in place.folders()[:_LISTED] if place.is_dir() else ():
            folder.folders()


def _only_folder(place: Place) -> Place | None:
    """The folder that is all there is in a folder."""
    if not place.is_dir():
        return None
    folders = place.folders()
    shown = sum(1 for child in place.children() if not hidden(child.name))
    return folders[0] if shown == len(folders) == 1 else None


def _of_kind(kind: str) -> SourceModule:
    for name in MODULES:
        module = load(name)
        if kind == module.KIND:
            return module
    raise InvalidError(f"unknown kind of source {kind!r}; known ones: {', '.join(kinds())}")
