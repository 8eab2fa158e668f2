"""STL files: triangles, each with its own three corners, as text or binary."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np

from hubzarr.errors import SampleError

__all__ = ["stl_count", "stl_triangles"]

type Array = np.ndarray[Any, Any]

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_START = 84  # bytes of a title and the number of triangles
_CORNER = re.compile(rb"^[ \t]*vertex[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE | re.I)
_NORMAL = re.compile(
    rb"^[ \t]*facet[ \t]+normal[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE | re.I
)


def stl_count(data: bytes) -> int:
    """Give the number of triangles in an STL file.

    Examples
    --------
    >>> from hubzarr.media.stl import stl_count
    >>> stl_count(bytes(80) + b"\\1\\0\\0\\0" + bytes(50))
    1
    """
    if _is_text(data):
        if b"endsolid" not in data[-1000:].lower():
            raise SampleError("broken STL file: no 'endsolid'; the file has been cut")
        corners = sum(1 for _ in _CORNER.finditer(data))
        if corners % 3:
            raise SampleError(f"broken STL file: {corners} corners, not three to a triangle")
        return corners // 3
    if len(data) < _START:
        raise SampleError(f"no STL file: {len(data)} bytes; expected at least {_START}")
    (count,) = struct.unpack_from("<I", data, 80)
    if _START + count * _TRIANGLE.itemsize > len(data):
        raise SampleError(
            f"no STL file, or broken: {len(data)} bytes can't hold the {count} triangles "
            f"that it announces"
        )
    return int(count)


def stl_triangles(data: bytes) -> tuple[Array, Array]:
    """Give corners (triangles, 3, 3) and normals (triangles, 3), both float32.

    Examples
    --------
    >>> from hubzarr.media.stl import stl_triangles
    >>> stl_triangles(bytes(80) + b"\\1\\0\\0\\0" + bytes(50))[0].shape
    (1, 3, 3)
    """
    count = stl_count(data)
    if not _is_text(data):
        triangles = np.frombuffer(data, _TRIANGLE, count, _START)
        corners, normals = triangles["corners"], triangles["normal"]
        return np.ascontiguousarray(corners, "f4"), np.ascontiguousarray(normals, "f4")
    corners = _numbers(_CORNER, data).reshape(count, 3, 3)
    normals = _numbers(_NORMAL, data)
    if len(normals) != count:
        raise SampleError(f"broken STL file: {len(normals)} normals for {count} triangles")
    return corners, normals


def _is_text(data: bytes) -> bool:
    """Binary files may begin with 'solid', too: then their length gives them away."""
    if data[:80].lstrip()[:5].lower() != b"solid":
        return False
    if len(data) < _START:
        return True
    (count,) = struct.unpack_from("<I", data, 80)
    return bool(_START + count * _TRIANGLE.itemsize != len(data))


def _numbers(pattern: re.Pattern[bytes], data: bytes) -> Array:
    return np.array(pattern.findall(data), "S").reshape(-1, 3).astype("f4")
