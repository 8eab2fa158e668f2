"""WebDataset: tar archives in which files with one stem are one sample.

``0001.jpg``, ``0001.cls`` and ``0001.json`` next to each other are a row; what stands
behind the first dot says what each file is. Archives may be gzipped, and so may files in
them. The order is kept, and an archive is read in stretches of bounded size.

Pictures, sound and other files of samples stay as they are; ``txt`` becomes text, ``cls``
a class label, ``json`` JSON, ``npy`` an array. Pickles (``pyd``, ``pth``) are kept as bytes,
never opened.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.columns import Field, clean_names, guess, media_options
from hubzarr.ingesting.place import Place, hidden
from hubzarr.ingesting.source import Column, Skipped, Source, Unit
from hubzarr.ingesting.splits import Splits, relative_paths, splits_of
from hubzarr.ingesting.tar_members import BLOCK, Member, tar_members
from hubzarr.ingesting.unpacked import Unpacked, stream

__all__ = ["KIND", "matches", "open_source"]

KIND = "webdataset"

UNIT_BYTES = 16_000_000
UNIT_ROWS = 1024
_LOOKED_AT = 1000
_SUFFIXES = (".tar", ".tgz", ".tar.gz")
#: What lies beside archives without being data.
_BESIDE = frozenset({".json", ".txt", ".md", ".idx", ".index", ".yaml", ".yml", ".csv", ".tsv", ""})
_MEMBER = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_TEXT = frozenset({"txt", "text", "transcript", "caption", "transcription"})
_NUMBERS = frozenset({"index", "inx", "id", "count"})
_PLURALS = {"image": "images", "video": "videos", "audio": "audio", "mesh": "meshes"}
_NAMES = {"cls": "labels", "txt": "texts", "caption": "captions", "__key__": "keys"}
_KEY = "__key__"


def matches(place: Place) -> bool:
    """Whether the place is a tar archive of samples, or a folder of such archives.

    Examples
    --------
    >>> matches(Place("no/such/file.tar"))
    False
    """
    try:
        if place.is_file():
            return place.suffix in _SUFFIXES and _looks_right(place)
        files = list(islice(place.walk(), _LOOKED_AT))
        archives = [file for file in files if file.suffix in _SUFFIXES]
        others = {file.suffix for file in files} - set(_SUFFIXES)
        return bool(archives) and others <= _BESIDE and _looks_right(archives[0])
    except (HubzarrError, OSError, EOFError, tarfile.TarError, zlib.error):
        return False


def open_source(place: Place, *, look: int = 256) -> Source:
    """Samples as rows.

    Parameters
    ----------
    place : Place
        An archive, or a folder of them, which follow each other by their names. Where
        these name splits, such as train and test, a column ``split`` tells them.
    look : int
        How many samples of the first archive to look at, to find out what files there
        are, and a tenth as many of some others.

    Raises
    ------
    SampleError
        If there is no sample.

    Examples
    --------
    >>> with tarfile.open("a.tar", "w") as archive:
    ...     for name, data in {"1.txt": b"a cat", "1.cls": b"7"}.items():
    ...         member = tarfile.TarInfo(name)
    ...         member.size = len(data)
    ...         archive.addfile(member, io.BytesIO(data))
    >>> source = open_source(Place("a.tar"))
    >>> [row for unit in source.units() for row in source.rows(unit)]
    [{'keys': '1', 'labels': 7, 'texts': 'a cat'}]
    """
    files = [place] if place.is_file() else [f for f in place.walk() if f.suffix in _SUFFIXES]
    if not files:
        raise InvalidError(f"no tar archive in {place.url!r}", path=place.url)
    unpacked = Unpacked()
    paths = relative_paths(files, place)
    samples = _first_samples(files, look, unpacked)
    merged = _merged(samples)
    fields = _fields([_merge(sample, merged) for sample in samples])
    splits = splits_of(paths)
    columns = (*(made.column for made in fields), *splits.columns)
    shards = dict(zip(paths, files, strict=True))
    return TarRows(shards, fields, merged, columns, splits, unpacked)


@dataclass(frozen=True)
class TarRows:
    """A row for each sample.

    Examples
    --------
    >>> TarRows({}, (), {}, (), splits_of([]), Unpacked()).kind
    'webdataset'
    """

    shards: dict[str, Place]
    fields: tuple[Field, ...]
    merged: dict[str, str]
    columns: tuple[Column, ...]
    splits: Splits
    unpacked: Unpacked
    info: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND

    def units(self) -> Iterator[Unit]:
        """Stretches of whole samples, found by the headers of the archive alone."""
        for path, place in self.shards.items():
            with self.unpacked.open(place) as file:
                yield from self._stretches(path, file)

    def _stretches(self, path: str, file: BinaryIO) -> Iterator[Unit]:
        start, count, previous, end = 0, 0, None, 0
        broken = ""
        try:
            for member in _members(file, self.shards[path]):
                key = _split_name(member.name)
                if key is not None and key[0] != previous:
                    if count and (count >= UNIT_ROWS or member.offset - start > UNIT_BYTES):
                        yield Unit(f"{path}/{start}", (path, start, member.offset, ""), count)
                        start, count = member.offset, 0
                    previous, count = key[0], count + 1
                end = member.end
        except SampleError as error:
            broken = str(error)
        if count:
            yield Unit(f"{path}/{start}", (path, start, end, ""), count)
        if broken:  # the samples before are good
            yield Unit(f"{path}/broken", (path, end, end, broken), 0)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The samples of a stretch."""
        path, start, end, broken = unit.payload
        if broken:
            yield Skipped(path, broken)
            return
        constants = self.splits.row(path)
        with self.unpacked.open(self.shards[path]) as file:
            file.seek(start)
            data = io.BytesIO(file.read(end - start) + bytes(2 * BLOCK))
        for sample in _samples(data, self.shards[path]):
            what = f"{path}, sample {sample[_KEY]}"
            try:
                row = self._row(_merge(sample, self.merged), what)
            except (HubzarrError, ValueError) as error:
                yield Skipped(what, str(error).removeprefix(f"{what}: "))
                continue
            yield {**row, **constants}

    def _row(self, sample: dict[str, Any], what: str) -> dict[str, Any]:
        unknown = sample.keys() - {made.key for made in self.fields}
        if unknown:
            raise SampleError(
                f"no sample looked at first has a file .{min(unknown)}; "
                "look at more of them with look=..."
            )
        row = {}
        for made in self.fields:
            value = sample.get(made.key)
            decoded = None if value is None else _decoded(made.key, value)
            row[made.column.name] = made.convert(decoded, what)
        return row


