"""Point clouds: LAS and LAZ as laspy reads them, PCD and KITTI by their definitions."""

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media import get_format, las, pcd
from hubzarr.media.points import fields
from tests.media.damage import cuts, errors_of, flips
from tests.realdata import every, real

laspy = pytest.importorskip("laspy")

LAS = every("las/*.la[sz]") + every("point_cloud/deeplake/*.laz")
PCD = every("pcd/*.pcd")
COMPRESSED = "pcd/bun0.pcd"


def ids(path):
    return path.name


# LAS


@pytest.mark.parametrize("path", LAS, ids=ids)
def test_same_points_as_laspy(path):
    data = path.read_bytes()
    found, told, cloud = las.decode(data), las.header(data), laspy.read(path)
    assert np.array_equal(found, cloud.xyz)
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    assert told.meta["version"] == str(cloud.header.version)
    assert told.meta["point_format"] == cloud.header.point_format.id
    assert told.meta["scales"] == cloud.header.scales.tolist()
    assert told.meta["mins"] == cloud.header.mins.tolist()
    assert told.meta["maxs"] == cloud.header.maxs.tolist()
    assert told.meta["compressed"] == (path.suffix == ".laz")
    json.dumps(told.meta, allow_nan=False)
    every_field = fields(data)
    assert set(cloud.point_format.dimension_names) - {"X", "Y", "Z"} < set(every_field)
    for name, values in every_field.items():
        assert np.array_equal(values, np.asarray(cloud[name]))


@given(
    hnp.arrays("f8", st.tuples(st.integers(0, 20), st.just(3)), elements=st.floats(-1e5, 1e5)),
    st.sampled_from(["las", "laz"]),
)
@settings(max_examples=40, deadline=None)
def test_any_points(points, name):
    file = get_format(name).encode(points)
    found = get_format(name).decode(file)
    assert found.shape == get_format(name).header(file).shape == points.shape
    assert np.allclose(found, points, atol=0.00051, rtol=0)


def test_further_fields():
    points = np.arange(12.0).reshape(4, 3)
    given_fields = {
        "intensity": np.arange(4),
        "classification": np.full(4, 200),
        "red": np.full(4, 65535),
        "curvature": np.linspace(0, 1, 4, dtype="f4"),
    }
    found = fields(get_format("laz").encode(points, fields=given_fields))
    for name, values in given_fields.items():
        assert np.array_equal(found[name], values)
    assert found["curvature"].dtype == np.float32


def test_same_points_same_bytes():
    points = np.arange(12.0).reshape(4, 3)
    file = get_format("las").encode(points)
    assert file == get_format("las").encode(points)
    assert file[90:94] == bytes(4)  # no date


@pytest.mark.parametrize(
    ("points", "match"),
    [
        (np.zeros((2, 4)), "expected numbers of shape"),
        (np.zeros(3), "expected numbers of shape"),
        (np.array([[0, 0, np.nan]]), "undefined"),
        (np.array([[0.0, 0, 0], [1e9, 0, 0]]), "larger"),
    ],
)
def test_points_unsuitable_for_las(points, match):
    with pytest.raises(SampleError, match=match):
        get_format("las").encode(points)


def test_fields_unsuitable_for_las():
    encode = get_format("las").encode
    with pytest.raises(SampleError, match="a value for each point"):
        encode(np.zeros((2, 3)), fields={"intensity": [1]})
    with pytest.raises(SampleError, match="can't hold field 'intensity'"):
        encode(np.zeros((1, 3)), fields={"intensity": [-1]})
    with pytest.raises(InvalidError, match="scale"):
        encode(np.zeros((1, 3)), scale=0)


@pytest.mark.parametrize("name", ["simple.las", "simple.laz", "extrabytes.las", "simple.copc.laz"])
def test_broken_las_files(name):
    data = real(f"las/{name}").read_bytes()
    for read in (las.header, las.decode, fields):
        assert errors_of(read, cuts(data, 5)) > 8
        errors_of(read, flips(data, 8))
        errors_of(read, flips(data, 12, within=375))


