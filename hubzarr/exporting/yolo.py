"""YOLO as Ultralytics reads it: ``images``, ``labels`` and ``data.yaml``.

Each image has a text file of the same name with a line for each object: its class, and
centre, width and height of its box as fractions of the image; or the points of its
polygon; or box and keypoints. A tensor ``split`` makes folders such as ``images/train``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from hubzarr.errors import InvalidError
from hubzarr.exporting.naming import file_names, safe_folder
from hubzarr.exporting.report import Written
from hubzarr.exporting.roles import Roles, boxes_as, roles_of
from hubzarr.exporting.table import Table
from hubzarr.exporting.target import Target

__all__ = ["FORMAT", "is_single", "write"]

FORMAT: Final = "yolo"

type Advance = Callable[[int], None]

_STYLES: Final = ("auto", "boxes", "polygons", "keypoints")


def is_single(url: str) -> bool:
    """Whether the target is one file: it never is."""
    return False


def write(
    table: Table,
    target: Target,
    advance: Advance,
    *,
    style: str = "auto",
    filenames: str | None = None,
) -> Written:
    """Write images, their lines, and the names of the classes.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done.
    style : {"auto", "boxes", "polygons", "keypoints"}
        What lines say; by default the most that there is.
    filenames : str, optional
        A text tensor with the names of the image files; by default "filenames", if there is
        one whose values will do.
    """
    roles = roles_of(table)
    style = _style(roles, style)
    used = {
        "boxes": [roles.boxes], "polygons": [roles.polygons, roles.boxes],
        "keypoints": [roles.keypoints, roles.boxes],
    }[style]  # fmt: skip
    fields = [f for f in (roles.images, *used, roles.labels, roles.split) if f is not None]
    names = [_below_images(name) for name in file_names(table, roles.images, filenames)]
    missing = 0
    for block in table.blocks(fields):
        for row, samples in block.each():
            image = samples[roles.images.name]
            if image is None:
                missing += 1
                continue
            name = _in_split(roles, samples, names[row])
            target.write(f"images/{name}", image.encoded(str(roles.images.file_format)))
            lines = _lines(roles, samples, image.shape, style)
            text = "".join(f"{line}\n" for line in lines)
            target.write(f"labels/{name.rpartition('.')[0]}.txt", text.encode())
        advance(block.rows)
    target.write("data.yaml", _settings(roles, style).encode())
    left_out = {
        f.name: "YOLO has no place for it"
        for f in table.fields
        if f not in fields and f.name != "filenames"
    }
    return Written(left_out, (f"{missing} rows have no image",) if missing else ())


def _style(roles: Roles, wanted: str) -> str:
    if wanted not in _STYLES:
        raise InvalidError(f"style={wanted!r}; expected one of {', '.join(_STYLES)}")
    there = [s for s in ("keypoints", "polygons", "boxes") if getattr(roles, s) is not None]
    if "keypoints" in there and roles.boxes is None:
        there.remove("keypoints")
    if not there or (wanted != "auto" and wanted not in there):
        raise InvalidError(
            f"no tensors for style {wanted!r} of YOLO; there are those for "
            f"{', '.join(there) or 'none of boxes, polygons, keypoints'}"
        )
    return there[0] if wanted == "auto" else wanted


def _below_images(name: str) -> str:
    """The name without folders that the format has itself."""
    return name.removeprefix("images/")


def _in_split(roles: Roles, samples: dict[str, Any], name: str) -> str:
    if roles.split is None:
        return name
    split = safe_folder(roles.split.names_of(samples[roles.split.name]))
    return name if name.startswith(f"{split}/") else f"{split}/{name}"


def _lines(roles: Roles, samples: dict[str, Any], shape: tuple[int, ...], style: str) -> list[str]:
    """A line for each object."""
    boxes = None
    if roles.boxes is not None:
        boxes = boxes_as(roles.boxes, samples[roles.boxes.name], shape, "fractional", "CCWH")
    if style == "boxes":
        objects = list(boxes) if boxes is not None else []
    elif style == "polygons":
        objects = _polygons(roles, samples, shape)
    else:
        objects = _posed(roles, samples, shape, boxes)
    labels = [0] * len(objects)
    if roles.labels is not None:
        labels = np.asarray(samples[roles.labels.name]).reshape(-1).tolist()
    if len(labels) != len(objects):
        raise InvalidError(f"an image has {len(labels)} labels and {len(objects)} objects")
    return [
        " ".join([str(int(label)), *(f"{number:.9g}" for number in numbers)])
        for label, numbers in zip(labels, objects, strict=True)
    ]


def _fractions(roles: Roles, points: Any, shape: tuple[int, ...]) -> Any:
    """Points in the coordinates of the boxes as fractions."""
    coords = {} if roles.boxes is None else roles.boxes.info.get("coords") or {}
    if coords.get("type") == "fractional":
        return points
    return points / np.array([shape[1], shape[0]], np.float64)


def _polygons(roles: Roles, samples: dict[str, Any], shape: tuple[int, ...]) -> list[Any]:
    polygons = samples[roles.polygons.name] if roles.polygons is not None else []
    found = [np.asarray(polygon, np.float64).reshape(len(polygon), -1) for polygon in polygons]
    return [_fractions(roles, polygon[:, :2], shape).reshape(-1) for polygon in found]


def _posed(roles: Roles, samples: dict[str, Any], shape: tuple[int, ...], boxes: Any) -> list[Any]:
    keypoints = samples[roles.keypoints.name] if roles.keypoints is not None else None
    found = np.asarray(keypoints, np.float64)
    objects = found.T.reshape(found.shape[1], found.shape[0] // 3, 3).copy()
    objects[:, :, :2] = _fractions(roles, objects[:, :, :2], shape)
    return [
        np.concatenate([box, points.reshape(-1)])
        for box, points in zip(boxes, objects, strict=True)
    ]


def _settings(roles: Roles, style: str) -> str:
    """`data.yaml`, whose strings are written as JSON has them, which YAML reads."""
    names: Sequence[str] = roles.class_names or ["object"]
    lines = ["path: ."]
    splits = roles.split.class_names if roles.split is not None else []
    for name in splits:
        key = {"training": "train", "valid": "val", "validation": "val"}.get(name, name)
        lines.append(f"{json.dumps(key)}: {json.dumps(f'images/{safe_folder(name)}')}")
    if not splits:
        lines += ["train: images", "val: images"]
    lines += ["names:", *(f"  {i}: {json.dumps(name)}" for i, name in enumerate(names))]
    if style == "keypoints" and roles.keypoints is not None:
        count = roles.keypoints.interval[1][0] // 3
        lines.append(f"kpt_shape: [{count}, 3]")
    return "\n".join(lines) + "\n"
