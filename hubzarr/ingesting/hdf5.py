"""HDF5 files, netCDF 4 among them.

Datasets of one length are columns and groups become groups of tensors, as `arrangement`
finds out; several files with the same datasets follow each other. Attributes go to the
info. Compound types become a column for each member, enumerations that count from 0
become class labels, text of any kind becomes text, and ragged (vlen) numbers stay ragged.

Nothing outside the file is touched: external links, external storage and virtual
datasets of other files are reported as skipped. So are object references.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError, UnsupportedError
from hubzarr.ingesting.arrangement import arrange, join
from hubzarr.ingesting.blocks import ArrayInfo, BlockSource, fields_of
from hubzarr.ingesting.columns import as_json
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Skipped
from hubzarr.media.extras import have, need

__all__ = ["KIND", "matches", "open_source"]

KIND = "hdf5"

_MAGIC = b"\x89HDF\r\n\x1a\n"
_SUFFIXES = (".h5", ".hdf5", ".he5", ".nc", ".nc4", ".h5ad", ".mat", ".hdf")
_LOOKED_AT = 1000
_OUTSIDE = "it lies in another file, which is not opened; copy the data into this file"


def matches(place: Place) -> bool:
    """Whether the place is an HDF5 file, or a folder of nothing else.

    Examples
    --------
    >>> matches(Place("no/such/file.h5"))
    False
    """
    try:
        if place.is_file():
            return _has_magic(place)
        files = list(islice(place.walk(), _LOOKED_AT))
        alike = {file.suffix for file in files}
        return len(alike) == 1 and alike <= set(_SUFFIXES) and _has_magic(files[0])
    except HubzarrError:
        return False


def open_source(place: Place, *, whole: bool = False) -> BlockSource:
    """Datasets as columns.

    Parameters
    ----------
    place : Place
        A file, or a folder of files with the same datasets.
    whole : bool
        Take each dataset as one sample, so that a file is one row.

    Raises
    ------
    SampleError
        If a file is broken or has no datasets with rows.
    UnsupportedError
        If h5py, or a filter that the file needs, is missing.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("digits.h5", "w") as file:
    ...     file["images"] = np.zeros((2, 8, 8, 3), "u1")
    ...     file["meta/writer"] = ["ann", "bob"]
    >>> source = open_source(Place("digits.h5"))
    >>> [(column.name, column.options["htype"]) for column in source.columns]
    [('images', 'image'), ('meta/writer', 'text')]
    """
    files = [place] if place.is_file() else [f for f in place.walk() if f.suffix in _SUFFIXES]
    if not files:
        raise InvalidError(f"no HDF5 file in {place.url!r}", path=place.url)
    sources = [(file.relative(place), _one_file(file, whole)) for file in files]
    if len(sources) > 1 and len({source.parts[0].whole for _, source in sources}) > 1:
        sources = [(file.relative(place), _one_file(file, True)) for file in files]
    return join(sources)


@dataclass(frozen=True)
class _Reader:
    """Reads boxes of one dataset; the file is open no longer than that."""

    place: Place
    path: str

    def __call__(self, box: tuple[slice, ...]) -> Any:
        with _open(self.place) as file:
            try:
                return file[self.path][box]
            except (OSError, KeyError, ValueError) as cause:
                raise SampleError(
                    f"{self.place.url}: dataset {self.path!r} can't be read ({cause})",
                    path=self.place.url,
                ) from cause


def _open(place: Place) -> Any:
    h5py = need("h5py", extra="hdf5", what="reading HDF5 files")
    try:
        return h5py.File(place.url if place.is_local else place.open(), "r")
    except OSError as cause:
        raise SampleError(f"{place.url}: broken HDF5 file, {cause}", path=place.url) from cause


def _one_file(place: Place, whole: bool) -> BlockSource:
    with _open(place) as file:
        look = _Look(place)
        look.group(file, "")
        attributes = {"/": _attributes(file), **look.attributes}
    kept = {name: values for name, values in attributes.items() if values}
    if not any(array.shape for array in look.arrays):
        raise SampleError(
            f"{place.url} has no dataset with rows in it"
            + "".join(f"; {skipped}" for skipped in look.skipped[:3]),
            path=place.url,
        )
    info = {"attributes": kept} if kept else {}
    return arrange(KIND, look.arrays, info=info, whole=whole, skipped=tuple(look.skipped))


class _Look:
    """Walks a file once: arrays, attributes, and what can't be read."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.arrays: list[ArrayInfo] = []
        self.attributes: dict[str, dict[str, Any]] = {}
        self.skipped: list[Skipped] = []
        self._seen: set[Any] = set()

    def group(self, group: Any, prefix: str) -> None:
        """Everything in a group. Soft links lead to what is met elsewhere, or to nothing."""
        h5py = need("h5py", extra="hdf5", what="reading HDF5 files")
        for name in group:
            path = f"{prefix}{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                self._skip(path, _OUTSIDE)
            elif isinstance(link, h5py.HardLink):
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in self._seen:
                    continue
                self._seen.add(address)
                if isinstance(item, h5py.Group):
                    self._note(path, item)
                    self.group(item, f"{path}/")
                elif isinstance(item, h5py.Dataset):
                    self._dataset(path, item)

    def _dataset(self, path: str, dataset: Any) -> None:
        try:
            dtype = dataset.dtype
        except (TypeError, ValueError) as cause:
            self._skip(path, f"its type has no equal in NumPy ({cause})")
            return
        if dataset.shape is None:
            self._skip(path, "it is a null dataspace, without any element")
        elif dataset.external or _is_elsewhere(dataset):
            self._skip(path, _OUTSIDE)
        else:
            _check_filters(dataset, path, self.place)
            self._note(path, dataset)
            chunks = dataset.chunks
            whole = ArrayInfo(
                path,
                dataset.shape,
                dtype,
                _Reader(self.place, f"/{path}"),
                chunks[0] if chunks else 1,
                chunks,
            )
            for leaf in fields_of(whole):
                made = _described(leaf)
                if made is None:
                    self._skip(leaf.name, f"values of type {leaf.dtype} are not read")
                else:
                    self.arrays.append(made)

    def _note(self, path: str, item: Any) -> None:
        self.attributes[path] = _attributes(item)

    def _skip(self, path: str, why: str) -> None:
        self.skipped.append(Skipped(f"{self.place.url}: {path}", why))


