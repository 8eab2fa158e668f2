"""Boxes of huge images: the same pixels as decoding everything, in bounded memory."""

from __future__ import annotations

import io
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, OutOfBoundsError, SampleError
from hubzarr.media import Sample, get_format, read
from hubzarr.media.images import tiff
from hubzarr.media.regions import TiffRegions, WholeRegions, open_region_reader
from tests.realdata import every, real

tifffile = pytest.importorskip("tifffile")

TIFFS = every("**/*.tif") + every("**/*.tiff")


def write(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def boxes(shape, rng, count=6):
    yield ()
    yield tuple(slice(0, 0) for _ in shape)
    for _ in range(count):
        pairs = [sorted(rng.integers(0, n + 1, 2).tolist()) for n in shape[:2]]
        yield tuple(slice(*pair) for pair in pairs)


def compare(data):
    whole = tiff.decode(data)
    with open_region_reader(io.BytesIO(data)) as image:
        assert (image.shape, image.dtype) == (whole.shape, whole.dtype)
        assert len(image.tile_shape) == whole.ndim
        for box in boxes(whole.shape, np.random.default_rng(0)):
            part = image.read(box)
            assert part.dtype == whole.dtype
            np.testing.assert_array_equal(part, whole[box])


LAYOUTS = [
    {},
    {"rowsperstrip": 7},
    {"rowsperstrip": 7, "compression": "zlib"},
    {"rowsperstrip": 7, "compression": "lzw", "predictor": True},
    {"tile": (16, 32)},
    {"tile": (32, 16), "compression": "zlib", "predictor": True},
    {"tile": (16, 16), "bigtiff": True, "compression": "zstd"},
    {"byteorder": ">", "rowsperstrip": 5},
    {"byteorder": ">", "tile": (16, 16), "compression": "zlib"},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
@pytest.mark.parametrize("bands", [None, 3, 5])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_layouts(layout, dtype, bands, planes):
    rng = np.random.default_rng(1)
    shape = (61, 83) if bands is None else (61, 83, bands)
    array = (rng.random(shape) * 100).astype(dtype)
    options = {"photometric": "minisblack", **layout}
    if bands is not None:
        options["planarconfig"] = planes
    stored = array if bands is None or planes == "contig" else np.moveaxis(array, 2, 0)
    data = write(stored, **options)
    np.testing.assert_array_equal(tiff.decode(data), array)
    compare(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}], ids=str)
def test_orientation(orientation, layout):
    array = np.random.default_rng(2).integers(0, 255, (40, 23, 3), "u1")
    tags = [(274, "H", 1, orientation, True)]
    compare(write(array, photometric="rgb", extratags=tags, **layout))


@pytest.mark.parametrize("path", TIFFS, ids=lambda path: path.name)
def test_real_files(path):
    if read(path).compression == "tiff":
        compare(path.read_bytes())


@given(st.data())
def test_any_box(data):
    array = np.arange(50 * 70, dtype="u2").reshape(50, 70)
    rows = sorted((data.draw(st.integers(-60, 60)), data.draw(st.integers(-60, 60))))
    columns = sorted((data.draw(st.integers(-60, 60)), data.draw(st.integers(-60, 60))))
    box = (slice(*rows), slice(*columns))
    with open_region_reader(io.BytesIO(write(array, tile=(16, 16)))) as image:
        np.testing.assert_array_equal(image.read(box), array[box])


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """20,000 × 20,000 pixels in tiles of one value each; 400 MB in some kB."""
    path = tmp_path_factory.mktemp("huge") / "huge.tif"
    side = 20  # tiles
    made = [zlib.compress(np.full((1024, 1024), value, "u1").tobytes()) for value in range(side)]
    tifffile.imwrite(
        path,
        (made[(i // side + i % side) % side] for i in range(side * side)),
        shape=(20_000, 20_000),
        dtype="u1",
        tile=(1024, 1024),
        compression="zlib",
        bigtiff=True,
        metadata=None,
    )
    return path


def test_huge_file_in_bounded_memory(huge):
    assert huge.stat().st_size < 2 << 20
    tracemalloc.start()
    try:
        with open_region_reader(huge) as image:
            assert image.shape == (20_000, 20_000)
            assert image.tile_shape == (1024, 1024)
            for row in range(0, 20_000, 4000):
                part = image.read((slice(row, row + 1500), slice(18_000, 19_500)))
                i, j = row // 1024, 18_000 // 1024
                assert part.shape == (1500, 1500)
                assert part[0, 0] == (i + j) % 20
                assert part[-1, -1] == ((row + 1499) // 1024 + 19_499 // 1024) % 20
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert read(huge).shape == (20_000, 20_000)


def test_threads_share_a_reader(huge):
    with open_region_reader(huge) as image, ThreadPoolExecutor(4) as pool:
        starts = [(i * 1024, j * 1024) for i in range(3) for j in range(3)] * 3
        parts = pool.map(
            lambda at: image.read((slice(at[0], at[0] + 9), slice(at[1], at[1] + 9))), starts
        )
        for (y, x), part in zip(starts, parts, strict=True):
            assert (part == (y + x) // 1024 % 20).all()


def test_other_formats_are_decoded_whole(tmp_path):
    array = np.random.default_rng(3).integers(0, 255, (30, 40, 3), "u1")
    path = tmp_path / "small.png"
    path.write_bytes(get_format("png").encode(array))
    with open_region_reader(path) as image:
        assert isinstance(image, WholeRegions)
        assert image.tile_shape == array.shape
        np.testing.assert_array_equal(image.read((slice(3, 9), slice(-4, None))), array[3:9, -4:])


def test_colours_that_pillow_converts_are_decoded_whole():
    with open_region_reader(real("images/odd/lab.tif")) as image:
        assert isinstance(image, WholeRegions)
        assert image.read((slice(2),)).shape == (2, 10, 3)


def test_urls_and_samples(tmp_path):
    array = np.arange(64, dtype="u1").reshape(8, 8)
    path = tmp_path / "a.tif"
    path.write_bytes(write(array))
    for source in (f"file://{path}", read(path), Sample(path.read_bytes())):
        with open_region_reader(source) as image:
            assert isinstance(image, TiffRegions)
            assert (image.read((slice(2, 4),)) == array[2:4]).all()


def test_mistakes(tmp_path):
    data = write(np.zeros((20, 20), "u1"), tile=(16, 16), compression="zlib")
    with open_region_reader(io.BytesIO(data)) as image:
        with pytest.raises(InvalidError, match="step"):
            image.read((slice(0, 9, 2),))
        with pytest.raises(OutOfBoundsError, match="3 axes"):
            image.read((slice(0), slice(0), slice(0)))
    missing = str(tmp_path / "none.tif")
    with pytest.raises(SampleError, match="no such file") as caught:
        open_region_reader(missing)
    assert caught.value.path == missing
    cut = tmp_path / "cut.tif"
    cut.write_bytes(write(np.zeros((50, 50), "f8"))[:-100])
    with pytest.raises(SampleError, match="truncated") as caught:
        open_region_reader(cut)
    assert caught.value.path == str(cut)
    start = data.index(b"\x78", 200)
    garbled = data[:start] + b"\xff" * 8 + data[start + 8 :]
    with open_region_reader(io.BytesIO(garbled)) as image, pytest.raises(SampleError):
        image.read(())
