"""Zarr arrays and groups, format 2 and 3, OME-Zarr images among them.

Arrays of one length are columns and groups become groups of tensors, as `arrangement`
finds out. An OME-Zarr image becomes one row: its largest scale as one sample of which
regions are read, with its label images beside it; of a plate, or of a file with several
series, each image is a row. Attributes go to the info.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.arrangement import arrange
from hubzarr.ingesting.blocks import ArrayInfo, dtype_name, whole_sample
from hubzarr.ingesting.columns import as_json
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.shelf import Shelf
from hubzarr.ingesting.source import Column, Skipped, Source, Unit

__all__ = ["KIND", "matches", "open_source"]

KIND = "zarr"

_MARKS = ("zarr.json", ".zarray", ".zgroup")
_OPEN_ARRAYS = 64

type _Arrays = Shelf[tuple[Place, str], Any]


def matches(place: Place) -> bool:
    """Whether the place is a Zarr array or group, or a folder of some.

    Examples
    --------
    >>> import zarr
    >>> _ = zarr.create_array("numbers.zarr", data=np.arange(3))
    >>> matches(Place("numbers.zarr"))
    True
    """
    try:
        return place.is_dir() and (_is_node(place) or bool(_nodes(place)))
    except HubzarrError:
        return False


def open_source(place: Place, *, whole: bool = False) -> Source:
    """Arrays as columns, or images as rows.

    Parameters
    ----------
    place : Place
        An array, a group, or a folder of them.
    whole : bool
        Take each array as one sample, so that all of them are one row.

    Raises
    ------
    SampleError
        If there is no array with rows.

    Examples
    --------
    >>> import zarr
    >>> _ = zarr.create_array("digits.zarr", name="labels", data=np.array([7, 2]))
    >>> source = open_source(Place("digits.zarr"))
    >>> [(column.name, column.options["htype"]) for column in source.columns]
    [('labels', 'class_label')]
    """
    look = _Look(place)
    if _is_node(place):
        look.node(place, "")
    for child in () if _is_node(place) else _nodes(place):
        look.node(child, child.stem)
    if look.images and not whole:
        return _images(place, look)
    if not any(array.shape for array in look.arrays):
        raise SampleError(
            f"{place.url!r} has no Zarr array with rows"
            + "".join(f"; {skipped}" for skipped in look.skipped[:3]),
            path=place.url,
        )
    info = {"attributes": look.attributes} if look.attributes else {}
    skipped = tuple(look.skipped)
    return arrange(KIND, look.arrays, info=info, whole=whole, skipped=skipped)


@dataclass(frozen=True)
class _Reader:
    """Reads boxes of one array."""

    place: Place
    open_arrays: _Arrays
    path: str = ""

    def __call__(self, box: tuple[slice, ...]) -> Any:
        try:
            return self.open_arrays.get((self.place, self.path))[box]
        except HubzarrError:
            raise
        except Exception as cause:  # codecs raise what they like
            raise SampleError(
                f"{self.place.url}: a chunk can't be read ({type(cause).__name__}: {cause})",
                path=self.place.url,
            ) from cause


def _open(place: Place) -> Any:
    """Array or group, without consolidated metadata: one bad array would spoil it all."""
    import zarr

    store = place.url if place.is_local else _remote_store(place)
    marks = {child.name for child in place.children()}
    version: Literal[2, 3] = 2
    kind = "array" if ".zarray" in marks else "group"
    if kind == "group" and "zarr.json" in marks:
        version = 3
        kind = json.loads(place.child("zarr.json").read())["node_type"]
    if kind == "array":
        return zarr.open_array(store, mode="r", zarr_format=version)
    return zarr.open_group(store, mode="r", zarr_format=version, use_consolidated=False)


def _remote_store(place: Place) -> Any:
    """Made here, because Zarr takes ``memory://`` for a store of its own."""
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(place.url, storage_options=place.options, read_only=True)


def _open_array(key: tuple[Place, str]) -> Any:
    return _open(key[0])


