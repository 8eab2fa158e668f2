"""Splits of a data set, told by the names of its files and folders: train, validation, test."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column

__all__ = ["SPLITS", "Splits", "in_order", "is_split", "relative_paths", "splits_of"]

#: Names of splits, in the order in which they are numbered.
SPLITS = ("train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing")

_WORD = re.compile(r"[A-Za-z]+")


def is_split(name: str) -> bool:
    """Whether a folder of this name is a split; also with a year, as COCO has it.

    Examples
    --------
    >>> is_split("train2017"), is_split("Valid"), is_split("seg_test"), is_split("cats")
    (True, True, True, False)
    """
    return _plain(name) in SPLITS


def in_order(names: Iterable[str]) -> list[str]:
    """Names of splits in the order in which they are numbered.

    Examples
    --------
    >>> in_order({"test2017", "val2017", "train2017", "unlabeled2017"})
    ['train2017', 'val2017', 'test2017', 'unlabeled2017']
    """
    places = {name: number for number, name in enumerate(SPLITS)}
    return sorted(names, key=lambda name: (places.get(_plain(name), len(places)), name))


def _plain(name: str) -> str:
    """``train`` of ``train2017``, ``seg_train`` and ``train_images``."""
    plain = name.lower().rstrip("0123456789").rstrip("_-")
    return plain.removeprefix("seg_").removesuffix("_images")


class Splits:
    """Which split each file belongs to; none if the names do not tell.

    Examples
    --------
    >>> splits = splits_of(["a/train-0.tar", "a/val-0.tar"])
    >>> splits.columns[0].options["class_names"], splits.row("a/val-0.tar")
    (['train', 'val'], {'split': 1})
    >>> splits_of(["a-0.tar", "a-1.tar"]).columns
    ()
    """

    def __init__(self, names: list[str], numbers: dict[str, int]) -> None:
        self._numbers = numbers
        self.columns: tuple[Column, ...] = ()
        if len(names) > 1:
            self.columns = (Column("split", {"htype": "class_label", "class_names": names}),)

    def row(self, path: str) -> dict[str, Any]:
        """What each row of a file gets."""
        return {"split": self._numbers[path]} if self.columns else {}


def splits_of(paths: Sequence[str]) -> Splits:
    """Find the split in each relative path.

    Examples
    --------
    >>> splits_of(["Split-train/x-0.gz", "Split-eval/x-0.gz"]).row("Split-eval/x-0.gz")
    {'split': 1}
    """
    found = {path: _split(path) for path in paths}
    if None in found.values():
        return Splits([], {})
    names = in_order({name for name in found.values() if name})
    return Splits(names, {path: names.index(name) for path, name in found.items() if name})


def relative_paths(files: Sequence[Place], root: Place) -> list[str]:
    """Paths below a folder, or the name of a single file.

    Examples
    --------
    >>> relative_paths([Place("a.tar")], Place("a.tar"))
    ['a.tar']
    """
    return [file.name if file == root else file.relative(root) for file in files]


def _split(path: str) -> str | None:
    words = [word.lower() for word in _WORD.findall(path)]
    return next((word for word in words if word in SPLITS), None)
