"""CIFAR-10 and CIFAR-100 as their authors hand them out: pickled batches in a folder.

The pictures are made (32, 32, 3); the names of the classes come from ``batches.meta`` or
``meta``. Pickles are read by `plain_pickle`, which runs nothing that stands in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.blocks import ArrayInfo, BlockSource, Part
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.plain_pickle import load_plain
from hubzarr.ingesting.shelf import Shelf
from hubzarr.ingesting.source import Column, Skipped

__all__ = ["KIND", "matches", "open_source"]

KIND = "cifar"

_LABELS = {"labels": "label_names", "fine_labels": "fine_label_names"} | {
    "coarse_labels": "coarse_label_names"
}
_SPLITS = ("train", "test")


def matches(place: Place) -> bool:
    """Whether the place is a folder with CIFAR's batches and their meta file.

    Examples
    --------
    >>> matches(Place("no/such/folder"))
    False
    """
    try:
        return place.is_dir() and _meta_file(place) is not None and bool(_files(place))
    except HubzarrError:
        return False


def open_source(place: Place) -> BlockSource:
    """Pictures, labels, file names and split.

    Parameters
    ----------
    place : Place
        The folder ``cifar-10-batches-py`` or ``cifar-100-python``.

    Raises
    ------
    SampleError
        If a batch is broken, or is a pickle of more than plain data.

    Examples
    --------
    >>> import pathlib, pickle
    >>> batch = {"data": np.zeros((2, 3072), "uint8"), "labels": [6, 9], "filenames": ["a", "b"]}
    >>> folder = pathlib.Path("cifar-10-batches-py")
    >>> folder.mkdir()
    >>> _ = (folder / "data_batch_1").write_bytes(pickle.dumps(batch))
    >>> _ = (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    >>> source = open_source(Place("cifar-10-batches-py"))
    >>> (block,) = [block for unit in source.units() for block in source.rows(unit)]
    >>> block.columns["images"].shape, block.columns["labels"]
    ((2, 32, 32, 3), array([6, 9]))
    """
    files = _files(place)
    if not files:
        raise InvalidError(
            f"no CIFAR batches in {place.url!r}; expected data_batch_1 … test_batch, or train "
            "and test",
            path=place.url,
        )
    meta_file = _meta_file(place)
    meta = {} if meta_file is None else _text_keys(load_plain(meta_file.read(), meta_file.url))
    shelf = Shelf(_batch, size=1)
    parts: list[Part] = []
    for file in files:
        split = _SPLITS.index("test" if file.name.startswith("test") else "train")
        arrays = _arrays(file, shelf)
        skipped = shelf.get(file).skipped
        if arrays.keys() == (parts[0].arrays if parts else arrays).keys():
            parts.append(Part(file.name, arrays, {"split": split}, skipped=skipped))
        else:
            raise SampleError(f"{file.url} has other fields than {files[0].name}", path=file.url)
    return BlockSource(KIND, _columns(parts[0], meta), tuple(parts))


@dataclass(frozen=True)
class _Reader:
    """Reads rows of one field of a batch."""

    place: Place
    name: str
    shelf: Shelf[Place, _Batch]

    def __call__(self, box: tuple[slice, ...]) -> Any:
        return self.shelf.get(self.place).fields[self.name][box]


@dataclass(frozen=True)
class _Batch:
    """Fields of a file as arrays of the same length, and what is left out."""

    fields: dict[str, np.ndarray[Any, Any]]
    skipped: tuple[Skipped, ...]


def _columns(part: Part, meta: dict[str, Any]) -> tuple[Column, ...]:
    columns = []
    for name in part.arrays:
        options: dict[str, Any] = {"htype": "text"}
        if name == "images":
            options = {"htype": "image", "dtype": "uint8"}
        elif name in _LABELS:
            options = {"htype": "class_label"}
            names = meta.get(_LABELS[name])
            if isinstance(names, list) and names:
                options["class_names"] = [_text(label) for label in names]
        columns.append(Column(name, options))
    split = Column("split", {"htype": "class_label", "class_names": list(_SPLITS)})
    return (*columns, split)


def _arrays(file: Place, shelf: Shelf[Place, _Batch]) -> dict[str, ArrayInfo]:
    return {
        name: ArrayInfo(name, values.shape, values.dtype, _Reader(file, name, shelf))
        for name, values in shelf.get(file).fields.items()
    }


def _batch(file: Place) -> _Batch:
    content = load_plain(file.read(), file.url)
    batch = _text_keys(content) if isinstance(content, dict) else {}
    try:
        good, pictures = _pictures(batch["data"])
        fields = {"images": pictures}
        for name in (name for name in _LABELS if name in batch):
            fields[name] = np.asarray(batch[name], np.int64)[good]
        if "filenames" in batch:
            fields["filenames"] = np.array([_text(n) for n in batch["filenames"]], object)[good]
    except (IndexError, KeyError, TypeError, ValueError) as cause:
        raise SampleError(
            f"{file.url} is no CIFAR batch ({type(cause).__name__}: {cause}); expected 'data' of "
            "n × 3072 bytes and labels",
            path=file.url,
        ) from cause
    bad = np.flatnonzero(~good)
    why = "not 3072 bytes, as a picture of CIFAR has"
    return _Batch(fields, tuple(Skipped(f"{file.url}, row {row}", why) for row in bad))


def _pictures(data: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Which rows are pictures of CIFAR's size, and those as (n, 32, 32, 3)."""
    if isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == 3072:
        good = np.ones(len(data), bool)
        flat = data
    else:
        rows = [np.asarray(row) for row in data]
        good = np.array([row.shape == (3072,) for row in rows], bool)
        flat = np.array([row for row, is_good in zip(rows, good, strict=True) if is_good])
    pixels = flat.reshape(-1, 3, 32, 32).astype(np.uint8)
    if not np.array_equal(pixels.reshape(flat.shape), flat):
        raise ValueError("pixels are not whole numbers from 0 to 255")
    return good, np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def _text_keys(content: Any) -> dict[str, Any]:
    """Keys as text: batches written by Python 2 have bytes."""
    return (
        {_text(key): value for key, value in content.items()} if isinstance(content, dict) else {}
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _meta_file(place: Place) -> Place | None:
    for name in ("batches.meta", "meta"):
        file = place.child(name)
        if file.is_file():
            return file
    return None


def _files(place: Place) -> list[Place]:
    """Batches for training in the order of their numbers, then those for tests."""
    batches = [
        file
        for file in place.children()
        if (file.name.startswith("data_batch_") and file.name[11:].isdecimal())
        or file.name in ("train", "test", "test_batch")
    ]
    batches = [file for file in batches if file.is_file() and _is_pickle(file)]
    return sorted(batches, key=lambda f: (f.name.startswith("test"), len(f.name), f.name))


def _is_pickle(file: Place) -> bool:
    with file.open() as stream:
        head = stream.read(2)
    return len(head) == 2 and head[0] == 0x80 and head[1] <= 5
