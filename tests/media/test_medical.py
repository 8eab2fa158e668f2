"""DICOM and NIfTI: the same values as pydicom and nibabel give."""

import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media import Sample, dicom, get_format, nifti
from hubzarr.media.dicom import tags
from tests.media.damage import cuts, errors_of, flips
from tests.realdata import every, real

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")

BROKEN = {"JPEG-lossy.dcm", "MR_truncated.dcm", "no_meta.dcm", "DICOMDIR"}
DICOM = [
    path
    for path in (
        every("dicom/*.dcm") + every("dicom/dicomdir/**/*") + every("dicom_series/**/*.dcm")
    )
    if path.name not in BROKEN
]
NIFTI = every("nifti/*.nii*") + every("dicom_series/**/*.nii.gz")
PALETTE = "examples_palette.dcm"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def ids(path):
    return path.name


# DICOM


@pytest.mark.parametrize("path", DICOM, ids=ids)
def test_same_pixels_as_pydicom(path):
    data = path.read_bytes()
    found, told = dicom.decode(data), dicom.header(data)
    image = pydicom.dcmread(path)
    expected = image.pixel_array
    if path.name == PALETTE:
        expected = pydicom.pixels.apply_color_lut(expected, image)
    assert np.array_equal(found, expected)
    assert found.dtype == expected.dtype.newbyteorder("=")
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    json.dumps(told.meta, allow_nan=False)
    assert told.meta["Rows"] == image.Rows
    assert told.meta["Modality"] == image.Modality


def test_tags():
    meta = tags(real("dicom/CT_small.dcm").read_bytes())
    assert meta["PatientName"] == "CompressedSamples^CT1"
    assert meta["PixelSpacing"] == [0.661468, 0.661468]
    assert meta["OtherPatientIDsSequence"][0]["PatientID"] == "ABCD1234"
    assert meta["WindowCenter" if "WindowCenter" in meta else "KVP"]
    assert "PixelData" not in meta
    assert any(name.startswith("(") for name in meta)


def test_palette():
    assert dicom.header(real(f"dicom/{PALETTE}").read_bytes()).shape == (350, 800, 3)


def made(pixels: np.ndarray, **fields) -> bytes:
    """A DICOM file of an array, with any tags."""
    image = pydicom.Dataset()
    image.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    image.SOPInstanceUID = "1.2.3"
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 8 * pixels.dtype.itemsize
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    image.PixelData = pixels.tobytes() + bytes(pixels.nbytes % 2)
    image["PixelData"].VR = "OW"
    for name, value in fields.items():
        if value is None:
            del image[name]
        else:
            setattr(image, name, value)
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    out = io.BytesIO()
    pydicom.dcmwrite(out, image, enforce_file_format=True)
    return out.getvalue()


def agreed(data: bytes) -> np.ndarray:
    """The decoded pixels, which must be what the header says."""
    found, told = dicom.decode(data), dicom.header(data)
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    return found


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_dtypes(dtype):
    pixels = np.arange(12).reshape(3, 4).astype(dtype)
    found = agreed(made(pixels))
    assert found.dtype == dtype
    assert np.array_equal(found, pixels)


def test_floats():
    pixels = np.linspace(-1, 1, 12).reshape(3, 4).astype("f4")
    data = made(pixels, PixelData=None, PixelRepresentation=None, FloatPixelData=pixels.tobytes())
    assert np.array_equal(agreed(data), pixels)


def test_bits():
    pixels = np.zeros((4, 4), "u1")
    data = made(pixels, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=b"\x01\x80")
    assert agreed(data).tolist() == [[1, 0, 0, 0], [0] * 4, [0] * 4, [0, 0, 0, 1]]


def test_ybr_becomes_rgb():
    grey = np.full((2, 2, 3), 128, "u1")
    grey[0, 0] = (76, 85, 255)  # red
    fields = {"SamplesPerPixel": 3, "PlanarConfiguration": 0}
    found = agreed(made(grey, PhotometricInterpretation="YBR_FULL", **fields))
    assert np.abs(found[0, 0].astype(int) - (255, 0, 0)).max() <= 2
    half = made(
        np.full((2, 2), 128, "u1"),
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=bytes([128] * 8),
        **fields,
    )
    assert (agreed(half) == 128).all()


def test_frames_of_colours():
    pixels = np.arange(2 * 3 * 4 * 3, dtype="u1").reshape(2, 3, 4, 3)
    data = made(
        pixels[0],
        PixelData=pixels.tobytes(),
        NumberOfFrames=2,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
    )
    assert np.array_equal(agreed(data), pixels)


def test_without_meta_group():
    """The file from after its meta information on: pydicom finds the encoding by trying."""
    whole = real("dicom/CT_small.dcm").read_bytes()
    bare = whole[whole.index(b"\x08\x00\x05\x00CS") :]
    assert np.array_equal(agreed(bare), dicom.decode(whole))


def test_tags_against_the_rules_are_left_out():
    data = made(np.zeros((2, 2), "u1"), ExaminedBodyThickness=7.5)
    wrong = data.replace(b"FL\x04\x00\x00\x00\xf0@", b"FL\x03\x00\x00\x00\xf0")
    assert wrong != data
    assert dicom.header(data).meta["ExaminedBodyThickness"] == 7.5
    assert "ExaminedBodyThickness" not in dicom.header(wrong).meta
    assert dicom.decode(wrong).shape == (2, 2)


def test_long_sequences_are_left_out():
    item = pydicom.Dataset()
    item.PatientID = "1"
    few, many = (made(np.zeros((2, 2), "u1"), OtherPatientIDsSequence=[item] * n) for n in (3, 99))
    assert dicom.header(few).meta["OtherPatientIDsSequence"] == [{"PatientID": "1"}] * 3
    assert "OtherPatientIDsSequence" not in dicom.header(many).meta


