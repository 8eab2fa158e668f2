"""PCD point clouds, the format of the Point Cloud Library: text, binary and compressed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.columns import column_names, xyz
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read

__all__ = ["FORMATS", "decode", "encode_pcd", "header", "pcd_fields"]

type Array = np.ndarray[Any, Any]

_TYPES = frozenset(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"])
_KINDS = ("binary_compressed", "binary", "ascii")  # a name that begins another comes later
_PADDING = "_"
_LITERAL = 32  # codes of LZF below this announce bytes to copy


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    dtype: str
    count: int

    @property
    def full(self) -> tuple[str, str, tuple[int, ...]]:
        return self.name, f"<{self.dtype}", (self.count,) if self.count > 1 else ()

    @property
    def size(self) -> int:
        return int(self.dtype[1]) * self.count


@dataclass(frozen=True, slots=True)
class _Top:
    fields: tuple[_Field, ...]
    count: int
    kind: str
    start: int
    meta: dict[str, Any]

    @property
    def size(self) -> int:
        return sum(field.size for field in self.fields)


@broken_unless_read("PCD file")
def header(data: bytes) -> Header:
    """Read the number of points.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        `meta` has fields (names), width, height (1 unless the cloud is a picture of
        depths), viewpoint and data (how the values are written).
    """
    top = _top(data)
    return Header((top.count, 3), np.dtype("f8"), top.meta)


@broken_unless_read("PCD file")
def decode(data: bytes) -> Array:
    """Read the places of the points.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    numpy.ndarray
        float64 of shape (points, 3): x, y, z; NaN for points without a place.
    """
    return xyz(pcd_fields(data), "PCD file")


@broken_unless_read("PCD file")
def pcd_fields(data: bytes) -> dict[str, Array]:
    """Read all fields of the points, padding aside.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    dict of str to numpy.ndarray
        In the order and with the types of the file.
    """
    top = _top(data)
    if top.kind == "ascii":
        found = _from_text(top, data[top.start :])
    elif top.kind == "binary":
        rows = np.frombuffer(data, _dtype(top), top.count, top.start)
        found = [rows[name] for name in rows.dtype.names or ()]
    else:
        found = _from_compressed(top, data)
    return {
        field.name: np.ascontiguousarray(values)
        for field, values in zip(top.fields, found, strict=True)
        if not field.name.startswith(_PADDING)
    }


def encode_pcd(array: Any, *, names: Sequence[str] | None = None) -> bytes:
    """Write a point cloud, in binary.

    Parameters
    ----------
    array : array_like
        Numbers of shape (points, columns), columns x, y, z first; float32 stays float32,
        other numbers become float64.
    names : sequence of str, optional
        Of the columns, ``x, y, z`` first; needed where there are more than these.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.pcd import decode, encode_pcd
    >>> decode(encode_pcd(np.array([[1, 2, 3]])))
    array([[1., 2., 3.]])
    """
    points, names = column_names(array, names)
    size, width = points.dtype.itemsize, len(names)
    top = (
        "# .PCD v0.7 - Point Cloud Data file format\n"
        f"VERSION 0.7\nFIELDS {' '.join(names)}\nSIZE{f' {size}' * width}\n"
        f"TYPE{' F' * width}\nCOUNT{' 1' * width}\nWIDTH {len(points)}\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA binary\n"
    )
    return top.encode() + points.tobytes()


def _top(data: bytes) -> _Top:
    lines, kind, start = _lines(data)
    names = lines.get("FIELDS", [])
    counts = lines.get("COUNT") or ["1"] * len(names)
    described = zip(names, lines["TYPE"], lines["SIZE"], counts, strict=True)
    # Padding comes several times under one name
    fields = tuple(
        _Field(f"_{place}" if name == _PADDING else name, f"{kind_.lower()}{size}", int(count))
        for place, (name, kind_, size, count) in enumerate(described)
    )
    width, height = int(lines["WIDTH"][0]), int((lines.get("HEIGHT") or ["1"])[0])
    points = int(lines["POINTS"][0]) if "POINTS" in lines else width * height
    shown = [field.name for field in fields if not field.name.startswith(_PADDING)]
    meta = {
        "fields": shown,
        "width": width,
        "height": height,
        "viewpoint": [float(word) for word in lines.get("VIEWPOINT", [])],
        "data": kind,
    }
    top = _Top(fields, points, kind, start, meta)
    _check(top, data)
    return top


def _lines(data: bytes) -> tuple[dict[str, list[str]], str, int]:
    """Header lines by their first words, the kind of data, and where the data begin."""
    found: dict[str, list[str]] = {}
    start = 0
    while True:
        end = data.find(b"\n", start)
        if end < 0 or end - start > 10_000:
            raise SampleError("no PCD file, or cut within the header: no line DATA")
        words = data[start:end].decode("ascii").split()
        start = end + 1
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "DATA":
            # Whatever follows on that line is dropped, as the Point Cloud Library does.
            kind = next((kind for kind in _KINDS if words[1].startswith(kind)), None)
            if kind is None:
                raise SampleError(f"PCD data {words[1]!r}; expected one of {', '.join(_KINDS)}")
            return found, kind, start
        found[words[0]] = words[1:]


def _check(top: _Top, data: bytes) -> None:
    names = [field.name for field in top.fields]
    if not {"x", "y", "z"} <= set(names) or len(set(names)) < len(names):
        raise SampleError(f"PCD fields {names}; expected x, y, z, each field once")
    for field in top.fields:
        if field.dtype not in _TYPES or field.count < 1:
            raise SampleError(f"PCD field {field.name!r} has type {field.dtype} × {field.count}")
    if any(field.count != 1 for field in top.fields if field.name in ("x", "y", "z")):
        raise SampleError("PCD field x, y or z with several values for each point")
    if top.count < 0:
        raise SampleError(f"PCD file of {top.count} points")
    if top.kind == "binary" and top.start + top.count * top.size > len(data):
        raise SampleError(
            f"broken PCD file: {len(data)} bytes can't hold the {top.count} points that its "
            f"header says; the file has been cut"
        )


def _dtype(top: _Top) -> np.dtype[Any]:
    return np.dtype([field.full for field in top.fields])


def _from_text(top: _Top, text: bytes) -> list[Array]:
    columns = sum(field.count for field in top.fields)
    words = text.split()
    if len(words) < top.count * columns:
        raise SampleError(
            f"broken PCD file: {len(words)} values, not {top.count} × {columns}; "
            f"the file has been cut"
        )
    table = np.array(words[: top.count * columns], "S").reshape(top.count, columns)
    found, first = [], 0
    for field in top.fields:
        part = table[:, first : first + field.count].astype(field.dtype)
        found.append(part if field.count > 1 else part[:, 0])
        first += field.count
    return found


def _from_compressed(top: _Top, data: bytes) -> list[Array]:
    """Expand LZF; the values of each field lie together."""
    packed, size = struct.unpack_from("<II", data, top.start)
    start = top.start + 8
    if size != top.count * top.size or start + packed > len(data):
        raise SampleError(
            f"broken PCD file: {size} bytes announced for {top.count} points of {top.size}, "
            f"compressed to {packed} of {len(data) - start}"
        )
    plain = _expanded(data[start : start + packed], size)
    found, place = [], 0
    for field in top.fields:
        values = np.frombuffer(plain, f"<{field.dtype}", top.count * field.count, place)
        found.append(values.reshape(top.count, field.count) if field.count > 1 else values)
        place += top.count * field.size
    return found


def _expanded(packed: bytes, size: int) -> bytes:
    """Decode LZF: runs of literal bytes, and copies of what came up to 8 KiB before."""
    out = bytearray()
    place, end = 0, len(packed)
    while place < end and len(out) <= size:
        code = packed[place]
        place += 1
        if code < _LITERAL:
            out += packed[place : place + code + 1]
            place += code + 1
            continue
        length = code >> 5
        if length == 7:
            length += packed[place]
            place += 1
        back = ((code & 0x1F) << 8 | packed[place]) + 1
        place += 1
        length += 2
        start = len(out) - back
        if start < 0:
            raise SampleError("broken PCD file: a copy from before the beginning")
        if back >= length:
            out += out[start : start + length]
        else:  # the copy runs into itself: what is there repeats
            out += (out[start:] * (length // back + 1))[:length]
    if len(out) != size:
        raise SampleError(f"broken PCD file: {len(out)} bytes expanded, not {size}")
    return bytes(out)


FORMATS = (
    Format(
        name="pcd",
        kind="point_cloud",
        extensions=(".pcd",),
        lossless=True,
        header=header,
        decode=decode,
        encode=encode_pcd,
        extra=None,
    ),
)
