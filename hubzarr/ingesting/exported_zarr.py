"""Zarr groups that `hubzarr.export` wrote: read back as the tensors they were.

See `hubzarr.exporting.zarr_folder` for how tensors lie in them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.layout import BYTES, INDEX, MARK
from hubzarr.errors import HubzarrError, SampleError
from hubzarr.htypes import TensorSpec, restore, unframe
from hubzarr.ingesting.exported import tensor_options
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Block, Column, Row, Skipped, Unit
from hubzarr.media import Sample

__all__ = ["KIND", "matches", "open_source"]

KIND = "hubzarr_zarr"

type Array = np.ndarray[Any, Any]

_ROWS: Final = 512
_BYTES: Final = 32_000_000
_EXPORT: Final = "hubzarr_export"


def matches(place: Place) -> bool:
    """Whether the place is a Zarr group that an export wrote.

    Examples
    --------
    >>> matches(Place("no/such/folder"))
    False
    """
    try:
        file = place.child("zarr.json")
        return place.is_dir() and file.is_file() and _EXPORT in _attributes(json.loads(file.read()))
    except (HubzarrError, ValueError):
        return False


def _attributes(document: Any) -> dict[str, Any]:
    found = document.get("attributes", {}) if isinstance(document, dict) else {}
    return found if isinstance(found, dict) else {}


def open_source(place: Place) -> ExportedZarr:
    """The tensors of a group.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/exported_zarr")
    >>> ds.create_tensor("note", htype="text").extend(["a", "b"])
    >>> _ = hub.export(ds, "notes.zarr")
    >>> source = open_source(Place("notes.zarr"))
    >>> [list(block.columns["note"]) for unit in source.units() for block in source.rows(unit)]
    [['a', 'b']]
    """
    root = _open(place)
    tensors = []
    for path, node in sorted(root.members(max_depth=None)):
        mark = node.attrs.get(MARK)
        if isinstance(mark, dict) and "tensor" in mark:
            entry = TensorEntry.from_json(mark["tensor"])
            info = {key: value for key, value in dict(node.attrs).items() if key != MARK}
            tensors.append((entry.order, _Tensor(path, entry.spec, info, hasattr(node, "shape"))))
    if not tensors:
        raise SampleError(f"{place.url!r} has no tensors", path=place.url)
    chosen = tuple(tensor for _, tensor in sorted(tensors, key=lambda pair: pair[0]))
    info = {k: v for k, v in dict(root.attrs).items() if k not in (MARK, _EXPORT)}
    return ExportedZarr(place, chosen, _length(root, chosen), info)


@dataclass(frozen=True)
class _Tensor:
    """A tensor: its path, what its samples are, and whether they are rows of one array."""

    path: str
    spec: TensorSpec
    info: dict[str, Any]
    uniform: bool


@dataclass(frozen=True)
class ExportedZarr:
    """Rows of an exported group.

    Examples
    --------
    >>> ExportedZarr(Place("."), (), 0).columns
    ()
    """

    place: Place
    tensors: tuple[_Tensor, ...]
    length: int
    info: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND

    @property
    def columns(self) -> tuple[Column, ...]:
        """The tensors."""
        return tuple(Column(t.path, tensor_options(t.spec, t.info)) for t in self.tensors)

    def units(self) -> Iterator[Unit]:
        """So many rows that they fit into memory."""
        root = _open(self.place)
        sizes = np.zeros(self.length, np.int64)
        for tensor in self.tensors:
            node = root[tensor.path]
            if tensor.uniform:
                width = 100 if tensor.spec.stores == "text" else node.dtype.itemsize
                sizes += int(np.prod(node.shape[1:])) * width
            elif self.length:
                sizes += node[INDEX][: self.length, 1]
        ends = np.cumsum(sizes)
        start = 0
        while start < self.length:
            before = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, before + _BYTES, "right"))
            stop = min(max(stop, start + 1), start + _ROWS, self.length)
            yield Unit(str(start), (start, stop), stop - start)
            start = stop

    def rows(self, unit: Unit) -> Iterator[Row]:
        """The rows of a unit, as one block."""
        start, stop = unit.payload
        root = _open(self.place)
        try:
            columns = {t.path: _samples(root[t.path], t, start, stop) for t in self.tensors}
        except HubzarrError as error:
            yield Skipped(f"rows {start} to {stop}", error.message)
            return
        except Exception as cause:  # codecs raise what they like
            yield Skipped(f"rows {start} to {stop}", f"{type(cause).__name__}: {cause}")
            return
        yield Block(columns, stop - start)


def _open(place: Place) -> Any:
    import zarr

    if place.is_local:
        return zarr.open_group(place.url, mode="r", zarr_format=3, use_consolidated=False)
    from zarr.storage import FsspecStore

    store = FsspecStore.from_url(place.url, storage_options=place.options, read_only=True)
    return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)


def _length(root: Any, tensors: tuple[_Tensor, ...]) -> int:
    nodes = [root[t.path] if t.uniform else root[t.path][INDEX] for t in tensors]
    return min(int(node.shape[0]) for node in nodes)


def _samples(node: Any, tensor: _Tensor, start: int, stop: int) -> Any:
    """Samples of a tensor: an array, or a list of values."""
    if tensor.uniform:
        found = node[start:stop]
        return [str(text) for text in found] if tensor.spec.stores == "text" else found
    index = node[INDEX][start:stop].tolist()
    ends = [entry[0] + entry[1] for entry in index]
    first, last = min((e[0] for e in index), default=0), max(ends, default=0)
    data = np.asarray(node[BYTES][first:last]).tobytes()
    parts = [data[entry[0] - first : end - first] for entry, end in zip(index, ends, strict=True)]
    shapes = [tuple(itertools.takewhile(lambda n: n >= 0, entry[2:])) for entry in index]
    spec = tensor.spec
    return [_value(spec, part, shape) for part, shape in zip(parts, shapes, strict=True)]


def _value(spec: TensorSpec, data: bytes, shape: tuple[int, ...]) -> Any:
    """What `create_tensor` takes, files as they are."""
    if spec.stores == "file":
        return Sample(data, compression=spec.sample_compression) if data else None
    if spec.stores == "sequence" and spec.item.stores == "file":
        compression = spec.sample_compression
        return [Sample(d, compression=compression) if d else None for d in unframe(data)[0]]
    return restore(spec, data, shape)
