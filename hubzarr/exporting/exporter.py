"""`export`: the formats by name, and what all of them share."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from hubzarr.datasets import DatasetView
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.exporting import (
    coco,
    csv_file,
    folder,
    mds,
    parquet,
    webdataset,
    yolo,
    zarr_folder,
)
from hubzarr.exporting.report import ExportReport
from hubzarr.exporting.table import Table
from hubzarr.exporting.target import DOCUMENT, MARK, Target, suffix_of
from hubzarr.progress import progress

if TYPE_CHECKING:
    from hubzarr.exporting.report import Written

__all__ = ["FORMATS", "export", "option_names"]

_MODULES: Final[tuple[ModuleType, ...]] = (
    folder, csv_file, parquet, webdataset, mds, zarr_folder, coco, yolo,
)  # fmt: skip
FORMATS: Final = tuple(module.FORMAT for module in _MODULES)
_SUFFIXES: Final = {
    ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".tar": "webdataset", ".mds": "mds",
    ".zarr": "zarr",
}  # fmt: skip

_FILE_SUFFIXES: Final = frozenset(
    {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"}
    | {".csv", ".tsv", ".parquet", ".pq", ".json", ".txt"}
)


def export(
    ds: DatasetView,
    target: str | os.PathLike[str],
    format: str | None = None,
    *,
    tensors: Sequence[str] | None = None,
    overwrite: bool = False,
    progressbar: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> ExportReport:
    """Write a dataset or view in a format that others read.

    The rows are those of one commit. Files that samples are kept as are written byte for
    byte. Locally, all is written under another name and renamed at the end, so that what is
    at `target` is whole.

    Parameters
    ----------
    ds : DatasetView
        A dataset, a group of one, or a view such as ``ds[:100]`` or what a query gave.
    target : str or path
        A file or folder: a local path, or a URL of fsspec.
    format : str, optional
        By default what the extension of `target` says.

        ============  =======================================================
        "folder"      files in folders of their classes, or flat with a table
        "csv"         numbers, text and names of classes
        "parquet"     everything, images as Hugging Face keeps them
        "webdataset"  tar archives, ``.tar``
        "mds"         shards of MosaicML's streaming
        "zarr"        plain Zarr, which any library reads, ``.zarr``
        "coco"        images, and boxes, masks, keypoints in one JSON file
        "yolo"        images, and a text file of boxes for each
        ============  =======================================================
    tensors : sequence of str, optional
        Names of the tensors to export; by default all that are not hidden.
    overwrite : bool, default False
        Replace a file, or a folder that an export wrote. Other folders are never deleted.
    progressbar : bool, default True
        Whether to show a progress bar, if the settings do not say otherwise.
    storage_options : mapping, optional
        For fsspec, where `target` is a URL.
    **options
        Of the format, see `hubzarr.exporting`.

    Returns
    -------
    ExportReport
        What was written, and which tensors have no place in the format.

    Raises
    ------
    ExistsError
        There is something at `target`.
    InvalidError
        The format is unknown, or suits none of the tensors.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/export")
    >>> _ = ds.create_tensor("age")
    >>> _ = ds.create_tensor("pet", htype="class_label", class_names=["cat", "dog"])
    >>> _ = ds.extend({"age": [3, 4], "pet": ["dog", "cat"]})
    >>> print(hub.export(ds, "pets.csv"))
    2 rows as csv in pets.csv: 1 file, 20 B
    >>> import pathlib
    >>> print(pathlib.Path("pets.csv").read_text(), end="")
    age,pet
    3,dog
    4,cat
    """
    if not isinstance(ds, DatasetView):
        raise InvalidTypeError(
            f"expected a dataset or view, not {type(ds).__name__}; a name is opened by hub.load"
        )
    url = os.fspath(target)
    module = _module(format, url)
    _check_options(module, options)
    table = Table(ds, tensors)
    bar = progress(len(table), f"exporting {ds.name}") if progressbar else None
    single = module.is_single(url)
    if not single:
        _check_folder(url, module)
    with (
        Target(url, single=single, overwrite=overwrite, options=storage_options) as place,
        bar or nullcontext(),
    ):
        written = module.write(table, place, bar.advance if bar else _ignore, **options)
        if not single and module is not zarr_folder:
            place.write_json(DOCUMENT, _document(table, module, written))
    chosen = tuple(f.name for f in table.fields if f.name not in written.left_out)
    return ExportReport(
        url, module.FORMAT, len(table), place.files, place.nbytes, chosen, written.left_out,
        written.notes,
    )  # fmt: skip


def _ignore(rows: int) -> None:
    pass


def _module(name: str | None, url: str) -> ModuleType:
    wanted = _SUFFIXES.get(suffix_of(url)) if name is None else name
    for module in _MODULES:
        if wanted == module.FORMAT:
            return module
    known = ", ".join(FORMATS)
    if name is None:
        raise InvalidError(f"can't tell the format from {url!r}: say format=..., one of {known}")
    raise InvalidError(f"unknown format {name!r}; known ones: {known}")


def option_names() -> frozenset[str]:
    """The options that some format has.

    Examples
    --------
    >>> "filenames" in option_names()
    True
    """
    return frozenset(name for module in _MODULES for name in _options(module))


def _options(module: ModuleType) -> list[str]:
    parameters = inspect.signature(module.write).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def _check_folder(url: str, module: ModuleType) -> None:
    """Refuse to make a folder whose name says that it is a file."""
    suffix = suffix_of(url)
    if suffix in _FILE_SUFFIXES:
        raise InvalidError(
            f"format {module.FORMAT!r} writes a folder, and {url!r} has the name of a file: leave "
            f"out {suffix!r}, and pack the folder afterwards if it is to be one file"
        )


def _check_options(module: ModuleType, options: Mapping[str, Any]) -> None:
    known = _options(module)
    for name in options:
        if name not in known:
            raise InvalidError(
                f"format {module.FORMAT!r} has no option {name!r}; it has "
                f"{', '.join(known) or 'none'}"
            )


def _document(table: Table, module: ModuleType, written: Written) -> dict[str, Any]:
    """What `dataset.json` says."""
    found = {MARK: 1, "format": module.FORMAT} | table.document()
    tensors = {n: about for n, about in found["tensors"].items() if n not in written.left_out}
    for name, more in written.tensors.items():
        tensors[name] = tensors[name] | more
    return found | {"tensors": tensors}
