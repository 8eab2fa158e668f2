"""JSON files of COCO: what is in one, and which ones belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.splits import is_split

__all__ = [
    "Annotation",
    "Category",
    "CocoFile",
    "CocoSet",
    "Image",
    "looks_like_coco",
    "read_coco",
    "sets_of",
]

# A large file has millions of annotations, and no cycles: the collector needn't know them.


class Image(msgspec.Struct, gc=False):
    """An image."""

    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class Segment(msgspec.Struct, gc=False):
    """An object or a region of a panoptic annotation."""

    id: int
    category_id: int
    area: float | None = None
    bbox: list[float] | None = None
    iscrowd: int | bool | None = None


class Annotation(msgspec.Struct, gc=False):
    """An object in an image, a caption, or all segments of an image.

    A segmentation stays as it is written until it is wanted.
    """

    image_id: int | str
    id: int | str | None = None
    category_id: int | None = None
    bbox: list[float] | None = None
    area: float | None = None
    iscrowd: int | bool | None = None
    segmentation: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    keypoints: list[float] | None = None
    caption: str | None = None
    segments_info: list[Segment] | None = None
    file_name: str | None = None


class Category(msgspec.Struct, omit_defaults=True):
    """A class of objects."""

    id: int
    name: str
    supercategory: str | None = None
    keypoints: list[str] | None = None
    skeleton: list[list[int]] | None = None


class CocoFile(msgspec.Struct):
    """A whole file."""

    images: list[Image]
    annotations: list[Annotation] = []
    categories: list[Category] = []
    info: Any = None

    @property
    def content(self) -> str:
        """What its annotations are: panoptic, captions, keypoints, objects or nothing."""
        if not self.annotations:
            return "nothing"
        for name, attribute in _CONTENTS.items():
            if any(getattr(entry, attribute) is not None for entry in self.annotations):
                return name
        return "objects"


_CONTENTS = {"panoptic": "segments_info", "captions": "caption", "keypoints": "keypoints"}


def looks_like_coco(file: Place) -> bool:
    """Whether the beginning of a JSON file has the words that COCO's have."""
    with file.open() as opened:
        head = opened.read(1 << 16)
    return (
        head.lstrip()[:1] == b"{"
        and re.search(rb'"(images|annotations)"\s*:\s*\[', head) is not None
        and (b'"file_name"' in head or b'"image_id"' in head)
    )


def read_coco(file: Place) -> CocoFile:
    """Read a file.

    Raises
    ------
    SampleError
        It is no JSON, or not of the form that COCO has.
    """
    try:
        return msgspec.json.decode(file.read(), type=CocoFile)
    except msgspec.DecodeError as error:
        raise SampleError(f"{file.url}: not of the form of COCO: {error}", path=file.url) from error


@dataclass
class CocoSet:
    """Images and everything that is said of them: one row for each image."""

    split: str
    file: Place
    images: list[Image]
    objects: dict[int | str, list[Annotation]] = field(default_factory=dict)
    captions: dict[int | str, list[str]] = field(default_factory=dict)
    panoptic: dict[int | str, Annotation] = field(default_factory=dict)
    panoptic_file: Place | None = None
    #: Class numbers by category id.
    classes: dict[int, int] = field(default_factory=dict)
    contents: set[str] = field(default_factory=set)

    def takes(self, split: str, file: CocoFile) -> bool:
        """Whether a file is about the same images, and says something else of them."""
        if split != self.split or file.content in self.contents:
            return False
        mine = {image.id: image.file_name for image in self.images}
        same = [mine.get(image.id) == image.file_name for image in file.images]
        return any(same)

    def add(self, place: Place, file: CocoFile) -> None:
        """Add what a file says."""
        content = file.content
        self.contents.add(content)
        known = {image.id for image in self.images}
        self.images.extend(image for image in file.images if image.id not in known)
        if content == "captions":
            for entry in file.annotations:
                self.captions.setdefault(entry.image_id, []).append(entry.caption or "")
        elif content == "panoptic":
            self.panoptic = {entry.image_id: entry for entry in file.annotations}
            self.panoptic_file = place
        elif content == "keypoints" and self.objects:
            self._add_keypoints(file.annotations)
        else:
            self._add_objects(file.annotations)

    def _add_objects(self, annotations: Iterable[Annotation]) -> None:
        keypoints = {
            entry.id: entry.keypoints for entries in self.objects.values() for entry in entries
        }
        self.objects = {}
        for entry in annotations:
            if entry.keypoints is None and keypoints:
                entry.keypoints = keypoints.get(entry.id)
            self.objects.setdefault(entry.image_id, []).append(entry)

    def _add_keypoints(self, annotations: Iterable[Annotation]) -> None:
        """Of objects that we have already: the files say them again."""
        mine = {entry.id: entry for entries in self.objects.values() for entry in entries}
        for entry in annotations:
            if entry.id in mine:
                mine[entry.id].keypoints = entry.keypoints
            else:
                self.objects.setdefault(entry.image_id, []).append(entry)


def sets_of(places: list[Place]) -> tuple[list[CocoSet], list[Category], list[Any]]:
    """Read files, and put together those about the same images.

    Returns
    -------
    sets : list of CocoSet
        One for each split.
    categories : list of Category
        Of all files, each name once.
    infos : list
        What the files say of themselves.
    """
    sets: list[CocoSet] = []
    numbers: dict[str, int] = {}
    categories: list[Category] = []
    infos: list[Any] = []
    files = [(place, read_coco(place)) for place in places]
    told = [(place, file) for place, file in files if file.annotations]
    # Mere lists of images matter where there is nothing else.
    for place, file in told or files:
        split = _split_of_file(place)
        if file.info and file.info not in infos:
            infos.append(file.info)
        found = next((each for each in sets if each.takes(split, file)), None)
        if found is None:
            found = CocoSet(split, place, [])
            sets.append(found)
        found.add(place, file)
        for category in file.categories:
            number = numbers.setdefault(category.name, len(categories))
            if number == len(categories):
                categories.append(category)
            elif category.keypoints:
                categories[number].keypoints = category.keypoints
                categories[number].skeleton = category.skeleton
            found.classes[category.id] = number
    _check_once(sets)
    return sets, categories, infos


def _check_once(sets: list[CocoSet]) -> None:
    """Refuse files that say the same of the same images: their rows would come twice."""
    seen: dict[tuple[str, str], Place] = {}
    for each in sets:
        folder = each.file.parent().url
        for image in each.images:
            other = seen.setdefault((folder, image.file_name), each.file)
            if other is not each.file:
                raise InvalidError(
                    f"{other.url!r} and {each.file.url!r} both annotate {image.file_name!r}: "
                    "choose one of them with annotations=..., or ingest one file after the "
                    "other, the second with append=True, for a row of the image from each"
                )


def _split_of_file(place: Place) -> str:
    """``train2017`` of ``instances_train2017.json``; else that of the folder, as Roboflow does."""
    words = re.split(r"[_.\-\s]+", place.name.removesuffix(".json"))
    found = [word for word in words if is_split(word)]
    folder = place.parent().name
    if len(found) == 1:
        return found[0]
    return folder if is_split(folder) else ""
