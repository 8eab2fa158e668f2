"""COCO: JSON files of boxes, masks, keypoints, captions or panoptic segments, and images.

One row for each image, whatever is said of it. Boxes stay as they are written: left, top,
width and height in pixels. Segmentations become polygons where each object has one at
most, and else masks, drawn as COCO's own tools draw them. Category ids, which have gaps,
become numbers of class names; the dataset's info keeps the categories.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.coco_file import CocoSet, Image, looks_like_coco, sets_of
from hubzarr.ingesting.coco_rows import (
    Content,
    content_of,
    object_columns,
    object_values,
    panoptic_columns,
    panoptic_values,
)
from hubzarr.ingesting.files import count_formats, find_files, image_options, read_sample
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import UNIT_BYTES, UNIT_FILES, Column, Skipped, Unit
from hubzarr.ingesting.splits import in_order

__all__ = ["KIND", "CocoSource", "matches", "open_source"]

KIND = "coco"

# So many JSON files are looked into to recognise a folder.
_LOOK = 20


def matches(place: Place) -> bool:
    """Whether it is a JSON file of COCO, or a folder with some."""
    try:
        if place.is_file():
            return _is_json(place.name) and looks_like_coco(place)
        return place.is_dir() and bool(_annotation_files(place, first=True))
    except HubzarrError:
        return False


def open_source(
    place: Place,
    *,
    annotations: str | list[str] | None = None,
    images: str | None = None,
    segmentation: str = "auto",
    sample_compression: str | None = None,
) -> CocoSource:
    """Images and what COCO's files say of them.

    Parameters
    ----------
    place : Place
        The folder, or one JSON file.
    annotations : str or list of str, optional
        Paths of the JSON files in the folder; by default all.
    images : str, optional
        Path of the folder of images in the folder; by default it is looked for.
    segmentation : {"auto", "polygons", "masks", "json", "none"}
        How to keep segmentations; by default as polygons if none has several parts or
        run lengths, else as masks.
    sample_compression : str, optional
        Format to keep the images in; by default the one that most of them have.

    Examples
    --------
    >>> import json, pathlib
    >>> pathlib.Path("pets/images").mkdir(parents=True)
    >>> _ = pathlib.Path("pets/images/tom.jpg").write_bytes(b"...")
    >>> _ = pathlib.Path("pets/pets.json").write_text(json.dumps({
    ...     "images": [{"id": 5, "file_name": "tom.jpg", "width": 64, "height": 48}],
    ...     "annotations": [{"id": 1, "image_id": 5, "category_id": 17, "bbox": [1, 2, 30, 40]}],
    ...     "categories": [{"id": 17, "name": "cat"}],
    ... }))
    >>> pets = open_source(Place("pets"))
    >>> row = next(pets.rows(next(pets.units())))
    >>> row["annotations/boxes"].tolist(), row["annotations/labels"].tolist()
    ([[1.0, 2.0, 30.0, 40.0]], [0])
    """
    root = place.parent() if place.is_file() else place
    files = _chosen(place, annotations)
    sets, categories, infos = sets_of(files)
    if not any(each.images for each in sets):
        raise InvalidError(f"no images in the JSON files of {place.url!r}")
    content = content_of(sets, categories, segmentation)
    folders = _ImageFolders(root, root.resolve(images) if images else None)
    formats = count_formats(image.file_name for each in sets for image in each.images)
    paths = folders.some(sets)
    columns = [
        Column(
            "images",
            image_options(root, paths, formats, sample_compression=sample_compression),
        ),
        Column("filenames", {"htype": "text"}),
        _id_column(sets),
        *object_columns(content),
        *panoptic_columns(content),
    ]
    splits = in_order({each.split for each in sets})
    if len(splits) > 1:
        columns.append(Column("split", {"htype": "class_label", "class_names": splits}))
    info = {
        "formats": dict(formats),
        "categories": [msgspec.to_builtins(category) for category in categories],
        "coco": infos,
    }
    return CocoSource(tuple(columns), info, sets, content, folders)


class CocoSource:
    """Images with their annotations, one row each."""

    kind = KIND

    def __init__(
        self,
        columns: tuple[Column, ...],
        info: dict[str, Any],
        sets: list[CocoSet],
        content: Content,
        folders: _ImageFolders,
    ) -> None:
        self.columns = columns
        self.info = info
        self._sets = sets
        self._content = content
        self._folders = folders
        self._options = {column.name: column.options for column in columns}

    @property
    def total(self) -> int:
        """How many images are listed."""
        return sum(len(each.images) for each in self._sets)

    def units(self) -> Iterator[Unit]:
        """Some images at a time, in the order of the files; fewer where masks are drawn."""
        for number, each in enumerate(self._sets):
            start = size = 0
            for at, image in enumerate(each.images):
                place = self._folders.find(each, image)
                here = self._content.decoded_bytes(each, image)
                here += place.size() if place is not None else 0
                if at > start and (at - start >= UNIT_FILES or size + here > UNIT_BYTES):
                    yield self._unit(number, start, at)
                    start, size = at, 0
                size += here
            if each.images:
                yield self._unit(number, start, len(each.images))

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The images of a unit, not decoded, and what is said of them."""
        number, start, stop = unit.payload
        each = self._sets[number]
        for image in each.images[start:stop]:
            try:
                yield self._row(each, image)
            except HubzarrError as error:
                yield Skipped(image.file_name, error.message)

    def _unit(self, number: int, start: int, stop: int) -> Unit:
        name = self._sets[number].file.name
        return Unit(f"{number}/{name}/{start}", (number, start, stop), stop - start)

    def _row(self, each: CocoSet, image: Image) -> dict[str, Any]:
        place = self._folders.find(each, image)
        if place is None:
            raise SampleError(f"listed in {each.file.url}, but missing", path=image.file_name)
        sample = read_sample(place)
        row = {"images": sample, "filenames": image.file_name}
        row["image_ids"] = image.id if "dtype" in self._options["image_ids"] else str(image.id)
        row |= object_values(self._content, each, image, sample)
        row |= panoptic_values(self._content, each, image)
        if "split" in self._options:
            row["split"] = self._options["split"]["class_names"].index(each.split)
        return row


