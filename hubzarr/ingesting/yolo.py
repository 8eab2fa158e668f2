"""YOLO: a text file of boxes, polygons or keypoints for each image.

Ultralytics' layout: ``images/train/tom.jpg`` has its lines in ``labels/train/tom.txt``,
and ``data.yaml`` names the classes; also Darknet's, with text and image side by side and
the names in ``obj.names`` or ``classes.txt``. Numbers stay as they are written, as
fractions of width and height: a box is centre x, centre y, width and height. An image
without a text file has no objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.files import (
    count_formats,
    find_file,
    find_files,
    format_of,
    image_options,
    read_sample,
)
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Unit, file_units
from hubzarr.ingesting.splits import in_order, is_split
from hubzarr.media.extras import need

__all__ = ["KIND", "YoloSource", "matches", "open_source"]

KIND = "yolo"

_NAMES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")
# So many text files are looked at to know what lines there are.
_LOOK = 1000

type Array = np.ndarray[Any, Any]


def matches(place: Place) -> bool:
    """Whether there is a text file of boxes that belongs to an image."""
    try:
        if not place.is_dir():
            return False
        image = find_file(place, lambda name: format_of(name) is not None, depth=3)
        if image is None:
            return False
        path = image.relative(place)
        if _settings(place) is not None and find_file(place, _is_text, depth=3) is not None:
            return True
        texts = place.child("labels")
        text = find_file(texts, _is_text, depth=2) if texts.is_dir() else None
        text = text or place.child(_text_of(path))
        return text.is_file() and _is_annotation(text)
    except HubzarrError:
        return False


def open_source(
    place: Place,
    *,
    sample_compression: str | None = None,
    class_names: list[str] | None = None,
    labels: str = "labels",
    polygons: bool | None = None,
) -> YoloSource:
    """Images with the boxes, polygons or keypoints that YOLO trains on.

    Parameters
    ----------
    place : Place
        The folder with ``data.yaml``, or ``images`` and ``labels``.
    sample_compression : str, optional
        Format to keep the images in; by default the one that most of them have.
    class_names : list of str, optional
        The names of the classes, in order; by default those in the folder.
    labels : str, default "labels"
        The folder that takes the place of ``images`` in the path of a text file.
    polygons : bool, optional
        Whether lines may be polygons; by default the first thousand files tell.

    Examples
    --------
    >>> import pathlib
    >>> for folder in "images", "labels":
    ...     pathlib.Path("pets", folder).mkdir(parents=True)
    >>> _ = pathlib.Path("pets/images/tom.jpg").write_bytes(b"...")
    >>> _ = pathlib.Path("pets/labels/tom.txt").write_text("1 0.5 0.5 0.25 0.125")
    >>> _ = pathlib.Path("pets/data.yaml").write_text("names: [dog, cat]")
    >>> pets = open_source(Place("pets"))
    >>> row = next(pets.rows(next(pets.units())))
    >>> row["annotations/boxes"].tolist(), row["annotations/labels"].tolist()
    ([[0.5, 0.5, 0.25, 0.125]], [1])
    """
    images = [
        path for file in place.walk() if format_of(path := file.relative(place)) and _used(path)
    ]
    if not images:
        raise InvalidError(f"no images in {place.url!r}; expected YOLO's images and labels")
    settings = _settings(place) or {}
    keypoints = _keypoint_shape(settings)
    look = _Look.at([place.child(_text_of(path, labels)) for path in images[:_LOOK]], keypoints)
    names = list(class_names or _class_names(place, settings, look.classes))
    formats = count_formats(images)
    columns = [
        Column(
            "images",
            image_options(place, images, formats, sample_compression=sample_compression),
        ),
        Column("filenames", {"htype": "text"}),
        Column(
            "annotations/boxes",
            {"htype": "bbox", "coords": {"type": "fractional", "mode": "CCWH"}},
        ),
        Column("annotations/labels", {"htype": "class_label", "class_names": names}),
    ]
    if look.polygons if polygons is None else polygons:
        columns.append(Column("annotations/polygons", {"htype": "polygon"}))
    if keypoints:
        columns.append(
            Column("annotations/keypoints", {"htype": "keypoints_coco", "dtype": "float32"})
        )
    splits = in_order({split for path in images if (split := _split(path))})
    if len(splits) > 1:
        columns.append(Column("split", {"htype": "class_label", "class_names": splits}))
    return YoloSource(
        place, tuple(columns), {"formats": dict(formats)}, keypoints, len(names), labels
    )


@dataclass(frozen=True)
class YoloSource:
    """Images with the lines of their text files."""

    root: Place
    columns: tuple[Column, ...]
    info: dict[str, Any]
    keypoints: tuple[int, int] | None
    classes: int
    labels: str
    kind: str = KIND

    @property
    def total(self) -> int:
        """How many images there are."""
        return sum(self.info["formats"].values())

    def units(self) -> Iterator[Unit]:
        """Some hundred images at a time, in the order of their paths."""
        images = (
            file
            for file in self.root.walk()
            if format_of(path := file.relative(self.root)) and _used(path)
        )
        return file_units(images, self.root)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The images of a unit, not decoded, and their objects."""
        columns = {column.name: column.options for column in self.columns}
        for path in unit.payload:
            try:
                yield self._row(path, columns)
            except HubzarrError as error:
                yield Skipped(path, error.message)

    def _row(self, path: str, columns: dict[str, dict[str, Any]]) -> dict[str, Any]:
        text = self.root.child(_text_of(path, self.labels))
        lines = _lines(text, self.keypoints) if text.is_file() else []
        polygons = "annotations/polygons" in columns
        if not polygons and any(line.polygon is not None for line in lines):
            raise SampleError(
                f"{text.url}: has polygons, which the first {_LOOK} files have not; say "
                "polygons=True to keep them",
                path=text.url,
            )
        if any(line.label >= self.classes for line in lines):
            raise SampleError(
                f"{text.url}: has a class that is not among the {self.classes} names; give all "
                "with class_names=[...]",
                path=text.url,
            )
        row = {
            "images": read_sample(self.root.child(path)),
            "filenames": path,
            "annotations/boxes": np.array([line.box for line in lines], "f4").reshape(-1, 4),
            "annotations/labels": np.array([line.label for line in lines], "u4"),
        }
        if polygons:
            row["annotations/polygons"] = [
                _rectangle(line.box) if line.polygon is None else line.polygon for line in lines
            ]
        if self.keypoints:
            row["annotations/keypoints"] = _stacked([line.points for line in lines], self.keypoints)
        if "split" in columns:
            row["split"] = columns["split"]["class_names"].index(_split(path))
        return row


