"""IDX files, the format of MNIST: pictures and labels in pairs of files, gzipped or not.

``train-images-idx3-ubyte.gz`` belongs to ``train-labels-idx1-ubyte.gz``; ``t10k`` is the
test split. Other IDX files are taken as columns by their names.
"""

from __future__ import annotations

import gzip
import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.arrangement import arrange
from hubzarr.ingesting.blocks import ArrayInfo, BlockSource
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.shelf import Shelf
from hubzarr.ingesting.unpacked import stream

__all__ = ["KIND", "matches", "open_source"]

KIND = "idx"

_NAME = re.compile(
    r"(?P<base>.+?)[.-]idx(?P<ndim>\d)-?(?:ubyte|byte|short|int|float|double)?(\.gz)?"
)
_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def matches(place: Place) -> bool:
    """Whether the place is an IDX file, or a folder with some.

    Examples
    --------
    >>> matches(Place("no/such/folder"))
    False
    """
    try:
        return bool(_files(place))
    except (HubzarrError, OSError, EOFError):
        return False


def open_source(place: Place) -> BlockSource:
    """Pictures, labels and their split.

    Parameters
    ----------
    place : Place
        One file, or a folder of files.

    Raises
    ------
    SampleError
        If a file is cut off or is none.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("mnist").mkdir()
    >>> head = bytes([0, 0, 8, 1, 0, 0, 0, 2])
    >>> _ = pathlib.Path("mnist/t10k-labels-idx1-ubyte").write_bytes(head + bytes([7, 2]))
    >>> source = open_source(Place("mnist"))
    >>> [block.columns["labels"] for unit in source.units() for block in source.rows(unit)]
    [array([7, 2], dtype=uint8)]
    """
    files = _files(place)
    if not files:
        raise InvalidError(
            f"no IDX file at {place.url!r}; expected names such as train-images-idx3-ubyte.gz",
            path=place.url,
        )
    shelf = Shelf(_unpacked)
    arrays = [_array(name, file, shelf) for name, file in files.items()]
    return arrange(KIND, arrays)


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes of the header in the file."""
        return 4 + 4 * len(self.shape)


@dataclass(frozen=True)
class _Reader:
    """Reads rows of an IDX file."""

    place: Place
    header: _Header
    shelf: Shelf[Place, memoryview]

    def __call__(self, box: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        header = self.header
        first, last = box[0].start or 0, header.shape[0] if box[0].stop is None else box[0].stop
        row = math.prod(header.shape[1:]) * header.dtype.itemsize
        if self.place.name.endswith(".gz"):
            start = header.size + first * row
            data = self.shelf.get(self.place)[start : start + (last - first) * row]
        else:
            with self.place.open() as file:
                file.seek(header.size + first * row)
                data = memoryview(file.read((last - first) * row))
        if len(data) < (last - first) * row:
            raise _broken(self.place, f"cut off: rows {first} to {last} of {header.shape} expected")
        block = np.frombuffer(data, header.dtype).reshape(last - first, *header.shape[1:])
        return block[(slice(None), *box[1:])]


def _unpacked(place: Place) -> memoryview:
    """A gzipped file's content: a few tens of MB."""
    try:
        return memoryview(gzip.decompress(place.read()))
    except (OSError, EOFError) as cause:
        raise _broken(place, f"gzip: {cause}") from cause


def _files(place: Place) -> dict[str, Place]:
    """Files by the name of their array; of a file there both packed and unpacked, one."""
    found: dict[str, Place] = {}
    for file in [place] if place.is_file() else place.children():
        match = _NAME.fullmatch(file.name)
        if match is None or hidden(file.name) or not file.is_file():
            continue
        name = re.sub(r"^t10k", "test", match["base"]).replace("-", "_")
        if name not in found or found[name].name.endswith(".gz"):
            found[name] = file
    return found if all(_magic(file) for file in found.values()) else {}


def _magic(file: Place) -> bool:
    with stream(file) as opened:
        head = opened.read(4)
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _DTYPES


def _array(name: str, file: Place, shelf: Shelf[Place, memoryview]) -> ArrayInfo:
    with stream(file) as opened:
        head = opened.read(4)
        sizes = opened.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise _broken(file, "cut off in its header")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    dtype = np.dtype(_DTYPES[head[2]])
    header = _Header(shape, dtype)
    made = ArrayInfo(name, shape, dtype, _Reader(file, header, shelf))
    if "label" in name and len(shape) == 1:
        made = replace(made, options={"htype": "class_label"})
    return made


def _broken(file: Place, why: str) -> SampleError:
    return SampleError(f"{file.url}: broken IDX file, {why}", path=file.url)
