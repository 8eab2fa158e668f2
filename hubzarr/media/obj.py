"""Wavefront OBJ files: vertices, normals and polygons as text; materials are not read."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from hubzarr.errors import SampleError

__all__ = ["obj_count", "obj_parts"]

type Array = np.ndarray[Any, Any]

_VERTEX = re.compile(rb"^[ \t]*v[ \t]+([^\r\n#]*)", re.MULTILINE)
_NORMAL = re.compile(rb"^[ \t]*vn[ \t]+([^\r\n#]*)", re.MULTILINE)
_FACE = re.compile(rb"^[ \t]*f[ \t]+([^\r\n#]*)", re.MULTILINE)
_COLORED = 6  # numbers of a vertex with a colour; with a weight besides, 7


def obj_count(data: bytes) -> int:
    """Give the number of vertices in an OBJ file.

    Examples
    --------
    >>> from hubzarr.media.obj import obj_count
    >>> obj_count(b"v 0 0 0\\nv 1 0 0\\nv 0 1 0\\nf 1 2 3\\n")
    3
    """
    count = sum(1 for _ in _VERTEX.finditer(data))
    if not count:
        raise SampleError("no OBJ file: no line 'v x y z'")
    return count


def obj_parts(data: bytes) -> dict[str, Any]:
    """Give vertices, triangles, and colours and normals of vertices if there are any.

    Polygons are cut into triangles, all from their first corner.

    Examples
    --------
    >>> from hubzarr.media.obj import obj_parts
    >>> obj_parts(b"v 0 0 0\\nv 1 0 0\\nv 1 1 0\\nv 0 1 0\\nf 1 2 3 4\\n")["faces"]
    array([[0, 1, 2],
           [0, 2, 3]])
    """
    data = data.replace(b"\\\n", b" ")  # lines may go on
    table = _table(_VERTEX, data)
    if not len(table) or table.shape[1] < 3:
        raise SampleError("no OBJ file, or broken: no vertices with three numbers")
    width = table.shape[1]
    colors = table[:, width - 3 :] if width >= _COLORED else None
    corners, triangles, texts = _faces(data)
    corners = _resolved(corners, len(table))
    return {
        "vertices": np.ascontiguousarray(table[:, :3]),
        "faces": corners[triangles].reshape(-1, 3),
        "colors": None if colors is None else np.ascontiguousarray(colors),
        "normals": _normals(data, corners, texts, len(table)),
    }


def _table(pattern: re.Pattern[bytes], data: bytes) -> Array:
    """Numbers of all lines of a kind; of as many columns as the shortest line has."""
    rows = [line.split() for line in pattern.findall(data)]
    width = min(map(len, rows), default=0)
    words = [word for row in rows for word in row[:width]]
    return np.array(words, "S").reshape(len(rows), width).astype("f8")


def _faces(data: bytes) -> tuple[Array, Array, list[bytes]]:
    """Vertices of all corners as numbered in the file, places of triangles' corners, texts."""
    texts: list[bytes] = []
    triangles: list[int] = []
    for line in _FACE.findall(data):
        words = line.split()
        first = len(texts)
        texts += words
        for second in range(first + 1, first + len(words) - 1):
            triangles += (first, second, second + 1)
    corners = np.array([int(text.partition(b"/")[0]) for text in texts], np.int64)
    return corners, np.array(triangles, np.intp), texts


def _resolved(numbers: Array, count: int) -> Array:
    """Numbers from 1, or from the end if negative, as indices from 0."""
    # Strictly, -1 is the last vertex before that line; files put all vertices first.
    found = np.where(numbers < 0, numbers + count, numbers - 1)
    if found.size and (found.min() < 0 or found.max() >= count):
        raise SampleError(f"broken OBJ file: a face names a vertex that is not among {count}")
    return found


def _normals(data: bytes, corners: Array, texts: list[bytes], count: int) -> Array | None:
    """Normals of the vertices, as the corners of faces (vertex/texture/normal) assign them."""
    table = _table(_NORMAL, data)
    if table.shape[1:] != (3,) or not texts:
        return None
    named = [text.split(b"/") for text in texts]
    if any(len(parts) != 3 for parts in named):
        return None
    chosen = _resolved(np.array([int(parts[2]) for parts in named], np.int64), len(table))
    normals = np.zeros((count, 3))
    normals[corners] = table[chosen]
    return normals
