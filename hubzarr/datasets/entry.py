"""What a dataset knows of a tensor besides its samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from hubzarr.datasets.layout import MARK, group_document, mark_of
from hubzarr.errors import NotFoundError
from hubzarr.htypes import TensorSpec
from hubzarr.session import Session
from hubzarr.session.state import is_array

__all__ = ["TensorEntry", "default_channels", "entry_of", "write_entry"]

#: Htypes whose samples differ in shape by their nature.
_RAGGED: Final = frozenset(
    ["audio", "bbox", "bbox.3d", "keypoints_coco", "list", "mesh", "point", "point_cloud",
     "polygon", "tag", "video"]
)  # fmt: skip
#: Axes that a sample has at most, for htypes where their number varies.
_MOST_AXES: Final = {
    "binary_mask": 3, "class_label": 1, "instance_label": 3, "segment_mask": 3, "bbox.3d": 3,
    "dicom": 4, "nifti": 7,
}  # fmt: skip


@dataclass(frozen=True)
class TensorEntry:
    """A tensor's specification and how it is kept.

    Attributes
    ----------
    spec : TensorSpec
    order : int
        Tensors are listed by it.
    hidden : bool
        Whether it is left out of `Dataset.tensors`.
    ragged : bool
        Whether it is ragged from the start.
    statistics : int
        Channels that pixel statistics are kept of for each sample; 0: none.
    """

    spec: TensorSpec
    order: int = 0
    hidden: bool = False
    ragged: bool = False
    statistics: int = 0

    @cached_property
    def starts_ragged(self) -> bool:
        """Whether samples never are rows of one array."""
        return self.ragged or self.spec.stores != "array" or self.spec.base in _RAGGED

    def axes(self, first: int) -> int:
        """Axes that the index has room for, if the first sample has `first`."""
        if self.spec.ndim is not None:
            return self.spec.ndim
        sequence = self.spec.is_sequence  # whose first sample, if empty, tells nothing
        return max(first, _MOST_AXES.get(self.spec.base, 3 if sequence else 0) + sequence)

    def to_json(self) -> dict[str, Any]:
        """The attribute of a tensor's node."""
        return {
            "tensor": self.spec.to_json()
            | {
                "order": self.order,
                "hidden": self.hidden,
                "ragged": self.ragged,
                "statistics": self.statistics,
            }
        }

    @staticmethod
    def from_json(document: dict[str, Any]) -> TensorEntry:
        """Read what `to_json` gave."""
        return TensorEntry(
            TensorSpec.from_json(document),
            int(document.get("order", 0)),
            bool(document.get("hidden", False)),
            bool(document.get("ragged", False)),
            int(document.get("statistics", 0)),
        )

    def with_spec(self, **changes: Any) -> TensorEntry:
        """The same tensor with another specification."""
        return replace(self, spec=replace(self.spec, **changes))


def default_channels(spec: TensorSpec) -> int:
    """Channels that pixel statistics are kept of, as long as no sample is known."""
    return {"image": 4, "image.rgb": 3}.get(spec.base, 1)


def entry_of(session: Session, path: str) -> TensorEntry | None:
    """The tensor at a path; None if that is none."""
    marks = mark_of(session.document(path)).get("tensor")
    return TensorEntry.from_json(marks) if isinstance(marks, dict) else None


def write_entry(session: Session, path: str, entry: TensorEntry) -> None:
    """Change what is known of a tensor."""
    with session.lock:
        session.check_writable()
        document = session.document(path)
        if document is None:
            raise NotFoundError(f"tensor {path!r} was removed", path=path)
        attributes = document.get("attributes", {}) | {MARK: entry.to_json()}
        if is_array(document):
            session.array(path).document["attributes"] = attributes
            session.layout += 1
            session.touch()
        else:
            session.set_group(path, group_document(attributes))
