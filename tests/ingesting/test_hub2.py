"""Datasets that Hub 1, Hub 2 and Deep Lake 3 wrote, against what was put into them."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import (
    DamagedError,
    InvalidError,
    NotFoundError,
    SampleError,
    UnsupportedError,
)
from hubzarr.htypes import prepare, restore, tensor_spec
from hubzarr.ingesting import hub2, hub2_tensor
from hubzarr.ingesting.hub2_chunks import Chunk, ChunkIndex, Runs, unpack_lz4
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import recognise
from hubzarr.ingesting.source import Skipped
from hubzarr.media import Link, Sample
from tests.ingesting.flat import everything
from tests.ingesting.hub_samples import NAMES, ROWS, newer_samples, picture, samples
from tests.realdata import real

DATA = Path(__file__).parent / "data"
RELEASES = ("deeplake-3.9.52", "hub-2.8.5")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """Where the datasets of all releases are unpacked."""
    folder = tmp_path_factory.mktemp("hub")
    for release in RELEASES:
        with tarfile.open(DATA / f"{release}.tar.xz") as archive:
            archive.extractall(folder / release, filter="data")
    return folder


@pytest.fixture(params=RELEASES)
def dataset(request, unpacked):
    return unpacked / request.param


@pytest.fixture
def copy(unpacked, tmp_path):
    """A dataset to damage."""
    return Path(shutil.copytree(unpacked / "hub-2.8.5", tmp_path / "copy"))


def read(place, **options):
    """Rows, without what was left out."""
    made = everything(hub2.open_source(Place(place), **options))
    return [row for row in made if not isinstance(row, Skipped)]


def plain(value):
    if isinstance(value, Sample):
        return value.array
    return [plain(one) for one in value] if isinstance(value, list) else value


def same(value, expected):
    value = plain(value)
    if isinstance(expected, list) and expected and isinstance(expected[0], np.ndarray):
        return len(value) == len(expected) and all(map(same, value, expected))
    if isinstance(expected, np.ndarray):
        # Grey pictures decode to (height, width); Hub has a third axis.
        found = np.asarray(value)
        return found.dtype == expected.dtype and np.array_equal(
            found.reshape(expected.shape), expected
        )
    return value == expected


def expected_samples(dataset, version="main"):
    new = "deeplake" in dataset.name
    made = {k: list(v) for k, (_, v) in (samples() | (newer_samples() if new else {})).items()}
    made["number"] = made.pop("scalar")
    if version != "first":
        made["label"][1] = np.array([0], np.uint32)
        made["png"][2] = picture(5)
    if version == "dev":
        made["label"][0] = np.array([2], np.uint32)
    if version == "main":
        made["label"][5] = np.array([1], np.uint32)
        made["fixed"][3] = np.ones((3, 4))
    return made


def test_recognised(dataset):
    assert recognise(Place(dataset)).KIND == "hub2"


@pytest.mark.parametrize("name", [*samples(), *newer_samples()])
def test_every_kind_of_tensor(dataset, name):
    found = read(dataset)
    expected = expected_samples(dataset)
    name = "number" if name == "scalar" else name
    if name not in expected:
        pytest.skip(f"{dataset.name} has no such htype")
    assert len(found) == ROWS
    for row, value in zip(found, expected[name], strict=True):
        assert same(row[name], value), (row[name], value)


def test_columns(dataset):
    source = hub2.open_source(Place(dataset))
    options = {column.name: column.options for column in source.columns}
    expected = set(expected_samples(dataset)) | ({"links"} if "deeplake" in dataset.name else set())
    assert set(options) == expected  # neither hidden tensors nor the one without samples
    assert options["png"] == {"htype": "image", "dtype": "uint8", "sample_compression": "png"}
    assert options["labels"]["class_names"] == NAMES
    assert options["boxes"]["coords"] == {"type": "pixel", "mode": "LTWH"}
    assert options["sequence"]["htype"] == "sequence[image]"
    assert options["lz4"] == {"htype": "image", "dtype": "uint8", "chunk_compression": "lz4"}
    assert options["strip"]["sample_compression"] == "png"
    assert options["group/inner/x"] == {"htype": "generic", "dtype": "float32"}
    assert source.info["author"] == "somebody"


def test_samples_suit_the_tensors(dataset):
    source = hub2.open_source(Place(dataset))
    for column in source.columns:
        spec, info = tensor_spec(**column.options)
        for row in read(dataset):
            made = prepare(spec, row[column.name], info)
            restore(spec, made.data, made.shape)


def test_left_out_is_told(dataset):
    skipped = [row for row in everything(hub2.open_source(Place(dataset))) if type(row) is Skipped]
    assert [(one.what, one.broken) for one in skipped] == [("bare", False)]


def test_links(unpacked):
    found = read(unpacked / "deeplake-3.9.52")
    assert [row["links"] for row in found] == [Link(f"pictures/{i}.jpg") for i in range(ROWS)]


@pytest.mark.parametrize("version", ["first", "second", "dev"])
def test_versions(dataset, version):
    tree = json.loads((dataset / "version_control_info.json").read_text())
    commit = version
    if version != "dev":
        (commit,) = (k for k, v in tree["commits"].items() if v["commit_message"] == version)
    found = read(dataset, version=commit)
    expected = expected_samples(dataset, version)
    for name in ("label", "png", "fixed"):
        assert all(same(row[name], value) for row, value in zip(found, expected[name], strict=True))


def test_unknown_version(dataset):
    with pytest.raises(NotFoundError, match=r"no branch or commit 'v9'.*branches: main, dev"):
        hub2.open_source(Place(dataset), version="v9")


def test_source_travels(dataset):
    source = hub2.open_source(Place(dataset))
    units = list(source.units())
    assert [unit.key for unit in units] == [unit.key for unit in source.units()]
    again = pickle.loads(pickle.dumps(source))
    assert len(list(everything(again))) == len(list(everything(source)))
    assert sum(unit.rows for unit in units) == ROWS


def test_large_sample_in_tiles_is_read_by_region(dataset, monkeypatch):
    monkeypatch.setattr(hub2_tensor, "_LARGE", 1000)
    region = pickle.loads(pickle.dumps(read(dataset)[2]["large"]))
    expected = expected_samples(dataset)["large"][2]
    if "hub-2.8" in dataset.name:  # it is too small to be cut there
        assert np.array_equal(region, expected)
        return
    assert (region.shape, region.dtype) == (expected.shape, expected.dtype)
    assert region.tile_shape != region.shape
    rng = np.random.default_rng(0)
    for _ in range(20):
        box = tuple(
            slice(*sorted(rng.integers(0, size + 1, 2).tolist())) for size in expected.shape
        )
        assert np.array_equal(region.read(box), expected[box])


# Real files


def test_real_dataset():
    from PIL import Image

    folder = real("hub/hub2.0.6_lol")
    (chunk,) = folder.joinpath("images", "chunks").iterdir()
    stored = chunk.read_bytes()
    found = read(folder)
    assert [row["labels"].tolist() for row in found] == [[2], [0], [1]]
    for row in found:
        file = row["images"].compressed_bytes
        assert file in stored
        assert np.array_equal(row["images"].array, np.array(Image.open(io.BytesIO(file))))


def test_real_hub1():
    from PIL import Image

    pictures = sorted(real("hub/hub1_same_shapes_source").glob("*/*.png"))
    found = read(real("hub/hub1_same_shapes"))
    source = hub2.open_source(Place(real("hub/hub1_same_shapes")))
    assert source.columns[1].options["class_names"] == ["class1", "class2", "class3"]
    assert len(found) == len(pictures)
    for row in found:
        folder = f"class{row['label'] + 1}"
        same = (np.array(Image.open(path)) for path in pictures if path.parent.name == folder)
        assert any(np.array_equal(row["image"], one) for one in same)


# What is broken


def test_missing_chunk_is_told_for_its_rows(copy):
    for chunk in copy.joinpath("fixed", "chunks").iterdir():
        chunk.unlink()
    found = list(everything(hub2.open_source(Place(copy), version="dev")))
    broken = [row for row in found if isinstance(row, Skipped) and row.broken]
    assert len(broken) == ROWS
    assert "a chunk is missing" in broken[0].why


@pytest.mark.parametrize("name", ["png", "strip", "lz4", "text", "json", "sequence", "large"])
def test_damaged_chunks_are_told(copy, name):
    """Any byte may be wrong: rows are broken or different, and nothing else happens."""
    chunks = sorted(copy.joinpath(name, "chunks").iterdir())
    rng = np.random.default_rng(0)
    originals = [chunk.read_bytes() for chunk in chunks]
    for trial in range(25):
        for chunk, original in zip(chunks, originals, strict=True):
            data = bytearray(original)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            chunk.write_bytes(data[: rng.integers(len(data))] if trial % 2 else data)
        for row in everything(hub2.open_source(Place(copy))):
            if isinstance(row, dict):
                value = row[name]
                for one in value if isinstance(value, list) else [value]:
                    if isinstance(one, Sample):
                        with contextlib.suppress(SampleError):
                            one.array  # noqa: B018


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"{", b"[]", b'{"tensors": 3}'])
def test_broken_metadata(tmp_path, garbage):
    tmp_path.joinpath("dataset_meta.json").write_bytes(garbage)
    assert hub2.matches(Place(tmp_path)) is (b"tensors" in garbage)
    with pytest.raises((DamagedError, InvalidError)):
        hub2.open_source(Place(tmp_path))


@pytest.mark.parametrize("garbage", ["[]", "{", '{"htype": 3}', '{"dtype": "x"}', '{"htype": []}'])
def test_broken_metadata_of_a_tensor(copy, garbage):
    for path in copy.rglob("png/tensor_meta.json"):
        path.write_text(garbage)
    with contextlib.suppress(DamagedError, InvalidError):
        list(everything(hub2.open_source(Place(copy))))


def test_names_stay_inside(tmp_path):
    tmp_path.joinpath("dataset_meta.json").write_text('{"tensors": ["../secret"]}')
    with pytest.raises(DamagedError, match="outside of itself"):
        hub2.open_source(Place(tmp_path))


def test_broken_history(copy):
    copy.joinpath("version_control_info.json").write_text("{}")
    with pytest.raises(DamagedError, match="version_control_info"):
        hub2.open_source(Place(copy))


def test_pickled_history_is_not_loaded(copy):
    copy.joinpath("version_control_info.json").unlink()
    copy.joinpath("version_control_info").write_bytes(pickle.dumps({}))
    with pytest.raises(UnsupportedError, match="pickle"):
        hub2.open_source(Place(copy))


def test_history_in_a_circle(copy):
    path = copy / "version_control_info.json"
    tree = json.loads(path.read_text())
    head = tree["branches"]["main"]
    tree["commits"][head]["parent"] = head
    path.write_text(json.dumps(tree))
    with pytest.raises(DamagedError, match="circle"):
        hub2.open_source(Place(copy))


def test_not_hub(tmp_path):
    assert not hub2.matches(Place(tmp_path))
    assert not hub2.matches(Place(tmp_path / "missing"))
    tmp_path.joinpath("dataset_meta.json").write_text("{}")
    assert not hub2.matches(Place(tmp_path))


# The files, byte by byte


def test_index_of_64_bit_ids():
    table = np.array([[1 << 40, 3], [5, 9]], "<u8")
    index = ChunkIndex(b"\x052.8.5\x08" + table.tobytes())
    assert len(index) == 10
    assert index.find(3) == (["10000000000"], 3)
    assert index.find(4) == (["5"], 0)


def test_index_without_samples():
    table = np.array([[7, 0xFFFFFFFF]], "<u4")
    assert len(ChunkIndex(b"\x052.8.5\x04" + table.tobytes())) == 0
    assert len(ChunkIndex(b"\x052.8.5\x04")) == 0


def test_index_of_tiles():
    table = np.array([[1, 1], [2, 2], [3, 2], [4, 2], [5, 6]], "<u4")
    index = ChunkIndex(b"\x052.8.5\x04" + table.tobytes())
    assert index.find(2) == (["2", "3", "4"], 0)
    assert index.find(3) == (["5"], 0)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_runs_are_found(lengths):
    ends = np.cumsum(lengths)
    runs = Runs([[number, int(end) - 1] for number, end in enumerate(ends)])
    flat = np.repeat(np.arange(len(lengths)), lengths)
    assert len(runs) == len(flat)
    for sample, run in enumerate(flat.tolist()):
        found, offset, columns = runs[sample]
        assert (found, columns) == (run, [run])
        assert offset == sample - int(ends[run]) + lengths[run]


def test_runs_in_no_order():
    with pytest.raises(SampleError, match="in no order"):
        Runs([[1, 5], [1, 3]])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_buffers_by_shapes_alone(shapes):
    arrays = [np.arange(np.prod(shape), dtype="<i2").reshape(shape) for shape in shapes]
    table = np.array([[*shape, number] for number, shape in enumerate(shapes)], "<u4")
    head = b"\x052.0.6" + struct.pack("<ii", *table.shape) + table.tobytes() + bytes(4)
    chunk = Chunk(head + b"".join(array.tobytes() for array in arrays))
    for number, array in enumerate(arrays):
        assert chunk.shape(number) == array.shape
        assert bytes(chunk.buffer(number, 2)) == array.tobytes()


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data):
    for parse in (Chunk, ChunkIndex):
        try:
            parse(data)
        except SampleError:
            pass


def test_lz4_of_early_releases():
    import numcodecs

    assert unpack_lz4(memoryview(numcodecs.LZ4().encode(b"abc" * 50))) == b"abc" * 50
    assert unpack_lz4(memoryview(b"")) == b""