def test_absurd_numbers_in_las_files():
    """The decoder would reserve memory for them, which can end the process."""
    plain = bytearray(real("las/simple.las").read_bytes())
    struct.pack_into("<I", plain, 100, 2**32 - 1)  # records
    with pytest.raises(SampleError, match="more records"):
        las.header(bytes(plain))
    packed = bytearray(real("las/simple.laz").read_bytes())
    start = struct.unpack_from("<I", packed, 96)[0]
    table = struct.unpack_from("<q", packed, start)[0]
    struct.pack_into("<I", packed, table + 4, 2**32 - 1)  # chunks
    with pytest.raises(SampleError, match="4294967295 chunks"):
        las.decode(bytes(packed))
    struct.pack_into("<q", packed, start, 2**40)
    with pytest.raises(SampleError, match="no table of chunks"):
        las.decode(bytes(packed))


@pytest.mark.parametrize("name", ["simple.las", "test1_4.las"])
def test_cut_las_files_are_told_from_their_headers(name):
    data = real(f"las/{name}").read_bytes()
    assert errors_of(las.header, cuts(data, 5)) == len(cuts(data, 5))


# PCD


@pytest.mark.parametrize("path", PCD, ids=ids)
def test_pcd(path):
    data = path.read_bytes()
    found, told = pcd.decode(data), pcd.header(data)
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    every_field = fields(data)
    assert list(every_field) == told.meta["fields"] == ["x", "y", "z"]
    assert all(values.dtype == np.float32 for values in every_field.values())
    if told.meta["data"] == "ascii":
        skipped = data[: data.index(b"DATA")].count(b"\n") + 1
        text = np.loadtxt(io.BytesIO(data), skiprows=skipped, max_rows=told.shape[0])
        assert np.array_equal(found, text.astype("f4"))
    json.dumps(told.meta, allow_nan=False)


def test_compressed_pcd():
    """LZF as imagecodecs expands it."""
    imagecodecs = pytest.importorskip("imagecodecs")
    data = real(COMPRESSED).read_bytes()
    start = data.index(b"DATA binary_compressed\n") + len(b"DATA binary_compressed\n")
    packed, size = struct.unpack_from("<II", data, start)
    plain = imagecodecs.lzf_decode(data[start + 8 : start + 8 + packed], out=size)
    expected = np.frombuffer(plain, "<f4").reshape(3, -1).T
    assert np.array_equal(pcd.decode(data), expected)