def test_broken_dicom_header():
    with pytest.raises(SampleError, match="the file has been cut"):
        dicom.header(real("dicom/MR_truncated.dcm").read_bytes())
    with pytest.raises(SampleError, match="no tags that DICOM knows"):
        dicom.header(real("dicom/no_meta.dcm").read_bytes())
    with pytest.raises(SampleError, match="no pixel data"):
        dicom.header(real("dicom/dicomdir/DICOMDIR").read_bytes())
    with pytest.raises(SampleError, match="misplaced marker"):
        dicom.decode(real("dicom/JPEG-lossy.dcm").read_bytes())


@pytest.mark.parametrize(
    "name", ["CT_small", "MR_small_RLE", "SC_rgb_jpeg", "JPEG2000", "image_dfl", "examples_palette"]
)
def test_broken_dicom_files(name):
    data = real(f"dicom/{name}.dcm").read_bytes()
    for read in (dicom.header, dicom.decode):
        assert errors_of(read, cuts(data, 6)) > 5
        errors_of(read, flips(data, 10))
        errors_of(read, flips(data, 10, within=1500))


def test_dicom_is_not_written():
    assert get_format("dicom").encode is None
    with pytest.raises(InvalidError, match="can't write dicom"):
        Sample(array=np.zeros((2, 2), "u1")).encoded("dicom")


def test_frames_of_absurd_sizes():
    """A decoder would reserve gigabytes for them."""
    data = bytearray(real("dicom/JPEG2000.dcm").read_bytes())
    size = data.index(b"\xff\x4f\xff\x51") + 8
    data[size : size + 8] = b"\x00\x01\xff\xff" * 2
    with pytest.raises(SampleError, match="131071 × 131071 pixels"):
        dicom.decode(bytes(data))


# NIfTI


@pytest.mark.parametrize("path", NIFTI, ids=ids)
def test_same_volume_as_nibabel(path):
    data = path.read_bytes()
    found, told = nifti.decode(data), nifti.header(data)
    image = nibabel.load(path)
    expected = np.asanyarray(image.dataobj)
    assert np.array_equal(found, expected)
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    assert found.dtype == expected.dtype.newbyteorder("=")
    assert np.allclose(told.meta["affine"], image.affine)
    assert told.meta["zooms"] == [float(zoom) for zoom in image.header.get_zooms()]
    json.dumps(told.meta, allow_nan=False)


def test_scaled_volume():
    meta = nifti.header(real("nifti/functional.nii").read_bytes()).meta
    assert meta["stored"] == "int16"
    assert meta["slope"] > 0
    assert nifti.header(real("nifti/anatomical.nii").read_bytes()).meta["slope"] is None


NUMBERS = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", ">i2"])


@given(
    hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=1, max_dims=7, max_side=4)),
    st.sampled_from(["nii", "nii.gz"]),
)
@settings(max_examples=60, deadline=None)
def test_any_volume(array, name):
    file = get_format(name).encode(array)
    found = get_format(name).decode(file)
    told = get_format(name).header(file)
    # The format has no last axes of length 1 beyond the first
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(found.reshape(array.shape), array, equal_nan=True)


def test_affine_and_zooms():
    affine = np.diag([2.0, 3, 4, 1])
    file = get_format("nii").encode(np.zeros((2, 2, 2), "u1"), affine=affine)
    assert nifti.header(file).meta["affine"] == affine.tolist()
    assert nifti.header(file).meta["zooms"] == [2, 3, 4]
    assert np.array_equal(nibabel.Nifti1Image.from_bytes(file).affine, affine)


def test_second_version():
    long = np.arange(40_000, dtype="i2")
    file = get_format("nii.gz").encode(long)
    assert nifti.header(file).meta["version"] == 2
    assert np.array_equal(nifti.decode(file), long)


def test_bool_and_colours():
    assert nifti.decode(get_format("nii").encode(np.ones((2, 2), bool))).dtype == np.uint8
    pixels = np.arange(2 * 3 * 4 * 3, dtype="u1").reshape(2, 3, 4, 3)
    stored = pixels.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    file = nibabel.Nifti1Image(stored, np.eye(4)).to_bytes()
    assert nifti.header(file).shape == pixels.shape
    assert np.array_equal(nifti.decode(file), pixels)


def test_same_volume_same_bytes():
    volume = np.arange(24, dtype="i2").reshape(2, 3, 4)
    assert get_format("nii.gz").encode(volume) == get_format("nii.gz").encode(volume)


@pytest.mark.parametrize("name", ["nifti/anatomical.nii", "nifti/example4d.nii.gz"])
def test_broken_nifti_files(name):
    data = real(name).read_bytes()
    for read in (nifti.header, nifti.decode):
        assert errors_of(read, cuts(data, 6)) > 5
        errors_of(read, flips(data, 10))
        errors_of(read, flips(data, 20, within=348))
    assert errors_of(nifti.decode, cuts(data, 6)) == len(cuts(data, 6))


@pytest.mark.parametrize(
    "data", [b"", bytes(600), gzip.compress(b"no volume", mtime=0), b"\x1f\x8bno"]
)
def test_other_files(data):
    for read in (nifti.header, nifti.decode, dicom.header, dicom.decode):
        with pytest.raises(SampleError):
            read(data)


def test_pair_of_files():
    top = nibabel.Nifti1Pair(np.zeros((2, 2)), np.eye(4)).header.binaryblock
    with pytest.raises(SampleError, match="pair"):
        nifti.header(top)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), "f2"), np.zeros((1,) * 8), np.array("a"), np.zeros((0, 2))]
)
def test_unsuitable_arrays(array):
    with pytest.raises(SampleError, match="expected"):
        get_format("nii").encode(array)
