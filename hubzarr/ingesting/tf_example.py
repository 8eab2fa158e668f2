"""TensorFlow's `Example` and `SequenceExample`, parsed without TensorFlow or protobuf.

Both are Protocol Buffers messages of a handful of fields::

    Example          1: Features
    SequenceExample  1: Features (context)   2: FeatureLists
    Features         1: map entry {1: name, 2: Feature}
    FeatureLists     1: map entry {1: name, 2: FeatureList}
    FeatureList      1: Feature, repeated
    Feature          1: BytesList   2: FloatList   3: Int64List
    each list        1: values, repeated; numbers packed or not

A feature comes as a list of bytes, a float32 array or an int64 array; None where its kind
isn't set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["Feature", "is_sequence_example", "parse_example"]

type Feature = list[bytes] | np.ndarray[Any, Any] | None

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def parse_example(data: bytes) -> dict[str, Feature | list[Feature]]:
    """Features of an `Example` or `SequenceExample` by name.

    Features of a sequence's context come as in an Example; a feature list comes as a list
    with one feature per step.

    Raises
    ------
    ValueError
        If the bytes are not such a message.

    Examples
    --------
    >>> parse_example(bytes.fromhex("0a0c0a0a0a016112051a030a0107"))
    {'a': array([7])}
    """
    features: dict[str, Feature | list[Feature]] = {}
    for field, value in _fields(memoryview(data)):
        if field == 1:
            for name, message in _entries(value):
                features[name] = _feature(message)
        elif field == 2:
            for name, message in _entries(value):
                features[name] = [
                    _feature(step) for number, step in _fields(message) if number == 1
                ]
        else:
            raise ValueError(f"field {field} is in neither Example nor SequenceExample")
    return features


def is_sequence_example(data: bytes) -> bool:
    """Does the message have feature lists?

    Examples
    --------
    >>> is_sequence_example(bytes.fromhex("0a0c0a0a0a016112051a030a0107"))
    False
    """
    return any(field == 2 for field, _ in _fields(memoryview(data)))


def _entries(features: memoryview) -> Iterator[tuple[str, memoryview]]:
    for field, entry in _fields(features):
        if field != 1:
            raise ValueError(f"field {field} among features")
        name, message = "", memoryview(b"")
        for number, value in _fields(entry):
            if number == 1:
                name = str(value, "utf-8")
            elif number == 2:
                message = value
        yield name, message


def _feature(message: memoryview) -> Feature:
    found: Feature = None
    for kind, content in _fields(message):
        if kind == 1:
            found = [bytes(value) for number, value in _fields(content) if number == 1]
        elif kind == 2:
            found = _floats(content)
        elif kind == 3:
            found = _integers(content)
        else:
            raise ValueError(f"a feature of unknown kind {kind}")
    return found


def _floats(content: memoryview) -> np.ndarray[Any, Any]:
    parts = []
    for kind, value in _numbers(content):
        if kind == _VARINT:
            raise ValueError("a varint among floats")
        parts.append(value)
    return np.frombuffer(b"".join(parts), "<f4").astype(np.float32, copy=False)


def _integers(content: memoryview) -> np.ndarray[Any, Any]:
    packed = bytearray()
    for kind, value in _numbers(content):
        if kind == _FIXED32:
            raise ValueError("a fixed32 among integers")
        packed += value
    return _varints(packed)


def _numbers(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Values of a numeric list with their wire type; varints as their bytes."""
    position, end = 0, len(content)
    while position < end:
        tag, position = _varint(content, position)
        kind = tag & 7
        if tag >> 3 != 1:
            raise ValueError(f"field {tag >> 3} in a list of numbers")
        start = position
        if kind == _LENGTH:
            size, start = _varint(content, position)
            position = start + size
        elif kind == _FIXED32:
            position += 4
        elif kind == _VARINT:
            _, position = _varint(content, position)
        else:
            raise ValueError(f"wire type {kind} in a list of numbers")
        if position > end:
            raise ValueError("a list of numbers is cut off")
        yield kind, content[start:position]


def _varints(packed: bytearray) -> np.ndarray[Any, Any]:
    """Signed 64-bit numbers of a row of varints, at NumPy's speed."""
    raw = np.frombuffer(packed, np.uint8)
    if not raw.size:
        return np.empty(0, np.int64)
    last = raw < 128
    if not last[-1]:
        raise ValueError("a row of varints is cut off")
    if last.all():
        return raw.astype(np.int64)
    starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
    place = np.arange(raw.size) - np.repeat(starts, np.diff(np.append(starts, raw.size)))
    if place.max() > 9:
        raise ValueError("a varint has more than 10 bytes")
    shifted = (raw & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.add.reduceat(shifted, starts).view(np.int64)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field; only length-delimited ones occur here."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _LENGTH:
            size, position = _varint(message, position)
            if position + size > end:
                raise ValueError("a message is cut off")
            yield tag >> 3, message[position : position + size]
            position += size
        else:
            raise ValueError(f"wire type {kind} where a message was expected")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("a varint is cut off or too long")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