class _Look:
    """Walks a hierarchy once: arrays, attributes, images, and what can't be read."""

    def __init__(self, root: Place) -> None:
        self.root = root
        self.arrays: list[ArrayInfo] = []
        self.attributes: dict[str, Any] = {}
        self.images: list[tuple[str, list[ArrayInfo]]] = []
        self.skipped: list[Skipped] = []
        self._open_arrays: _Arrays = Shelf(_open_array, _OPEN_ARRAYS)

    def node(self, place: Place, path: str) -> None:
        """An array, or everything in a group."""
        try:
            node = _open(place)
        except Exception as cause:  # an unknown codec or dtype, or broken metadata
            self._skip(place, f"Zarr can't open it ({type(cause).__name__}: {cause})")
            return
        attributes = dict(node.attrs)
        if hasattr(node, "shape"):
            self._note(path, attributes)
            self.arrays.append(self._array(place, node, path or place.stem))
            return
        scales = _scales(attributes)
        if scales:
            self._image(place, path, scales, attributes)
            return
        self._note(path, attributes)
        for child in _nodes(place):
            self.node(child, f"{path}/{child.name}" if path else child.name)

    def _image(self, place: Place, path: str, scales: list[str], attributes: Any) -> None:
        """The largest scale of an image, and those of its label images."""
        self._note(path, attributes)
        found = self._first_scale(place, scales, "image")
        labels = place.child("labels")
        for child in _nodes(labels) if labels.is_dir() else ():
            try:
                inner = _scales(dict(_open(child).attrs))
            except Exception as cause:
                self._skip(child, f"Zarr can't open it ({type(cause).__name__}: {cause})")
                continue
            if inner:
                found += self._first_scale(child, inner, f"labels/{child.name}")
        if found:
            self.images.append((path, found))

    def _first_scale(self, place: Place, scales: list[str], name: str) -> list[ArrayInfo]:
        level = place.child(scales[0])
        try:
            return [self._array(level, _open(level), name)]
        except Exception as cause:
            self._skip(level, f"Zarr can't open it ({type(cause).__name__}: {cause})")
            return []

    def _array(self, place: Place, array: Any, name: str) -> ArrayInfo:
        chunks = tuple(getattr(array, "shards", None) or array.chunks)
        reader = _Reader(place, self._open_arrays)
        rows = chunks[0] if chunks else 1
        return ArrayInfo(name, tuple(array.shape), array.dtype, reader, rows, chunks)

    def _note(self, path: str, attributes: Any) -> None:
        if attributes:
            self.attributes[path or "/"] = as_json(attributes)

    def _skip(self, place: Place, why: str) -> None:
        self.skipped.append(Skipped(place.url, why))


@dataclass(frozen=True)
class ImageRows:
    """A row for each OME-Zarr image.

    Examples
    --------
    >>> import zarr
    >>> scale = {"datasets": [{"path": "0"}], "axes": [{"name": "y"}, {"name": "x"}]}
    >>> group = zarr.open_group("cells.zarr", attributes={"multiscales": [scale]})
    >>> _ = group.create_array("0", data=np.zeros((4, 5), "u2"))
    >>> source = open_source(Place("cells.zarr"))
    >>> [row["image"].shape for unit in source.units() for row in source.rows(unit)]
    [(4, 5)]
    """

    columns: tuple[Column, ...]
    images: tuple[tuple[str, tuple[ArrayInfo, ...]], ...]
    skipped: tuple[Skipped, ...]
    info: dict[str, Any]
    kind: str = KIND

    def units(self) -> Iterator[Unit]:
        """One for each image."""
        for number, (path, _) in enumerate(self.images):
            yield Unit(path or "/", number, 1)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The image and its labels."""
        if unit.payload == 0:
            yield from self.skipped
        path, arrays = self.images[unit.payload]
        row = {array.name: whole_sample(array) for array in arrays}
        yield {**row, "series": path} if len(self.images) > 1 else row


def _images(place: Place, look: _Look) -> ImageRows:
    first = look.images[0][1]
    dtypes = {
        array.name: {a.dtype for _, arrays in look.images for a in arrays if a.name == array.name}
        for array in first
    }
    columns = [
        Column(name, {"htype": "generic", "dtype": dtype_name(np.result_type(*found))})
        for name, found in dtypes.items()
    ]
    images = []
    for path, arrays in look.images:
        if {array.name for array in arrays} != dtypes.keys():
            raise InvalidError(
                f"{place.url!r}: the image {path!r} has other label images than the first one; "
                "ingest them one by one",
                path=place.url,
            )
        images.append((path, tuple(arrays)))
    if len(images) > 1:
        columns.append(Column("series", {"htype": "text"}))
    info = {"attributes": look.attributes}
    return ImageRows(tuple(columns), tuple(images), tuple(look.skipped), info)


def _scales(attributes: dict[str, Any]) -> list[str]:
    """Paths of an image's scales, the largest first; none if it is no OME-Zarr image."""
    found = attributes.get("ome", attributes)
    try:
        return [str(scale["path"]) for scale in found["multiscales"][0]["datasets"]]
    except (KeyError, IndexError, TypeError):
        return []


def _is_node(place: Place) -> bool:
    marks = [child for child in place.children() if child.name in _MARKS and child.is_file()]
    return any(mark.name != "zarr.json" or _is_version_3(mark) for mark in marks)


def _is_version_3(document: Place) -> bool:
    """Whether it is what became Zarr 3: drafts had a file of this name as well."""
    try:
        return json.loads(document.read())["node_type"] in ("array", "group")
    except (ValueError, KeyError, TypeError):
        return False


def _nodes(place: Place) -> list[Place]:
    """Arrays and groups right in a folder."""
    folders = [child for child in place.children() if not hidden(child.name) and child.is_dir()]
    return [child for child in folders if _is_node(child)]
