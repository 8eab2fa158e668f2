"""PLY files: elements (vertices, faces, ...) with properties, as text or binary."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import SampleError

__all__ = ["Element", "Layout", "Property", "ply_elements", "ply_layout"]

type Array = np.ndarray[Any, Any]

_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "float64": "f8",
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class Property:
    """A property of an element: a number, or a list of numbers if it has a `length` type."""

    name: str
    dtype: str
    length: str | None


@dataclass(frozen=True, slots=True)
class Element:
    """What a PLY file has `count` of, such as vertices."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def has_lists(self) -> bool:
        """Whether rows may differ in length."""
        return any(one.length for one in self.properties)


@dataclass(frozen=True, slots=True)
class Layout:
    """The header of a PLY file: `order` is ``"<"``, ``">"`` or, for text, ``"="``."""

    order: str
    elements: tuple[Element, ...]
    start: int

    def element(self, name: str) -> Element | None:
        """The element of a name, or None."""
        return next((one for one in self.elements if one.name == name), None)


def ply_layout(data: bytes) -> Layout:
    """Read the header of a PLY file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Layout
        Format, elements, and where their values begin.

    Examples
    --------
    >>> from hubzarr.media.ply import ply_layout
    >>> top = b"ply\\nformat ascii 1.0\\nelement vertex 2\\nproperty float x\\nend_header\\n"
    >>> ply_layout(top).element("vertex").count
    2
    """
    if data[:3] != b"ply":
        raise SampleError(f"no PLY file: first bytes {data[:3]!r}; expected b'ply'")
    end = data.find(b"end_header", 0, _LONGEST_HEADER)
    start = data.find(b"\n", end) + 1
    if end < 0 or not start:
        raise SampleError("broken PLY file: it ends within its header")
    order = ""
    elements: list[tuple[str, int, list[Property]]] = []
    for line in data[:end].decode("latin-1").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format":
            order = _ORDERS[words[1]]
        elif words[0] == "element":
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property":
            elements[-1][2].append(_property(words[1:]))
        else:
            raise SampleError(f"broken PLY file: header line {line[:80]!r}")
    made = tuple(Element(name, count, tuple(parts)) for name, count, parts in elements)
    if not order or any(one.count < 0 for one in made):
        raise SampleError("broken PLY file: no format, or elements of a negative number")
    return Layout(order, made, start)


def ply_elements(data: bytes) -> dict[str, dict[str, Any]]:
    """Read all elements of a PLY file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    dict
        By element and property: arrays; for lists of one length two-dimensional arrays,
        for lists of several lengths a list of arrays.
    """
    layout = ply_layout(data)
    if layout.order == "=":
        return _text_elements(layout, data)
    found = {}
    place = layout.start
    for element in layout.elements:
        if element.has_lists:
            columns, place = _binary_lists(element, layout.order, data, place)
        else:
            dtype = np.dtype([(one.name, layout.order + one.dtype) for one in element.properties])
            _check_room(element, dtype.itemsize, len(data) - place)
            rows = np.frombuffer(data, dtype, element.count, place)
            columns = {one.name: _native(rows[one.name]) for one in element.properties}
            place += element.count * dtype.itemsize
        found[element.name] = columns
    return found


def _property(words: list[str]) -> Property:
    if words[0] == "list":
        return Property(words[3], _TYPES[words[2]], _TYPES[words[1]])
    return Property(words[1], _TYPES[words[0]], None)


def _check_room(element: Element, size: int, room: int) -> None:
    if element.count * size > room:
        raise SampleError(
            f"broken PLY file: {room} bytes can't hold {element.count} × {element.name}; "
            f"the file has been cut"
        )


def _native(values: Array) -> Array:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


# Binary rows with lists


def _binary_lists(
    element: Element, order: str, data: bytes, place: int
) -> tuple[dict[str, Any], int]:
    """Read rows with lists: at once if each list is as long as in the first row."""
    if not element.count:
        return {one.name: [] for one in element.properties}, place
    first, _ = _binary_row(element, order, data, place)
    lengths = [
        len(values) if one.length else 0
        for one, values in zip(element.properties, first, strict=True)
    ]
    dtype = _row_dtype(element, order, lengths)
    _check_room(element, _shortest(element), len(data) - place)
    if element.count * dtype.itemsize <= len(data) - place:
        rows = np.frombuffer(data, dtype, element.count, place)
        if all(
            (rows[f"{number} long"] == lengths[number]).all()
            for number, one in enumerate(element.properties)
            if one.length
        ):
            columns = {
                one.name: _native(rows[str(number)])
                for number, one in enumerate(element.properties)
            }
            return columns, place + element.count * dtype.itemsize
    read = []
    for _ in range(element.count):
        row, place = _binary_row(element, order, data, place)
        read.append(row)
    return _by_name(element, read), place