class _ImageFolders:
    """Where the images of each set are."""

    def __init__(self, root: Place, given: Place | None) -> None:
        self._root = root
        self._given = given
        self._chosen: dict[int, Place | None] = {}
        self._by_name: dict[str, str] | None = None

    def find(self, each: CocoSet, image: Image) -> Place | None:
        """The image file; None if it is missing."""
        if id(each) not in self._chosen:
            self._chosen[id(each)] = self._choose(each)
        folder = self._chosen[id(each)]
        if folder is not None:
            place = folder.child(image.file_name)
            return place if place.is_file() else None
        if self._by_name is None:
            self._by_name = {
                file.name: path
                for file in self._root.walk()
                if count_formats([file.name])
                # Masks have the names of images.
                and "panoptic" not in (path := file.relative(self._root)).rpartition("/")[0]
            }
        found = self._by_name.get(image.file_name.rpartition("/")[2])
        return None if found is None else self._root.child(found)

    def some(self, sets: list[CocoSet]) -> list[str]:
        """Paths of the first images of each set that are there."""
        places = (self.find(each, image) for each in sets for image in each.images[:_LOOK])
        return [place.relative(self._root) for place in places if place is not None]

    def _choose(self, each: CocoSet) -> Place | None:
        """The usual folders, and the first that has one of the first images."""
        if self._given is not None:
            return self._given
        folder = each.file.parent()
        above = folder if folder == self._root else folder.parent()
        names = [each.split, "images", f"images/{each.split}"] if each.split else ["images"]
        candidates = [folder, *(base.child(name) for base in (folder, above) for name in names)]
        for candidate in (*candidates, above):
            if any(candidate.child(image.file_name).is_file() for image in each.images[:3]):
                return candidate
        return None


def _chosen(place: Place, annotations: str | list[str] | None) -> list[Place]:
    if place.is_file():
        return [place]
    if annotations is not None:
        paths = [annotations] if isinstance(annotations, str) else annotations
        return [place.resolve(path) for path in paths]
    files = _annotation_files(place)
    if not files:
        raise InvalidError(f"no JSON files of COCO in {place.url!r}")
    return files


def _annotation_files(place: Place, first: bool = False) -> list[Place]:
    found: list[Place] = []
    for looked, file in enumerate(find_files(place, _is_json, depth=2)):
        if first and (found or looked >= _LOOK):
            break
        if looks_like_coco(file):
            found.append(file)
    return found


def _id_column(sets: Iterable[CocoSet]) -> Column:
    kinds = Counter(type(image.id) for each in sets for image in each.images)
    return Column("image_ids", {"htype": "text"} if kinds[str] else {"dtype": "int64"})


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")