def written(kind: str, rows: np.ndarray, *, extra: bytes = b"") -> bytes:
    """A PCD file of a structured array; compressed without compressing, which LZF allows."""
    names = rows.dtype.names
    parts = [rows.dtype[name] for name in names]
    bases = [part.base for part in parts]
    counts = [int(np.prod(part.shape, dtype=int)) for part in parts]
    top = (
        f"VERSION .7\nFIELDS {' '.join(name.rstrip('0123456789') or name for name in names)}\n"
        f"SIZE {' '.join(str(base.itemsize) for base in bases)}\n"
        f"TYPE {' '.join(base.kind.upper() for base in bases)}\n"
        f"COUNT {' '.join(map(str, counts))}\nWIDTH {len(rows)}\nHEIGHT 1\n"
        f"POINTS {len(rows)}\nDATA {kind}\n"
    ).encode()
    if kind == "ascii":
        lines = (
            " ".join(repr(value.item()) for name in names for value in np.ravel(row[name]))
            for row in rows
        )
        return top + "\n".join(lines).encode() + extra
    if kind == "binary":
        return top + rows.tobytes() + extra
    plain = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in names)
    runs = [plain[start : start + 32] for start in range(0, len(plain), 32)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return top + struct.pack("<II", len(packed), len(plain)) + packed + extra


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_fields_of_any_type(kind):
    dtype = [("x", "f8"), ("y", "f4"), ("_1", "u1", 3), ("z", "i2"), ("_2", "u1"), ("h", "f4", 5)]
    rows = np.zeros(7, dtype)
    for number, name in enumerate(rows.dtype.names):
        rows[name] = np.arange(rows[name].size).reshape(rows[name].shape) - number % 2
    rows["x"] += 0.1
    found = fields(written(kind, rows))
    assert list(found) == ["x", "y", "z", "h"]
    for name, values in found.items():
        assert values.dtype == rows[name].dtype
        assert np.array_equal(values, rows[name])
    assert pcd.decode(written(kind, rows)).dtype == np.float64


def test_missing_points_are_nan():
    rows = np.array([(np.nan, 1, 2)], [("x", "f4"), ("y", "f4"), ("z", "f4")])
    assert np.isnan(pcd.decode(written("ascii", rows))[0, 0])


@given(
    st.lists(
        st.binary(min_size=1, max_size=40)
        | st.tuples(st.integers(1, 8192), st.integers(3, 264)).map(list),
        max_size=30,
    )
)
def test_lzf(parts):
    """Runs and copies, also such that run into themselves, against copying byte by byte."""
    plain, packed = bytearray(), bytearray()
    for part in parts:
        if isinstance(part, bytes):
            for start in range(0, len(part), 32):
                run = part[start : start + 32]
                packed += bytes([len(run) - 1]) + run
            plain += part
            continue
        back, length = part
        if back > len(plain):
            continue
        for _ in range(length):
            plain.append(plain[-back])
        high, low = divmod(back - 1, 256)
        code = min(length - 2, 7)
        packed.append(code << 5 | high)
        if code == 7:
            packed.append(length - 9)
        packed.append(low)
    assert pcd._expanded(bytes(packed), len(plain)) == plain


@given(
    hnp.arrays(
        st.sampled_from(["f2", "f4", "f8", "i2", "i4", "u1"]),
        st.tuples(st.integers(0, 9), st.integers(3, 6)),
    ),
    st.sampled_from(["pcd", "ply"]),
)
@settings(max_examples=60, deadline=None)
def test_any_columns(points, name):
    names = ["x", "y", "z", "t", "u", "v"][: points.shape[1]]
    file = get_format(name).encode(points, names=names)
    told, found = get_format(name).header(file), get_format(name).decode(file)
    assert told.shape == found.shape == (len(points), 3)
    assert np.array_equal(found, points[:, :3].astype("f8"), equal_nan=True)
    for place, values in enumerate(fields(file).values()):
        assert np.array_equal(values, points[:, place], equal_nan=True)


@pytest.mark.parametrize("name", ["pcd", "ply"])
def test_unsuitable_points(name):
    encode = get_format(name).encode
    for array in (np.zeros(3), np.zeros((2, 2)), np.zeros((2, 4)), np.zeros((2, 3), "c8")):
        with pytest.raises(SampleError, match="expected"):
            encode(array)
    for names in (["x", "y", "z"], ["x", "y", "z", "z"], ["a", "b", "c", "d"], ["x", "y", "z", ""]):
        with pytest.raises(InvalidError, match="names"):
            encode(np.zeros((2, 4)), names=names)


@pytest.mark.parametrize("path", PCD, ids=ids)
def test_broken_pcd_files(path):
    data = path.read_bytes()
    for read in (pcd.header, fields):
        assert errors_of(read, cuts(data, 4)) > 5
        errors_of(read, flips(data, 4))
        errors_of(read, flips(data, 20, within=200))
    assert errors_of(pcd.decode, [data[: len(data) // 2], data[: len(data) * 9 // 10]]) == 2


# KITTI


def test_kitti():
    scan = np.random.default_rng(0).normal(0, 30, (100, 4)).astype("f4")
    file = get_format("bin").encode(scan)
    assert file == scan.tobytes()
    assert get_format("bin").header(file).shape == (100, 4)
    assert np.array_equal(get_format("bin").decode(file), scan)
    assert np.array_equal(fields(file)["reflectance"], scan[:, 3])


@pytest.mark.parametrize(
    "data", [b"", bytes(15), bytes(24), b"\xff" * 160, b"\x12\x34\x56\x78" * 40]
)
def test_other_files_with_that_extension(data):
    with pytest.raises(SampleError, match="no KITTI scan"):
        get_format("bin").header(data)


@pytest.mark.parametrize("array", [np.zeros((3, 3)), np.zeros((0, 4)), np.zeros(4)])
def test_unsuitable_scans(array):
    with pytest.raises(SampleError, match="expected"):
        get_format("bin").encode(array)


@pytest.mark.parametrize("data", [b"", b"LASF", b"# .PCD v0.7\n", bytes(1000), b"ply\n"])
def test_other_files(data):
    for read in (las.header, las.decode, pcd.header, pcd.decode):
        with pytest.raises(SampleError):
            read(data)
