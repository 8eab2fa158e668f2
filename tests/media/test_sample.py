"""Samples: lazy, untouched where they may be, and errors that name the file."""

from __future__ import annotations

import io
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hubzarr.errors import InvalidError, SampleError, StorageError, UnsupportedError
from hubzarr.media import Link, Sample, extras, get_format, link, names, read, sniff
from hubzarr.media.formats import by_extension
from hubzarr.media.images.palettes import palette_indices
from tests.realdata import every, real

Image = pytest.importorskip("PIL.Image")

ARRAY = np.random.default_rng(0).integers(0, 255, (11, 13, 3), "u1")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(get_format("png").encode(ARRAY))
    return path


def test_read_opens_nothing(tmp_path):
    sample = read(tmp_path / "none.jpg")
    assert repr(sample) == f"Sample({str(tmp_path / 'none.jpg')!r})"
    assert sample.path == str(tmp_path / "none.jpg")
    for ask in ("shape", "dtype", "array", "compression", "compressed_bytes", "meta"):
        with pytest.raises(SampleError, match="no such file") as caught:
            getattr(sample, ask)
        assert caught.value.path == sample.path


def test_a_file(file):
    sample = read(file)
    assert sample.shape == (11, 13, 3)
    assert sample.dtype == np.uint8
    assert sample.compression == "png"
    assert sample.compressed_bytes == file.read_bytes()
    assert sample.array is sample.array
    np.testing.assert_array_equal(np.asarray(sample), ARRAY)
    assert sample.uncompressed_bytes() == ARRAY.tobytes()
    assert np.array_equal(np.asarray(sample.pil), ARRAY)
    sample.verify()


def test_headers_do_not_decode(file, monkeypatch):
    monkeypatch.setattr(Sample, "_decode", lambda self: pytest.fail("decoded"))
    assert read(file).shape == (11, 13, 3)
    assert read(file).encoded("png") == file.read_bytes()


def test_untouched_or_converted(file):
    sample = read(file)
    assert sample.encoded("png") is sample.compressed_bytes
    assert sample.encoded("PNG") is sample.compressed_bytes
    converted = sample.encoded("bmp")
    assert sniff(converted) == "bmp"
    np.testing.assert_array_equal(Sample(converted).array, ARRAY)
    small, large = (sample.encoded("jpeg", quality=quality) for quality in (20, 95))
    assert len(small) < len(large)
    again = sample.encoded("png", compress_level=0)
    assert again != sample.compressed_bytes
    np.testing.assert_array_equal(Sample(again).array, ARRAY)


def test_an_array():
    sample = Sample(array=ARRAY.tolist())
    assert sample.compression is None
    assert sample.shape == (11, 13, 3)
    sample.verify()
    with pytest.raises(InvalidError, match="encoded"):
        _ = sample.compressed_bytes
    png = Sample(array=ARRAY, compression="png")
    assert sniff(png.compressed_bytes) == "png"
    assert png.shape == (11, 13, 3)
    assert Sample(png.compressed_bytes).compression == "png"
    with pytest.raises(SampleError, match="png"):
        Sample(array=np.zeros(3)).encoded("png")
    with pytest.raises(InvalidError, match="Pillow"):
        _ = Sample(array=np.zeros((3, 3, 7))).pil


def test_urls(file):
    import fsspec

    sample = read(f"file://{file}")
    assert sample.shape == (11, 13, 3)
    with fsspec.open("memory://samples/cat.png", "wb") as target:
        target.write(file.read_bytes())
    assert read("memory://samples/cat.png").compressed_bytes == file.read_bytes()
    with pytest.raises(SampleError, match="no such file"):
        _ = read("memory://samples/none.png").shape
    with pytest.raises(InvalidError, match="can't be opened"):
        _ = read("nosuchprotocol://a/b.png").shape


def test_unreadable_files_are_storage_errors(file, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "no", path)

    monkeypatch.setattr(io, "FileIO", refuse)
    with pytest.raises(StorageError, match="can't be read"):
        _ = read(file).shape


def test_broken_files_name_themselves(tmp_path):
    path = tmp_path / "broken.jpg"
    for data in (b"", b"garbage" * 99, get_format("jpeg").encode(ARRAY)[:-20]):
        path.write_bytes(data)
        for ask in ("shape", "array"):
            with pytest.raises(SampleError) as caught:
                getattr(read(path), ask)
            assert caught.value.path == str(path)
            assert str(caught.value).startswith(str(path))
            assert str(caught.value).count(str(path)) == 1
        with pytest.raises(SampleError):
            read(path, verify=True)
    with pytest.raises(SampleError):
        read(path, compression="png").verify()


def test_verify_decodes(tmp_path):
    """Pixels that are garbled get past the header, not past `verify`."""
    data = bytearray(get_format("png").encode(ARRAY))
    at = data.index(b"IDAT") + 10
    data[at : at + 20] = b"\xff" * 20
    path = tmp_path / "garbled.png"
    path.write_bytes(data)
    assert read(path).shape == (11, 13, 3)
    with pytest.raises(SampleError, match=r"garbled\.png"):
        read(path, verify=True)


