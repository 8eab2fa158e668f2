"""TFRecord files, read without TensorFlow.

A file is a row of records, gzipped or not::

    uint64 length · uint32 masked CRC of it · bytes · uint32 masked CRC of those

Records are taken as `tf.train.Example` or `SequenceExample`, else as bytes. Which tensor
suits a feature is guessed from the first records: files of pictures stay as they are,
text becomes text, single numbers become scalars and lists of them ragged arrays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

import google_crc32c
import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.columns import Field, clean_names, guess
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Source, Unit
from hubzarr.ingesting.splits import Splits, relative_paths, splits_of
from hubzarr.ingesting.tf_example import parse_example
from hubzarr.ingesting.unpacked import Unpacked, stream

__all__ = ["KIND", "matches", "open_source"]

KIND = "tfrecord"

UNIT_BYTES = 16_000_000
UNIT_ROWS = 1024
_LOOKED_AT = 1000
_LOOKED_BYTES = 32_000_000
_HEAD = struct.Struct("<QI")
_TAIL = 4
_NAMES = (".tfrecord", ".tfrecords", ".tfrec", ".record", ".tfr")


def matches(place: Place) -> bool:
    """Whether the place is a TFRecord file, or a folder with some.

    Examples
    --------
    >>> matches(Place("no/such/file.tfrecord"))
    False
    """
    try:
        if place.is_file():
            return _begins_well(place)
        named = [file for file in islice(place.walk(), _LOOKED_AT) if _is_named(file)]
        return bool(named) and _begins_well(named[0])
    except (HubzarrError, OSError, EOFError):
        return False


def open_source(place: Place, *, look: int | None = None) -> Source:
    """Records as rows.

    Parameters
    ----------
    place : Place
        A file, or a folder; its files follow each other in the order of their names.
        Where these name splits, such as train and test, a column ``split`` tells them.
    look : int, optional
        How many records of each file to look at, to find out what features there are.
        Without it as many as are in 32 MB, the same share of each file.

    Raises
    ------
    SampleError
        If there is no record.

    Examples
    --------
    >>> import pathlib, struct
    >>> def masked(data):
    ...     crc = google_crc32c.value(data)
    ...     return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
    >>> example = bytes.fromhex("0a0c0a0a0a016112051a030a0107")
    >>> head = struct.pack("<Q", len(example))
    >>> record = head + masked(head) + example + masked(example)
    >>> _ = pathlib.Path("a.tfrecord").write_bytes(record * 2)
    >>> source = open_source(Place("a.tfrecord"))
    >>> [int(row["a"]) for unit in source.units() for row in source.rows(unit)]
    [7, 7]
    """
    files = [place] if place.is_file() else [file for file in place.walk() if _is_named(file)]
    if not files:
        raise InvalidError(f"no TFRecord file in {place.url!r}", path=place.url)
    unpacked = Unpacked()
    paths = relative_paths(files, place)
    fields = _fields(_first_records(files, look, unpacked))
    splits = splits_of(paths)
    columns = (*(made.field.column for made in fields.values()), *splits.columns)
    return RecordRows(dict(zip(paths, files, strict=True)), fields, columns, splits, unpacked)


@dataclass(frozen=True)
class _Feature:
    """A feature of the examples and the column that it fills."""

    single: bool
    field: Field


@dataclass(frozen=True)
class RecordRows:
    """A row for each record.

    Examples
    --------
    >>> RecordRows({}, {}, (), splits_of([]), Unpacked()).kind
    'tfrecord'
    """

    files: dict[str, Place]
    features: dict[str, _Feature]
    columns: tuple[Column, ...]
    splits: Splits
    unpacked: Unpacked
    info: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND

    def units(self) -> Iterator[Unit]:
        """Stretches of records, found by their lengths alone."""
        for path, place in self.files.items():
            start, number, count, end = 0, 0, 0, 0
            with self.unpacked.open(place) as file:
                for end in _ends(file):
                    count += 1
                    if end - start >= UNIT_BYTES or count >= UNIT_ROWS:
                        yield Unit(f"{path}/{number}", (path, start, end, number), count)
                        start, number, count = end, number + count, 0
                # What is behind the last whole record is read, too, and reported.
                rest = file.seek(0, 2)
            if rest > start:
                rows = count if rest == end else None
                yield Unit(f"{path}/{number}", (path, start, rest, number), rows)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The records of a stretch."""
        path, start, end, number = unit.payload
        constants = self.splits.row(path)
        with self.unpacked.open(self.files[path]) as file:
            file.seek(start)
            for number_here, record in enumerate(_records(file, end), number):
                what = f"{path}, record {number_here}"
                if isinstance(record, str):
                    yield Skipped(what, record)
                    continue
                try:
                    yield {**self._row(record, what), **constants}
                except SampleError as error:
                    yield Skipped(what, str(error).removeprefix(f"{what}: "))

    def _row(self, record: bytes, what: str) -> dict[str, Any]:
        example = _parse(record, raw=_RAW in self.features)
        unknown = example.keys() - self.features.keys()
        if unknown:
            raise SampleError(
                f"the feature {min(unknown)!r} is in none of the records looked at first; "
                "look at more of them with look=..."
            )
        row = {}
        for name, feature in self.features.items():
            value = _simple(example.get(name), feature.single)
            row[feature.field.column.name] = feature.field.convert(value, what)
        return row


