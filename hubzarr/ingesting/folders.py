"""Folders of images: a folder for each class, or images alone.

The class of an image is the folder it lies in: ``cats/tom.jpg`` is a ``cats``, and
``cats/wild/leo.jpg`` a ``cats/wild``. Folders named train, test, val or the like above
the classes become the column ``split``. A folder without classes gives the images and
their file names.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.files import find_file, format_of, image_options, lazy_sample
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Unit, path_units

__all__ = ["KIND", "SPLITS", "FolderSource", "matches", "open_source", "split_of"]

KIND = "folders"

#: Names of folders that part a dataset for training, and what they mean.
SPLITS = {
    **dict.fromkeys(("train", "training", "train_images", "seg_train"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "test_images", "seg_test"), "test"),
}
# So many files are listed once; of more, the list is made again instead of kept.
_KEPT = 200_000
# One such folder alone holds no class of its name.
_NO_CLASSES = frozenset({"data", "images", "image", "img", "imgs", "jpegimages", "photos"})


def split_of(name: str) -> str | None:
    """What a folder's name says of the split in it; also with a year, as COCO has it.

    Examples
    --------
    >>> split_of("train2017"), split_of("Valid"), split_of("cats")
    ('train', 'val', None)
    """
    return SPLITS.get(name.lower().rstrip("0123456789").rstrip("_-"))


def matches(place: Place) -> bool:
    """Whether there is an image in the folder, or not far below."""
    try:
        return place.is_dir() and find_file(place, _is_image, depth=4) is not None
    except HubzarrError:
        return False


def _is_image(name: str) -> bool:
    return format_of(name) is not None


def open_source(
    place: Place,
    *,
    sample_compression: str | None = None,
    dtype: str | None = None,
    filenames: bool | None = None,
) -> FolderSource:
    """Images in folders, as columns ``images`` and ``labels``.

    Parameters
    ----------
    place : Place
        The folder.
    sample_compression : str, optional
        Format to keep the images in; by default the one that most of them have.
    dtype : str, optional
        Of the images; by default one that holds the values of those looked into.
    filenames : bool, optional
        Whether to keep the names of the files, in a column ``filenames``. By default
        this is done where there are no classes.

    Examples
    --------
    >>> import pathlib
    >>> for name in "train/cats/tom.jpg", "train/dogs/rex.jpg", "test/cats/kit.jpg":
    ...     pathlib.Path("pets", name).parent.mkdir(parents=True, exist_ok=True)
    ...     _ = pathlib.Path("pets", name).write_bytes(b"...")
    >>> pets = open_source(Place("pets"))
    >>> for column in pets.columns:
    ...     print(column.name, column.options)
    images {'htype': 'image', 'sample_compression': 'jpeg'}
    labels {'htype': 'class_label', 'class_names': ['cats', 'dogs']}
    split {'htype': 'class_label', 'class_names': ['test', 'train']}
    """
    folders: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    first: dict[str, str] = {}
    kept: list[tuple[str, int]] | None = []
    for path, size in place.files():
        folder, _, name = path.rpartition("/")
        found = format_of(name)
        if found is not None:
            formats[found] += 1
            folders[folder] += 1
            first.setdefault(folder, path)
        if kept is not None:
            kept.append((path, size))
            if len(kept) > _KEPT:
                kept = None
    if not formats:
        raise InvalidError(f"no images in {place.url!r}; expected files such as cats/tom.jpg")
    # A few loose images beside folders of classes are left out; folders beside many
    # loose images are no classes.
    loose = folders.get("", 0) > formats.total() / 2
    layout = _Layout({}, {}, {}) if loose else _layout(folders)
    paths = [path for path, _ in kept if format_of(path)] if kept else list(first.values())
    images = image_options(
        place, paths, formats, sample_compression=sample_compression, dtype=dtype
    )
    columns = [Column("images", images)]
    if layout.classes:
        columns.append(Column("labels", _labels(layout.classes)))
    if layout.splits:
        columns.append(Column("split", _labels(layout.splits)))
    if filenames or (filenames is None and not layout.classes):
        columns.append(Column("filenames", {"htype": "text"}))
    return FolderSource(place, tuple(columns), {"formats": dict(formats)}, layout, kept)


@dataclass(frozen=True)
class _Layout:
    """What folders mean: of each, the class and the split."""

    classes: dict[str, int]
    splits: dict[str, int]
    folders: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class FolderSource:
    """Images in folders, one row each."""

    root: Place
    columns: tuple[Column, ...]
    info: dict[str, Any]
    layout: _Layout
    files: list[tuple[str, int]] | None
    kind: str = KIND

    @property
    def total(self) -> int:
        """How many images there are."""
        return sum(self.info["formats"].values())

    def units(self) -> Iterator[Unit]:
        """Some hundred files at a time, in the order of their paths."""
        return path_units(self.root.files() if self.files is None else self.files)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The images of a unit, not decoded."""
        names = {column.name for column in self.columns}
        classes, splits = self.layout.classes, self.layout.splits
        meaning, filenames = self.layout.folders, "filenames" in names
        for path in unit.payload:
            folder, _, name = path.rpartition("/")
            if format_of(name) is None:
                yield Skipped(path, "its name is none of an image", broken=False)
                continue
            split, label = meaning.get(folder, ("", ""))
            if classes and label not in classes:
                yield Skipped(path, "it lies outside the folders of classes", broken=False)
                continue
            try:
                row: dict[str, Any] = {"images": lazy_sample(self.root, path)}
            except SampleError as error:
                yield Skipped(path, error.message)
                continue
            if classes:
                row["labels"] = classes[label]
            if splits:
                row["split"] = splits[split]
            if filenames:
                row["filenames"] = path
            yield row


def _layout(folders: Iterable[str]) -> _Layout:
    """Tell classes and splits from the folders that images are in."""
    paths = {folder: folder.split("/") if folder else [] for folder in folders}
    shared = _shared_depth(list(paths.values()))
    rest = {folder: parts[shared:] for folder, parts in paths.items()}
    parted = all(parts and split_of(parts[0]) for parts in rest.values())
    meaning = {
        folder: (parts[0], "/".join(parts[1:])) if parted else ("", "/".join(parts))
        for folder, parts in rest.items()
    }
    classes = sorted({label for _, label in meaning.values()} - {""})
    if [name.lower() for name in classes] in ([name] for name in _NO_CLASSES):
        classes = []
    splits = sorted({split for split, _ in meaning.values()})
    if len(splits) < 2:
        splits = []
    return _Layout(_numbered(classes), _numbered(splits), meaning)


def _shared_depth(paths: list[list[str]]) -> int:
    """How many folders lead to all images alike; a single folder is a class of its own."""
    if len(paths) < 2:
        return max(len(paths[0]) - 1, 0)
    columns = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return len(list(columns))


def _numbered(names: list[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _labels(names: dict[str, int]) -> dict[str, Any]:
    return {"htype": "class_label", "class_names": list(names)}
