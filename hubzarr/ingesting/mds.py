"""MosaicML's streaming shards (MDS), read without its library.

``index.json`` lists the shards; without one they are taken in the order of their names,
because each says itself what columns it has::

    uint32 n · uint32 offsets[n + 1] · JSON of the columns · samples

A sample is the uint32 sizes of its columns of variable size, and then the values of all
columns. Folders such as ``train`` and ``val``, each with an index, follow each other.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError, UnsupportedError
from hubzarr.ingesting.columns import Field, clean_names, guess
from hubzarr.ingesting.mds_encodings import decode, fixed_size, is_file
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.shelf import Shelf
from hubzarr.ingesting.source import Column, Skipped, Source, Unit
from hubzarr.ingesting.splits import Splits, splits_of

__all__ = ["KIND", "matches", "open_source"]

KIND = "mds"

UNIT_BYTES = 16_000_000
UNIT_ROWS = 1024
_LOOKED_AT = 64
_INDEX = "index.json"


def matches(place: Place) -> bool:
    """Whether the place is a folder of MDS shards, or of folders of them.

    Examples
    --------
    >>> matches(Place("no/such/folder"))
    False
    """
    try:
        return place.is_dir() and any(_has_shards(folder) for folder in _folders(place))
    except (HubzarrError, ValueError):
        return False


def open_source(place: Place, *, leave_out: Sequence[str] = ()) -> Source:
    """Samples as rows.

    Parameters
    ----------
    place : Place
        The folder with ``index.json``.
    leave_out : sequence of str
        Columns not to read, such as those of the encoding ``pkl``.

    Raises
    ------
    SampleError
        If index or shards are broken.
    UnsupportedError
        If a column has the encoding ``pkl``, or shards have an unknown compression.

    Examples
    --------
    >>> import pathlib
    >>> columns = {"column_names": ["n"], "column_encodings": ["int"], "column_sizes": [8]}
    >>> text = json.dumps(columns).encode()
    >>> numbers = np.array([7, 2], "<i8").tobytes()
    >>> start = 16 + len(text)
    >>> head = np.array([2, start, start + 8, start + 16], "<u4").tobytes()
    >>> pathlib.Path("shards").mkdir()
    >>> _ = pathlib.Path("shards/shard.00000.mds").write_bytes(head + text + numbers)
    >>> source = open_source(Place("shards"))
    >>> [int(row["n"]) for unit in source.units() for row in source.rows(unit)]
    [7, 2]
    """
    shards = [shard for folder in _folders(place) for shard in _shards(folder, place)]
    if not shards:
        raise InvalidError(f"no MDS shard in {place.url!r}", path=place.url)
    shelf: Shelf[_Shard, bytes] = Shelf(_unpack)
    layout = _layout(shards[0], shelf).without(leave_out)
    fields = _fields(shards, layout, shelf)
    splits = splits_of([shard.key for shard in shards])
    columns = (*(made.column for made in fields), *splits.columns)
    return ShardRows(tuple(shards), layout, fields, columns, splits, shelf)


@dataclass(frozen=True)
class _Shard:
    """A file of samples, compressed or not."""

    key: str
    place: Place
    compression: str | None = None
    hashes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Layout:
    """Columns of the samples; `wanted` are read."""

    names: tuple[str, ...]
    encodings: tuple[str, ...]
    wanted: tuple[bool, ...]

    def without(self, names: Sequence[str]) -> _Layout:
        unknown = set(names) - set(self.names)
        if unknown:
            raise InvalidError(
                f"no column {min(unknown)!r} to leave out; there are {', '.join(self.names)}"
            )
        wanted = tuple(name not in names for name in self.names)
        for name, encoding, is_wanted in zip(self.names, self.encodings, wanted, strict=True):
            if is_wanted and encoding == "pkl":
                raise UnsupportedError(
                    f"column {name!r} holds pickles, which are not read, because they can run "
                    f"code; leave it out with leave_out=[{name!r}]"
                )
        return replace(self, wanted=wanted)

    def values(self, sample: memoryview) -> dict[str, Any]:
        """The wanted values of a sample."""
        fixed = [fixed_size(encoding) for encoding in self.encodings]
        position = 4 * fixed.count(None)
        sizes = iter(np.frombuffer(sample[:position], "<u4").tolist())
        found = {}
        for name, encoding, size, wanted in zip(
            self.names, self.encodings, fixed, self.wanted, strict=True
        ):
            end = position + (next(sizes) if size is None else size)
            if end > len(sample):
                raise ValueError("it is cut off")
            if wanted:
                found[name] = decode(encoding, bytes(sample[position:end]))
            position = end
        return found


@dataclass(frozen=True)
class ShardRows:
    """A row for each sample.

    Examples
    --------
    >>> layout = _Layout(("n",), ("int",), (True,))
    >>> ShardRows((), layout, (), (), splits_of([]), Shelf(_unpack)).kind
    'mds'
    """

    shards: tuple[_Shard, ...]
    layout: _Layout
    fields: tuple[Field, ...]
    columns: tuple[Column, ...]
    splits: Splits
    shelf: Shelf[_Shard, bytes]
    info: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND

    def units(self) -> Iterator[Unit]:
        """Stretches of samples of each shard."""
        for number, shard in enumerate(self.shards):
            offsets = _offsets(shard, self.shelf)
            start, last = 0, len(offsets) - 1
            while start < last:
                bound = np.searchsorted(offsets, offsets[start] + UNIT_BYTES)
                stop = min(last, start + UNIT_ROWS, max(start + 1, int(bound)))
                span = int(offsets[start]), int(offsets[stop])
                yield Unit(f"{shard.key}/{start}", (number, start, stop, *span), stop - start)
                start = stop

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The samples of a stretch."""
        number, start, stop, first, last = unit.payload
        shard = self.shards[number]
        constants = self.splits.row(shard.key)
        offsets = _offsets(shard, self.shelf)[start : stop + 1].astype(np.int64) - first
        data = memoryview(_read(shard, first, last, self.shelf))
        for index, (begin, end) in enumerate(itertools.pairwise(offsets), start):
            what = f"{shard.key}, sample {index}"
            try:
                values = self.layout.values(data[begin:end])
                row = {
                    made.column.name: made.convert(values.get(made.key), what)
                    for made in self.fields
                }
            except (SampleError, ValueError) as error:
                yield Skipped(what, str(error).removeprefix(f"{what}: "))
                continue
            yield {**row, **constants}