@dataclass(frozen=True, slots=True)
class _Line:
    """One object of an image."""

    label: int
    box: tuple[float, ...]
    polygon: Array | None = None
    points: tuple[float, ...] = ()


def _lines(text: Place, keypoints: tuple[int, int] | None) -> list[_Line]:
    found = []
    content = text.read().decode("utf-8", "replace")
    for number, line in enumerate(content.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        parsed = _parsed(words, keypoints)
        if parsed is None:
            raise SampleError(
                f"{text.url}, line {number}: {line[:60]!r} is no object; expected a class and "
                "4 numbers of a box, or 3 or more points of a polygon",
                path=text.url,
            )
        found.append(parsed)
    return found


def _parsed(words: list[str], keypoints: tuple[int, int] | None) -> _Line | None:
    """The object on a line: box, box with confidence, box with keypoints, or polygon."""
    try:
        label = float(words[0])
        values = tuple(map(float, words[1:]))
    except ValueError:
        return None
    if label < 0 or not label.is_integer() or not np.isfinite(values).all():
        return None
    if keypoints:
        right = len(values) == 4 + keypoints[0] * keypoints[1]
        return _Line(int(label), values[:4], points=values[4:]) if right else None
    if len(values) in (4, 5):
        return _Line(int(label), values[:4])
    if len(values) < 6 or len(values) % 2:
        return None
    polygon = np.array(values, "f4").reshape(-1, 2)
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    return _Line(int(label), (*((low + high) / 2), *(high - low)), polygon)


def _rectangle(box: tuple[float, ...]) -> Array:
    x, y, width, height = box
    left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], "f4")


