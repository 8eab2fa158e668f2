"""Datasets of Hub 1: Zarr arrays whose metadata stands in one file, ``meta.json``.

The tensors of a dataset share their first axis, the rows. Chunks are those of Zarr v2, in
files ``<tensor>/<indexes>:<commit>``. Samples of changing shape are not read.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hubzarr.errors import DamagedError, UnsupportedError
from hubzarr.ingesting.blocks import ArrayInfo, BlockSource, Part, array_options
from hubzarr.ingesting.columns import clean_names
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column
from hubzarr.media.guard import broken_unless_read

__all__ = ["matches", "open_source"]

type Array = np.ndarray[Any, Any]


def matches(place: Place) -> bool:
    """Whether the folder has the metadata of a dataset of Hub 1."""
    meta = place.child("meta.json")
    if not meta.is_file():
        return False
    found = json.loads(meta.read())
    return isinstance(found, dict) and ".hub.dynamic_tensor" in found and "schema" in found


def open_source(place: Place) -> BlockSource:
    """A dataset of Hub 1.

    Raises
    ------
    UnsupportedError
        A tensor has samples of changing shape, or chunks of several commits.
    """
    try:
        meta = json.loads(place.child("meta.json").read())
        arrays = [_array(place, key, zarray, meta) for key, zarray in meta[".zarray"].items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"meta.json in {place.url!r} is broken: {error}") from error
    names = clean_names(array.name for array in arrays)
    columns = tuple(Column(names[array.name], array_options(array)) for array in arrays)
    part = Part("", {names[array.name]: array for array in arrays})
    return BlockSource("hub2", columns, (part,), dict(meta.get("meta_info") or {}))


@dataclass(frozen=True)
class _Chunks:
    """Reads boxes of an array from its chunks."""

    folder: Place
    zarray: dict[str, Any]

    def __call__(self, box: tuple[slice, ...]) -> Array:
        shape, chunks = self.zarray["shape"], self.zarray["chunks"]
        ranges = [part.indices(size)[:2] for part, size in zip(box, shape, strict=True)]
        fill = self.zarray.get("fill_value") or 0
        out = np.full([stop - start for start, stop in ranges], fill, self.zarray["dtype"])
        firsts = [start // chunk for (start, _), chunk in zip(ranges, chunks, strict=True)]
        counts = [
            -(-stop // chunk) - first
            for (_, stop), chunk, first in zip(ranges, chunks, firsts, strict=True)
        ]
        for cell in np.ndindex(*counts):
            at = [first + step for first, step in zip(firsts, cell, strict=True)]
            stored = self._chunk(".".join(map(str, at)))
            if stored is None:
                continue
            corners = [place * chunk for place, chunk in zip(at, chunks, strict=True)]
            spans = [
                (max(start, corner), min(stop, corner + chunk))
                for (start, stop), corner, chunk in zip(ranges, corners, chunks, strict=True)
            ]
            there = zip(spans, corners, strict=True)
            here = zip(spans, ranges, strict=True)
            source = tuple(slice(a - corner, b - corner) for (a, b), corner in there)
            target = tuple(slice(a - start, b - start) for (a, b), (start, _) in here)
            out[target] = stored[source]
        return out

    @broken_unless_read("chunk of Hub 1")
    def _chunk(self, name: str) -> Array | None:
        files = [file for file in self.folder.children() if file.name.partition(":")[0] == name]
        if not files:
            return None
        if len(files) > 1:
            raise UnsupportedError(
                f"{self.folder.url} has chunk {name} of several commits; hubzarr reads Hub 1 "
                "datasets of one commit"
            )
        data: Any = files[0].read()
        if self.zarray.get("compressor"):
            from numcodecs import get_codec

            data = get_codec(self.zarray["compressor"]).decode(data)
        array = np.frombuffer(data, self.zarray["dtype"])
        return array.reshape(self.zarray["chunks"], order=self.zarray.get("order", "C"))


def _array(place: Place, key: str, zarray: dict[str, Any], meta: dict[str, Any]) -> ArrayInfo:
    name = key.strip("/")
    shape = meta[".hub.dynamic_tensor"].get(key, {}).get("shape", zarray["shape"])
    if None in shape or "--dynamic--" in key:
        raise UnsupportedError(
            f"samples of {name!r} in {place.url!r} have changing shapes, which hubzarr does not "
            "read from Hub 1; convert the dataset with hub 2 first"
        )
    if zarray.get("filters"):
        raise UnsupportedError(f"{name!r} in {place.url!r} has filters of Zarr: not read")
    schema = _schema(meta["schema"], name)
    chunks = tuple(zarray["chunks"])
    info = ArrayInfo(
        name,
        tuple(zarray["shape"]),
        np.dtype(zarray["dtype"]),
        _Chunks(place.child(name), zarray),
        chunk_rows=min(chunks[0], zarray["shape"][0]),
        chunk_shape=chunks,
    )
    return _with_options(info, schema)


def _with_options(array: ArrayInfo, schema: dict[str, Any]) -> ArrayInfo:
    """Labels and images as the schema names them."""
    kind, dtype = schema.get("type"), array.dtype.newbyteorder("=").name
    if kind == "ClassLabel" and array.dtype.kind in "iu":
        names = schema.get("_names") or schema.get("_int2str") or []
        return replace(array, options={"htype": "class_label", "class_names": list(names)})
    if kind == "Image" and math.prod(array.shape[1:]) and array.dtype == np.uint8:
        return replace(array, options={"htype": "image", "dtype": dtype})
    return array


def _schema(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema of a tensor; groups are nested."""
    for part in name.split("/"):
        schema = schema.get("items", {}).get(part, {})
    return schema
