"""TIFF, BigTIFF and GeoTIFF by tifffile: any bands and number types; by Pillow without it.

What is stored becomes what one sees: palettes are looked up, white that is zero is turned,
bits are spread to bytes, alpha and orientation are applied.  All of it works pixel by
pixel, so that regions of huge files (`hubzarr.media.regions`) come out the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.media.extras import have, need
from hubzarr.media.format import Header
from hubzarr.media.images import with_pillow
from hubzarr.media.images.bombs import refuse_bomb
from hubzarr.media.images.exif import oriented, turned
from hubzarr.media.images.writing import encoder

__all__ = ["Layout", "decode", "encode", "header", "layout", "tiff_errors"]

type Array = np.ndarray[Any, Any]

_WHITE_IS_ZERO, _PALETTE, _SEPARATED, _YCBCR, _CIELAB = 0, 3, 5, 6, 8
_GREYS = (0, 1)
_SEPARATE_PLANES = 2
_JPEGS = (7, 34892, 33007)
_OLD_JPEG = 6
_ALPHAS = (1, 2)
_ORIENTATION = 274


@dataclass(frozen=True)
class Layout:
    """How a page is stored, and how it is shown.

    Attributes
    ----------
    height, width, samples : int
        As stored.
    orientation : int
        As in EXIF.
    channels : int
        Of what is shown; 0: no axis of channels.
    dtype : numpy.dtype
        Of what is shown.
    show : callable
        From stored pixels ``(h, w, samples)`` to shown ones, upright not yet.
    """

    height: int
    width: int
    samples: int
    orientation: int
    channels: int
    dtype: np.dtype[Any]
    show: Callable[[Array], Array]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole page as shown, upright."""
        size = turned(self.height, self.width, self.orientation)
        return (*size, self.channels) if self.channels else size


@contextmanager
def tiff_errors() -> Iterator[None]:
    """Turn what tifffile raises for broken files (almost anything) into `SampleError`."""
    try:
        yield
    except (HubzarrError, MemoryError):
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        raise SampleError(f"broken TIFF file: {text}") from error


def layout(page: Any, size: int) -> Layout | None:
    """Read the tags of a page.

    Parameters
    ----------
    page : tifffile.TiffPage
        First page of a file.
    size : int
        Of the file in bytes: what lies behind its end is missing.

    Returns
    -------
    Layout or None
        None for colours that tifffile leaves alone and Pillow converts.
    """
    if page.dtype is None:
        raise SampleError(
            f"TIFF file of {page.bitspersample} bits, sample format {page.sampleformat}; "
            "expected a number type of NumPy"
        )
    sizes = (page.imagelength, page.imagewidth, page.samplesperpixel)
    if not all(isinstance(each, int) and each > 0 for each in sizes):
        raise SampleError(f"broken TIFF file: its height, width and samples are {sizes}")
    if page.imagedepth > 1:
        raise SampleError(f"TIFF page of shape {page.shape}; expected an image of two dimensions")
    ends = np.asarray(page.dataoffsets, np.uint64) + np.asarray(page.databytecounts, np.uint64)
    if ends.size and int(ends.max()) > size:
        raise SampleError(f"truncated TIFF file: {size} bytes, its pixels end at {ends.max()}")
    if _pillow_shows(page):
        return None
    channels, dtype, show = _appearance(page)
    tag = page.tags.get(_ORIENTATION)
    orientation = tag.value if tag is not None and tag.value in range(1, 9) else 1
    return Layout(
        page.imagelength,
        page.imagewidth,
        page.samplesperpixel,
        int(orientation),
        channels,
        dtype,
        show,
    )


def _pillow_shows(page: Any) -> bool:
    photometric, compression = int(page.photometric), int(page.compression)
    if compression == _OLD_JPEG or (photometric == _YCBCR and compression not in _JPEGS):
        return True
    bytes_only = page.dtype == np.uint8
    if photometric == _CIELAB:
        return bool(bytes_only and page.samplesperpixel == 3)
    return bool(photometric == _SEPARATED and bytes_only and page.samplesperpixel == 4)


