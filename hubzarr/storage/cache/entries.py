"""Files of the disk cache: a payload behind a head that proves it.

A file is ``magic, length of the payload, checksum of the payload, length of the key,
key, checksum of each piece of 64 KiB, checksum of the head``, then the payload. The
key says what the payload is. The checksums of pieces let a few bytes be read out of
a large payload without reading it all. They are CRC-32C.

Nothing waits for the device, so after a crash of the system a file may be cut short or
hold zeros; disks and people change bytes. Such a file is `BrokenEntry`, never data.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from hubzarr.storage.files import read_at

__all__ = ["PIECE", "BrokenEntry", "Head", "make_head", "read_head", "read_payload"]

MAGIC: Final = b"HUBCACH1"
PIECE: Final = 64 << 10
_FIXED: Final = struct.Struct("<8sQIH")
_CRC: Final = struct.Struct("<I")
#: One read finds the head of most files, and with `PIECE` all of a small one.
_FIRST: Final = 1 << 10


class BrokenEntry(Exception):
    """A file that is not what was written; the cache drops it."""


class Head(NamedTuple):
    """What the head of a file says."""

    key: str
    start: int  # of the payload in the file
    length: int
    checksum: int
    pieces: bytes


@cache
def _crc() -> Callable[[bytes], int]:
    import google_crc32c

    value: Callable[[bytes], int] = google_crc32c.value
    return value


def make_head(key: str, payload: bytes) -> bytes:
    """The head of a file that holds a payload.

    Examples
    --------
    >>> len(make_head("s3://bucket/x", b"payload"))
    43
    """
    crc, name = _crc(), key.encode()
    pieces = [payload[i : i + PIECE] for i in range(0, len(payload), PIECE)]
    head = b"".join(
        (
            _FIXED.pack(MAGIC, len(payload), crc(payload), len(name)),
            name,
            *(_CRC.pack(crc(piece)) for piece in pieces),
        )
    )
    return head + _CRC.pack(crc(head))


def read_head(fd: int) -> Head:
    """Read and check the head of an open file."""
    return _parse(fd, read_at(fd, 0, _FIRST))


def _parse(fd: int, first: bytes) -> Head:
    if len(first) < _FIXED.size or first[:8] != MAGIC:
        raise BrokenEntry
    _, length, checksum, name = _FIXED.unpack_from(first)
    start = _FIXED.size + name + _CRC.size * (-(-length // PIECE) + 1)
    if start > len(first):
        # A flipped bit in the length must not make room for terabytes.
        if start > os.fstat(fd).st_size:
            raise BrokenEntry
        first = read_at(fd, 0, start)
    head = first[: start - _CRC.size]
    if len(first) < start or _crc()(head) != _CRC.unpack_from(first, len(head))[0]:
        raise BrokenEntry
    begin = _FIXED.size + name
    try:
        key = head[_FIXED.size : begin].decode()
    except UnicodeDecodeError:
        raise BrokenEntry from None
    return Head(key, start, length, checksum, head[begin:])


def read_payload(fd: int, key: str, start: int = 0, stop: int | None = None) -> bytes:
    """Bytes ``start:stop`` of the payload of an open file, cut at its end.

    Raises
    ------
    BrokenEntry
        The file is damaged, or holds something else than `key` names.
    """
    first = read_at(fd, 0, _FIRST + PIECE if stop is None else _FIRST)
    head = _parse(fd, first)
    if head.key != key:
        raise BrokenEntry
    stop = head.length if stop is None else min(stop, head.length)
    if start == 0 and stop == head.length:
        return _whole(fd, head, first)
    return _part(fd, head, start, stop) if start < stop else b""


def _whole(fd: int, head: Head, first: bytes) -> bytes:
    end = head.start + head.length
    data = first[head.start : end] if len(first) >= end else read_at(fd, head.start, end)
    if len(data) != head.length or _crc()(data) != head.checksum:
        raise BrokenEntry
    return data


def _part(fd: int, head: Head, start: int, stop: int) -> bytes:
    crc = _crc()
    number = start // PIECE
    begin = number * PIECE
    end = min(-(-stop // PIECE) * PIECE, head.length)
    data = read_at(fd, head.start + begin, head.start + end)
    if len(data) != end - begin:
        raise BrokenEntry
    for offset in range(0, len(data), PIECE):
        if crc(data[offset : offset + PIECE]) != _CRC.unpack_from(head.pieces, 4 * number)[0]:
            raise BrokenEntry
        number += 1
    return data[start - begin : stop - begin]
