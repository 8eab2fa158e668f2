"""What folders mean: the class of the files in them, and splits above the classes.

The class of a file is the folder it lies in: ``cats/tom.jpg`` is of ``cats``, and
``cats/wild/leo.jpg`` of ``cats/wild``. Folders that lead to all files alike mean nothing.
Folders named train, val, test or the like above the classes are splits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from hubzarr.ingesting.source import Column
from hubzarr.ingesting.splits import in_order, is_split

__all__ = ["Layout", "layout_of"]

# One such folder alone holds all there is, not a class of its name.
_NO_CLASSES = frozenset(
    {"audio", "clips", "data", "files", "image", "images", "img", "imgs", "jpegimages"}
    | {"meshes", "photos", "points", "sounds", "velodyne", "velodyne_points", "video", "videos"}
    | {"volumes", "wav", "wavs"}
)


@dataclass(frozen=True)
class Layout:
    """What folders mean.

    Attributes
    ----------
    classes, splits : tuple of str
        Names, in the order of their numbers; empty where folders are none.
    rows : dict
        By folder, what the rows of its files have: ``labels`` and ``split``. Folders
        outside of all classes are left out.
    """

    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    rows: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of classes and splits."""
        named = (("labels", self.classes), ("split", self.splits))
        return tuple(
            Column(name, {"htype": "class_label", "class_names": list(names)})
            for name, names in named
            if names
        )

    def row(self, path: str) -> dict[str, int] | None:
        """What a file's row has of these columns; None if it lies outside of the classes."""
        if not self.classes and not self.splits:
            return {}
        return self.rows.get(path.rpartition("/")[0])


def layout_of(folders: Mapping[str, int]) -> Layout:
    """Tell classes and splits from the folders that files lie in.

    Parameters
    ----------
    folders : mapping of str to int
        How many files lie in each folder; ``""`` is the one above all.

    Examples
    --------
    >>> layout = layout_of({"train/cat": 20, "train/dog": 30, "test/cat": 10})
    >>> layout.classes, layout.splits, layout.row("test/cat/tom.jpg")
    (('cat', 'dog'), ('train', 'test'), {'labels': 0, 'split': 1})
    """
    # A few loose files beside folders of classes are left out; folders beside many loose
    # files are no classes.
    if folders.get("", 0) > sum(folders.values()) / 2:
        return Layout()
    paths = {folder: folder.split("/") if folder else [] for folder in folders}
    shared = _shared_depth(list(paths.values()))
    inner = {folder: names[shared:] for folder, names in paths.items()}
    parted = all(names and is_split(names[0]) for names in inner.values())
    meaning = {
        folder: (names[0], "/".join(names[1:])) if parted else ("", "/".join(names))
        for folder, names in inner.items()
    }
    classes = sorted({label for _, label in meaning.values()} - {""})
    if len(classes) == 1 and classes[0].lower() in _NO_CLASSES:
        classes = []
    splits = in_order({split for split, _ in meaning.values()})
    if len(splits) < 2:
        splits = []
    return Layout(tuple(classes), tuple(splits), _rows(meaning, classes, splits))


def _shared_depth(paths: list[list[str]]) -> int:
    """How many folders lead to all files alike; a single folder is a class of its own."""
    if len(paths) < 2:
        return max(len(paths[0]) - 1, 0) if paths else 0
    columns = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return len(list(columns))


def _rows(
    meaning: Mapping[str, tuple[str, str]], classes: list[str], splits: list[str]
) -> dict[str, dict[str, int]]:
    labels = {name: number for number, name in enumerate(classes)}
    rows = {}
    for folder, (split, label) in meaning.items():
        if not classes or label in labels:
            row = {"labels": labels[label]} if classes else {}
            rows[folder] = {**row, "split": splits.index(split)} if splits else row
    return rows