def test_verify_compares_with_the_header(monkeypatch):
    sample = Sample(get_format("png").encode(ARRAY))
    monkeypatch.setattr(Sample, "_decode", lambda self: ARRAY[:5])
    with pytest.raises(SampleError, match="header says"):
        sample.verify()


@pytest.mark.parametrize("name", ["truncated_jpeg.jpg", "broken.png", "truncated_image.png"])
def test_real_broken_files(name):
    path = real(f"images/odd/{name}")
    with pytest.raises(SampleError) as caught:
        read(path, verify=True)
    assert caught.value.path == str(path)


def test_samples_travel_and_are_shared(file):
    sample = read(file)
    again = pickle.loads(pickle.dumps(sample))
    assert again.path == sample.path
    assert again.shape == sample.shape
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(lambda _: sample.array, range(8)))
    assert all(np.array_equal(array, ARRAY) for array in arrays)


def test_exif(file):
    tags = read(real("images/odd/exif_gps.jpg")).exif
    assert tags["GPSInfo"]
    assert json.loads(json.dumps(tags, allow_nan=False)) == tags
    assert read(real("images/odd/hopper_orientation_6.jpg")).exif["Orientation"] == 6
    assert read(file).exif == {}
    assert Sample(array=ARRAY).exif == {}


@pytest.mark.parametrize("path", every("images/odd/*.*"), ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_of_real_files(path):
    try:
        tags = read(path).exif
    except SampleError:
        return
    assert json.loads(json.dumps(tags, allow_nan=False)) == tags


def test_palettes_of_masks(file):
    mask = np.random.default_rng(0).integers(0, 21, (9, 7), "u1")
    image = Image.fromarray(mask)
    image.putpalette([7 * i % 256 for i in range(3 * 21)])
    for file_format in ("PNG", "BMP", "TIFF"):  # Pillow renumbers those of GIF
        target = io.BytesIO()
        image.save(target, file_format)
        np.testing.assert_array_equal(palette_indices(target.getvalue()), mask)
        assert Sample(target.getvalue()).shape == (9, 7, 3)
    assert palette_indices(file.read_bytes()) is None


def test_nothing():
    with pytest.raises(InvalidError, match="nothing"):
        Sample()
    with pytest.raises(InvalidError, match="no sample compression"):
        Sample(b"", compression="no such")


def test_links():
    made = link("s3://bucket/cat.jpg")
    assert made == Link("s3://bucket/cat.jpg")
    assert made != Link("s3://bucket/dog.jpg")
    assert len({made, Link("s3://bucket/cat.jpg")}) == 1
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(InvalidError, match="nothing"):
        link("")


# Formats by name and by look


def test_names_of_formats():
    assert get_format("JPG") is get_format("jpeg")
    assert get_format("tif").name == "tiff"
    assert "png" in names("image")
    assert "png" not in names("audio")
    assert set(names("image")) <= set(names())
    for name in names():
        made = get_format(name)
        assert made.name == name
        assert made.extensions
        assert by_extension(f"/a/B{made.extensions[0].upper()}") == name
    with pytest.raises(InvalidError, match="jpeg"):
        get_format("no such")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cat.jpg", "jpeg"),
        ("a.b/cat.JPEG", "jpeg"),
        ("a.png/cat", None),
        ("scan.nii.gz", "nii.gz"),
        ("my.first.scan.nii.gz", "nii.gz"),
        ("C:\\pictures\\cat.tif", "tiff"),
        ("https://host/cat.png?width=3.jpg#top", "png"),
        ("cat", None),
        ("", None),
    ],
)
def test_extensions(path, name):
    assert by_extension(path) == name


FORMS = [path for path in every("*/**/*") if by_extension(path.name) is not None]


@pytest.mark.parametrize("path", FORMS[:: max(1, len(FORMS) // 60)], ids=lambda path: path.name)
def test_real_files_look_like_their_names(path):
    assert sniff(path.read_bytes()[:512], str(path)) == by_extension(path.name)


@pytest.mark.parametrize("data", [b"", b"\0" * 600, b"hello world", b"\x1f\x8bnot gzip", b"{}"])
def test_unknown_files(data):
    with pytest.raises(SampleError):
        sniff(data)
    with pytest.raises(SampleError, match=r"^cat\.jpg: ") as caught:
        sniff(data, "cat.jpg")
    assert caught.value.path == "cat.jpg"


# Packages


def test_need_says_what_to_install():
    with pytest.raises(UnsupportedError) as caught:
        extras.need("no_such_package.part", extra="images", what="reading JPEG files")
    assert str(caught.value) == (
        "reading JPEG files needs the package no_such_package: pip install 'hubzarr[images]'"
    )
    assert caught.value.package == "no_such_package"
    assert extras.need("math", extra="images", what="counting").pi > 3


def test_need_tells_broken_packages_from_missing_ones(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("raise ImportError('libbroken.so')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnsupportedError, match=r"fails: libbroken\.so"):
        extras.need("half_installed", extra="images", what="reading")
    assert extras.have("half_installed") is None
