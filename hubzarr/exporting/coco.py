"""COCO: a folder ``images``, and ``annotations.json`` for the objects in them.

Boxes become left, top, width and height in pixels; polygons and masks "segmentation", masks
as run lengths. Tensors named as `hubzarr.ingest` names those of COCO (``ids``, ``areas``,
``crowds`` beside the boxes, ``image_ids``, ``captions``) keep their values.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from hubzarr.errors import InvalidError
from hubzarr.exporting.naming import file_names
from hubzarr.exporting.report import Written
from hubzarr.exporting.roles import Roles, boxes_as, roles_of
from hubzarr.exporting.table import Field, Table
from hubzarr.exporting.target import Target
from hubzarr.media.rle import runs_of_mask

__all__ = ["FORMAT", "is_single", "write"]

FORMAT: Final = "coco"

_SPLIT: Final = "COCO has a file for each split: export the rows of each into a folder of its own"

type Advance = Callable[[int], None]
type Json = dict[str, Any]


def is_single(url: str) -> bool:
    """Whether the target is one file: it never is."""
    return False


def write(
    table: Table, target: Target, advance: Advance, *, filenames: str | None = None
) -> Written:
    """Write images and one JSON file, entry by entry.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done.
    filenames : str, optional
        A text tensor with the names of the image files; by default "filenames", if there is
        one whose values will do.
    """
    roles = roles_of(table)
    extras = _Extras.of(table, roles)
    categories = _categories(table, roles)
    names = file_names(table, roles.images, filenames)
    images: list[Json] = []
    numbers = itertools.count(1)
    fields = [field for field in (*roles.fields, *extras.fields) if field is not roles.split]
    missing = 0
    with target.open("annotations.json") as out:
        head = {"info": {"description": table.source.name}, "licenses": []}
        out.write(json.dumps(head)[:-1].encode() + b', "annotations": [')
        comma = b"\n"
        for block in table.blocks(fields):
            for row, samples in block.each():
                image = samples[roles.images.name]
                if image is None:
                    missing += 1
                    continue
                target.write(f"images/{names[row]}", image.encoded(str(roles.images.file_format)))
                height, width = image.shape[:2]
                number = extras.image_id(samples, row)
                images.append(
                    {"id": number, "file_name": names[row], "width": width, "height": height}
                )
                for entry in _entries(roles, extras, samples, image.shape, categories):
                    whole = {"id": None, "image_id": number} | entry
                    whole["id"] = entry.get("id", next(numbers))
                    out.write(comma + json.dumps(whole).encode())
                    comma = b",\n"
            advance(block.rows)
        tail = {"images": images, "categories": list(categories)}
        out.write(b"\n], " + json.dumps(tail).encode()[1:])
    left_out = {
        f.name: _SPLIT if f is roles.split else "COCO has no place for it"
        for f in table.fields
        if f not in fields and f.name != "filenames"
    }
    return Written(left_out, (f"{missing} rows have no image",) if missing else ())


class _Extras:
    """Tensors beyond htypes, by their names: ids, areas, crowds, captions, ids of images."""

    def __init__(self, named: dict[str, Field]) -> None:
        self._named = named
        self.fields = list(named.values())

    @classmethod
    def of(cls, table: Table, roles: Roles) -> _Extras:
        group = (roles.boxes or roles.images).name.rpartition("/")[0]
        above = f"{group}/" if group else ""
        wanted = {key: f"{above}{key}" for key in ("ids", "areas", "crowds", "captions")}
        wanted |= {"segmentations": f"{above}segmentations", "image_ids": "image_ids"}
        fields = {field.name: field for field in table.fields}
        taken = {field.name for field in roles.fields}
        found = {
            key: fields[name]
            for key, name in wanted.items()
            if name in fields and name not in taken
        }
        return cls(found)

    def image_id(self, samples: Json, row: int) -> Any:
        field = self._named.get("image_ids")
        if field is None:
            return row + 1
        value = samples[field.name]
        return value if isinstance(value, str) else int(value)

    def get(self, key: str, samples: Json) -> Any:
        field = self._named.get(key)
        return None if field is None else samples[field.name]


def _categories(table: Table, roles: Roles) -> list[Json]:
    """Categories by the number of the class: those that COCO had once, or made of the names."""
    names = roles.class_names
    known = table.source.info.get("categories")
    if isinstance(known, list) and [c.get("name") for c in known] == names:
        return [{k: v for k, v in category.items() if v is not None} for category in known]
    made: list[Json] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    if not made and roles.labels is None:
        made = [{"id": 1, "name": "object"}]
    points = {} if roles.keypoints is None else roles.keypoints.info
    for category in made:
        if points.get("keypoints"):
            category["keypoints"] = points["keypoints"]
        if points.get("connections"):
            category["skeleton"] = points["connections"]
    return made


def _entries(
    roles: Roles, extras: _Extras, samples: Json, shape: tuple[int, ...], categories: list[Json]
) -> Iterator[Json]:
    """The annotations of one image."""

    def of(field: Field | None) -> Any:
        return None if field is None else samples[field.name]

    boxes = None
    if roles.boxes is not None:
        boxes = boxes_as(roles.boxes, of(roles.boxes), shape, "pixel", "LTWH")
    labels, masks, polygons = of(roles.labels), of(roles.masks), of(roles.polygons)
    labels = None if labels is None else np.asarray(labels).reshape(-1)
    points = of(roles.keypoints)
    if masks is not None and masks.ndim == 2:
        masks = masks[:, :, None]
    counts = [len(found) for found in (boxes, labels, polygons) if found is not None]
    counts += [masks.shape[2]] if masks is not None and masks.size else []
    counts += [points.shape[1]] if points is not None and points.size else []
    others = {key: extras.get(key, samples) for key in ("ids", "areas", "crowds", "segmentations")}
    for i in range(max(counts, default=0)):
        entry: Json = {"category_id": _category(categories, labels, i)}
        if boxes is not None and i < len(boxes):
            entry["bbox"] = _short(boxes[i])
            entry["area"] = float(boxes[i][2] * boxes[i][3])
        if polygons is not None and i < len(polygons) and len(polygons[i]):
            entry["segmentation"] = [_short(np.asarray(polygons[i]).reshape(-1))]
        elif masks is not None and i < masks.shape[2]:
            entry["segmentation"] = _runs(masks[:, :, i])
            entry["area"] = float(masks[:, :, i].sum())
        if points is not None and i < points.shape[1]:
            entry["keypoints"] = _short(points[:, i])
            entry["num_keypoints"] = int((points[2::3, i] > 0).sum())
        yield entry | {"iscrowd": 0} | _given(others, i)
    captions = extras.get("captions", samples)
    for caption in captions if isinstance(captions, list) else []:
        yield {"caption": caption}


def _given(others: Json, i: int) -> Json:
    """What tensors beside the boxes say of an object."""
    entry: Json = {}
    for key, values in others.items():
        if values is None or i >= len(values):
            continue
        if key == "segmentations":
            if values[i] is not None:
                entry["segmentation"] = values[i]
        elif key == "areas":
            if np.isfinite(values[i]):
                entry["area"] = float(values[i])
        else:
            entry[{"ids": "id", "crowds": "iscrowd"}[key]] = int(values[i])
    return entry


def _category(categories: list[Json], labels: Any, i: int) -> Any:
    if labels is None or i >= len(labels):
        return categories[0]["id"] if categories else 1
    number = int(labels[i])
    if not categories:
        raise InvalidError("labels have no class_names: set ds.labels.info['class_names'] first")
    if number >= len(categories):
        raise InvalidError(f"class {number} has no name; there are {len(categories)}")
    return categories[number]["id"]


def _runs(mask: Any) -> Json:
    height, width = mask.shape
    return {"size": [height, width], "counts": [int(n) for n in runs_of_mask(mask)]}


def _short(values: Any) -> list[float]:
    """Numbers without digits that float32 does not have."""
    return [float(f"{value:.9g}") for value in np.asarray(values).tolist()]
