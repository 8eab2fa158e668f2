"""The values that objects, captions and segments of COCO have in the rows of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting.coco_file import Annotation, Category, CocoSet, Image
from hubzarr.ingesting.files import read_sample
from hubzarr.ingesting.source import Column
from hubzarr.media import Sample
from hubzarr.media.rle import mask_of_polygons, mask_of_runs, unpack_runs

__all__ = [
    "Content",
    "content_of",
    "object_columns",
    "object_values",
    "panoptic_columns",
    "panoptic_values",
]

type Array = np.ndarray[Any, Any]

_STYLES = ("auto", "polygons", "masks", "json", "none")
_BOX_COORDS = {"type": "pixel", "mode": "LTWH"}


@dataclass(frozen=True)
class Content:
    """What there is in the files of a dataset, and how it is kept."""

    class_names: list[str]
    objects: bool
    ids: bool
    areas: bool
    segmentation: str
    keypoints: int
    keypoint_names: list[str]
    connections: list[list[int]]
    keypoint_dtype: str
    captions: bool
    panoptic: bool

    def decoded_bytes(self, each: CocoSet, image: Image) -> int:
        """How large the masks of an image are in memory."""
        pixels = (image.width or 1000) * (image.height or 1000)
        masks = len(each.objects.get(image.id, ())) if self.segmentation == "masks" else 0
        return pixels * (masks + (4 if self.panoptic else 0))


def content_of(sets: list[CocoSet], categories: list[Category], segmentation: str) -> Content:
    """Look at all annotations once."""
    if segmentation not in _STYLES:
        raise InvalidError(f"bad segmentation {segmentation!r}; expected one of {_STYLES}")
    objects = [entry for each in sets for entries in each.objects.values() for entry in entries]
    points = [entry.keypoints for entry in objects if entry.keypoints]
    posed = max(categories, key=lambda category: len(category.keypoints or ()), default=None)
    whole = all(value.is_integer() for values in points for value in values)
    return Content(
        class_names=[category.name for category in categories],
        objects=bool(objects),
        ids=all(isinstance(entry.id, int) for entry in objects),
        areas=any(entry.area is not None for entry in objects),
        segmentation=_style(objects, segmentation),
        keypoints=max((len(values) for values in points), default=0) // 3,
        keypoint_names=list(posed.keypoints or ()) if posed else [],
        connections=list(posed.skeleton or ()) if posed else [],
        keypoint_dtype="int32" if whole else "float32",
        captions=any(each.captions for each in sets),
        panoptic=any(each.panoptic for each in sets),
    )


def _style(objects: list[Annotation], wanted: str) -> str:
    # Whether it is a list, and of how many lists, shows without parsing.
    written = [raw for entry in objects if (raw := bytes(entry.segmentation)) not in _NOTHING]
    if not written or wanted == "none":
        return "none"
    simple = all(raw[:1] == b"[" and raw.count(b"[") <= 2 for raw in written)
    if wanted == "polygons" and not simple:
        raise InvalidError(
            "some objects have several polygons or run lengths; keep them with "
            "segmentation='masks' or segmentation='json'"
        )
    return wanted if wanted != "auto" else "polygons" if simple else "masks"


_NOTHING = (b"", b"null", b"[]", b"{}")


def object_columns(content: Content) -> list[Column]:
    """Tensors for what is said of objects."""
    columns = []
    if content.objects:
        labels = {"htype": "class_label", "class_names": content.class_names}
        columns = [
            Column("annotations/boxes", {"htype": "bbox", "coords": _BOX_COORDS}),
            Column("annotations/labels", labels),
            Column("annotations/crowds", {"dtype": "bool"}),
        ]
        if content.ids:
            columns.append(Column("annotations/ids", {"dtype": "int64"}))
        if content.areas:
            columns.append(Column("annotations/areas", {"dtype": "float64"}))
    if content.segmentation != "none":
        name, htype = _SEGMENTATIONS[content.segmentation]
        columns.append(Column(f"annotations/{name}", {"htype": htype}))
    if content.keypoints:
        options: dict[str, Any] = {"htype": "keypoints_coco", "dtype": content.keypoint_dtype}
        if content.keypoint_names:
            options["keypoints"] = content.keypoint_names
        if content.connections:
            options["connections"] = content.connections
        columns.append(Column("annotations/keypoints", options))
    if content.captions:
        columns.append(Column("annotations/captions", {"htype": "sequence[text]"}))
    return columns


_SEGMENTATIONS = {
    "polygons": ("polygons", "polygon"),
    "masks": ("masks", "binary_mask"),
    "json": ("segmentations", "json"),
}


def object_values(content: Content, each: CocoSet, image: Image, sample: Sample) -> dict[str, Any]:
    """What is said of the objects in one image."""
    objects = each.objects.get(image.id, [])
    values: dict[str, Any] = {}
    if content.objects:
        values["annotations/boxes"] = np.array(
            [_box(entry, image) for entry in objects], "f4"
        ).reshape(-1, 4)
        values["annotations/labels"] = np.array(
            [_class(each, entry.category_id, image) for entry in objects], "u4"
        )
        values["annotations/crowds"] = np.array([bool(entry.iscrowd) for entry in objects], bool)
        if content.ids:
            values["annotations/ids"] = np.array([entry.id for entry in objects], "i8")
        if content.areas:
            areas = [np.nan if entry.area is None else entry.area for entry in objects]
            values["annotations/areas"] = np.array(areas, "f8")
    if content.segmentation == "masks":
        values["annotations/masks"] = _masks(objects, image, sample)
    elif content.segmentation == "polygons":
        values["annotations/polygons"] = [_polygon(entry) for entry in objects]
    elif content.segmentation == "json":
        values["annotations/segmentations"] = [_parsed(entry) for entry in objects]
    if content.keypoints:
        values["annotations/keypoints"] = _keypoints(objects, content)
    if content.captions:
        values["annotations/captions"] = each.captions.get(image.id, [])
    return values


def _box(entry: Annotation, image: Image) -> list[float]:
    box = entry.bbox or [0.0, 0.0, 0.0, 0.0]
    if len(box) != 4:
        raise SampleError(
            f"{image.file_name}: the box of annotation {entry.id} has {len(box)} numbers; "
            "expected left, top, width, height",
            path=image.file_name,
        )
    return box


def _class(each: CocoSet, category: int | None, image: Image) -> int:
    if category is None or category not in each.classes:
        raise SampleError(
            f"{image.file_name}: category {category} is not in the list of categories",
            path=image.file_name,
        )
    return each.classes[category]


def _parsed(entry: Annotation) -> Any:
    raw = bytes(entry.segmentation)
    return msgspec.json.decode(raw) if raw not in _NOTHING else None


def _polygon(entry: Annotation) -> Array:
    parts = _parsed(entry) or [[]]
    return np.array(parts[0], "f4").reshape(-1, 2)


def _masks(objects: list[Annotation], image: Image, sample: Sample) -> Array:
    """The masks of all objects, along the last axis."""
    if image.height is None or image.width is None:
        height, width = sample.shape[:2]
    else:
        height, width = image.height, image.width
    masks = np.zeros((height, width, len(objects)), bool)
    for number, entry in enumerate(objects):
        written = _parsed(entry)
        if isinstance(written, dict):
            runs = written.get("counts") or []
            runs = unpack_runs(runs) if isinstance(runs, str) else runs
            masks[:, :, number] = mask_of_runs(runs, height, width)
        elif written:
            masks[:, :, number] = mask_of_polygons(written, height, width)
    return masks


def _keypoints(objects: list[Annotation], content: Content) -> Array:
    points = np.zeros((3 * content.keypoints, len(objects)), content.keypoint_dtype)
    for number, entry in enumerate(objects):
        written = entry.keypoints or []
        points[: len(written), number] = written
    return points


def panoptic_columns(content: Content) -> list[Column]:
    """Tensors for panoptic segments."""
    if not content.panoptic:
        return []
    labels = {"htype": "class_label", "class_names": content.class_names}
    return [
        Column("panoptic/mask", {"htype": "segment_mask", "dtype": "uint32"}),
        Column("panoptic/ids", {"dtype": "int64"}),
        Column("panoptic/labels", labels),
        Column("panoptic/boxes", {"htype": "bbox", "coords": _BOX_COORDS}),
        Column("panoptic/crowds", {"dtype": "bool"}),
    ]


def panoptic_values(content: Content, each: CocoSet, image: Image) -> dict[str, Any]:
    """The segments of one image, and which pixel is whose: 0 is nobody's."""
    if not content.panoptic:
        return {}
    entry = each.panoptic.get(image.id)
    segments = (entry.segments_info or []) if entry is not None else []
    boxes = [segment.bbox or [0.0, 0.0, 0.0, 0.0] for segment in segments]
    return {
        "panoptic/mask": _panoptic_mask(each, entry),
        "panoptic/ids": np.array([segment.id for segment in segments], "i8"),
        "panoptic/labels": np.array(
            [_class(each, segment.category_id, image) for segment in segments], "u4"
        ),
        "panoptic/boxes": np.array(boxes, "f4").reshape(-1, 4),
        "panoptic/crowds": np.array([bool(segment.iscrowd) for segment in segments], bool),
    }


def _panoptic_mask(each: CocoSet, entry: Annotation | None) -> Array:
    """Segment ids, which are written as colours in a PNG file."""
    if entry is None or entry.file_name is None or each.panoptic_file is None:
        return np.zeros((0, 0), "u4")
    file = each.panoptic_file
    folder = file.parent().child(file.name.removesuffix(".json"))
    sample = read_sample(folder.child(entry.file_name))
    colours = sample.array
    if colours.ndim != 3 or colours.shape[2] < 3:
        raise SampleError(f"{sample.path}: no colour image of segments", path=sample.path)
    red, green, blue = np.moveaxis(colours[:, :, :3].astype("u4"), 2, 0)
    ids: Array = red + (green << 8) + (blue << 16)
    return ids