def _fields(samples: list[dict[str, Any]]) -> tuple[Field, ...]:
    names = sorted({name for sample in samples for name in sample} - {_KEY})
    columns = clean_names([_NAMES.get(name, name) for name in (_KEY, *names)])
    made = []
    for name in (_KEY, *names):
        values: list[Any] = []
        for sample in samples:
            try:
                values.append(_decoded(name, sample[name]) if name in sample else None)
            except (HubzarrError, ValueError):  # told when its row is read
                continue
        column = columns[_NAMES.get(name, name)]
        if name.rpartition(".")[2] == "json":
            made.append(Field(name, Column(column, {"htype": "json"}), "json"))
        else:
            made.append(guess("cls" if name.endswith("cls") else name, values, name=column))
            made[-1] = Field(name, made[-1].column, made[-1].how, made[-1].missing)
    return tuple(made)


def _merged(samples: list[dict[str, Any]]) -> dict[str, str]:
    """Column of several extensions: ``jpg`` and ``png`` are ``images`` if no sample has both."""
    kinds: dict[str, str] = {}
    by_extension: dict[str, list[bytes]] = defaultdict(list)
    for sample in samples:
        for name, value in sample.items():
            if name != _KEY and "." not in name and len(by_extension[name]) < 8:
                by_extension[name].append(value)
    for name, values in by_extension.items():
        options = media_options(values)
        if options is not None and options["htype"] in _PLURALS:
            kinds[name] = _PLURALS[options["htype"]]
    for plural in set(kinds.values()):
        alike = {name for name, kind in kinds.items() if kind == plural}
        if any(len(alike & sample.keys()) > 1 for sample in samples):
            kinds = {name: kind for name, kind in kinds.items() if kind != plural}
    return kinds


def _merge(sample: dict[str, Any], merged: dict[str, str]) -> dict[str, Any]:
    return {merged.get(name, name): value for name, value in sample.items()}


def _decoded(name: str, value: Any) -> Any:
    """What the extension says of a file's bytes; bytes where it says nothing."""
    last = name.rpartition(".")[2]
    if name == _KEY:
        return value
    if last in _TEXT:
        return value.decode()
    if last in ("cls", "cls2") or last in _NUMBERS:
        return int(value)
    if last in ("json", "jsn"):
        return json.loads(value)
    if last == "npy":
        return np.lib.format.read_array(io.BytesIO(value), allow_pickle=False)
    return value


def _samples(file: BinaryIO, place: Place) -> Iterator[dict[str, Any]]:
    """Files with one stem that follow each other."""
    sample: dict[str, Any] = {}
    for member in _members(file, place):
        key = _split_name(member.name)
        if key is None:
            continue
        stem, extension = key
        if sample and sample[_KEY] != stem:
            yield sample
            sample = {}
        file.seek(member.start)
        data = file.read(member.size)
        if extension.endswith(".gz") and not extension.endswith("nii.gz"):
            extension, data = extension[:-3], _gunzip(data, place, member.name)
        sample |= {_KEY: stem, extension: data}
    if sample:
        yield sample


def _gunzip(data: bytes, place: Place, name: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as cause:
        raise SampleError(f"{place.url}: {name} is broken gzip, {cause}", path=place.url) from cause


def _members(file: BinaryIO, place: Place) -> Iterator[Member]:
    try:
        yield from tar_members(file)
    except ValueError as cause:
        raise SampleError(f"{place.url}: broken tar archive, {cause}", path=place.url) from cause


def _split_name(path: str) -> tuple[str, str] | None:
    """Stem and lower-case extension of a member; None for what is no part of a sample."""
    path = path.removeprefix("./")
    name = path.rpartition("/")[2]
    match = _MEMBER.fullmatch(path)
    if match is None or hidden(name) or name.startswith("__"):
        return None
    return match[1], match[2].lower()


def _first_samples(files: list[Place], look: int, unpacked: Unpacked) -> list[dict[str, Any]]:
    """Samples of the first archive, and fewer of up to eight others."""
    found: list[dict[str, Any]] = []
    for file in [files[0], *files[1 :: max(1, len(files) // 8)]]:
        wanted = look if not found else max(1, look // 10)
        with unpacked.open(file) as opened:
            found += islice(_samples(opened, file), wanted)
    if not found:
        raise SampleError(
            f"no sample in {files[0].url}; expected members such as 0001.jpg and 0001.cls",
            path=files[0].url,
        )
    return found


def _looks_right(place: Place) -> bool:
    """Whether the first members have extensions."""
    with stream(place) as opened, tarfile.open(fileobj=opened, mode="r|") as archive:
        names = [member.name for member in islice(archive, 32) if member.isreg()]
    named = [name for name in names if _split_name(name) is not None]
    return bool(named) and 2 * len(named) > len(names)
