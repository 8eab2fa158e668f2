"""All EXIF tags of an image as plain values, for people who search their pictures by them."""

from __future__ import annotations

from typing import Any

from hubzarr.media.extras import need
from hubzarr.media.images.with_pillow import open_image, pillow_errors

__all__ = ["exif_tags"]

_MAX_BYTES = 256  # longer ones are thumbnails and notes of makers


def exif_tags(data: bytes) -> dict[str, Any]:
    """Give the EXIF tags of an image by their names.

    Parameters
    ----------
    data : bytes
        An image file of any format.

    Returns
    -------
    dict
        Values that JSON can hold; empty if there are none.  Those of the GPS are in
        their own dict, ``"GPSInfo"``.

    Raises
    ------
    SampleError
        The file is no image.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import get_format
    >>> from hubzarr.media.images.exif_tags import exif_tags
    >>> exif_tags(get_format("png").encode(np.zeros((2, 2), "u1")))
    {}
    """
    tags = need("PIL.ExifTags", extra="images", what="reading EXIF tags")
    with pillow_errors(), open_image(data) as image:
        exif = image.getexif()
        found = _named(exif, tags.TAGS)
        for name in ("ExifOffset", "GPSInfo"):  # numbers of bytes, of no use to anybody
            found.pop(name, None)
        found.update(_named(exif.get_ifd(tags.IFD.Exif), tags.TAGS))
        place = _named(exif.get_ifd(tags.IFD.GPSInfo), tags.GPSTAGS)
    return {**found, "GPSInfo": place} if place else found


def _named(tags: Any, names: dict[int, str]) -> dict[str, Any]:
    found = {}
    for number, value in tags.items():
        plain = _plain(value)
        if plain is not None:
            found[names.get(number, f"0x{number:04x}")] = plain
    return found


def _plain(value: Any) -> Any:
    """A value that JSON can hold, or None."""
    if isinstance(value, bytes):
        if len(value) > _MAX_BYTES:
            return None
        return value.rstrip(b"\0").decode("ascii", "replace")
    if isinstance(value, str):
        return value.rstrip("\0")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    try:
        number = float(value)  # fractions of Pillow
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if number - number == 0 else None  # neither infinite nor NaN
