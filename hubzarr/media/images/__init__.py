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

The EXIF orientation is applied, to the shape as well.
"""

from __future__ import annotations

from typing import Any

from hubzarr.media.format import Format
from hubzarr.media.images import jpeg, png, tiff, webp, with_pillow
from hubzarr.media.images.writing import encoder

__all__ = ["FORMATS"]


_GREY_RGB = ("grey", "rgb")
_ALL_8 = ("grey", "rgb", "rgba")


def _by_pillow(
    name: str,
    extensions: tuple[str, ...],
    formats: tuple[str, ...],
    kinds: tuple[str, ...],
    *,
    lossless: bool = True,
    **defaults: Any,
) -> Format:
    return Format(
        name,
        "image",
        extensions,
        lossless,
        with_pillow.header_parser(*formats),
        with_pillow.decoder(*formats),
        encoder(name, formats[0], kinds, **defaults),
        "images",
    )


FORMATS: tuple[Format, ...] = (
    Format(
        "jpeg",
        "image",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        False,
        jpeg.header,
        jpeg.decode,
        encoder("jpeg", "JPEG", _GREY_RGB, quality=90),
        "images",
    ),
    Format("png", "image", (".png", ".apng"), True, png.header, png.decode, png.encode, "images"),
    Format(
        "webp",
        "image",
        (".webp",),
        False,
        webp.header,
        webp.decode,
        encoder("webp", "WEBP", ("rgb", "rgba"), quality=90, exact=True),
        "images",
    ),
    Format(
        "tiff",
        "image",
        (".tif", ".tiff", ".gtiff", ".btf"),
        True,
        tiff.header,
        tiff.decode,
        tiff.encode,
        "images",
    ),
    _by_pillow(
        "jpeg2000",
        (".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".jpc"),
        ("JPEG2000",),
        (*_ALL_8, "grey16"),
    ),
    _by_pillow("avif", (".avif", ".avifs"), ("AVIF",), ("rgb", "rgba"), lossless=False, quality=90),
    _by_pillow("gif", (".gif",), ("GIF",), _ALL_8, lossless=False),
    _by_pillow("bmp", (".bmp",), ("BMP",), _GREY_RGB),
    _by_pillow("dib", (".dib",), ("DIB",), _GREY_RGB),
    _by_pillow("ico", (".ico",), ("ICO",), ("rgba",)),
    _by_pillow(
        "ppm", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), ("PPM",), ("grey", "rgb", "grey16")
    ),
    _by_pillow("tga", (".tga", ".icb", ".vda", ".vst"), ("TGA",), _ALL_8),
    _by_pillow("pcx", (".pcx",), ("PCX",), _GREY_RGB),
    Format(
        "mpo",
        "image",
        (".mpo",),
        False,
        jpeg.header,
        jpeg.decode,
        encoder("mpo", "JPEG", _GREY_RGB, quality=90),
        "images",
    ),
    _by_pillow("sgi", (".sgi", ".rgb", ".rgba", ".bw"), ("SGI",), _ALL_8),
    _by_pillow("xbm", (".xbm",), ("XBM",), ("bool",)),
)