def _stacked(objects: list[tuple[float, ...]], shape: tuple[int, int]) -> Array:
    """Keypoints as COCO has them: x, y and visibility, which is 2 where it is not given."""
    count, numbers = shape
    points = np.full((len(objects), count, 3), 2, "f4")
    if objects:
        points[:, :, :numbers] = np.array(objects, "f4").reshape(-1, count, numbers)
    return points.reshape(len(objects), count * 3).T


@dataclass(frozen=True)
class _Look:
    """What the first text files have."""

    polygons: bool
    classes: int

    @classmethod
    def at(cls, texts: list[Place], keypoints: tuple[int, int] | None) -> _Look:
        polygons, classes = False, 0
        for text in texts:
            try:
                lines = _lines(text, keypoints) if text.is_file() else []
            except HubzarrError:  # told when its row is read
                continue
            polygons |= any(line.polygon is not None for line in lines)
            classes = max([classes, *(line.label + 1 for line in lines)])
        return cls(polygons, classes)


def _settings(place: Place) -> dict[str, Any] | None:
    """What the YAML file of a dataset says; None where there is none that names classes."""
    for file in find_files(place, lambda name: name.endswith((".yaml", ".yml")), depth=2):
        yaml = need("yaml", extra="ingest", what="reading YAML files")
        try:
            found = yaml.safe_load(file.read())
        except (yaml.YAMLError, ValueError):
            continue
        if isinstance(found, dict) and isinstance(found.get("names"), (list, dict)):
            return found
    return None


def _class_names(place: Place, settings: dict[str, Any], classes: int) -> list[str]:
    names = settings.get("names")
    if isinstance(names, dict):
        numbers = {int(number): str(name) for number, name in names.items()}
        return [numbers.get(number, str(number)) for number in range(max(numbers, default=-1) + 1)]
    if names:
        return [str(name) for name in names]
    for folder in ("", "labels/", "data/", "train/"):
        for name in _NAMES:
            file = place.child(folder + name)
            if file.is_file():
                lines = file.read().decode("utf-8", "replace").splitlines()
                return [line.strip() for line in lines if line.strip()]
    return [str(number) for number in range(classes)]


def _keypoint_shape(settings: dict[str, Any]) -> tuple[int, int] | None:
    shape = settings.get("kpt_shape")
    if shape is None:
        return None
    try:
        count, numbers = map(int, shape)
    except (TypeError, ValueError):
        count = numbers = 0
    if count < 1 or numbers not in (2, 3):
        raise InvalidError(f"bad kpt_shape {shape!r}: expected [keypoints, 2] or [keypoints, 3]")
    return count, numbers


def _used(path: str) -> bool:
    """Whether an image is one to train on, where folders tell."""
    return "masks" not in path.split("/")[:-1]


def _text_of(image: str, labels: str = "labels") -> str:
    """The text file of an image: ``labels`` for the last ``images`` in its path."""
    parts = image.split("/")
    for depth in range(len(parts) - 2, -1, -1):
        if parts[depth] == "images":
            parts[depth] = labels
            break
    parts[-1] = parts[-1].rpartition(".")[0] + ".txt"
    return "/".join(parts)


def _split(path: str) -> str | None:
    """The folder that tells the split: ``train`` of ``images/train/tom.jpg``."""
    return next((part for part in path.split("/")[:-1] if is_split(part)), None)


def _is_text(name: str) -> bool:
    return name.lower().endswith(".txt") and name.lower() not in _NAMES


def _is_annotation(text: Place) -> bool:
    """Whether the first line of a file is an object."""
    with text.open() as file:
        words = file.read(4096).partition(b"\n")[0].decode("utf-8", "replace").split()
    return len(words) >= 5 and _parsed(words, None) is not None
