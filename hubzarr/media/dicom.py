"""DICOM images, read by pydicom.

An image decodes to the stored values, without rescaling to Hounsfield or other units:
(height, width), with several frames (frames, height, width), with colours a last axis.
Palettes are looked up and YBR becomes RGB.  The tags are in the header's `meta`.
"""

from __future__ import annotations

import io
from decimal import Decimal
from math import isfinite, prod
from typing import Any

import numpy as np

from hubzarr.errors import SampleError, UnsupportedError
from hubzarr.media.coded_size import coded_size
from hubzarr.media.extras import need
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read

__all__ = ["FORMATS", "decode", "header", "tags"]

type Array = np.ndarray[Any, Any]

_FLOATS = {"FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
# Longer sequences are the positions of each frame and the like: more than a header's worth.
_LONGEST_SEQUENCE = 16
_FILE_START = 128  # bytes before the letters DICM


@broken_unless_read("DICOM file")
def header(data: bytes) -> Header:
    """Read shape, type and tags of an image; its pixels are not decoded.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        `meta` is what `tags` gives.
    """
    image = _parsed(data)
    pixels = _pixels(image)
    size = (int(image.Rows), int(image.Columns))
    frames = int(image.get("NumberOfFrames", None) or 1)
    samples = int(image.SamplesPerPixel)
    if pixels in _FLOATS:
        dtype = np.dtype(_FLOATS[pixels])
    else:
        bits = max(int(image.BitsAllocated), 8)
        dtype = np.dtype(f"{'i' if image.get('PixelRepresentation', 0) else 'u'}{bits // 8}")
    last: tuple[int, ...] = (samples,) if samples > 1 else ()
    _check_whole(image, pixels, prod((frames, *size, samples)) * int(image.BitsAllocated) // 8)
    if _has_palette(image):
        looked_up = _look_up(np.zeros((1, 1), dtype), image)
        last, dtype = looked_up.shape[2:], looked_up.dtype
    shape = ((frames,) if frames > 1 else ()) + size + last
    return Header(shape, dtype, tags(image))


@broken_unless_read("DICOM file")
def decode(data: bytes) -> Array:
    """Decode the pixels of an image.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    numpy.ndarray
        Stored values, in the machine's byte order.
    """
    image = _parsed(data)
    if _pixels(image) == "PixelData":
        _check_frames(image)
    pixels = need("pydicom.pixels", extra="medical", what="reading DICOM files")
    try:
        array: Array = pixels.pixel_array(image)
    except RuntimeError as error:
        if "missing dependencies" in str(error):
            raise UnsupportedError(
                f"reading DICOM files of transfer syntax "
                f"{image.file_meta.TransferSyntaxUID.name} needs the packages pylibjpeg, "
                f"pylibjpeg-libjpeg and pylibjpeg-openjpeg: pip install 'hubzarr[medical]'"
            ) from error
        raise
    if _has_palette(image):
        array = _look_up(array, image)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def tags(image: Any) -> dict[str, Any]:
    """Give the tags of a dataset of pydicom as JSON can hold them.

    Parameters
    ----------
    image : pydicom.Dataset
        Or a file's bytes.

    Returns
    -------
    dict
        By keyword, private ones as ``"(gggg,eeee)"``: texts, numbers, lists of them,
        and dicts for sequences.  Binary values and long sequences are left out.
    """
    if isinstance(image, bytes):
        image = _parsed(image)
    found = {}
    for tag in sorted(image.keys()):
        name, value = _tag(image, tag)
        if name:
            found[name] = value
    return found


def _tag(image: Any, tag: Any) -> tuple[str, Any]:
    """Name and plain value of one element; no name for what is left out."""
    try:
        element = image[tag]
    except Exception:
        # Values that break DICOM's rules are common; pixels can be sound all the same.
        return "", None
    if element.VR in _BINARY:
        return "", None
    if element.VR == "SQ":
        if len(element.value) > _LONGEST_SEQUENCE:
            return "", None
        value: Any = [tags(item) for item in element.value]
    else:
        value = _plain(element.value)
    return element.keyword or f"({tag.group:04x},{tag.element:04x})", value


def _plain(value: Any) -> Any:
    """One value of pydicom (whose numbers are subclasses, and names objects) as plain Python."""
    if value is None or type(value) in (str, int):
        return value
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return [_plain(one) for one in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, Decimal)):
        return float(value) if isfinite(value) else None
    return str(value)


def _parsed(data: bytes) -> Any:
    pydicom = need("pydicom", extra="medical", what="reading DICOM files")
    marked = data[_FILE_START : _FILE_START + 4] == b"DICM"
    image = pydicom.dcmread(io.BytesIO(data), force=not marked)
    if getattr(image, "file_meta", None) is None:
        image.file_meta = pydicom.dataset.FileMetaDataset()
    if "TransferSyntaxUID" not in image.file_meta:  # cut off: what pydicom found by trying
        implicit, little = image.original_encoding
        uid = pydicom.uid
        image.file_meta.TransferSyntaxUID = (
            uid.ImplicitVRLittleEndian
            if implicit
            else uid.ExplicitVRLittleEndian
            if little
            else uid.ExplicitVRBigEndian
        )
    return image


def _pixels(image: Any) -> str:
    """The keyword of the element with the pixels."""
    for keyword in ("PixelData", *_FLOATS):
        if keyword in image:
            return keyword
    if not len(image) or not any(element.keyword for element in image):
        raise SampleError("not a DICOM file: no tags that DICOM knows")
    raise SampleError("no image: this DICOM file has no pixel data")


def _check_whole(image: Any, pixels: str, expected: int) -> None:
    """Refuse uncompressed pixels that are fewer than the header says."""
    uid = image.file_meta.TransferSyntaxUID
    if not uid.is_transfer_syntax or uid.is_encapsulated:
        return
    if "422" in image.get("PhotometricInterpretation", ""):
        expected = expected * 2 // 3
    if len(image[pixels].value) < expected:
        raise SampleError(
            f"broken DICOM file: {len(image[pixels].value)} bytes of pixels, not {expected} as "
            f"its header says; the file has been cut"
        )


def _check_frames(image: Any) -> None:
    """Refuse frames coded in another size than the header's, which may be absurdly large."""
    uid = image.file_meta.TransferSyntaxUID
    if not uid.is_transfer_syntax or not uid.is_encapsulated:
        return
    frames = need("pydicom.encaps", extra="medical", what="reading DICOM files")
    expected = (int(image.Rows), int(image.Columns))
    count = int(image.get("NumberOfFrames", None) or 1)
    for frame in frames.generate_frames(image.PixelData, number_of_frames=count):
        size = coded_size(frame)
        if size not in (None, expected):
            raise SampleError(
                f"broken DICOM file: a frame is coded as {size[0]} × {size[1]} pixels, "
                f"its header says {expected[0]} × {expected[1]}"
            )


def _has_palette(image: Any) -> bool:
    return bool(image.get("PhotometricInterpretation", "") == "PALETTE COLOR")


def _look_up(array: Array, image: Any) -> Array:
    pixels = need("pydicom.pixels", extra="medical", what="reading DICOM files")
    found: Array = pixels.apply_color_lut(array, image)
    return found


FORMATS = (
    Format(
        name="dicom",
        kind="dicom",
        extensions=(".dcm", ".dicom"),
        lossless=True,
        header=header,
        decode=decode,
        encode=None,
        extra="medical",
    ),
)
