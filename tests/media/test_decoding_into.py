"""Files decoded into arrays that are there: the same values, no copies where none is needed."""

from __future__ import annotations

import numpy as np
import pytest

from hubzarr.errors import DamagedError, InvalidError, SampleError
from hubzarr.htypes import TensorSpec, prepare, restore, tensor_spec
from hubzarr.media import get_format, names, sniff
from tests.media.damage import cuts, flips
from tests.realdata import every

pytest.importorskip("PIL.Image")
codecs = pytest.importorskip("imagecodecs")

DIRECT = ("jpeg", "png", "webp", "jpeg2000")


def picture(*shape, dtype="u1"):
    return np.random.default_rng(0).integers(0, 200, shape, dtype)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
@pytest.mark.parametrize("name", DIRECT)
def test_decoders_write_right_into_it(name, shape):
    made = get_format(name)
    try:
        file = made.encode(picture(*shape))
    except SampleError:
        pytest.skip(f"no {name} of shape {shape}")
    whole = np.zeros((3, *shape), "u1")
    assert made.decode(file, whole[1]) is not None
    np.testing.assert_array_equal(whole[1], made.decode(file))
    assert not whole[0].any()
    assert not whole[2].any()


@pytest.mark.parametrize("name", DIRECT)
def test_what_does_not_fit_is_left_alone_by_decoders(name):
    made = get_format(name)
    file = made.encode(picture(20, 30, 3))
    wanted = made.decode(file)
    read_only = np.zeros((20, 30, 3), "u1")
    read_only.flags.writeable = False
    for out in (
        np.zeros((30, 20, 3), "u1"),
        np.zeros((20, 30), "u1"),
        np.zeros((20, 30, 3), "u2"),
        np.zeros((20, 60, 3), "u1")[:, ::2],
        read_only,
    ):
        np.testing.assert_array_equal(made.decode(file, out), wanted)
        assert not out.any()


@pytest.mark.parametrize("name", names("image"))
def test_other_shapes_and_dtypes_are_refused(name):
    made = get_format(name)
    try:
        file = made.encode(picture(20, 30, 3))
    except SampleError:
        file = made.encode(np.zeros((20, 30), "?") if name == "xbm" else picture(20, 30, 4))
    array = made.decode(file)
    for out in (
        np.zeros((30, 20, *array.shape[2:]), "u1"),
        np.zeros(array.shape[1:], "u1"),
        np.zeros(array.shape, "i1"),
    ):
        with pytest.raises(SampleError, match="expected"):
            made.decode_into(file, out)


@pytest.mark.parametrize("name", names("image"))
@pytest.mark.filterwarnings("ignore")
def test_damage_is_found_as_without(name):
    made = get_format(name)
    array = picture(40, 30, 4) if name == "ico" else picture(40, 30, 3)
    file = made.encode(np.eye(40, dtype="?") if name == "xbm" else array)
    out = np.zeros(made.header(file).shape, "u1")

    def outcome(decode, data):
        try:
            return decode(data)
        except SampleError:
            return None

    broken = cuts(file) + flips(file)
    for data in broken:
        wanted = outcome(made.decode, data)
        if wanted is not None and wanted.shape != out.shape:
            wanted = None
        found = outcome(lambda data: made.decode_into(data, out), data)
        assert (found is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_array_equal(found, wanted)


TENSORS = [
    *(("image", name, None, (20, 30, 3)) for name in ("jpeg", "png", "webp", "jpeg2000", "bmp")),
    *(("image", name, None, (20, 30, 1)) for name in ("jpeg", "png", "tiff")),
    ("image", "png", "uint16", (20, 30, 3)),
    ("image.gray", "jpeg", None, (20, 30)),
    ("image.rgb", "avif", None, (20, 30, 3)),
    ("generic", "tiff", "float32", (20, 30)),
    ("audio", "wav", None, (500, 2)),
    ("audio", "flac", None, (500, 1)),
    ("generic", None, "float32", (4, 5)),
    ("generic", None, "int64", ()),
    ("generic", "png", "uint8", (0, 5)),
    ("point_cloud", "bin", None, (7, 4)),
]


@pytest.mark.parametrize(("htype", "compression", "dtype", "shape"), TENSORS)
def test_samples_of_tensors(htype, compression, dtype, shape):
    spec, info = tensor_spec(htype, dtype=dtype, sample_compression=compression)
    array = picture(*shape).astype(spec.numpy_dtype or "f4")
    data, kept = prepare(spec, array, info)
    if isinstance(data, np.ndarray):
        data = data.tobytes()
    wanted = restore(spec, data, kept)
    batch = np.full((3, *wanted.shape), 77).astype(wanted.dtype)
    out = batch[1, ...]
    assert restore(spec, data, kept, out) is out
    np.testing.assert_array_equal(batch[1], wanted)
    assert (batch[::2] == np.array(77).astype(wanted.dtype)).all()


def test_arrays_that_nothing_can_be_put_into():
    spec, info = tensor_spec("image", sample_compression="jpeg")
    data, shape = prepare(spec, picture(20, 30, 3), info)
    read_only = np.zeros(shape, "u1")
    read_only.flags.writeable = False
    for out in (
        np.zeros((20, 30), "u1"),
        np.zeros(shape, "f4"),
        np.zeros(shape, "u1", order="F"),
        read_only,
    ):
        with pytest.raises(InvalidError, match=r"expected one of uint8 \(20, 30, 3\)"):
            restore(spec, data, shape, out)


@pytest.mark.parametrize("htype", ["text", "json", "sequence[image]", "link[image]"])
def test_samples_that_are_no_arrays(htype):
    spec = TensorSpec(htype, sample_compression="png" if "sequence" in htype else None)
    with pytest.raises(InvalidError, match="is no array"):
        restore(spec, b"", (), np.zeros(()))


def test_files_without_a_fixed_dtype_are_not_cast():
    spec = TensorSpec("generic", None, "png")
    file = get_format("png").encode(picture(20, 30, dtype="u2"))
    assert restore(spec, file, (20, 30), np.zeros((20, 30), "u2")).any()
    with pytest.raises(SampleError, match="uint16"):
        restore(spec, file, (20, 30), np.zeros((20, 30), "u1"))


def test_stored_bytes_that_are_too_few():
    spec, _ = tensor_spec("generic", dtype="float32")
    with pytest.raises(DamagedError, match="7 bytes"):
        restore(spec, b"1234567", (2,), np.zeros(2, "f4"))


def test_files_of_another_size_than_the_tensor_says():
    spec, _ = tensor_spec("image", sample_compression="jpeg")
    file = get_format("jpeg").encode(picture(20, 30, 3))
    with pytest.raises(SampleError, match=r"\(20, 30, 3\); expected uint8 \(30, 20, 3\)"):
        restore(spec, file, (30, 20, 3), np.zeros((30, 20, 3), "u1"))


@pytest.mark.parametrize(
    "pattern", ["dicom/CT*.dcm", "dicom/*bigendian.dcm", "**/*.nii*", "**/*.wav"]
)
def test_real_scans_and_sounds(pattern):
    files = every(pattern)
    if not files:
        pytest.skip(f"no {pattern} among the real files")
    data = files[0].read_bytes()
    made = get_format(sniff(data, str(files[0])))
    wanted = made.decode(data)
    out = np.zeros_like(wanted, order="C")
    assert made.decode_into(data, out) is out
    np.testing.assert_array_equal(out, wanted)
