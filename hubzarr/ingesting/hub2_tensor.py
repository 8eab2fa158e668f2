"""One tensor of a Hub 2 or Deep Lake 3 dataset: its samples, from its files.

A tensor is a folder; a later commit has a folder of its own, in ``versions/<commit>/``,
with the chunks that it wrote anew, listed in the file ``chunk_set``. So a chunk is looked
up from the commit that is read back to the first one, which lies in the root.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from hubzarr.errors import DamagedError, HubzarrError, NotFoundError, SampleError, UnsupportedError
from hubzarr.ingesting.blocks import ArrayRegion
from hubzarr.ingesting.hub2_chunks import (
    Chunk,
    ChunkIndex,
    Runs,
    TileReader,
    Tiling,
    parse_runs,
    parse_tiles,
    unpack_lz4,
)
from hubzarr.ingesting.hub2_values import (
    column_options,
    format_name,
    from_text,
    polygons,
    stored_as,
)
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.shelf import Shelf
from hubzarr.ingesting.source import Column
from hubzarr.media import Link, Sample, get_format

__all__ = ["FIRST_COMMIT", "HubFiles", "HubTensor"]

#: The commit whose files lie in the root.
FIRST_COMMIT = "firstdbf9474d461a19e9333c2fd19b46115348f"
_CHUNKS_KEPT = 3
# Samples in tiles above so many bytes are read box by box.
_LARGE = 64_000_000

type Array = np.ndarray[Any, Any]


class HubFiles:
    """Files of a dataset as a commit sees them.

    Parameters
    ----------
    root : Place
        The folder of the dataset.
    history : tuple of str
        The commit, its parent, and so on to the first one.

    Examples
    --------
    >>> import pathlib
    >>> _ = pathlib.Path("dataset_meta.json").write_text('{"tensors": []}')
    >>> HubFiles(Place("."), (FIRST_COMMIT,)).json("dataset_meta.json")
    {'tensors': []}
    """

    def __init__(self, root: Place, history: tuple[str, ...]) -> None:
        self.root = root
        self.history = history

    def place(self, commit: str, path: str) -> Place:
        """Where a commit keeps a file."""
        if ".." in path.split("/") or path.startswith("/"):
            raise DamagedError(f"the dataset {self.root.url!r} names {path!r}, outside of itself")
        return self.root.child(path if commit == FIRST_COMMIT else f"versions/{commit}/{path}")

    def read(self, path: str) -> bytes | None:
        """The file as the last commit that has it wrote it; None if there is none."""
        for commit in self.history:
            try:
                return self.place(commit, path).read()
            except NotFoundError:
                continue
        return None

    def json(self, path: str) -> dict[str, Any]:
        """The object in a JSON file; empty if there is none."""
        data = self.read(path)
        try:
            found = json.loads(data or b"{}")
        except ValueError as error:
            raise DamagedError(f"{path} in {self.root.url!r} is no JSON: {error}") from error
        return found if isinstance(found, dict) else {}

    def chunk_places(self, tensor: str) -> dict[str, Place]:
        """Places of the chunks of a tensor that do not lie in the root."""
        found: dict[str, Place] = {}
        for commit in self.history:
            if commit == FIRST_COMMIT:
                continue
            try:
                written = self.place(commit, f"{tensor}/chunk_set").read().decode()
            except NotFoundError:
                continue
            for entry in filter(None, written.split(",")):
                name, *elsewhere = entry.split(":")  # a merge names commit and tensor
                owner, key, *_ = [*elsewhere, *("", "")[len(elsewhere) :]]
                path = f"{key or tensor}/chunks/{name}"
                found.setdefault(name, self.place(owner or commit, path))
        return found


class HubTensor:
    """A tensor: its length, its column and its samples.

    Parameters
    ----------
    files : HubFiles
    name : str
        Of the tensor.
    folder : str
        Of its files; another than the name after the tensor was renamed.
    """

    def __init__(self, files: HubFiles, name: str, folder: str) -> None:
        self.files = files
        self.name = name
        self.folder = folder
        self.meta = files.json(f"{folder}/tensor_meta.json")
        self.info = files.json(f"{folder}/tensor_info.json")
        self.how = stored_as(self.meta)
        self.dtype = self._dtype()
        self.column = Column(name, column_options(self.meta, self.info))
        compression = self.meta.get("chunk_compression")
        self._chunks = Shelf(partial(_load_chunk, compression), _CHUNKS_KEPT)

    def __len__(self) -> int:
        return len(self._index if self._sequences is None else self._sequences)

    @property
    def hidden(self) -> bool:
        """Whether Hub made the tensor for itself."""
        return bool(self.meta.get("hidden"))

    @cached_property
    def row_ends(self) -> list[int]:
        """For each chunk the number of rows up to its end."""
        ends = sorted(set(self._index.ends))
        if self._sequences is None:
            return ends
        rows = range(len(self))
        return [min(bisect_left(rows, end, key=self._items_to) + 1, len(self)) for end in ends]

    @property
    def is_plain(self) -> bool:
        """Whether samples are neither files nor lists of samples."""
        return self.how not in ("file", "strip") and self._sequences is None

    def read(self, start: int, stop: int) -> Sequence[Any] | Array:
        """Samples of some rows; a broken one comes as the error to tell of it."""
        if self._sequences is None:
            together = self._uniform(start, stop)
            return self._one_by_one(range(start, stop)) if together is None else together
        rows: list[Any] = []
        for row in range(start, stop):
            _, offset, (count, first) = self._sequences[row]
            first += offset * count
            items = self._one_by_one(range(first, first + count))
            errors = [item for item in items if isinstance(item, SampleError)]
            rows.append(errors[0] if errors else items)
        return rows

    # Indexes, read when they are needed and kept with the tensor when it travels

    @cached_property
    def _index(self) -> ChunkIndex:
        data = self.files.read(f"{self.folder}/chunks_index/unsharded")
        return ChunkIndex(data or b"\x012")

    @cached_property
    def _tiles(self) -> dict[int, Tiling]:
        data = self.files.read(f"{self.folder}/tiles_index/unsharded")
        return parse_tiles(data) if data else {}

    @cached_property
    def _sequences(self) -> Runs | None:
        if not self.meta.get("is_sequence"):
            return None
        data = self.files.read(f"{self.folder}/sequence_index/unsharded")
        return parse_runs(data, 3) if data else Runs(np.empty((0, 3)))

    @cached_property
    def _elsewhere(self) -> dict[str, Place]:
        return self.files.chunk_places(self.folder)

    # One sample

    def _one_by_one(self, numbers: range) -> list[Any]:
        """Samples, and errors of those that are broken."""
        chunks: dict[str, Chunk] = {}
        values: list[Any] = []
        for number in numbers:
            try:
                values.append(self._sample(number, chunks))
            except UnsupportedError:
                raise
            except Exception as error:  # bytes of a broken chunk may make anything fail
                path = self._path(number)
                values.append(SampleError(f"{path}: broken sample: {error}", path=path))
        return values

    def _uniform(self, start: int, stop: int) -> Array | None:
        """Samples of one shape at once; None where they differ, or are not so simple."""
        if self.how != "array" or self._tiles or self.meta.get("sample_compression"):
            return None
        parts: list[Array] = []
        while start < stop:
            names, place = self._index.find(start)
            try:
                part = self._chunk(names[0], {}).uniform(place, stop - start, self.dtype)
            except HubzarrError:
                return None  # told when samples are read one by one
            if part is None or part.shape[1:] != (parts or [part])[0].shape[1:]:
                return None
            parts.append(part)
            start += len(part)
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def _sample(self, number: int, chunks: dict[str, Chunk]) -> Any:
        names, place = self._index.find(number)
        if number in self._tiles:
            return self._assembled(self._tiles[number], names)
        chunk = self._chunk(names[0], chunks)
        if self.how == "strip":
            return self._cut_out(chunk, place)
        return self._value(chunk, place, number)

    def _value(self, chunk: Chunk, place: int, number: int) -> Any:
        data: bytes | memoryview = chunk.buffer(place, self.dtype.itemsize)
        if self.meta.get("sample_compression") == "lz4":
            data = unpack_lz4(memoryview(data))
        if self.how == "link":
            path = bytes(data).decode()
            return Link(path) if path else None
        if self.how in ("text", "json"):
            return from_text(bytes(data), self.meta["htype"])
        if not len(data):
            return [] if self.how == "polygon" else self._empty(chunk, place)
        if self.how == "file":
            name = format_name(self.meta["sample_compression"])
            return Sample(bytes(data), path=self._path(number), compression=name)
        shape = chunk.shape(place) or ()
        if self.how == "polygon":
            return polygons(bytes(data), self.dtype, shape[-1])
        return np.frombuffer(data, self.dtype).reshape(shape)

    def _empty(self, chunk: Chunk, place: int) -> Any:
        """An array without elements keeps its shape; other samples of nothing are None."""
        shape = chunk.shape(place)
        return np.empty(shape, self.dtype) if shape and self.how == "array" else None

    def _cut_out(self, chunk: Chunk, place: int) -> Array | None:
        shape = chunk.shape(place)
        if shape is None or 0 in shape:
            return None
        if chunk.strip is None:
            chunk.strip = get_format(chunk.compression or "").decode(bytes(chunk.data))
        left = chunk.left_of(place)
        return chunk.strip[: shape[0], left : left + shape[1]].reshape(shape)

    def _assembled(self, tiling: Tiling, names: list[str]) -> Any:
        """A sample that is cut into tiles; a large one is read box by box."""
        if self.how == "link":
            raise SampleError("its tiles are links to other files, which hubzarr can't keep")
        boxes = tiling.boxes()
        if len(boxes) != len(names):
            raise SampleError(f"it has {len(names)} tiles in place of {len(boxes)}")
        reader = TileReader(self.tile, self.dtype, tuple(zip(boxes, names, strict=True)))
        region = ArrayRegion(tiling.shape, self.dtype, tiling.tile_shape, reader)
        if math.prod(tiling.shape) * self.dtype.itemsize > _LARGE:
            return region
        return region.read(tuple(slice(0, size) for size in tiling.shape))

    def tile(self, name: str) -> Array | None:
        """The tile in a chunk; None for one that was never written."""
        return self._tile(_load_chunk(self.meta.get("chunk_compression"), self._place(name)))

    def _tile(self, chunk: Chunk) -> Array | None:
        """The tile that fills a chunk; shapes have it, positions don't."""
        data = chunk.data
        if not len(data):
            return None
        if self.how in ("file", "strip"):
            name = self.meta.get("sample_compression") or self.meta["chunk_compression"]
            return get_format(name).decode(bytes(data))
        if self.meta.get("sample_compression") == "lz4":
            data = memoryview(unpack_lz4(data))
        return np.frombuffer(data, self.dtype)

    def _chunk(self, name: str, kept: dict[str, Chunk]) -> Chunk:
        """A chunk; the last one is kept at hand, because the next sample is most likely there."""
        chunk = kept.get(name)
        if chunk is None:
            chunk = self._chunks.get(self._place(name))
            kept.clear()
            kept[name] = chunk
        return chunk

    def _place(self, name: str) -> Place:
        there = self._elsewhere.get(name)
        return there or self.files.place(FIRST_COMMIT, f"{self.folder}/chunks/{name}")

    def _path(self, number: int) -> str:
        return f"{self.files.root.url}/{self.name}[{number}]"

    def _items_to(self, row: int) -> int:
        """Number of the item after the last one of a row of sequences."""
        if self._sequences is None:
            return row + 1
        _, offset, (count, first) = self._sequences[row]
        return first + (offset + 1) * count

    def _dtype(self) -> np.dtype[Any]:
        if self.how not in ("array", "polygon", "strip", "file"):
            return np.dtype("u1")
        try:
            return np.dtype(self.meta.get("dtype") or "u1")
        except TypeError as error:
            raise DamagedError(f"tensor {self.name!r} has the unknown dtype {error}") from error


def _load_chunk(compression: str | None, place: Place) -> Chunk:
    try:
        return Chunk(place.read(), compression)
    except NotFoundError as error:
        raise DamagedError(f"a chunk is missing: {place.url}", path=place.url) from error
