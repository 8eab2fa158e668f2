"""MosaicML's shards, against a writer by its documentation and real shards."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from hubzarr.errors import InvalidError, SampleError, UnsupportedError
from hubzarr.ingesting import Place
from hubzarr.ingesting import mds as module
from hubzarr.ingesting.mds import matches, open_source
from hubzarr.ingesting.mds_encodings import decode
from hubzarr.media import Sample
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import real


def array_bytes(array, dynamic_dtype=True):
    codes = {"uint8": 8, "int16": 17, "float32": 34, "int64": 65}
    width = 0 if max(array.shape) < 256 else 1
    head = bytes([codes[array.dtype.name]]) if dynamic_dtype else b""
    head += bytes([array.ndim << 2 | width])
    return head + np.array(array.shape, ("u1", "<u2")[width]).tobytes() + array.tobytes()


def shard(columns, samples):
    """Columns: name → (encoding, size or None); samples: lists of encoded values."""
    sizes = [size for _, size in columns.values()]
    info = {
        "column_names": list(columns),
        "column_encodings": [encoding for encoding, _ in columns.values()],
        "column_sizes": sizes,
        "format": "mds",
    }
    text = json.dumps(info).encode()
    packed = []
    for values in samples:
        variable = [len(v) for v, size in zip(values, sizes, strict=True) if size is None]
        packed.append(np.array(variable, "<u4").tobytes() + b"".join(values))
    start = 4 + 4 * (len(packed) + 1) + len(text)
    offsets = np.cumsum([start, *map(len, packed)]).astype("<u4")
    return np.uint32(len(packed)).tobytes() + offsets.tobytes() + text + b"".join(packed)


def index(folder, shards, compression=None):
    pack = {None: bytes, "zstd:7": numcodecs.Zstd(7).encode, "gz": gzip.compress}[compression]
    entries = []
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(shards):
        name = f"shard.{number:05d}.mds"
        packed = bytes(pack(data))
        suffix = "" if compression is None else "." + compression.partition(":")[0]
        (folder / f"{name}{suffix}").write_bytes(packed)
        entry = {"format": "mds", "compression": compression, "samples": 0, "zip_data": None}
        entry["raw_data"] = {"basename": name, "bytes": len(data), "hashes": {}}
        if compression:
            hashes = {"sha1": hashlib.sha1(packed).hexdigest(), "xxh64": "unknown here"}
            entry["zip_data"] = {"basename": name + suffix, "hashes": hashes}
        entries.append(entry)
    (folder / "index.json").write_text(json.dumps({"version": 2, "shards": entries}))


def number(n):
    return np.int64(n).tobytes()


SIMPLE = {"label": ("int", 8), "text": ("str", None)}


def simple(*numbers):
    return shard(SIMPLE, [[number(n), f"text {n}".encode()] for n in numbers])


@pytest.mark.parametrize("compression", [None, "zstd:7", "gz"])
def test_shards_of_splits(tmp_path, compression, monkeypatch):
    monkeypatch.setattr(module, "UNIT_ROWS", 2)
    index(tmp_path / "train", [simple(1, 2, 3), simple(4)], compression)
    index(tmp_path / "val", [simple(5)], compression)
    assert matches(Place(tmp_path))
    source = open_source(Place(tmp_path))
    assert [unit.rows for unit in source.units()] == [2, 1, 1, 1]
    found = rows(pickle.loads(pickle.dumps(source)))
    assert [row["label"] for row in found] == [1, 2, 3, 4, 5]
    assert [row["text"] for row in found] == [f"text {n}" for n in range(1, 6)]
    assert [row["split"] for row in found] == [0, 0, 0, 0, 1]


def test_every_encoding(tmp_path):
    png = Sample(array=np.zeros((4, 5, 3), "u1")).encoded("png")
    jpeg = Sample(array=np.zeros((4, 5, 3), "u1")).encoded("jpeg")
    image = Image.fromarray(np.arange(60, dtype="u1").reshape(4, 5, 3))
    head = np.array([5, 4, 3], "<u4").tobytes() + b"RGB"
    columns = {
        "a": ("ndarray", None),
        "b": ("ndarray:int16", None),
        "c": ("ndarray:float32:2,3", 24),
        "f": ("float32", 4),
        "u": ("uint8", 1),
        "si": ("str_int", None),
        "sf": ("str_float", None),
        "sd": ("str_decimal", None),
        "j": ("json", None),
        "raw": ("bytes", None),
        "png": ("png", None),
        "jpeg": ("jpeg:90", None),
        "pil": ("pil", None),
    }
    a = np.arange(300, dtype="u1").reshape(300, 1)
    b = np.arange(-3, 3, dtype="i2")
    c = np.ones((2, 3), "f4")
    values = [
        *(array_bytes(a), array_bytes(b, False), c.tobytes(), np.float32(1.5).tobytes(), b"\x07"),
        *(b"12", b"0.1", b"1.50", b'{"x": [1, null]}', b"\0\xff", png, jpeg),
        head + image.tobytes(),
    ]
    index(tmp_path, [shard(columns, [values, values])])
    source = open_source(Place(tmp_path))
    made = options(source)
    assert made["png"] == {"htype": "image", "sample_compression": "png"}
    assert made["jpeg"] == {"htype": "image", "sample_compression": "jpeg"}
    assert made["f"] == {"htype": "generic", "dtype": "float32"}
    row = rows(source)[1]
    np.testing.assert_array_equal(row["a"], a)
    np.testing.assert_array_equal(row["b"], b)
    np.testing.assert_array_equal(row["c"], c)
    assert (row["f"], row["u"], row["si"], row["sf"], row["sd"]) == (1.5, 7, 12, 0.1, "1.50")
    assert row["j"] == {"x": [1, None]}
    assert row["png"].compressed_bytes == png
    np.testing.assert_array_equal(row["pil"], np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "I;16", "I", "F", "CMYK", "LA"])
def test_modes_of_pictures(mode):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 11, 3), np.uint8)
    image = Image.fromarray(rgb)
    image = image.convert("L").convert(mode) if mode in ("I;16", "I", "F") else image.convert(mode)
    width, height = image.size
    head = np.array([width, height, len(mode)], "<u4").tobytes() + mode.encode()
    found = decode("pil", head + image.tobytes())
    if mode == "CMYK":
        expected = np.asarray(image.convert("RGB"))
        assert np.abs(found.astype(int) - expected).max() <= 1
    elif mode == "LA":
        np.testing.assert_array_equal(found, np.asarray(image.convert("RGBA")))
    elif mode == "1":
        np.testing.assert_array_equal(found, np.asarray(image) * 255)
    else:
        np.testing.assert_array_equal(found, np.asarray(image))


@given(
    arrays.arrays(
        st.sampled_from(["uint8", "int16", "float32", "int64"]), arrays.array_shapes(max_side=4)
    )
)
def test_arrays_come_back(array):
    found = decode("ndarray", array_bytes(array))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@given(st.binary(max_size=40), st.sampled_from(["ndarray", "pil", "json", "int", "str_float"]))
def test_any_bytes_are_decoded_or_refused(data, encoding):
    try:
        decode(encoding, data)
    except ValueError:
        pass


def test_pickles_are_refused(tmp_path):
    columns = {"n": ("int", 8), "p": ("pkl", None)}
    index(tmp_path, [shard(columns, [[number(1), pickle.dumps(print)]])])
    with pytest.raises(UnsupportedError, match="run code"):
        open_source(Place(tmp_path))
    assert [row["n"] for row in rows(open_source(Place(tmp_path), leave_out=["p"]))] == [1]
    with pytest.raises(InvalidError, match="no column"):
        open_source(Place(tmp_path), leave_out=["q"])


def test_damage(tmp_path):
    good = simple(1, 2, 3)
    index(tmp_path / "a", [good[:-4]])
    assert [item.what for item in skipped(open_source(Place(tmp_path / "a")))] == [
        "shard.00000.mds, sample 2"
    ]
    index(tmp_path / "b", [good[:9]])
    with pytest.raises(SampleError, match="offsets"):
        open_source(Place(tmp_path / "b"))
    index(tmp_path / "c", [good], "gz")
    (tmp_path / "c" / "shard.00000.mds.gz").write_bytes(gzip.compress(b"else"))
    with pytest.raises(SampleError, match="sha1"):
        open_source(Place(tmp_path / "c"))
    document = json.loads((tmp_path / "a" / "index.json").read_text())
    document["shards"][0]["raw_data"]["basename"] = "../../etc/passwd"
    (tmp_path / "a" / "index.json").write_text(json.dumps(document))
    with pytest.raises(SampleError, match="no index"):
        open_source(Place(tmp_path / "a"))


def test_real_shards(tmp_path):
    folder = real("mds/text_raw")
    found = rows(open_source(Place(folder)))
    assert [int(row["id"]) for row in found] == list(range(1, 10_000))
    for row in found[::500]:
        assert row["dummy_text"] == f"Dummy text {row['id']}"
    bare = tmp_path / "bare"  # without index.json
    bare.mkdir()
    for file in sorted(folder.glob("*.mds"))[:3]:
        (bare / file.name).write_bytes(file.read_bytes())
    assert matches(Place(bare))
    first = rows(open_source(Place(bare)))
    assert [row["id"] for row in first] == [row["id"] for row in found[: len(first)]]
