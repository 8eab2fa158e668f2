"""Meshes: files of several programs, and files written by the definitions of the formats."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media import get_format
from hubzarr.media.meshes import encode_ply, encode_stl, mesh_parts
from hubzarr.media.points import fields
from tests.media.damage import cuts, errors_of, flips
from tests.realdata import every, real

FILES = [
    path
    for path in every("ply/*") + every("point_cloud/deeplake/*")
    if path.suffix in (".ply", ".stl", ".obj")
]
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "f4")
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def ids(path):
    return path.name


def format_of(path):
    return get_format(path.suffix[1:])


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_header_and_array_agree(path):
    data = path.read_bytes()
    told, found = format_of(path).header(data), format_of(path).decode(data)
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    assert np.array_equal(mesh_parts(data)["vertices"], found)
    json.dumps(told.meta, allow_nan=False)


def test_one_mesh_in_three_files():
    binary, text, obj = (
        mesh_parts(real(f"ply/{name}").read_bytes())
        for name in ("diamond.ply", "diamond_ascii.ply", "diamond_color.obj")
    )
    for name in ("vertices", "normals"):
        assert np.array_equal(binary[name], text[name])
        assert np.array_equal(binary[name], obj[name])
    for other in (text, obj):
        assert np.array_equal(binary["faces"], other["faces"])
    assert binary["colors"].tolist() == (255 * obj["colors"]).tolist()
    assert text["colors"].shape == (6, 4)


def test_elements_side_by_side():
    """One line for each vertex with the values of all elements, against the format."""
    data = real("point_cloud/deeplake/mesh_ascii.ply").read_bytes()
    table = np.array([line.split() for line in data.splitlines()[16:]], "S").astype("f8")
    assert table.shape == (36, 10)
    assert np.array_equal(get_format("ply").decode(data), table[:, :3].astype("f4"))


def test_stl():
    data = real("point_cloud/deeplake/box_freecad_binary.stl").read_bytes()
    parts = mesh_parts(data)
    rows = np.frombuffer(data[84:], [("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    assert np.array_equal(parts["vertices"].reshape(-1, 3, 3), rows["v"])
    assert np.array_equal(parts["normals"][::3], rows["n"])
    again = mesh_parts(encode_stl(parts["vertices"], faces=parts["faces"]))
    assert np.array_equal(again["vertices"], parts["vertices"])
    assert np.allclose(again["normals"], parts["normals"], atol=1e-6)


def test_stl_as_text():
    text = b"solid vertex 1 2 3\n" + b"".join(
        b"  facet normal 0 0 1\n    outer loop\n%s    endloop\n  endfacet\n"
        % b"".join(b"      vertex %g %g %g\n" % tuple(SQUARE[corner]) for corner in triangle)
        for triangle in TRIANGLES
    )
    whole = text + b"endsolid vertex\n"
    assert get_format("stl").header(whole).shape == (6, 3)
    assert np.array_equal(get_format("stl").decode(whole), SQUARE[TRIANGLES.ravel()])
    assert np.array_equal(mesh_parts(whole)["normals"], [[0, 0, 1]] * 6)
    with pytest.raises(SampleError, match="has been cut"):
        get_format("stl").header(text)


def test_binary_stl_that_calls_itself_solid():
    data = b"solid".ljust(80) + encode_stl(SQUARE, faces=TRIANGLES)[80:]
    assert np.array_equal(get_format("stl").decode(data), SQUARE[TRIANGLES.ravel()])


def ply(kind: str, faces: list[list[int]], *, texture: bool = False) -> bytes:
    """A PLY file with polygons of several lengths."""
    extra = "property list uchar float texcoord\nproperty uchar flags\n" if texture else ""
    top = (
        f"ply\r\nformat {kind} 1.0\ncomment made here\nelement vertex {len(SQUARE)}\n"
        f"property float32 x\nproperty double y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uint8 int32 vertex_index\n{extra}end_header\n"
    ).encode()
    uvs = [[0.5] * (number % 3) for number, _ in enumerate(faces)]
    if kind == "ascii":
        lines = [" ".join(map(str, row)) for row in SQUARE.tolist()]
        for polygon, uv in zip(faces, uvs, strict=True):
            more = [len(uv), *uv, 7] if texture else []
            lines.append(" ".join(map(str, [len(polygon), *polygon, *more])))
        return top + "\n".join(lines).encode() + b"\n"
    order = "<" if "little" in kind else ">"
    rows = np.empty(len(SQUARE), [("x", order + "f4"), ("y", order + "f8"), ("z", order + "f4")])
    for place, name in enumerate("xyz"):
        rows[name] = SQUARE[:, place]
    body = rows.tobytes()
    for polygon, uv in zip(faces, uvs, strict=True):
        body += bytes([len(polygon)]) + np.array(polygon, order + "i4").tobytes()
        if texture:
            body += bytes([len(uv)]) + np.array(uv, order + "f4").tobytes() + b"\7"
    return top + body


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("texture", [False, True])
@pytest.mark.parametrize(
    ("polygons", "triangles"),
    [
        ([[0, 1, 2], [0, 2, 3]], [[0, 1, 2], [0, 2, 3]]),
        ([[0, 1, 2, 3]], [[0, 1, 2], [0, 2, 3]]),
        ([[0, 1, 2], [3, 2, 1, 0], [0, 1]], [[0, 1, 2], [3, 2, 1], [3, 1, 0]]),
        ([], []),
    ],
)
def test_polygons(kind, texture, polygons, triangles):
    data = ply(kind, polygons, texture=texture)
    parts = mesh_parts(data)
    assert parts["faces"].tolist() == triangles
    assert parts["faces"].shape == (len(triangles), 3)
    assert np.array_equal(parts["vertices"], SQUARE)
    assert get_format("ply").header(data).meta["faces"] == len(polygons)
    assert fields(data)["y"].dtype == np.float64


@given(
    st.integers(0, 30), st.integers(0, 30), st.sampled_from(["f4", "f8", "i2"]), st.integers(0, 4)
)
@settings(max_examples=50, deadline=None)
def test_any_ply(count, faces, dtype, channels):
    chance = np.random.default_rng(count)
    vertices = (100 * chance.normal(size=(count, 3))).astype(dtype)
    triangles = chance.integers(0, count, (faces, 3)) if count else np.zeros((0, 3), int)
    colors = chance.integers(0, 256, (count, channels), "u1") if channels >= 3 else None
    normals = chance.normal(size=(count, 3)).astype("f4")
    data = encode_ply(vertices, faces=triangles, colors=colors, normals=normals)
    parts = mesh_parts(data)
    assert get_format("ply").header(data).shape == vertices.shape
    assert np.array_equal(parts["vertices"], vertices.astype("f8"))
    assert np.array_equal(parts["faces"], triangles)
    assert np.array_equal(parts["normals"], normals)
    assert (parts["colors"] is None) == (colors is None)
    assert colors is None or np.array_equal(parts["colors"], colors)


def test_obj():
    text = b"""# two ways to name a vertex