def _appearance(page: Any) -> tuple[int, np.dtype[Any], Callable[[Array], Array]]:
    """Channels, dtype and conversion of the pixels of a page."""
    samples, dtype = page.samplesperpixel, page.dtype.newbyteorder("=")
    photometric, bits = int(page.photometric), int(page.bitspersample)
    if photometric == _PALETTE and page.colormap is not None and samples == 1:
        table = (np.moveaxis(page.colormap, 0, 1) >> 8).astype(np.uint8)
        return 3, table.dtype, lambda pixels: table[pixels[..., 0].astype(np.intp)]
    if photometric in _GREYS and dtype.kind in "ub":
        white_is_zero = photometric == _WHITE_IS_ZERO
        if samples == 1 and (bits < 8 or white_is_zero):
            if dtype.kind == "b":
                dtype, bits = np.dtype(np.uint8), 1
            return 0, dtype, _spread(dtype, bits, inverted=white_is_zero)
        if samples == 2 and page.extrasamples and int(page.extrasamples[0]) in _ALPHAS:
            return 4, dtype, lambda pixels: pixels[..., [0, 0, 0, 1]]
    if samples == 1:
        return 0, dtype, lambda pixels: pixels[..., 0]
    return samples, dtype, lambda pixels: pixels


def _spread(dtype: np.dtype[Any], bits: int, *, inverted: bool) -> Callable[[Array], Array]:
    """Scale fewer than eight bits to the whole range of a byte; more are values as they are."""
    largest = dtype.type((1 << bits) - 1)
    factor = dtype.type(255 // ((1 << bits) - 1) if bits < 8 else 1)

    def show(pixels: Array) -> Array:
        grey = pixels[..., 0].astype(dtype, copy=False)
        if inverted:
            grey = largest - grey
        return grey if factor == 1 else grey * factor

    return show


def header(data: bytes) -> Header:
    """Give shape and dtype of the first page of a TIFF file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        With the orientation applied.

    Raises
    ------
    SampleError
        The tags are broken, or pixels are missing at the end of the file.
    """
    tifffile = have("tifffile")
    if tifffile is None:
        return with_pillow.header(data, ("TIFF",))
    with tiff_errors(), tifffile.TiffFile(io.BytesIO(data)) as file:
        found = layout(file.pages.first, len(data))
    if found is None:
        return with_pillow.header(data, ("TIFF",))
    return Header(found.shape, found.dtype, {})


def decode(data: bytes) -> Array:
    """Decode the first page of a TIFF file, upright.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    numpy.ndarray
        ``(H, W)`` or ``(H, W, bands)``.

    Raises
    ------
    SampleError
        The file is broken or truncated.
    """
    tifffile = have("tifffile")
    if tifffile is None:
        return with_pillow.decode(data, ("TIFF",))
    with tiff_errors(), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        found = layout(page, len(data))
        if found is not None:
            refuse_bomb(found.shape, found.dtype.itemsize, len(data))
            stored = page.asarray(squeeze=False)  # planes, depth, height, width, samples
            pixels = stored[:, 0, :, :, 0].transpose(1, 2, 0)
            if stored.shape[0] == 1:
                pixels = stored[0, 0]
            shown = found.show(pixels).astype(found.dtype, copy=False)
            return np.ascontiguousarray(oriented(shown, found.orientation))
    return with_pillow.decode(data, ("TIFF",))


_encode_plain = encoder("tiff", "TIFF", ("grey", "rgb", "rgba", "grey16"))


def encode(array: Array, **options: Any) -> bytes:
    """Encode an array as a TIFF file.

    Parameters
    ----------
    array : numpy.ndarray
        ``(H, W)`` or ``(H, W, bands)`` of any integers or floats.
    **options
        Of ``tifffile.imwrite``; by default compressed with zlib.

    Returns
    -------
    bytes
        The file.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "iufc":
        raise SampleError(
            f"an array of {array.dtype} {array.shape} can't be a tiff file; expected numbers "
            "of shape (H, W) or (H, W, bands)"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if have("tifffile") is None and not options:
        return _encode_plain(array)
    tifffile = need("tifffile", extra="images", what="writing TIFF files")
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype.kind == "u"
    settings: dict[str, Any] = {
        "photometric": "rgb" if colour else "minisblack",
        "compression": "zlib",
        "metadata": None,
        **options,
    }
    if array.ndim == 3:
        settings.setdefault("planarconfig", "contig")
        extra = array.shape[2] - (3 if colour else 1)
        kind = "unassalpha" if colour else "unspecified"
        settings.setdefault("extrasamples", [kind] * extra)
    file = io.BytesIO()
    try:
        tifffile.imwrite(file, np.ascontiguousarray(array), **settings)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidError(f"tiff file with {options} can't be written: {error}") from error
    return file.getvalue()
