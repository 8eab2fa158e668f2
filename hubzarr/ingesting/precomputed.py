"""Volumes in Neuroglancer's Precomputed format, as CloudVolume writes them.

A folder with a file ``info`` holds a volume at several scales. Each scale becomes a tensor,
``scale_0`` the finest, with the volume as the one sample in it: an array of axes x, y, z,
channel. It is read box by box and never as a whole. What else ``info`` says about scales
(resolution in nm, offset of the first voxel) goes to the info of the dataset.

Chunks may be files (plain, or packed by gzip or zstd) or lie in shards.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hubzarr.errors import (
    DamagedError,
    HubzarrError,
    InvalidError,
    NotFoundError,
    SampleError,
    UnsupportedError,
)
from hubzarr.ingesting.blocks import ArrayRegion
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.precomputed_chunks import ENCODINGS, decode_chunk
from hubzarr.ingesting.precomputed_shards import Shards, morton_code
from hubzarr.ingesting.source import Column, Skipped, Unit
from hubzarr.media.extras import need

__all__ = ["KIND", "PrecomputedSource", "Scale", "matches", "open_source"]

KIND = "precomputed"

_ENDINGS = ("", ".gz", ".br", ".zstd")

type Array = np.ndarray[Any, Any]


def matches(place: Place) -> bool:
    """Whether the folder has an ``info`` file of a volume."""
    try:
        if not place.is_dir():
            return False
        info = _info(place)
    except (HubzarrError, ValueError):
        return False
    return info is not None and "scales" in info and "data_type" in info


def open_source(place: Place, *, scales: Sequence[int] | None = None) -> PrecomputedSource:
    """A volume at several scales.

    Parameters
    ----------
    place : Place
        The folder with ``info``.
    scales : sequence of int, optional
        Which scales, by number; all of them by default.

    Raises
    ------
    UnsupportedError
        A scale has an encoding that is not read.

    Examples
    --------
    >>> scale = {"key": "4nm", "size": [2, 2, 2], "chunk_sizes": [[2, 2, 2]], "encoding": "raw",
    ...          "resolution": [4, 4, 4], "voxel_offset": [0, 0, 0]}
    >>> info = {"type": "image", "data_type": "uint8", "num_channels": 1, "scales": [scale]}
    >>> import pathlib
    >>> pathlib.Path("brain/4nm").mkdir(parents=True)
    >>> _ = pathlib.Path("brain/info").write_text(json.dumps(info))
    >>> _ = pathlib.Path("brain/4nm/0-2_0-2_0-2").write_bytes(bytes(range(8)))
    >>> source = open_source(Place("brain"))
    >>> (volume,) = source.volumes().values()
    >>> volume.shape, volume.read((slice(0, 2), slice(1, 2), slice(0, 1), slice(0, 1))).ravel()
    ((2, 2, 2, 1), array([2, 3], dtype=uint8))
    """
    info = _info(place)
    if info is None:
        raise NotFoundError(f"no info file of a volume in {place.url!r}", path=place.url)
    try:
        found = [Scale.parse(place, info, entry) for entry in info["scales"]]
    except HubzarrError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"the info file in {place.url!r} is broken: {error!r}") from error
    wanted = range(len(found)) if scales is None else scales
    if not all(0 <= number < len(found) for number in wanted) or not found:
        raise InvalidError(f"scales {list(wanted)} of a volume with scales 0 to {len(found) - 1}")
    chosen = {f"scale_{number}": found[number] for number in wanted}
    for scale in chosen.values():
        scale.check()
    return PrecomputedSource(chosen, _kept(info, wanted))


@dataclass(frozen=True)
class PrecomputedSource:
    """A volume: one row, its scales."""

    scales: dict[str, Scale]
    info: dict[str, Any]
    kind: str = KIND

    @property
    def columns(self) -> tuple[Column, ...]:
        """A tensor for each scale."""
        return tuple(
            Column(name, {"htype": "generic", "dtype": scale.dtype.name})
            for name, scale in self.scales.items()
        )

    def volumes(self) -> dict[str, ArrayRegion]:
        """The scales as arrays that are read box by box."""
        return {
            name: ArrayRegion(scale.shape, scale.dtype, scale.tile_shape, scale.read)
            for name, scale in self.scales.items()
        }

    def units(self) -> Iterator[Unit]:
        """The one row."""
        yield Unit("volume", None, 1)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The scales, not read yet."""
        yield dict(self.volumes())


