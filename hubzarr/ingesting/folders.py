"""Folders of images: a folder for each class, or images alone.

What folders mean tells `class_folders`. A folder without classes gives the images and
their file names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.class_folders import Layout, layout_of
from hubzarr.ingesting.files import find_file, format_of, image_options, lazy_sample
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Unit, path_units
from hubzarr.media import Sample, get_format

__all__ = ["KIND", "FolderSource", "matches", "open_source"]

KIND = "folders"

# So many files are listed once; of more, the list is made again instead of kept.
_KEPT = 200_000


def matches(place: Place) -> bool:
    """Whether it is an image, or a folder with one in it, or not far below."""
    try:
        if place.is_file():
            return _is_image(place.name)
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
        The folder, or one file.
    sample_compression : str, optional
        Format to keep the images in; by default the one that most of them have.
    dtype : str, optional
        Of the images; by default the one that most of those looked into have. Files of another
        one are no rows then: whether 8 and 16 bits go together, only the user knows.
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
    split {'htype': 'class_label', 'class_names': ['train', 'test']}
    """
    folders: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    first: dict[str, str] = {}
    kept: list[tuple[str, int]] | None = []
    single = place.is_file()
    root = place.parent() if single else place
    for path, size in [(place.name, place.size())] if single else place.files():
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
    layout = layout_of(folders)
    paths = [path for path, _ in kept if format_of(path)] if kept else list(first.values())
    images = image_options(
        root, paths, formats, sample_compression=sample_compression, dtype=dtype, mixed=False
    )
    columns = [Column("images", images), *layout.columns]
    if filenames or (filenames is None and not layout.classes):
        columns.append(Column("filenames", {"htype": "text"}))
    only = None if dtype else np.dtype(images.get("dtype", "uint8"))
    return FolderSource(root, tuple(columns), {"formats": dict(formats)}, layout, kept, only)


@dataclass(frozen=True)
class FolderSource:
    """Images in folders, one row each; `only` is the dtype that all must have, if any."""

    root: Place
    columns: tuple[Column, ...]
    info: dict[str, Any]
    layout: Layout
    files: list[tuple[str, int]] | None
    only: np.dtype[Any] | None = None
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
        filenames = any(column.name == "filenames" for column in self.columns)
        for path in unit.payload:
            if format_of(path.rpartition("/")[2]) is None:
                yield Skipped(path, "its name is none of an image", broken=False)
                continue
            labels = self.layout.row(path)
            if labels is None:
                yield Skipped(path, "it lies outside the folders of classes", broken=False)
                continue
            try:
                sample = lazy_sample(self.root, path)
                if self.only is not None and sample.dtype != self.only:
                    yield Skipped(path, self._other_dtype(sample, self.only))
                    continue
                row: dict[str, Any] = {"images": sample, **labels}
            except SampleError as error:
                yield Skipped(path, error.message)
                continue
            if filenames:
                row["filenames"] = path
            yield row

    def _other_dtype(self, sample: Sample, only: np.dtype[Any]) -> str:
        """Why an image of another dtype is left out, and how to take it."""
        kept = self.columns[0].options["sample_compression"]
        advice = f'dtype="{np.result_type(sample.dtype, only).name}"'
        if not get_format(kept).lossless and sample.compression != kept:
            advice += f' with sample_compression="{sample.compression}"'
        return f"its values are {sample.dtype}, where most images have {only}; {advice} takes both"
