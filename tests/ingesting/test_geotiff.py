"""GeoTIFF rasters, against rasterio."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError
from hubzarr.ingesting import geotiff
from hubzarr.ingesting.geotiff import RasterRegions
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import recognise
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import every, real

rasterio = pytest.importorskip("rasterio")
FILES = every("geotiff/*.tif")


def pixels(path):
    """As GDAL reads them, bands last."""
    with rasterio.open(path) as raster:
        return np.moveaxis(raster.read(), 0, -1)


def write_raster(path, array, tile=None, **options):
    made = {
        "driver": "GTiff",
        "height": array.shape[0],
        "width": array.shape[1],
        "count": 1,
        "dtype": array.dtype,
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000),
    }
    if tile:
        made |= {"tiled": True, "blockxsize": tile, "blockysize": tile, "compress": "deflate"}
    with rasterio.open(path, "w", **made | options) as raster:
        raster.write(array, 1)
    return path


def test_real_rasters_are_kept_whole():
    folder = real("geotiff")
    assert recognise(Place(folder)).KIND == "geotiff"
    source = geotiff.open_source(Place(folder))
    assert options(source)["rasters"] == {
        "htype": "image",
        "dtype": "float32",  # which holds uint8 and uint16, too
        "sample_compression": "tiff",
    }
    found = rows(source)
    assert [row["filenames"] for row in found] == [path.name for path in FILES]
    for row, path in zip(found, FILES, strict=True):
        assert row["rasters"].compressed_bytes == path.read_bytes()
        expected = pixels(path)
        assert np.array_equal(row["rasters"].array.reshape(expected.shape), expected)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_geography_as_rasterio_tells(path):
    found = geotiff.geography(Place(path))
    json.dumps(found, allow_nan=False)
    with rasterio.open(path) as raster:
        assert found.get("crs") == (raster.crs.to_string() if raster.crs else None)
        assert found["transform"] == list(raster.transform)[:6]
        assert found["bounds"] == list(raster.bounds)
        if any(value is not None for value in raster.nodatavals):
            assert found["nodata"] == list(raster.nodatavals)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_rasters_by_region(path):
    expected = pixels(path)
    region = RasterRegions(Place(path), expected.dtype)
    assert region.shape == expected.shape
    rng = np.random.default_rng(0)
    for _ in range(5):
        box = tuple(slice(*sorted(rng.integers(0, size + 1, 2))) for size in expected.shape)
        assert np.array_equal(region.read(box), expected[box])
    region.close()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_region_of_a_tiled_raster(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "tiled.tif"
    expected = np.arange(100 * 130, dtype=np.int32).reshape(100, 130)
    if not path.exists():
        write_raster(path, expected, tile=32)
    edges = [st.tuples(st.integers(0, size), st.integers(0, size)) for size in expected.shape]
    box = (*(slice(*sorted(data.draw(edge))) for edge in edges), slice(0, 1))
    region = RasterRegions(Place(path), expected.dtype)
    assert region.tile_shape == (32, 32, 1)
    assert np.array_equal(region.read(box)[..., 0], expected[box[:2]])


def test_large_rasters_are_read_by_region(tmp_path):
    small = np.arange(16, dtype=np.uint8).reshape(4, 4)
    large = np.arange(128 * 64, dtype=np.uint16).reshape(128, 64)
    write_raster(tmp_path / "a.tif", small)
    write_raster(tmp_path / "b.tif", large, tile=16)
    source = geotiff.open_source(Place(tmp_path), large=1000)
    assert options(source)["rasters"] == {
        "htype": "image",
        "dtype": "uint16",
        "chunk_compression": "zstd",
    }
    one, two = rows(source)
    assert one["rasters"].dtype == np.uint16
    assert np.array_equal(one["rasters"][..., 0], small)
    region = pickle.loads(pickle.dumps(two["rasters"]))
    assert (region.shape, region.dtype, region.tile_shape) == (
        (128, 64, 1),
        np.uint16,
        (16, 16, 1),
    )
    box = (slice(5, 90), slice(60, 64), slice(0, 1))
    assert np.array_equal(region.read(box)[..., 0], large[5:90, 60:64])


def test_huge_raster_is_not_read(tmp_path):
    """50,000 × 50,000 pixels, sparse on disk: what is asked for is read, not the rest."""
    path = tmp_path / "huge.tif"
    profile = {
        "driver": "GTiff", "height": 50_000, "width": 50_000, "count": 1, "dtype": "uint8",
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate",
        "SPARSE_OK": True, "crs": "EPSG:4326",
        "transform": rasterio.Affine(1e-3, 0, 0, 0, -1e-3, 0),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        window = rasterio.windows.Window(30_000, 40_000, 100, 100)
        raster.write(np.full((100, 100), 7, np.uint8), 1, window=window)
    (row,) = rows(geotiff.open_source(Place(path)))
    region = row["rasters"]
    assert region.shape == (50_000, 50_000, 1)
    read = region.read((slice(39_990, 40_110), slice(29_990, 30_110), slice(0, 1)))
    assert read.sum() == 7 * 100 * 100
    assert (read[10:110, 10:110] == 7).all()


def test_nodata_that_json_can_not_say(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((4, 4), np.float32), nodata=float("nan"))
    assert geotiff.geography(Place(path))["nodata"] == ["nan"]


def test_big_tiff_and_big_endian(tmp_path):
    array = np.arange(12, dtype=np.uint16).reshape(3, 4)
    write_raster(tmp_path / "big.tif", array, BIGTIFF="YES")
    write_raster(tmp_path / "endian.tif", array, ENDIANNESS="BIG")
    assert geotiff.matches(Place(tmp_path))
    for row in rows(geotiff.open_source(Place(tmp_path))):
        assert row["geo"]["crs"] == "EPSG:32632"
        assert np.array_equal(row["rasters"].array, array)


def test_plain_tiffs_do_not_match(tmp_path):
    assert not geotiff.matches(Place(real("tiff")))
    assert not geotiff.matches(Place(real("images/weather4")))
    tmp_path.joinpath("a.tif").write_bytes(b"II*\0" + bytes(4))
    assert not geotiff.matches(Place(tmp_path))
    tmp_path.joinpath("a.tif").write_bytes(b"II*\0\xff\xff\xff\x7f")
    assert not geotiff.matches(Place(tmp_path))
    with pytest.raises(InvalidError, match="no raster"):
        geotiff.open_source(Place(tmp_path))


def test_broken_raster_is_told(tmp_path):
    shutil.copy(write_raster(tmp_path / "a.tif", np.ones((4, 4), np.uint8)), tmp_path / "b.tif")
    tmp_path.joinpath("b.tif").write_bytes(b"II*\0garbage" * 9)
    tmp_path.joinpath("readme.txt").write_text("...")
    told = [(one.what, one.broken) for one in skipped(geotiff.open_source(Place(tmp_path)))]
    assert ("readme.txt", False) in told


def test_single_file(tmp_path):
    write_raster(tmp_path / "a.tif", np.ones((4, 4), np.uint8))
    path = write_raster(tmp_path / "b.tif", np.ones((4, 4), np.uint8))
    assert recognise(Place(path)).KIND == "geotiff"
    (row,) = rows(geotiff.open_source(Place(path)))
    assert row["filenames"] == "b.tif"
