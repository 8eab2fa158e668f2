"""Pascal VOC: an XML file of boxes for each image.

Read as one row for each XML file, in the order of their paths. Boxes stay as they are
written: left, top, right and bottom in pixels, counted from 1 and with both ends
inside by the rules of VOC, though many tools count from 0. Where there are folders
``SegmentationClass`` and ``SegmentationObject``, their masks become class and object
numbers of pixels, 255 being the void between objects.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.files import (
    count_formats,
    find_file,
    format_of,
    image_options,
    read_sample,
)
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.plain_xml import parse_xml
from hubzarr.ingesting.source import Column, Skipped, Unit, file_units
from hubzarr.ingesting.splits import in_order, is_split
from hubzarr.media.extras import need

__all__ = ["KIND", "VocSource", "matches", "open_source"]

KIND = "voc"

_MASKS = {"SegmentationClass": "class_mask", "SegmentationObject": "object_mask"}
_FLAGS = ("difficult", "truncated")
_UNASSIGNED = "none"


def matches(place: Place) -> bool:
    """Whether there are XML files of annotations."""
    try:
        if not place.is_dir():
            return False
        found = find_file(place, lambda name: name.lower().endswith(".xml"), depth=3)
        if found is None:
            return False
        with found.open() as file:
            return b"<annotation" in file.read(1024)
    except HubzarrError:
        return False


def open_source(
    place: Place,
    *,
    sample_compression: str | None = None,
    class_names: list[str] | None = None,
) -> VocSource:
    """Images and their boxes from files in the form of Pascal VOC.

    Parameters
    ----------
    place : Place
        The folder that has ``Annotations`` and ``JPEGImages``, or one with both kinds of
        files side by side.
    sample_compression : str, optional
        Format to keep the images in; by default the one that most of them have.
    class_names : list of str, optional
        The names of the classes, in order; by default those found, sorted.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("pets").mkdir()
    >>> _ = pathlib.Path("pets/tom.jpg").write_bytes(b"...")
    >>> _ = pathlib.Path("pets/tom.xml").write_text('''<annotation><object><name>cat</name>
    ... <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
    ... </object></annotation>''')
    >>> pets = open_source(Place("pets"))
    >>> row = next(pets.rows(next(pets.units())))
    >>> row["annotations/boxes"], row["annotations/labels"]
    (array([[ 1.,  2., 30., 40.]], dtype=float32), array([0], dtype=uint32))
    """
    index = _Index.of(place)
    if not index.annotations:
        raise InvalidError(f"no XML files in {place.url!r}; expected those of Pascal VOC")
    names = class_names or _all_classes(place, index.annotations)
    splits = _splits(place, index.annotations)
    formats = count_formats(index.images.values())
    paths = list(index.images.values())
    columns = [
        Column(
            "images",
            image_options(place, paths, formats, sample_compression=sample_compression),
        ),
        Column("filenames", {"htype": "text"}),
        Column("annotations/boxes", {"htype": "bbox", "coords": {"type": "pixel", "mode": "LTRB"}}),
        Column("annotations/labels", {"htype": "class_label", "class_names": list(names)}),
        *(Column(f"annotations/{flag}", {"dtype": "bool"}) for flag in _FLAGS),
    ]
    for folder, name in _MASKS.items():
        if folder in index.masks:
            columns.append(
                Column(f"annotations/{name}", {"htype": "segment_mask", "dtype": "uint8"})
            )
    split_names = in_order(set(splits.values()))
    if len(split_names) > 1:
        columns.append(Column("split", {"htype": "class_label", "class_names": split_names}))
    return VocSource(place, tuple(columns), {"formats": dict(formats)}, index, list(names), splits)


@dataclass(frozen=True)
class VocSource:
    """Images with the boxes of their XML files."""

    root: Place
    columns: tuple[Column, ...]
    info: dict[str, Any]
    index: _Index
    class_names: list[str]
    splits: dict[str, str]
    kind: str = KIND

    @property
    def total(self) -> int:
        """How many XML files there are."""
        return len(self.index.annotations)

    def units(self) -> Iterator[Unit]:
        """Some hundred XML files at a time, in the order of their paths."""
        files = map(self.root.child, self.index.annotations)
        return file_units(files, self.root, size=self._size)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The images of a unit, not decoded, and their boxes."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        names = {column.name: column.options for column in self.columns}
        for path in unit.payload:
            try:
                yield self._row(path, names, numbers)
            except HubzarrError as error:
                yield Skipped(path, error.message)

    def _row(
        self, path: str, columns: dict[str, dict[str, Any]], numbers: dict[str, int]
    ) -> dict[str, Any]:
        place = self.root.child(path)
        annotation = parse_xml(place.read(), place.url)
        image = self.index.image_of(path, _text(annotation, "filename"))
        if image is None:
            raise SampleError(f"{place.url}: its image is missing", path=place.url)
        row = {"images": read_sample(self.root.child(image)), "filenames": image}
        row |= _objects(annotation, numbers, place.url)
        stem = _stem(path)
        for folder, name in _MASKS.items():
            if f"annotations/{name}" in columns:
                row[f"annotations/{name}"] = self._mask(self.index.masks[folder].get(stem))
        if "split" in columns:
            row["split"] = columns["split"]["class_names"].index(self.splits[path])
        return row

    def _mask(self, path: str | None) -> np.ndarray[Any, Any]:
        """The numbers in a palette image; the colours are only for looking at."""
        if path is None:
            return np.zeros((0, 0), "u1")
        place = self.root.child(path)
        pillow = need("PIL.Image", extra="images", what="reading masks")
        try:
            with pillow.open(io.BytesIO(place.read())) as image:
                mask = np.asarray(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise SampleError(f"{place.url}: broken mask: {error}", path=place.url) from error
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise SampleError(
                f"{place.url}: a mask has one byte for each pixel; this has shape {mask.shape}",
                path=place.url,
            )
        return mask

    def _size(self, annotation: Place) -> int:
        image = self.index.image_of(annotation.relative(self.root))
        return annotation.size() + (self.root.child(image).size() if image else 0)


@dataclass(frozen=True)
class _Index:
    """The files below a folder: XML files, and images and masks by path without suffix."""

    annotations: list[str]
    images: dict[str, str]
    unique: dict[str, str | None]
    masks: dict[str, dict[str, str]]

    @classmethod
    def of(cls, place: Place) -> _Index:
        index = cls([], {}, {}, {})
        for file in place.walk():
            path = file.relative(place)
            if path.lower().endswith(".xml"):
                index.annotations.append(path)
            elif format_of(file.name) is not None:
                index._add_image(path)
        return index

    def _add_image(self, path: str) -> None:
        stem = _stem(path)
        for folder in path.split("/")[:-1]:
            if folder in _MASKS:
                self.masks.setdefault(folder, {})[stem] = path
                return
        self.images[path.rpartition(".")[0]] = path
        self.unique[stem] = None if stem in self.unique else path

    def image_of(self, annotation: str, filename: str = "") -> str | None:
        """The image of an XML file: beside it, in the sister folder, or the one so named."""
        folder = annotation.rpartition("/")[0]
        for stem in filter(None, (_stem(annotation), _stem(filename))):
            beside = f"{folder}/{stem}" if folder else stem
            for path in (beside, *(_renamed(beside, sister) for sister in _IMAGE_FOLDERS)):
                if path in self.images:
                    return self.images[path]
            if self.unique.get(stem):
                return self.unique[stem]
        return None


_IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "imgs")


def _renamed(path: str, folder: str) -> str:
    parts = [folder if part.lower() == "annotations" else part for part in path.split("/")]
    return "/".join(parts)


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _text(element: Element, path: str, default: str = "") -> str:
    return (element.findtext(path) or default).strip()


def _objects(annotation: Element, numbers: dict[str, int], path: str) -> dict[str, Any]:
    """The boxes of an image, and what is said of each."""
    objects = annotation.findall("object")
    boxes = np.empty((len(objects), 4), "f4")
    labels = np.empty(len(objects), "u4")
    for row, thing in enumerate(objects):
        name = _text(thing, "name")
        if name not in numbers:
            raise SampleError(
                f"{path}: unknown class {name!r}; known ones: {', '.join(numbers)}", path=path
            )
        labels[row] = numbers[name]
        try:
            corners = ("xmin", "ymin", "xmax", "ymax")
            boxes[row] = [float(_text(thing, f"bndbox/{corner}")) for corner in corners]
        except ValueError:
            raise SampleError(
                f"{path}: object {row} has no box of four numbers xmin, ymin, xmax, ymax",
                path=path,
            ) from None
    flags = {
        f"annotations/{flag}": np.array([_text(thing, flag) == "1" for thing in objects], bool)
        for flag in _FLAGS
    }
    return {"annotations/boxes": boxes, "annotations/labels": labels, **flags}


def _all_classes(place: Place, annotations: list[str]) -> list[str]:
    """Names of all objects; a broken file tells of itself when its row is read."""
    names: set[str] = set()
    for path in annotations:
        try:
            annotation = parse_xml(place.child(path).read(), path)
        except HubzarrError:
            continue
        names.update(_text(thing, "name") for thing in annotation.findall("object"))
    return sorted(names)


def _splits(place: Place, annotations: list[str]) -> dict[str, str]:
    """The split of each XML file, by the lists in ``ImageSets/Main`` or by its folder."""
    listed: dict[tuple[str, str], str] = {}
    bases = {_base(path) for path in annotations}
    for base in bases:
        for name in ("train", "val", "test"):
            file = place.child(f"{base}ImageSets/Main/{name}.txt")
            if file.is_file():
                for line in file.read().decode("utf-8", "replace").splitlines():
                    if line.strip():
                        listed[base, line.split()[0]] = name
    return {
        path: listed.get((_base(path), _stem(path))) or _split_folder(path) or _UNASSIGNED
        for path in annotations
    }


def _split_folder(path: str) -> str | None:
    """The first folder of a path, if it is a split."""
    folder, slash, _ = path.partition("/")
    return folder if slash and is_split(folder) else None


def _base(path: str) -> str:
    """The folder that has ``Annotations`` in it."""
    parts = path.split("/")
    lower = [part.lower() for part in parts]
    depth = lower.index("annotations") if "annotations" in lower else len(parts) - 1
    return "".join(f"{part}/" for part in parts[:depth])