_RAW = "records"


def _parse(record: bytes, raw: bool) -> dict[str, Any]:
    if raw:
        return {_RAW: [record]}
    try:
        return parse_example(record)
    except ValueError as cause:
        raise SampleError(f"it is no tf.train.Example, {cause}") from cause


def _fields(records: list[bytes]) -> dict[str, _Feature]:
    try:
        examples = [parse_example(record) for record in records]
        names = sorted({name for example in examples for name in example})
    except ValueError:  # of another kind: bytes are all that is known
        names = []
    if not names:
        examples, names = [{_RAW: [record]} for record in records], [_RAW]
    columns = clean_names(names)
    features = {}
    for name in names:
        values = [example.get(name) for example in examples]
        single = all(value is None or _is_single(value) for value in values)
        simple = [_simple(value, single) for value in values]
        features[name] = _Feature(single, guess(name, simple, name=columns[name]))
    return features


def _is_single(value: Any) -> bool:
    """Whether a feature is at most one value; no value at all is what is missing."""
    steps = isinstance(value, list) and any(not isinstance(x, bytes) for x in value)
    return not steps and len(value) <= 1


def _simple(value: Any, single: bool) -> Any:
    """A feature as scalar, list of bytes or array."""
    if value is None:
        return None
    if isinstance(value, np.ndarray) or all(isinstance(x, bytes) for x in value):
        if not single:
            return value
        return value[0] if len(value) == 1 else (None if len(value) == 0 else value)
    return _steps(value)


def _steps(steps: list[Any]) -> Any:
    """The steps of a sequence: one axis more, or none if each has one value."""
    kinds = {type(step) for step in steps}
    if kinds == {list}:
        flat = [step[0] for step in steps if len(step) == 1]
        return flat if len(flat) == len(steps) else steps
    if kinds == {np.ndarray}:
        if len({step.shape for step in steps}) == 1:
            stacked = np.stack(steps)
            return stacked[:, 0] if stacked.shape[1] == 1 else stacked
        return [step.tolist() for step in steps]
    return [None if step is None else list(step) for step in steps]


def _first_records(files: list[Place], look: int | None, unpacked: Unpacked) -> list[bytes]:
    """Records that are to tell the features."""
    found: list[bytes] = []
    share = _LOOKED_BYTES // len(files)
    for file in files:
        size = 0
        with unpacked.open(file) as opened:
            end = opened.seek(0, 2)
            opened.seek(0)
            for record in islice(_records(opened, end), look):
                if size > share and look is None:
                    break
                size += len(record)
                if isinstance(record, bytes):
                    found.append(record)
    if not found:
        raise SampleError(f"no record in {files[0].url}", path=files[0].url)
    return found


def _ends(file: BinaryIO) -> Iterator[int]:
    """Where each whole record ends, as far as lengths are sound."""
    size = file.seek(0, 2)
    position = 0
    while position + _HEAD.size + _TAIL <= size:
        file.seek(position)
        head = file.read(_HEAD.size)
        length, crc = _HEAD.unpack(head)
        position += _HEAD.size + length + _TAIL
        if crc != _masked(head[:8]) or position > size:
            return
        yield position


def _records(file: BinaryIO, end: int) -> Iterator[bytes | str]:
    """Records up to a position; what is wrong with one, in its place."""
    position = file.tell()
    while position < end:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or _HEAD.unpack(head)[1] != _masked(head[:8]):
            yield "its length is damaged; the rest of the file can't be read"
            return
        length = _HEAD.unpack(head)[0]
        position += _HEAD.size + length + _TAIL
        if position > end:
            yield "it is cut off"
            return
        data = file.read(length + _TAIL)
        record = data[:length]
        good = data[length:] == struct.pack("<I", _masked(record))
        yield record if good else "its checksum is wrong"


def _masked(data: bytes) -> int:
    """CRC-32C as TFRecord stores it: turned and shifted, because it may be of CRCs."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _is_named(file: Place) -> bool:
    name = file.name.lower().removesuffix(".gz")
    return name.endswith(_NAMES) or "tfrecord" in name


def _begins_well(place: Place) -> bool:
    """Whether the first length has its checksum: chance gives that once in 4e9 files."""
    with stream(place) as file:
        head = file.read(_HEAD.size)
    return len(head) == _HEAD.size and _HEAD.unpack(head)[1] == _masked(head[:8])