def _row_dtype(element: Element, order: str, lengths: list[int]) -> np.dtype[Any]:
    parts: list[Any] = []
    for number, one in enumerate(element.properties):
        if one.length:
            parts.append((f"{number} long", order + one.length))
            parts.append((str(number), order + one.dtype, (lengths[number],)))
        else:
            parts.append((str(number), order + one.dtype))
    return np.dtype(parts)


def _shortest(element: Element) -> int:
    return sum(int((one.length or one.dtype)[1]) for one in element.properties)


def _binary_row(element: Element, order: str, data: bytes, place: int) -> tuple[list[Any], int]:
    row: list[Any] = []
    for one in element.properties:
        count = 1
        if one.length:
            count = int(_unpack(order + one.length, data, place))
            place += int(one.length[1])
        size = int(one.dtype[1])
        if count < 0 or place + count * size > len(data):
            raise SampleError(f"broken PLY file: it ends within {element.name}")
        values = np.frombuffer(data, order + one.dtype, count, place)
        row.append(_native(values) if one.length else values[0])
        place += count * size
    return row, place


def _unpack(dtype: str, data: bytes, place: int) -> Any:
    letters = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I"}
    return struct.unpack_from(dtype[0] + letters[dtype[1:]], data, place)[0]


def _by_name(element: Element, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, one in enumerate(element.properties):
        values = [row[number] for row in rows]
        if not one.length or len({len(value) for value in values}) == 1:
            found[one.name] = np.array(values, one.dtype)
        else:
            found[one.name] = values
    return found


# Text


def _text_elements(layout: Layout, data: bytes) -> dict[str, dict[str, Any]]:
    lines = [line for line in data[layout.start :].splitlines() if line and not line.isspace()]
    side_by_side = _side_by_side(layout, lines)
    if side_by_side is not None:
        return side_by_side
    found = {}
    place = 0
    for element in layout.elements:
        rows = lines[place : place + element.count]
        place += element.count
        if len(rows) < element.count:
            raise SampleError(
                f"broken PLY file: {len(rows)} lines for {element.count} × {element.name}; "
                f"the file has been cut"
            )
        if element.has_lists:
            found[element.name] = _text_lists(element, rows)
        else:
            table = _table(rows, len(element.properties))
            found[element.name] = _columns(element.properties, table)
    return found


def _side_by_side(layout: Layout, lines: list[bytes]) -> dict[str, dict[str, Any]] | None:
    """Read files that have one line for each vertex with the values of all elements.

    That is against the format, but there are programs that write such files.
    """
    elements = layout.elements
    counts = {element.count for element in elements}
    width = sum(len(element.properties) for element in elements)
    if (
        len(elements) < 2
        or len(counts) > 1
        or any(element.has_lists for element in elements)
        or len(lines) != elements[0].count
        or not lines
        or len(lines[0].split()) != width
    ):
        return None
    table = _table(lines, width)
    found, first = {}, 0
    for element in elements:
        last = first + len(element.properties)
        found[element.name] = _columns(element.properties, table[:, first:last])
        first = last
    return found


def _table(rows: list[bytes], width: int) -> Array:
    words = b" ".join(rows).split()
    if len(words) != len(rows) * width:
        raise SampleError(f"broken PLY file: {len(words)} values in {len(rows)} rows of {width}")
    return np.array(words, "S").reshape(len(rows), width)


def _columns(properties: Sequence[Property], table: Array) -> dict[str, Array]:
    return {one.name: table[:, number].astype(one.dtype) for number, one in enumerate(properties)}


def _text_lists(element: Element, rows: list[bytes]) -> dict[str, Any]:
    """Read rows with lists: at once if they hold one list as long as in the first row."""
    if not rows:
        return {one.name: [] for one in element.properties}
    if len(element.properties) == 1:
        one = element.properties[0]
        words = b" ".join(rows).split()
        width = int(words[0]) + 1
        if len(words) == len(rows) * width:
            table = np.array(words, "S").reshape(len(rows), width)
            if (table[:, 0] == words[0]).all():
                return {one.name: table[:, 1:].astype(one.dtype)}
    return _by_name(element, [_text_row(element, line.split()) for line in rows])


def _text_row(element: Element, words: list[bytes]) -> list[Any]:
    row: list[Any] = []
    place = 0
    for one in element.properties:
        count = 1
        if one.length:
            count = int(words[place])
            place += 1
        part = words[place : place + count]
        if len(part) < count or count < 0:
            raise SampleError(f"broken PLY file: a row of {element.name} is too short")
        values = np.array(part, "S").astype(one.dtype)
        row.append(values if one.length else values[0])
        place += count
    return row