def _described(array: ArrayInfo) -> ArrayInfo | None:
    """With options for what only HDF5 knows; None for what can't be kept."""
    h5py = need("h5py", extra="hdf5", what="reading HDF5 files")
    dtype = array.dtype
    if h5py.check_ref_dtype(dtype) is not None:
        return None
    names = h5py.check_enum_dtype(dtype)
    if names is not None:
        ordered = sorted(names, key=names.get)
        if [names[name] for name in ordered] == list(range(len(names))):
            options = {"htype": "class_label", "class_names": ordered}
            return replace(array, options=options)
        return array
    if h5py.check_string_dtype(dtype) is not None:
        return array
    inner = h5py.check_vlen_dtype(dtype)
    if inner is not None:
        if inner.kind not in "biufc" or len(array.shape) != 1:
            return replace(array, options={"htype": "json"})
        options = {"htype": "generic", "dtype": inner.newbyteorder("=").name}
        return replace(array, options=options)
    if dtype.kind in "fc" and dtype.itemsize > (16 if dtype.kind == "c" else 8):
        return None
    return array


def _attributes(item: Any) -> dict[str, Any]:
    found = {}
    for name in item.attrs:
        try:
            value = item.attrs[name]
        except (OSError, TypeError, ValueError):  # of a type that h5py can't read
            continue
        if not _refers(value):
            found[str(name)] = as_json(value)
    return found


def _refers(value: Any) -> bool:
    """Whether a value is or holds references, such as the scales of a dimension."""
    if isinstance(value, np.ndarray):
        if value.dtype.names:
            return any(value.dtype[name].hasobject for name in value.dtype.names)
        return value.dtype.hasobject and any(_refers(x) for x in value.flat)
    return type(value).__name__ in ("Reference", "RegionReference", "Empty") or (
        isinstance(value, np.void) and value.dtype.hasobject
    )


def _is_elsewhere(dataset: Any) -> bool:
    if not dataset.is_virtual:
        return False
    return any(source.file_name != "." for source in dataset.virtual_sources())


def _check_filters(dataset: Any, path: str, place: Place) -> None:
    """Look for missing filters now, not in the middle of reading."""
    h5py = need("h5py", extra="hdf5", what="reading HDF5 files")
    plist = dataset.id.get_create_plist()
    for number, _, _, name in _filters(plist):
        if not h5py.h5z.filter_avail(number):
            have("hdf5plugin")  # importing it makes its filters known
        if not h5py.h5z.filter_avail(number):
            raise UnsupportedError(
                f"{place.url}: dataset {path!r} is compressed with filter {number} "
                f"({name.decode(errors='replace')}), which h5py lacks: pip install hdf5plugin",
                path=place.url,
            )


def _filters(plist: Any) -> Iterator[tuple[int, int, tuple[int, ...], bytes]]:
    for index in range(plist.get_nfilters()):
        yield plist.get_filter(index)


def _has_magic(place: Place) -> bool:
    """The signature stands at the start, or behind a user block of 512, 1024, … bytes."""
    with place.open() as file:
        if file.read(8) == _MAGIC:
            return True
        for offset in (512, 1024, 2048) if place.suffix in _SUFFIXES else ():
            file.seek(offset)
            if file.read(8) == _MAGIC:
                return True
    return False
