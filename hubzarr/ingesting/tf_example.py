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

_VARINT, _LENGTH, _FIXED32 = 0, 2, 5
_MASK = 2**64 - 1
_SHORT = 64  # bytes


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
    for field, start, end in _fields(data, 0, len(data)):
        if field not in (1, 2):
            raise ValueError(f"field {field} is in neither Example nor SequenceExample")
        for name, begin, stop in _entries(data, start, end):
            if field == 1:
                features[name] = _feature(data, begin, stop)
            else:
                steps = _fields(data, begin, stop)
                features[name] = [_feature(data, a, b) for number, a, b in steps if number == 1]
    return features


def is_sequence_example(data: bytes) -> bool:
    """Does the message have feature lists?

    Examples
    --------
    >>> is_sequence_example(bytes.fromhex("0a0c0a0a0a016112051a030a0107"))
    False
    """
    return any(field == 2 for field, _, _ in _fields(data, 0, len(data)))


def _entries(data: bytes, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Names of features, and where their messages are."""
    for field, begin, stop in _fields(data, start, end):
        if field != 1:
            raise ValueError(f"field {field} among features")
        name, message = "", (stop, stop)
        for number, a, b in _fields(data, begin, stop):
            if number == 1:
                name = data[a:b].decode()
            elif number == 2:
                message = a, b
        yield name, *message


def _feature(data: bytes, start: int, end: int) -> Feature:
    found: Feature = None
    for kind, begin, stop in _fields(data, start, end):
        if kind == 1:
            found = [data[a:b] for number, a, b in _fields(data, begin, stop) if number == 1]
        elif kind == 2:
            found = np.frombuffer(_numbers(data, begin, stop, _FIXED32), "<f4").astype(np.float32)
        elif kind == 3:
            found = _varints(_numbers(data, begin, stop, _VARINT))
        else:
            raise ValueError(f"a feature of unknown kind {kind}")
    return found


def _numbers(data: bytes, position: int, end: int, single: int) -> bytes:
    """The numbers of a list as if all were packed; `single` is the type of one that is not."""
    parts = []
    while position < end:
        tag, position = _varint(data, position)
        kind = tag & 7
        if tag >> 3 != 1 or kind not in (_LENGTH, single):
            raise ValueError(f"field {tag >> 3} of type {kind} in a list of numbers")
        start = position
        if kind == _LENGTH:
            size, start = _varint(data, position)
            position = start + size
        elif kind == _FIXED32:
            position += 4
        else:
            _, position = _varint(data, position)
        if position > end:
            raise ValueError("a list of numbers is cut off")
        parts.append(data[start:position])
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _varints(packed: bytes) -> np.ndarray[Any, Any]:
    """Signed 64-bit numbers of a row of varints: short rows one by one, others by NumPy."""
    if len(packed) < _SHORT:
        numbers, position = [], 0
        while position < len(packed):
            number, position = _varint(packed, position)
            numbers.append(number)
        return np.array(numbers, np.uint64).view(np.int64)
    raw = np.frombuffer(packed, np.uint8)
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


def _fields(data: bytes, position: int, end: int) -> list[tuple[int, int, int]]:
    """Number, start and end of each field; only length-delimited ones occur here."""
    found = []
    while position < end:
        tag, position = _varint(data, position)
        if tag & 7 != _LENGTH:
            raise ValueError(f"wire type {tag & 7} where a message was expected")
        size, position = _varint(data, position)
        if position + size > end:
            raise ValueError("a message is cut off")
        found.append((tag >> 3, position, position + size))
        position += size
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number below 2**64, and where it ends."""
    try:
        byte = data[position]
        if byte < 128:  # nearly all
            return byte, position + 1
        value, shift = byte & 127, 7
        while True:
            position += 1
            byte = data[position]
            value |= (byte & 127) << shift
            if byte < 128:
                return value & _MASK, position + 1
            shift += 7
            if shift > 63:
                raise ValueError("a varint has more than 10 bytes")
    except IndexError:
        raise ValueError("a varint is cut off") from None