@dataclass(frozen=True)
class Scale:
    """One scale of a volume.

    Attributes
    ----------
    folder : Place
        Of its chunks.
    shape : tuple of int
        x, y, z, channels.
    dtype : numpy.dtype
    chunk : tuple of int
        Shape of a chunk: x, y, z.
    offset : tuple of int
        Of the first voxel; part of the names of files.
    encoding : str
    block : tuple of int
        Of ``compressed_segmentation``.
    sharding : dict or None
    """

    folder: Place
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    chunk: tuple[int, int, int]
    offset: tuple[int, int, int]
    encoding: str
    block: tuple[int, int, int]
    sharding: dict[str, Any] | None

    @classmethod
    def parse(cls, place: Place, info: Mapping[str, Any], entry: Mapping[str, Any]) -> Scale:
        """From the scale's entry in ``info``."""
        x, y, z = map(int, entry["size"])
        return cls(
            folder=_below(place, str(entry["key"])),
            shape=(x, y, z, int(info.get("num_channels", 1))),
            dtype=np.dtype(info["data_type"]),
            chunk=_three(entry["chunk_sizes"][0]),
            offset=_three(entry.get("voxel_offset", (0, 0, 0))),
            encoding=str(entry["encoding"]),
            block=_three(entry.get("compressed_segmentation_block_size", (8, 8, 8))),
            sharding=entry.get("sharding"),
        )

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape of a chunk with its channels."""
        return (*self.chunk, self.shape[3])

    def check(self) -> None:
        """Raise an error for what can't be read."""
        if self.encoding not in ENCODINGS:
            raise UnsupportedError(
                f"chunks of encoding {self.encoding!r} in {self.folder.url!r} are not read; "
                f"encodings that are: {', '.join(ENCODINGS)}"
            )
        if min(self.chunk) < 1 or min(self.block) < 1 or min(self.shape) < 0:
            raise DamagedError(f"the info file says that {self.folder.url!r} has chunks of nothing")

    def read(self, box: tuple[slice, ...]) -> Array:
        """The voxels of a box: a slice for each axis. Chunks that are missing give zeros."""
        spans = [part.indices(size)[:2] for part, size in zip(box, self.shape, strict=True)]
        out = np.zeros([max(0, stop - start) for start, stop in spans], self.dtype, order="F")
        if not out.size:
            return out
        cells = [
            range(start // edge, -(-stop // edge))
            for (start, stop), edge in zip(spans, self.chunk, strict=False)
        ]
        for cell in np.ndindex(*map(len, cells)):
            at = [places[step] for places, step in zip(cells, cell, strict=True)]
            corner = [place * edge for place, edge in zip(at, self.chunk, strict=True)]
            chunk = self._chunk(at, corner)
            if chunk is None:
                continue
            source, target = [], []
            for (start, stop), first, size in zip(spans, [*corner, 0], chunk.shape, strict=True):
                low, high = max(start, first), min(stop, first + size)
                source.append(slice(low - first, high - first))
                target.append(slice(low - start, high - start))
            out[tuple(target)] = chunk[tuple(source)]
        return out

    def _chunk(self, cell: Sequence[int], corner: Sequence[int]) -> Array | None:
        far = zip(corner, self.chunk, self.shape, strict=False)
        ends = [min(start + edge, size) for start, edge, size in far]
        x, y, z = (end - start for start, end in zip(corner, ends, strict=True))
        if self._shards is not None:
            grid = [-(-size // edge) for size, edge in zip(self.shape, self.chunk, strict=False)]
            name = f"chunk {'-'.join(map(str, cell))}"
            data = self._shards.read(morton_code(cell, grid))
        else:
            name = "_".join(
                f"{start + shift}-{end + shift}"
                for start, end, shift in zip(corner, ends, self.offset, strict=True)
            )
            data = self._files.read(name)
        if data is None:
            return None
        try:
            shape = (x, y, z, self.shape[3])
            return decode_chunk(data, self.encoding, shape, self.dtype, self.block)
        except SampleError as error:
            where = f"{self.folder.url}/{name}"
            raise SampleError(f"{where}: {error.message}", path=where) from error

    @cached_property
    def _shards(self) -> Shards | None:
        return None if self.sharding is None else Shards(self.folder, self.sharding)

    @cached_property
    def _files(self) -> _Files:
        return _Files(self.folder)


class _Files:
    """Files of chunks, with the ending that the first one had."""

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self._ending = ""

    def read(self, name: str) -> bytes | None:
        known = self._ending
        for ending in (known, *(other for other in _ENDINGS if other != known)):
            try:
                data = self.folder.child(name + ending).read()
            except NotFoundError:
                continue
            self._ending = ending
            return _unpacked(data, ending, f"{self.folder.url}/{name}")
        return None


def _info(place: Place) -> dict[str, Any] | None:
    data = _Files(place).read("info")
    if data is None:
        return None
    found = json.loads(data)
    return found if isinstance(found, dict) else None


def _kept(info: Mapping[str, Any], wanted: Sequence[int]) -> dict[str, Any]:
    """What the info of the dataset keeps: all but what the tensors say themselves."""
    facts = ("key", "resolution", "voxel_offset", "encoding")
    scales = {
        f"scale_{number}": {key: entry[key] for key in facts if key in entry}
        for number, entry in enumerate(info["scales"])
        if number in wanted
    }
    return {"type": info.get("type"), "axes": ["x", "y", "z", "channel"], "scales": scales}


def _unpacked(data: bytes, ending: str, where: str) -> bytes:
    """Contents of a packed file; a store may have kept gzip without saying so in the name."""
    try:
        if ending in ("", ".gz"):
            packed = data.startswith(b"\x1f\x8b\x08")
            return zlib.decompress(data, 31) if packed or ending else data
        codecs = need("imagecodecs", extra="images", what=f"reading {ending} files")
        decode = codecs.brotli_decode if ending == ".br" else codecs.zstd_decode
        return bytes(decode(data))
    except (zlib.error, RuntimeError, ValueError) as error:
        if not ending:
            return data
        raise SampleError(f"{where} is broken: {error}", path=where) from error


def _three(values: Sequence[Any]) -> tuple[int, int, int]:
    x, y, z = map(int, values)
    return x, y, z


def _below(place: Place, key: str) -> Place:
    """The folder of a scale; one that lies elsewhere could be any folder of this machine."""
    if key.startswith("/") or "://" in key or ".." in key.split("/"):
        raise InvalidError(f"the scale {key!r} lies outside of {place.url!r}, and is not read")
    return place.child(key)
