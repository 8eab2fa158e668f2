"""Still images: headers parsed from bytes, pixels by imagecodecs or Pillow.

What arrays they become, whoever decodes them:

=============================  =====================================================
file                           array
=============================  =====================================================
grey                           ``(H, W)``, uint8, uint16, int32 or float
1 bit                          ``(H, W)``, uint8: 0 and 255
colour                         ``(H, W, 3)``
grey or colour with alpha      ``(H, W, 4)``
palette                        ``(H, W, 3)``, or ``(H, W, 4)`` if it has transparency
CMYK, YCbCr, Lab               ``(H, W, 3)``
16 bits a channel              as above, uint16
several frames or pages        the first one
=============================  =====================================================

The EXIF orientation is applied, to the shape as well.  AVIF of 10 or 12 bits becomes
8 bits.

Decoding finds every file that was cut.  The header alone finds it for JPEG (no end
marker), PNG (no last chunk), WebP and AVIF (shorter than they say), TIFF (pixels behind
the end), BMP of 24 bits, and ICO; not for GIF, JPEG 2000 and the rest, nor does it find
pixels that were garbled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.format import Format
from hubzarr.media.images import bmp, gif, jpeg, jpeg2000, png, tiff, webp, with_pillow
from hubzarr.media.images.writing import encoder

__all__ = ["FORMATS"]


_GREY_RGB = ("grey", "rgb")
_ALL_8 = ("grey", "rgb", "rgba")


def _format(
    module: Any,
    name: str,
    *extensions: str,
    encode: Callable[..., bytes],
    lossless: bool = True,
    fills: bool = True,
) -> Format:
    return Format(
        name, "image", extensions, lossless, module.header, module.decode, encode, "images", fills
    )


def _by_pillow(
    name: str, kinds: tuple[str, ...], *extensions: str, lossless: bool = True, **options: Any
) -> Format:
    pillow_format = name.upper()
    return Format(
        name,
        "image",
        extensions,
        lossless,
        with_pillow.header_parser(pillow_format),
        with_pillow.decoder(pillow_format),
        encoder(name, pillow_format, kinds, **options),
        "images",
    )


def _to_ico(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    """Encode as an icon of one size; by default, Pillow makes several smaller ones."""
    height, width = array.shape[:2] if array.ndim == 3 else (0, 0)
    if max(height, width) > _MAX_ICON:
        raise SampleError(f"an icon of {width} × {height} pixels; expected at most {_MAX_ICON}")
    return _icon(array, **{"sizes": [(width, height)], **options})


_MAX_ICON = 256
_icon = encoder("ico", "ICO", ("rgba",))
_to_jpeg = encoder("jpeg", "JPEG", _GREY_RGB, quality=90)
_to_webp = encoder("webp", "WEBP", ("rgb", "rgba"), quality=90, exact=True)
_to_gif = encoder("gif", "GIF", _ALL_8)
_to_bmp = encoder("bmp", "BMP", _GREY_RGB)
_JP2 = (".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".jpc")

FORMATS: tuple[Format, ...] = (
    _format(jpeg, "jpeg", ".jpg", ".jpeg", ".jpe", ".jfif", encode=_to_jpeg, lossless=False),
    _format(png, "png", ".png", ".apng", encode=png.encode),
    _format(webp, "webp", ".webp", encode=_to_webp, lossless=False),
    _format(tiff, "tiff", ".tif", ".tiff", ".gtiff", ".btf", encode=tiff.encode, fills=False),
    _format(jpeg2000, "jpeg2000", *_JP2, encode=jpeg2000.encode),
    _by_pillow("avif", ("rgb", "rgba"), ".avif", ".avifs", lossless=False, quality=90),
    # of 256 colours at most
    _format(gif, "gif", ".gif", encode=_to_gif, lossless=False, fills=False),
    _format(bmp, "bmp", ".bmp", encode=_to_bmp, fills=False),
    _by_pillow("dib", _GREY_RGB, ".dib"),
    Format(
        "ico",
        "image",
        (".ico",),
        True,
        with_pillow.header_parser("ICO"),
        with_pillow.decoder("ICO"),
        _to_ico,
        "images",
    ),
    _by_pillow("ppm", ("grey", "rgb", "grey16"), ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    _by_pillow("tga", _ALL_8, ".tga", ".icb", ".vda", ".vst"),
    _by_pillow("pcx", _GREY_RGB, ".pcx"),
    _format(jpeg, "mpo", ".mpo", encode=_to_jpeg, lossless=False),
    _by_pillow("sgi", _ALL_8, ".sgi", ".rgb", ".rgba", ".bw"),
    _by_pillow("xbm", ("bool",), ".xbm"),
)
