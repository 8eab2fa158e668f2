"""Zarr and OME-Zarr, against zarr-python."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zarr

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting import Place
from hubzarr.ingesting import blocks as blocks_module
from hubzarr.ingesting.zarrs import matches, open_source
from tests.ingesting.flat import everything, options, rows, skipped
from tests.realdata import real

# zarr-python warns of what the specifications don't have yet.
pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


@pytest.mark.parametrize("version", [2, 3])
def test_columns_of_a_group(tmp_path, version):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    images = np.random.default_rng(0).integers(0, 256, (10, 9, 9, 3), np.uint8)
    group.create_array("train/images", data=images, chunks=(4, 9, 9, 3))
    group.create_array("train/labels", data=np.arange(10) % 4)
    group.create_array("test/images", data=images[:3], chunks=(4, 9, 9, 3))
    group.create_array("test/labels", data=np.arange(3))
    group.attrs["title"] = "a test"
    source = open_source(Place(tmp_path / "a.zarr"))
    assert list(options(source)) == ["images", "labels", "split"]
    assert source.info["attributes"] == {"/": {"title": "a test"}}
    found = rows(pickle.loads(pickle.dumps(source)))
    np.testing.assert_array_equal(
        [row["images"] for row in found], np.concatenate([images, images[:3]])
    )
    assert [row["split"] for row in found] == [0] * 10 + [1] * 3


def test_blocks_are_whole_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks_module, "UNIT_BYTES", 1000)
    array = zarr.create_array(tmp_path / "a.zarr", data=np.arange(400, dtype="i8"), chunks=(60,))
    source = open_source(Place(tmp_path / "a.zarr"))
    assert [unit.rows for unit in source.units()] == [120, 120, 120, 40]
    assert [row["a"] for row in rows(source)] == array[:].tolist()


def test_large_arrays_are_regions(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks_module, "UNIT_BYTES", 1000)
    data = np.arange(4000).reshape(50, 80)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(10, 20))
    (row,) = everything(open_source(Place(tmp_path / "a.zarr"), whole=True))
    region = pickle.loads(pickle.dumps(row["a"]))
    assert (region.shape, region.dtype, region.tile_shape) == (data.shape, data.dtype, (10, 20))
    box = slice(7, 23), slice(60, 80)
    np.testing.assert_array_equal(region.read(box), data[box])


def test_a_bad_array_does_not_spoil_the_rest(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("good", data=np.arange(3))
    group.create_array("bad", data=np.arange(3))
    zarr.consolidate_metadata(group.store)
    (tmp_path / "a.zarr" / "bad" / "zarr.json").write_text(
        '{"node_type": "array", "zarr_format": 3}'
    )
    source = open_source(Place(tmp_path / "a.zarr"))
    assert list(options(source)) == ["good"]
    assert "bad" in skipped(source)[0].what


def test_damaged_chunks_are_told(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.arange(300), chunks=(300,))
    (tmp_path / "a.zarr" / "c" / "0").write_bytes(b"damaged")
    with pytest.raises(SampleError, match="can't be read"):
        rows(open_source(Place(tmp_path / "a.zarr")))


def image(group, shape, labels=()):
    scale = {"datasets": [{"path": "0"}, {"path": "1"}], "axes": [{"name": "y"}, {"name": "x"}]}
    group.attrs["multiscales"] = [scale]
    group.create_array("0", data=np.full(shape, 7, "u2"))
    group.create_array("1", data=np.zeros((1, 1), "u2"))
    for name in labels:
        inner = group.create_group(f"labels/{name}")
        inner.attrs["multiscales"] = [{"datasets": [{"path": "0"}]}]
        inner.create_array("0", data=np.full(shape, 3, "u4"))


def test_images_of_several_series(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    for number, shape in enumerate([(4, 5), (6, 7)]):
        image(root.create_group(str(number)), shape, ["cells"])
    source = open_source(Place(tmp_path / "a.zarr"))
    assert list(options(source)) == ["image", "labels/cells", "series"]
    found = rows(source)
    assert [row["image"].shape for row in found] == [(4, 5), (6, 7)]
    assert [row["series"] for row in found] == ["0", "1"]
    image(root.create_group("2"), (2, 2), ["nuclei"])
    with pytest.raises(InvalidError, match="other label images"):
        open_source(Place(tmp_path / "a.zarr"))


def text(values):
    if isinstance(values, list):
        return [text(value) for value in values]
    return values.decode() if isinstance(values, bytes) else values


@pytest.mark.parametrize(
    "path",
    [
        "zarr_v2/zarrjs",
        "zarr_v2/zarritajs/data.zarr",
        "zarr_v2/zarr_implementations",
        "zarr_v3/zarritajs/data.zarr",
        "zarr_v3/zarrs/cities.zarr",
    ],
)
def test_real_stores(path):
    folder = real(path)
    assert matches(Place(folder))
    found = [row for row in everything(open_source(Place(folder))) if isinstance(row, dict)]
    compared = 0
    for name in found[0]:
        head, _, tail = name.partition("/")
        for candidate in [folder / name, *(f / tail for f in folder.glob(f"{head}*")), folder]:
            if not any((candidate / mark).exists() for mark in (".zarray", "zarr.json")):
                continue
            try:
                expected = zarr.open_array(candidate, mode="r")[...]
            except Exception:  # a group
                continue
            got = found[0][name] if len(found) == 1 else [row[name] for row in found]
            if expected.dtype.kind in "OSTU":
                assert np.array(got).tolist() == text(expected.tolist())
            else:
                np.testing.assert_array_equal(got, expected)
            compared += 1
            break
    assert compared


@pytest.mark.parametrize(
    ("path", "scale"),
    [
        ("ome_zarr/zarr_java/v0.4", "0"),
        ("ome_zarr/zarr_java/v0.5", "0"),
        ("ome_zarr/viv/bioformats-zarr/data.zarr", "0/0"),
    ],
)
def test_real_images(path, scale):
    folder = real(path)
    (row,) = rows(open_source(Place(folder)))
    np.testing.assert_array_equal(row["image"], zarr.open_array(folder / scale, mode="r")[...])
    labels = folder / "labels" / "nuclei" / "0"
    if labels.exists():
        expected = zarr.open_array(labels, mode="r")[...]
        np.testing.assert_array_equal(row["labels/nuclei"], expected)


def test_drafts_of_zarr_3_are_not_taken():
    assert not matches(Place(real("zarr_v3_early/zarr_implementations/zarrita.zr3")))
