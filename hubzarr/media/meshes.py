"""Meshes in PLY, STL and OBJ files.

A mesh decodes to the places of its vertices, float64 of shape (vertices, 3);
`mesh_parts` gives triangles, colours and normals, too.  A PLY file without faces is a
point cloud and decodes likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.columns import column_names, xyz
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read
from hubzarr.media.obj import obj_count, obj_parts
from hubzarr.media.ply import ply_elements, ply_layout
from hubzarr.media.stl import stl_count, stl_triangles

__all__ = ["FORMATS", "encode_ply", "encode_stl", "mesh_parts"]

type Array = np.ndarray[Any, Any]

_COLORS = ("red", "green", "blue", "alpha")
_NORMALS = ("nx", "ny", "nz")
_CORNERS = ("vertex_indices", "vertex_index")
_PLY_NAMES = {"f4": "float", "f8": "double", "u1": "uchar"}


@broken_unless_read("mesh")
def mesh_parts(data: bytes) -> dict[str, Array | None]:
    """Read a mesh.

    Parameters
    ----------
    data : bytes
        A PLY, STL or OBJ file.

    Returns
    -------
    dict of str to numpy.ndarray or None
        ``vertices``: float64 (vertices, 3). ``faces``: int64 (triangles, 3), indices of
        vertices; polygons are cut into triangles. ``colors`` (vertices, 3 or 4) and
        ``normals`` (vertices, 3), of the file's types, or None. In STL files each
        triangle has vertices of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.meshes import encode_ply, mesh_parts
    >>> mesh_parts(encode_ply(np.eye(3), faces=[[0, 1, 2]]))["faces"]
    array([[0, 1, 2]])
    """
    if data[:3] == b"ply":
        return _ply_parts(data)
    if _is_obj(data):
        return obj_parts(data)
    corners, normals = stl_triangles(data)
    return {
        "vertices": corners.reshape(-1, 3).astype("f8"),
        "faces": np.arange(3 * len(corners)).reshape(-1, 3),
        "colors": None,
        "normals": np.repeat(normals, 3, axis=0),
    }


def encode_ply(
    array: Any,
    *,
    faces: Any = None,
    colors: Any = None,
    normals: Any = None,
    names: Sequence[str] | None = None,
) -> bytes:
    """Write a mesh or a point cloud as binary PLY.

    Parameters
    ----------
    array : array_like
        Vertices, numbers of shape (vertices, columns), columns x, y, z first; float32
        stays float32, other numbers become float64.
    faces : array_like, optional
        Integers of shape (triangles, 3): indices of vertices.
    colors : array_like, optional
        uint8 of shape (vertices, 3 or 4).
    normals : array_like, optional
        Numbers of shape (vertices, 3), written as float32.
    names : sequence of str, optional
        Of the columns, ``x, y, z`` first; needed where there are more than these.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.meshes import encode_ply
    >>> encode_ply(np.zeros((1, 3), "f4")).splitlines()[2]
    b'element vertex 1'
    """
    points, names = column_names(array, names)
    columns = [(name, points[:, place]) for place, name in enumerate(names)]
    if normals is not None:
        columns += _named(_NORMALS, normals, len(points), "f4")
    if colors is not None:
        columns += _named(_COLORS, colors, len(points), "u1")
    dtype = np.dtype([(name, values.dtype.newbyteorder("<")) for name, values in columns])
    rows = np.empty(len(points), dtype)
    for name, values in columns:
        rows[name] = values
    top = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    top += [f"property {_PLY_NAMES[values.dtype.str[1:]]} {name}" for name, values in columns]
    corners = b""
    if faces is not None:
        triangles = _triangles(faces, len(points))
        top += [f"element face {len(triangles)}", "property list uchar int vertex_indices"]
        listed = np.empty(len(triangles), [("long", "u1"), ("corners", "<i4", 3)])
        listed["long"] = 3
        listed["corners"] = triangles
        corners = listed.tobytes()
    return "\n".join([*top, "end_header\n"]).encode() + rows.tobytes() + corners


def encode_stl(array: Any, *, faces: Any = None) -> bytes:
    """Write a mesh as binary STL, which keeps float32 and the corners of each triangle.

    Parameters
    ----------
    array : array_like
        Vertices, numbers of shape (vertices, 3).
    faces : array_like, optional
        Integers of shape (triangles, 3); each three vertices are a triangle unless given.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media.meshes import encode_stl, mesh_parts
    >>> mesh_parts(encode_stl([[0, 0, 0], [1, 0, 0], [0, 1, 0]]))["normals"][0].tolist()
    [0.0, 0.0, 1.0]
    """
    vertices = column_names(array, None)[0]
    if faces is not None:
        vertices = vertices[_triangles(faces, len(vertices))].reshape(-1, vertices.shape[1])
    if vertices.shape[1] != 3 or len(vertices) % 3:
        raise SampleError(
            f"no triangles: vertices of shape {vertices.shape}; expected (3 × triangles, 3), "
            f"or faces=..."
        )
    corners = vertices.reshape(-1, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    rows = np.zeros(len(corners), [("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    rows["n"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    rows["v"] = corners
    return bytes(80) + len(corners).to_bytes(4, "little") + rows.tobytes()


# Reading


@broken_unless_read("PLY file")
def _ply_header(data: bytes) -> Header:
    layout = ply_layout(data)
    vertex = layout.element("vertex")
    names = [one.name for one in vertex.properties if not one.length] if vertex else []
    if vertex is None or not {"x", "y", "z"} <= set(names):
        raise SampleError("PLY file without vertices that have x, y and z")
    face = layout.element("face")
    meta = {"faces": face.count if face else 0, "fields": names}
    return Header((vertex.count, 3), np.dtype("f8"), meta)


@broken_unless_read("PLY file")
def _ply_decode(data: bytes) -> Array:
    _ply_header(data)
    return xyz(ply_elements(data)["vertex"], "PLY file")


def _ply_parts(data: bytes) -> dict[str, Array | None]:
    _ply_header(data)
    elements = ply_elements(data)
    vertex = elements["vertex"]
    vertices = xyz(vertex, "PLY file")
    corners: Any = []
    for name in _CORNERS:
        corners = elements.get("face", {}).get(name, corners)
    faces = _cut(corners)
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise SampleError("broken PLY file: a face names a vertex that there is not")
    return {
        "vertices": vertices,
        "faces": faces,
        "colors": _together(vertex, _COLORS, 3),
        "normals": _together(vertex, _NORMALS, 3),
    }


def _cut(polygons: Any) -> Array:
    """Cut polygons into triangles, all from their first corner."""
    if isinstance(polygons, np.ndarray):
        if polygons.ndim != 2:
            raise SampleError("broken PLY file: faces without lists of corners")
        count = max(polygons.shape[1] - 2, 0)
        second = np.arange(1, count + 1)
        chosen = np.stack([np.zeros_like(second), second, second + 1], axis=1)
        return polygons[:, chosen].reshape(-1, 3).astype(np.int64)
    triangles = [
        (polygon[0], polygon[second], polygon[second + 1])
        for polygon in polygons
        for second in range(1, len(polygon) - 1)
    ]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _together(fields: dict[str, Any], names: Sequence[str], least: int) -> Array | None:
    found = [fields[name] for name in names if isinstance(fields.get(name), np.ndarray)]
    return np.stack(found, axis=1) if len(found) >= least else None


@broken_unless_read("STL file")
def _stl_header(data: bytes) -> Header:
    count = stl_count(data)
    return Header((3 * count, 3), np.dtype("f8"), {"faces": count})


@broken_unless_read("STL file")
def _stl_decode(data: bytes) -> Array:
    return stl_triangles(data)[0].reshape(-1, 3).astype("f8")


@broken_unless_read("OBJ file")
def _obj_header(data: bytes) -> Header:
    return Header((obj_count(data), 3), np.dtype("f8"), {})


@broken_unless_read("OBJ file")
def _obj_decode(data: bytes) -> Array:
    vertices: Array = obj_parts(data)["vertices"]
    return vertices


def _is_obj(data: bytes) -> bool:
    try:
        return data[:5].lower() != b"solid" and b"\0" not in data and obj_count(data) > 0
    except SampleError:
        return False


# Writing


def _named(names: Sequence[str], values: Any, count: int, dtype: str) -> list[tuple[str, Array]]:
    table = np.asarray(values)
    if table.ndim != 2 or len(table) != count or not 3 <= table.shape[1] <= len(names):
        raise SampleError(
            f"{', '.join(names)} of shape {table.shape}; expected ({count}, 3), "
            f"a row for each vertex"
        )
    if dtype == "u1" and table.dtype != np.uint8:
        raise SampleError(f"colours of {table.dtype}; expected uint8")
    return [(names[place], table[:, place].astype(dtype)) for place in range(table.shape[1])]


def _triangles(faces: Any, count: int) -> Array:
    triangles = np.asarray(faces)
    if triangles.size == 0:
        return np.zeros((0, 3), np.int64)
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise SampleError(
            f"no faces: {triangles.dtype} of shape {triangles.shape}; expected integers of "
            f"shape (triangles, 3)"
        )
    if triangles.min() < 0 or triangles.max() >= count:
        raise SampleError(f"faces name vertices up to {triangles.max()}; there are {count}")
    return triangles


def _format(
    name: str,
    header: Callable[[bytes], Header],
    decode: Callable[[bytes], Array],
    encode: Callable[..., bytes] | None,
    *,
    lossless: bool = True,
) -> Format:
    return Format(
        name=name,
        kind="mesh",
        extensions=(f".{name}",),
        lossless=lossless,
        header=header,
        decode=decode,
        encode=encode,
        extra=None,
    )


FORMATS = (
    _format("ply", _ply_header, _ply_decode, encode_ply),
    _format("stl", _stl_header, _stl_decode, encode_stl, lossless=False),
    _format("obj", _obj_header, _obj_decode, None),
)
