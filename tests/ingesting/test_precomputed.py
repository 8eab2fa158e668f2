"""Neuroglancer Precomputed volumes, against what CloudVolume wrote and Pillow encoded."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import pickle
import shutil
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
from hubzarr.ingesting import precomputed
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.precomputed_chunks import decode_chunk, decode_segmentation
from hubzarr.ingesting.precomputed_shards import Shards, morton_code, murmurhash3
from hubzarr.ingesting.recognise import recognise
from tests.ingesting.flat import rows
from tests.ingesting.volume_samples import SHAPE, labels, sharded, volumes

ARCHIVE = Path(__file__).parent / "data" / "cloud-volume-12.15.2.tar.xz"
ARRAYS = {name: made[0] for name, made in (volumes() | sharded()).items()}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def damaged(unpacked, tmp_path):
    """A copy of a volume, to damage."""
    return lambda name: Path(shutil.copytree(unpacked / name, tmp_path / name))


def volume_at(folder, scale=0):
    return precomputed.open_source(Place(folder)).volumes()[f"scale_{scale}"]


def everything(volume):
    return volume.read(tuple(slice(0, size) for size in volume.shape))


def write_volume(folder, chunk, data, **changes):
    """A volume of one chunk."""
    scale = {
        "key": "s",
        "size": list(chunk.shape[:3]),
        "chunk_sizes": [list(chunk.shape[:3])],
        "resolution": [1, 1, 1],
        "voxel_offset": [0, 0, 0],
        "encoding": "raw",
    }
    info = {
        "type": "image",
        "data_type": chunk.dtype.name,
        "num_channels": chunk.shape[3],
        "scales": [scale | changes],
    }
    folder.joinpath("s").mkdir(parents=True)
    folder.joinpath("info").write_text(json.dumps(info))
    x, y, z, _ = chunk.shape
    folder.joinpath("s", f"0-{x}_0-{y}_0-{z}").write_bytes(data)
    return folder


@pytest.mark.parametrize("name", ARRAYS)
def test_as_cloudvolume_wrote_it(unpacked, name):
    place = Place(unpacked / name)
    assert recognise(place).KIND == "precomputed"
    volume = volume_at(unpacked / name)
    expected = ARRAYS[name]
    assert (volume.shape, volume.dtype) == (expected.shape, expected.dtype)
    assert np.array_equal(everything(volume), expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_box(unpacked, data):
    name = data.draw(st.sampled_from(sorted(ARRAYS)))
    expected = ARRAYS[name]
    edges = st.tuples(*(st.tuples(*[st.integers(0, size)] * 2) for size in expected.shape))
    box = tuple(slice(*sorted(pair)) for pair in data.draw(edges))
    assert np.array_equal(volume_at(unpacked / name).read(box), expected[box])


def test_row_and_columns(unpacked):
    source = precomputed.open_source(Place(unpacked / "raw"))
    (row,) = rows(source)
    assert row["scale_0"].tile_shape == (8, 8, 8, 1)
    assert source.columns[0].options == {"htype": "generic", "dtype": "uint8"}
    assert source.info["axes"] == ["x", "y", "z", "channel"]
    assert source.info["scales"]["scale_0"] == {
        "key": "4_4_40",
        "resolution": [4, 4, 40],
        "voxel_offset": [100, -20, 3],
        "encoding": "raw",
    }


def test_travels(unpacked):
    volume = pickle.loads(pickle.dumps(volume_at(unpacked / "murmur")))
    everything(volume)
    volume = pickle.loads(pickle.dumps(volume))
    assert np.array_equal(everything(volume), ARRAYS["murmur"])


def test_scales(tmp_path):
    chunk = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    folder = write_volume(tmp_path / "v", chunk, chunk.tobytes("F"))
    info = json.loads(folder.joinpath("info").read_text())
    coarse = info["scales"][0] | {"key": "t", "size": [1, 1, 1], "chunk_sizes": [[1, 1, 1]]}
    info["scales"].append(coarse)
    folder.joinpath("info").write_text(json.dumps(info))
    source = precomputed.open_source(Place(folder))
    assert [column.name for column in source.columns] == ["scale_0", "scale_1"]
    assert source.volumes()["scale_1"].shape == (1, 1, 1, 1)
    only = precomputed.open_source(Place(folder), scales=[1])
    assert [column.name for column in only.columns] == ["scale_1"]
    assert list(only.info["scales"]) == ["scale_1"]
    with pytest.raises(InvalidError, match="scales 0 to 1"):
        precomputed.open_source(Place(folder), scales=[2])


def test_missing_chunks_are_zero(damaged):
    folder = damaged("raw")
    volume = volume_at(folder)
    next(folder.glob("4_4_40/100-108_-20--12_3-11*")).unlink()
    expected = ARRAYS["raw"].copy()
    expected[:8, :8, :8] = 0
    assert np.array_equal(everything(volume), expected)


def test_gzip_that_the_name_does_not_tell(tmp_path):
    chunk = np.arange(24, dtype=np.uint16).reshape(2, 3, 4, 1)
    folder = write_volume(tmp_path / "v", chunk, gzip.compress(chunk.tobytes("F")))
    folder.joinpath("info").write_bytes(gzip.compress(folder.joinpath("info").read_bytes()))
    assert precomputed.matches(Place(folder))
    assert np.array_equal(everything(volume_at(folder)), chunk)


@pytest.mark.parametrize(
    ("encoding", "channels"), [("jpeg", 1), ("jpeg", 3), ("png", 1), ("png", 4)]
)
@pytest.mark.parametrize("wide", [True, False])
def test_pictures(tmp_path, encoding, channels, wide):
    """Rows of a picture of any shape, one after another, are the voxels in Fortran order."""
    from PIL import Image

    x, y, z = np.indices((6, 4, 5))
    chunk = np.stack([(20 * x + 9 * y + 3 * z + 30 * c) for c in range(channels)], -1)
    chunk = chunk.astype(np.uint8)
    rows_of_pixels = chunk.transpose(2, 1, 0, 3)
    shape = (4 * 5, 6, channels) if wide else (5, 4 * 6, channels)
    pixels = rows_of_pixels.reshape(shape)
    file = io.BytesIO()
    Image.fromarray(pixels if channels > 1 else pixels[:, :, 0]).save(file, encoding)
    volume = volume_at(write_volume(tmp_path / "v", chunk, file.getvalue(), encoding=encoding))
    decoded = np.array(Image.open(io.BytesIO(file.getvalue()))).reshape(5, 4, 6, channels)
    assert np.array_equal(everything(volume), decoded.transpose(2, 1, 0, 3))
    if encoding == "png":
        assert np.array_equal(everything(volume), chunk)


# Compressed segmentation, by an encoder that follows the specification word by word


def encoded(chunk, block):
    """Compressed segmentation of a chunk."""
    channels = [encoded_channel(chunk[..., number], block) for number in range(chunk.shape[3])]
    places = np.cumsum([len(channels), *(len(words) for words in channels[:-1])])
    return np.concatenate([places, *channels]).astype("<u4").tobytes()


def encoded_channel(chunk, block):
    grid = [-(-size // edge) for size, edge in zip(chunk.shape, block, strict=True)]
    headers, body = [], []
    for bz, by, bx in itertools.product(*map(range, grid[::-1])):
        corner = [at * edge for at, edge in zip((bx, by, bz), block, strict=True)]
        part = chunk[tuple(slice(c, c + edge) for c, edge in zip(corner, block, strict=True))]
        table = np.unique(part)
        bits = next(b for b in (0, 1, 2, 4, 8, 16, 32) if len(table) <= 1 << b)
        start = 2 * int(np.prod(grid)) + len(body)
        numbers = [0] * int(np.prod(block))
        for x, y, z in np.ndindex(*part.shape):
            place = x + block[0] * (y + block[1] * z)
            numbers[place] = int(np.searchsorted(table, part[x, y, z]))
        packed = []
        for first in range(0, len(numbers) if bits else 0, 32 // bits if bits else 1):
            some = numbers[first : first + 32 // bits]
            packed.append(sum(number << bits * at for at, number in enumerate(some)))
        headers += [(start + len(packed)) | bits << 24, start]
        body += packed
        for label in table.tolist():
            body += [label & 0xFFFFFFFF, label >> 32][: chunk.itemsize // 4]
    return np.array(headers + body, np.uint32)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3, st.integers(1, 2)),
    block=st.tuples(*[st.integers(1, 5)] * 3),
    dtype=st.sampled_from(["u4", "u8"]),
    count=st.sampled_from([1, 2, 3, 5, 20, 300]),
    seed=st.integers(0, 100),
)
def test_compressed_segmentation(shape, block, dtype, count, seed):
    rng = np.random.default_rng(seed)
    known = rng.integers(0, np.iinfo(dtype).max, count, dtype, endpoint=True)
    chunk = rng.choice(known, shape)
    assert np.array_equal(
        decode_segmentation(encoded(chunk, block), shape, np.dtype(dtype), block), chunk
    )


def test_compressed_segmentation_of_many_labels():
    chunk = np.arange(41 * 41 * 41, dtype=np.uint64).reshape(41, 41, 41, 1) << np.uint64(20)
    data = encoded(chunk, (41, 41, 41))  # more than 2 ** 16: numbers of 32 bits
    found = decode_segmentation(data, chunk.shape, chunk.dtype, (41, 41, 41))
    assert np.array_equal(found, chunk)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.sampled_from(["u4", "u8"]))
def test_no_bytes_break_the_decoder(data, dtype):
    try:
        made = decode_segmentation(data, (4, 4, 4, 1), np.dtype(dtype), (4, 4, 4))
    except SampleError:
        return
    assert made.shape == (4, 4, 4, 1)


@pytest.mark.parametrize("encoding", ["raw", "jpeg", "png", "jxl", "compressed_segmentation"])
def test_broken_chunks(encoding):
    with pytest.raises(SampleError):
        decode_chunk(b"no chunk at all", encoding, (4, 4, 4, 1), np.dtype("u4"))


def test_broken_chunk_is_named(damaged):
    folder = damaged("png")
    place = next(folder.glob("4_4_40/0-8_0-8_0-8*"))
    place.write_bytes(place.read_bytes()[:50])
    with pytest.raises(SampleError, match="png/4_4_40/0-8_0-8_0-8"):
        everything(volume_at(folder))


# Shards


@pytest.mark.parametrize(("number", "expected"), [(0, 0x4772B084E028AE41), (5, 0xABDD7BC328613F9F)])
def test_murmurhash(number, expected):
    assert murmurhash3(number) == expected  # as CloudVolume computes it


@given(st.tuples(*[st.integers(1, 9)] * 3))
def test_morton_codes_are_unique_and_dense(grid):
    codes = [morton_code(cell, grid) for cell in np.ndindex(*grid)]
    assert len(set(codes)) == len(codes)
    assert max(codes) < np.prod([1 << (size - 1).bit_length() for size in grid])


def test_shard_that_is_missing_or_cut(damaged):
    folder = damaged("identity")
    volume = volume_at(folder)
    shard = folder / "4_4_40" / "0.shard"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100])
    with pytest.raises(SampleError):
        everything(volume)
    shard.unlink()
    half = everything(volume_at(folder))
    assert np.count_nonzero(half) < np.count_nonzero(ARRAYS["identity"])


def test_unknown_sharding():
    with pytest.raises(InvalidError, match="md5"):
        Shards(Place("."), {"@type": "neuroglancer_uint64_sharded_v1", "hash": "md5"})


# What is wrong with the info file


def test_unsupported_encoding(tmp_path):
    chunk = labels("u4")
    folder = write_volume(tmp_path / "v", chunk, b"", encoding="compresso")
    with pytest.raises(UnsupportedError, match=r"'compresso'.*compressed_segmentation"):
        precomputed.open_source(Place(folder))


@pytest.mark.parametrize("key", ["/etc", "../other", "s/../../other", "file:///etc"])
def test_scale_outside_of_the_volume(tmp_path, key):
    chunk = np.zeros((1, 1, 1, 1), np.uint8)
    folder = write_volume(tmp_path / "v", chunk, b"", key=key)
    with pytest.raises(InvalidError, match="outside"):
        precomputed.open_source(Place(folder))


@pytest.mark.parametrize(
    "changes",
    [{"size": [1, 2]}, {"chunk_sizes": []}, {"size": None}, {"chunk_sizes": [[0, 1, 1]]}],
)
def test_broken_info(tmp_path, changes):
    folder = write_volume(tmp_path / "v", np.zeros((1, 1, 1, 1), np.uint8), b"", **changes)
    with pytest.raises(DamagedError):
        precomputed.open_source(Place(folder))


def test_not_a_volume(tmp_path):
    assert not precomputed.matches(Place(tmp_path))
    tmp_path.joinpath("info").write_text("some notes")
    assert not precomputed.matches(Place(tmp_path))
    tmp_path.joinpath("info").write_text('{"@type": "neuroglancer_annotations_v1"}')
    assert not precomputed.matches(Place(tmp_path))
    tmp_path.joinpath("info").unlink()
    with pytest.raises(NotFoundError):
        precomputed.open_source(Place(tmp_path))


def test_shape_of_the_fixture():
    assert all(array.shape[:3] == SHAPE for array in ARRAYS.values())