def _fields(
    shards: list[_Shard], layout: _Layout, shelf: Shelf[_Shard, bytes]
) -> tuple[Field, ...]:
    names = [name for name, wanted in zip(layout.names, layout.wanted, strict=True) if wanted]
    encodings = dict(zip(layout.names, layout.encodings, strict=True))
    samples = list(_first_samples(shards, layout, shelf))
    if not samples:
        raise SampleError(f"no sample in {shards[0].place.url}", path=shards[0].place.url)
    columns = clean_names(names)
    return tuple(
        _field(name, columns[name], encodings[name], [sample[name] for sample in samples])
        for name in names
    )


def _field(name: str, column: str, encoding: str, values: list[Any]) -> Field:
    options: dict[str, Any]
    base = encoding.partition(":")[0]
    if is_file(encoding):
        options = {"htype": "image", "sample_compression": base}
        return Field(name, Column(column, options), "file")
    if base == "json":
        return Field(name, Column(column, {"htype": "json"}), "json")
    if base == "pil":
        dtype = np.result_type(*{value.dtype for value in values}).name
        return Field(name, Column(column, {"htype": "image", "dtype": dtype}), "array")
    return guess(name, values, name=column)


def _first_samples(
    shards: list[_Shard], layout: _Layout, shelf: Shelf[_Shard, bytes]
) -> Iterator[dict[str, Any]]:
    """Some samples of the first shard, and the first one of some others."""
    for shard in [shards[0], *shards[1 :: max(1, len(shards) // 8)]]:
        offsets = _offsets(shard, shelf)
        stop = min(len(offsets) - 1, _LOOKED_AT if shard is shards[0] else 1)
        if stop <= 0:
            continue
        first = int(offsets[0])
        data = memoryview(_read(shard, first, int(offsets[stop]), shelf))
        for index in range(stop):
            begin, end = int(offsets[index]) - first, int(offsets[index + 1]) - first
            try:
                yield layout.values(data[begin:end])
            except ValueError:  # told when its row is read
                continue


def _shards(folder: Place, root: Place) -> Iterator[_Shard]:
    index = folder.child(_INDEX)
    prefix = "" if folder == root else f"{folder.relative(root)}/"
    if not index.is_file():
        for file in folder.children():
            if file.suffix == ".mds" and not hidden(file.name):
                yield _Shard(f"{prefix}{file.name}", file)
        return
    try:
        for entry in json.loads(index.read())["shards"]:
            raw, packed = entry["raw_data"], entry.get("zip_data")
            place = folder.child(_plain_name(raw["basename"]))
            compression = None
            if packed is not None and not place.is_file():
                place = folder.child(_plain_name(packed["basename"]))
                compression = entry["compression"]
            hashes = tuple(sorted((packed if compression else raw).get("hashes", {}).items()))
            yield _Shard(f"{prefix}{raw['basename']}", place, compression, hashes)
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise SampleError(
            f"{index.url} is no index of MDS ({type(cause).__name__}: {cause})", path=index.url
        ) from cause


def _plain_name(name: str) -> str:
    """Shards lie beside the index or below: a name may not lead elsewhere."""
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "://" in name:
        raise ValueError(f"a shard named {name!r}")
    return name


def _layout(shard: _Shard, shelf: Shelf[_Shard, bytes]) -> _Layout:
    offsets = _offsets(shard, shelf)
    begin = 4 + 4 * len(offsets)
    try:
        columns = json.loads(_read(shard, begin, int(offsets[0]), shelf))
        names, encodings = columns["column_names"], columns["column_encodings"]
        if len(names) != len(encodings):
            raise ValueError("as many encodings as columns were expected")
        return _Layout(tuple(names), tuple(encodings), (True,) * len(names))
    except (ValueError, KeyError, TypeError) as cause:
        raise _broken(shard, f"columns ({type(cause).__name__}: {cause})") from cause


def _offsets(shard: _Shard, shelf: Shelf[_Shard, bytes]) -> np.ndarray[Any, Any]:
    head = _read(shard, 0, 4, shelf)
    count = int.from_bytes(head, "little") if len(head) == 4 else -1
    table = _read(shard, 4, 8 + 4 * count, shelf) if 0 <= count < 1 << 28 else b""
    offsets = np.frombuffer(table, "<u4") if len(table) == 4 * count + 4 else np.empty(0, "<u4")
    if not offsets.size or offsets[0] < 8 + 4 * count or (np.diff(offsets.astype("i8")) < 0).any():
        raise _broken(shard, "its table of offsets")
    return offsets


def _read(shard: _Shard, start: int, stop: int, shelf: Shelf[_Shard, bytes]) -> bytes:
    """Bytes of the shard as it is uncompressed; fewer at its end."""
    if shard.compression is not None:
        return shelf.get(shard)[start:stop]
    with shard.place.open() as file:
        file.seek(start)
        return file.read(stop - start)


def _unpack(shard: _Shard) -> bytes:
    data = shard.place.read()
    for name, expected in shard.hashes:
        known = name in hashlib.algorithms_available
        if known and hashlib.new(name, data, usedforsecurity=False).hexdigest() != expected:
            raise _broken(shard, f"its {name} is not what the index says")
    method = str(shard.compression).partition(":")[0]
    if method not in _METHODS:
        raise UnsupportedError(
            f"{shard.place.url} is compressed with {method!r}; read are {', '.join(_METHODS)}"
        )
    try:
        return _METHODS[method](data)
    except (OSError, EOFError, ValueError, RuntimeError) as cause:
        raise _broken(shard, str(cause)) from cause


def _zstd(data: bytes) -> bytes:
    from numcodecs.zstd import decompress

    return bytes(decompress(data))


_METHODS: dict[str, Callable[[bytes], bytes]] = {
    "bz2": bz2.decompress,
    "gz": gzip.decompress,
    "zstd": _zstd,
}


def _broken(shard: _Shard, what: str) -> SampleError:
    return SampleError(f"{shard.place.url}: broken MDS shard: {what}", path=shard.place.url)


def _folders(place: Place) -> list[Place]:
    """The folder itself, or those in it that have shards."""
    if _has_shards(place):
        return [place]
    inside = [child for child in place.children() if child.is_dir() and not hidden(child.name)]
    return [child for child in inside if child.child(_INDEX).is_file() and _has_shards(child)]


def _has_shards(folder: Place) -> bool:
    index = folder.child(_INDEX)
    if index.is_file() and index.size() < 1 << 30:
        document = json.loads(index.read())
        shards = document.get("shards") if isinstance(document, dict) else None
        return isinstance(shards, list) and all(s.get("format") == "mds" for s in shards[:3])
    names = [child.name for child in folder.children()]
    return any(name.startswith("shard.") and name.endswith(".mds") for name in names)