mtllib none.mtl
v 0 0 0
v 1 0 0 # corner
  v 1 1 0
v 0 1 0 1.0
vt 0 0
f 1/1 2/1 3/1 \\
 4/1
f -4 -3 -2
"""
    parts = mesh_parts(text)
    assert np.array_equal(parts["vertices"], SQUARE)
    assert parts["faces"].tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert parts["colors"] is None
    assert parts["normals"] is None
    assert get_format("obj").header(text).shape == (4, 3)
    assert get_format("obj").encode is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ply\n",
        b"ply\nformat ascii 1.0\nend_header\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
        b"ply\nformat ascii 1.0\nelement vertex -1\nproperty float x\nend_header\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty half x\nend_header\n1\n",
        b"solid\nendsolid",
        b"v 1 2\n",
        b"f 1 2 3\n",
        b"v 0 0 0\nf 1 2 3\n",
        bytes(200)[:83],
        b"\xff" * 200,
    ],
)
def test_other_files(data):
    if data == b"solid\nendsolid":  # nothing in it, but a file of that kind
        assert get_format("stl").header(data).shape == (0, 3)
        return
    with pytest.raises(SampleError):
        mesh_parts(data)
    for name in ("ply", "stl"):
        with pytest.raises(SampleError):
            get_format(name).decode(data)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_broken_files(path):
    data = path.read_bytes()
    for read in (format_of(path).header, format_of(path).decode, mesh_parts):
        errors_of(read, cuts(data, 10))
        errors_of(read, flips(data, 20))
        errors_of(read, flips(data, 30, within=400))


@pytest.mark.parametrize(
    "name", ["ply/diamond.ply", "ply/diamond_ascii.ply", "point_cloud/deeplake/mesh_ascii.ply"]
)
def test_cut_files(name):
    data = real(name).read_bytes()
    files = [data[:-40], *cuts(data, 10)[:-1]]
    assert errors_of(get_format("ply").decode, files) == len(files)


def test_unsuitable_meshes():
    with pytest.raises(SampleError, match="no triangles"):
        encode_stl(SQUARE)
    for faces in ([[0, 1]], [[0, 1, 4]], [[0, 1, -1]], [[0.5, 1, 2]]):
        for encode in (encode_ply, encode_stl):
            with pytest.raises(SampleError, match="faces"):
                encode(SQUARE, faces=faces)
    with pytest.raises(SampleError, match="uint8"):
        encode_ply(SQUARE, colors=np.zeros((4, 3)))
    with pytest.raises(SampleError, match="a row for each vertex"):
        encode_ply(SQUARE, normals=np.zeros((3, 3)))
    with pytest.raises(InvalidError, match="names"):
        encode_ply(SQUARE, names=["a", "b", "c"])
