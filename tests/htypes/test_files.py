"""Real files as samples: bytes untouched, or converted; arrays as reference libraries read them."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from hubzarr.errors import SampleError
from hubzarr.htypes import prepare, prepare_many, restore, tensor_spec
from hubzarr.media import Sample, get_format, link, names, read
from hubzarr.media.meshes import mesh_parts
from hubzarr.media.points import fields
from tests.realdata import every, real

_WEATHER = every("images/weather4/*/*.jpg")[::20]
_KINDS = {
    "image": every("images/odd/*.*") + every("images/pngsuite_like/*")[:20],
    "audio": every("audio/*/*.*")[::4],
    "video": [p for p in every("video/*.*") if p.stat().st_size < 1_000_000],
    "dicom": every("dicom/*.dcm"),
    "nifti": [p for p in every("nifti/*.nii*") if p.stat().st_size < 1_000_000],
    "point_cloud": every("las/*.la?"),
    "mesh": every("ply/*.*"),
}
_FILES = [(htype, path) for htype, paths in _KINDS.items() for path in paths]


def dtype_of(htype, sample):
    return None if htype in ("dicom", "nifti", "point_cloud", "mesh") else sample.dtype


@pytest.mark.parametrize(("htype", "path"), _FILES, ids=lambda each: getattr(each, "name", each))
def test_bytes_stay_untouched(htype, path):
    sample = read(path)
    try:
        dtype = dtype_of(htype, sample)
        compression = sample.compression
        assert sample.shape
    except SampleError as error:
        pytest.skip(f"a broken file: {error}")
    if compression not in names(htype):
        pytest.skip(f"{sample.compression} is no {htype}")
    spec, info = tensor_spec(htype, dtype, sample.compression)
    prepared = prepare(spec, read(path), info)
    assert prepared.data == path.read_bytes()
    try:
        expected = get_format(sample.compression).decode(prepared.data)
    except SampleError:  # broken behind its header
        with pytest.raises(SampleError):
            restore(spec, *prepared)
        return
    back = restore(spec, *prepared)
    assert back.shape == prepared.shape
    assert back.dtype == expected.dtype
    assert back.tobytes() == expected.tobytes()
    if spec.ndim is not None:
        assert back.ndim == spec.ndim


def test_photographs_are_as_pillow_reads_them():
    spec, info = tensor_spec("image", sample_compression="jpg")
    samples = prepare_many(spec, [read(path) for path in _WEATHER], info)
    for path, prepared in zip(_WEATHER, samples, strict=True):
        expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
        back = restore(spec, *prepared)
        if expected.ndim == 2:
            expected = expected[:, :, None]
        assert back.shape == expected.shape
        assert np.abs(back.astype(int) - expected).max() <= 3  # decoders of JPEG may round


@pytest.mark.parametrize("name", ["hopper.png", "hopper.bmp", "hopper_gray.jpg", "hopper.gif"])
@pytest.mark.parametrize("wanted", ["png", "bmp", "tiff", "webp"])
def test_other_formats_are_converted(name, wanted):
    path = real(f"images/odd/{name}")
    spec, info = tensor_spec("image", sample_compression=wanted, encoding={})
    prepared = prepare(spec, read(path), info)
    again = Sample(prepared.data)
    assert again.compression == wanted
    back = restore(spec, *prepared)
    assert back.shape == prepared.shape
    if get_format(wanted).lossless:
        expected = read(path).array
        np.testing.assert_array_equal(back, expected.reshape(*expected.shape[:2], -1))


def test_rgb_and_gray():
    gray, color = real("images/odd/hopper_gray.jpg"), real("images/odd/hopper.jpg")
    spec, info = tensor_spec("image.rgb", sample_compression="jpeg")
    assert prepare(spec, read(color), info).data == color.read_bytes()
    prepared = prepare(spec, read(gray), info)
    assert prepared.shape[2] == 3
    assert restore(spec, *prepared).shape == prepared.shape
    spec, info = tensor_spec("image.gray", sample_compression="jpeg")
    assert prepare(spec, read(gray), info).data == gray.read_bytes()
    prepared = prepare(spec, read(color), info)
    assert len(prepared.shape) == 2
    reference = np.asarray(Image.open(color).convert("L")).astype(int)
    assert np.abs(restore(spec, *prepared) - reference).mean() < 3


def test_transparency():
    transparent = real("images/odd/transparent.png")
    spec, info = tensor_spec("image", sample_compression="jpeg")
    with pytest.raises(SampleError, match=r"transparent\.png: .*transparency"):
        prepare(spec, read(transparent), info)
    opaque = np.full((4, 5, 4), 255, "u1")
    assert prepare(spec, opaque, info).shape == (4, 5, 3)
    spec, info = tensor_spec("image.rgb", sample_compression="jpeg")
    assert prepare(spec, read(transparent), info).shape[2] == 3
    spec, info = tensor_spec("image.gray", sample_compression="webp")
    with pytest.raises(SampleError, match="webp"):
        prepare(spec, opaque, info)


def test_mpo_is_jpeg():
    path = real("images/odd/sugarshack.mpo")
    spec, info = tensor_spec("image", sample_compression="jpeg")
    prepared = prepare(spec, read(path), info)
    assert prepared.data == path.read_bytes()
    assert restore(spec, *prepared).shape == prepared.shape == read(path).shape


def test_quality_of_encoding():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), "u1")
    sizes = []
    for quality in (20, 95):
        spec, info = tensor_spec("image", sample_compression="jpg", encoding={"quality": quality})
        sizes.append(len(prepare(spec, noise, info).data))
    assert sizes[0] < sizes[1]


def test_audio_keeps_its_sampling_rate():
    soundfile = pytest.importorskip("soundfile")
    path = real("audio/fsdd/0_jackson_1.wav")
    spec, info = tensor_spec("audio", sample_compression="flac")
    prepared = prepare(spec, read(path), info)
    values, rate = soundfile.read(BytesIO(prepared.data), always_2d=True, dtype="float32")
    expected, expected_rate = soundfile.read(path, always_2d=True, dtype="float32")
    assert rate == expected_rate
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(restore(spec, *prepared), expected)
    spec, info = tensor_spec("audio", sample_compression="wav", encoding={"samplerate": 8000})
    prepared = prepare(spec, np.array([0, 1000, -1000], "i2"), info)
    assert Sample(prepared.data).meta["samplerate"] == 8000
    assert prepared.shape == (3, 1)
    np.testing.assert_array_equal(restore(spec, *prepared)[:, 0] * 32768, [0, 1000, -1000])


def test_nifti_goes_in_and_out_of_gzip():
    path = real("nifti/anatomical.nii")
    spec, info = tensor_spec("nifti")
    prepared = prepare(spec, read(path), info)
    assert gzip.decompress(prepared.data) == path.read_bytes()
    plain, info = tensor_spec("nifti", sample_compression="nii")
    back = prepare(plain, Sample(prepared.data, compression="nii.gz"), info)
    assert back == (path.read_bytes(), prepared.shape)


@pytest.mark.parametrize("wanted", ["ply", "stl"])
def test_meshes_keep_their_faces(wanted):
    spec, info = tensor_spec("mesh", sample_compression=wanted)
    sample = read(real("ply/diamond_color.obj"))
    prepared = prepare(spec, sample, info)
    before, after = mesh_parts(sample.compressed_bytes), mesh_parts(prepared.data)
    corners = [parts["vertices"][parts["faces"]] for parts in (before, after)]
    np.testing.assert_allclose(corners[1], corners[0], rtol=1e-6)
    assert restore(spec, *prepared).shape == prepared.shape


def test_point_clouds_keep_their_fields():
    sample = read(real("las/simple.laz"))
    spec, info = tensor_spec("point_cloud", sample_compression="las")
    prepared = prepare(spec, sample, info)
    before, after = fields(sample.compressed_bytes), fields(prepared.data)
    for name in ("intensity", "red", "gps_time", "classification"):
        np.testing.assert_array_equal(after[name], before[name])
    for name in ("x", "y", "z"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-15)
    spec, info = tensor_spec("point_cloud", sample_compression="pcd")
    with pytest.raises(SampleError, match="lose all but coordinates"):
        prepare(spec, sample, info)
    assert prepare(spec, sample.array, info).shape == sample.shape


@pytest.mark.parametrize(
    ("htype", "compression", "array"),
    [
        ("audio", "mp3", np.sin(np.linspace(0, 900, 5000, dtype="f4"))[:, None] / 2),
        ("audio", "ogg", np.zeros((1000, 2), "f4")),
        ("video", "mp4", np.zeros((3, 33, 47, 3), "u1")),
        ("video", "webm", np.zeros((3, 32, 48, 3), "u1")),
    ],
)
def test_lossy_files_have_the_shape_that_comes_back(htype, compression, array):
    spec, info = tensor_spec(htype, sample_compression=compression)
    prepared = prepare(spec, array, info)
    assert restore(spec, *prepared).shape == prepared.shape


def test_files_in_tensors_of_arrays():
    path = real("images/odd/hopper.jpg")
    spec, info = tensor_spec("image", chunk_compression="lz4")
    prepared = prepare(spec, read(path), info)
    np.testing.assert_array_equal(prepared.data, read(path).array)
    many = prepare_many(spec, [read(path), read(real("images/odd/hopper_gray.jpg"))], info)
    assert [p.shape for p in many] == [(128, 128, 3), (128, 128, 1)]
    spec, info = tensor_spec("segment_mask")
    assert prepare(spec, read(real("images/odd/hopper_gray.jpg")), info).shape == (128, 128)


def test_a_header_is_enough(monkeypatch):
    path = real("images/odd/hopper.jpg")
    spec, info = tensor_spec("image", sample_compression="jpeg")
    monkeypatch.setattr(Sample, "_decode", lambda self: pytest.fail("decoded"))
    assert prepare(spec, read(path), info).shape == (128, 128, 3)
    assert prepare_many(spec, [read(path)], info)[0].shape == (128, 128, 3)


def test_missing_files():
    spec, info = tensor_spec("image", sample_compression="jpeg")
    with pytest.raises(SampleError, match=r"nowhere\.jpg"):
        prepare(spec, read("nowhere.jpg"), info)


@pytest.mark.parametrize("options", [{}, {"sample_compression": "png"}], ids=["plain", "png"])
@pytest.mark.parametrize("path", ["cat.jpg", Path("cat.jpg"), link("cat.jpg")], ids=repr)
def test_paths_are_no_images(path, options):
    spec, info = tensor_spec("image", **options)
    with pytest.raises(SampleError, match=r"append hub\.read\(path\)"):
        prepare(spec, path, info)


def test_texts_are_no_numbers():
    spec, info = tensor_spec("generic", dtype="int64")
    with pytest.raises(SampleError, match="htype='text'"):
        prepare(spec, "cat.jpg", info)
