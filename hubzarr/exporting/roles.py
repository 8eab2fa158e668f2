"""Which tensors are the images, boxes, labels and so on of a dataset for object detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError
from hubzarr.exporting.table import Field, Table

__all__ = ["Roles", "boxes_as", "roles_of"]

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Roles:
    """The tensors by what they mean; None where there is none."""

    images: Field
    boxes: Field | None
    labels: Field | None
    masks: Field | None
    polygons: Field | None
    keypoints: Field | None
    split: Field | None

    @property
    def fields(self) -> list[Field]:
        """All that there are."""
        return [field for field in vars(self).values() if field is not None]

    @property
    def class_names(self) -> list[str]:
        """Names of the classes of objects."""
        return [] if self.labels is None else self.labels.class_names


def roles_of(table: Table) -> Roles:
    """Find the tensors by their htypes; of several the first, those beside the boxes first.

    Raises
    ------
    InvalidError
        There are no images, or nothing that says where objects are.
    """
    images = [field for field in table.fields if field.is_picture]
    if not images:
        raise InvalidError("no tensor of images: this format is for images and their objects")
    boxes = _first(table, "bbox")
    group = boxes.name.rpartition("/")[0] if boxes is not None else None
    roles = Roles(
        images=images[0],
        boxes=boxes,
        labels=_first(table, "class_label", group, single=False),
        masks=_first(table, "binary_mask", group),
        polygons=_first(table, "polygon", group),
        keypoints=_first(table, "keypoints_coco", group),
        split=next((f for f in table.fields if f.name == "split" and f.is_label), None),
    )
    if not (roles.boxes or roles.masks or roles.polygons or roles.keypoints):
        raise InvalidError(
            "no tensor of boxes, masks, polygons or keypoints (htype 'bbox', 'binary_mask', "
            "'polygon', 'keypoints_coco'): format='folder' suits images with labels"
        )
    return roles


def _first(table: Table, htype: str, group: str | None = None, single: bool = True) -> Field | None:
    found = [
        field
        for field in table.fields
        if field.spec.base == htype
        and not field.spec.is_link
        and (single or (not field.is_scalar and field.name != "split"))
    ]
    beside = [field for field in found if field.name.rpartition("/")[0] == group]
    return next(iter([*beside, *found]), None)


def boxes_as(field: Field, boxes: Any, shape: tuple[int, ...], kind: str, mode: str) -> Array:
    """Boxes of one image in the coordinates that a format wants.

    Parameters
    ----------
    field : Field
        Its info tells how boxes are written: pixels or fractions, corners or sizes.
    boxes : array_like
    shape : tuple of int
        Of the image.
    kind : {"pixel", "fractional"}
    mode : {"LTWH", "CCWH"}
    """
    found = np.asarray(boxes, np.float64).reshape(-1, 4)
    coords = field.info.get("coords") or {}
    have_kind, have_mode = coords.get("type", "pixel"), coords.get("mode", "LTWH")
    if (have_kind, have_mode) == (kind, mode):
        return found
    if have_kind != kind:
        size = np.array([shape[1], shape[0]] * 2, np.float64)
        found = found * size if kind == "pixel" else found / size
    if have_mode == mode:
        return found
    first, second = found[:, :2], found[:, 2:]
    size = second - first if have_mode == "LTRB" else second
    left = first - size / 2 if have_mode == "CCWH" else first
    return np.hstack([left if mode == "LTWH" else left + size / 2, size])
