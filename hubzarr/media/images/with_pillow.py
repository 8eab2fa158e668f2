"""Images by Pillow: whatever has no quicker way here.

All modes of Pillow become one of a few kinds of array, see `hubzarr.media.images`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, SampleError
from hubzarr.media.extras import need
from hubzarr.media.format import Header

__all__ = [
    "decode",
    "decode_as_stored",
    "decoder",
    "header",
    "header_parser",
    "pillow_errors",
    "to_array",
]

type Array = np.ndarray[Any, Any]

_BYTES = np.dtype(np.uint8)
_SHORTS = np.dtype(np.uint16)
# Mode of Pillow: mode to convert to, channels (0: none, an image of two dimensions), dtype.
_MODES: dict[str, tuple[str | None, int, np.dtype[Any]]] = {
    "1": ("L", 0, _BYTES),
    "L": (None, 0, _BYTES),
    "P": ("RGB", 3, _BYTES),
    "PA": ("RGBA", 4, _BYTES),
    "LA": ("RGBA", 4, _BYTES),
    "La": ("LA", 4, _BYTES),
    "RGB": (None, 3, _BYTES),
    "RGBX": ("RGB", 3, _BYTES),
    "RGBA": (None, 4, _BYTES),
    "RGBa": ("RGBA", 4, _BYTES),
    "CMYK": ("RGB", 3, _BYTES),
    "YCbCr": ("RGB", 3, _BYTES),
    "LAB": ("RGB", 3, _BYTES),
    "HSV": ("RGB", 3, _BYTES),
    "I;16": (None, 0, _SHORTS),
    "I;16L": (None, 0, _SHORTS),
    "I;16B": ("I;16", 0, _SHORTS),
    "I;16N": ("I;16", 0, _SHORTS),
    "I": (None, 0, np.dtype(np.int32)),
    "F": (None, 0, np.dtype(np.float32)),
}
_ORIENTATION = 0x0112
_EXIF_TURNED = (5, 6, 7, 8)  # rows are columns


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Turn what Pillow raises for broken files (almost anything) into `SampleError`.

    Its warnings, about metadata that do not matter here, are left to their filters.
    """
    try:
        yield
    except (HubzarrError, MemoryError):
        raise
    except Exception as error:
        text = str(error).partition(" <_io")[0] or type(error).__name__
        raise SampleError(f"broken image: {text}") from error


def open_image(data: bytes, formats: tuple[str, ...] | None = None) -> Any:
    """Open an image that has one of some formats of Pillow."""
    pillow = need("PIL.Image", extra="images", what="reading images")
    return pillow.open(io.BytesIO(data), formats=formats)


def channels(image: Any) -> tuple[str | None, int, np.dtype[Any]]:
    """Tell what an image is converted to, how many channels that has, and their dtype."""
    mode = image.mode
    found = _MODES.get(mode)
    if found is None:
        raise SampleError(f"image of Pillow's mode {mode!r}; expected one of {sorted(_MODES)}")
    if mode in ("1", "L", "P", "RGB") and image.has_transparency_data:
        return "RGBA", 4, _BYTES
    return found


def to_array(image: Any) -> Array:
    """Give the pixels of an image of Pillow, of any mode.

    Parameters
    ----------
    image : PIL.Image.Image
        Whose orientation is not looked at.

    Returns
    -------
    numpy.ndarray
        ``(H, W)``, or ``(H, W, 3)`` or ``(H, W, 4)``.
    """
    target, _, dtype = channels(image)
    if target == "LA":
        image, target = image.convert("LA"), "RGBA"
    if target is not None:
        image = image.convert(target)
    return np.array(image, dtype)  # a copy: the view of an image is read-only


def header(data: bytes, formats: tuple[str, ...] | None = None) -> Header:
    """Give the header of an image by opening it, without decoding pixels."""
    with pillow_errors(), open_image(data, formats) as image:
        _, count, dtype = channels(image)
        width, height = image.size
        # TIFF: Pillow gives the size as turned already.
        if image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _EXIF_TURNED:
            width, height = height, width
        return Header((height, width, count) if count else (height, width), dtype, {})


def decode(data: bytes, formats: tuple[str, ...] | None = None) -> Array:
    """Decode the first frame of an image, turned as its EXIF orientation says."""
    operations = need("PIL.ImageOps", extra="images", what="reading images")
    with pillow_errors(), open_image(data, formats) as image:
        image.load()
        return to_array(operations.exif_transpose(image))


def decode_as_stored(data: bytes, formats: tuple[str, ...]) -> Array:
    """Decode an image without looking at its orientation."""
    with pillow_errors(), open_image(data, formats) as image:
        image.load()
        return to_array(image)


def header_parser(*formats: str) -> Callable[[bytes], Header]:
    """Make a header parser for some formats of Pillow."""
    return lambda data: header(data, formats)


def decoder(*formats: str) -> Callable[[bytes], Array]:
    """Make a decoder for some formats of Pillow."""
    return lambda data: decode(data, formats)
