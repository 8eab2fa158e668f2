"""BMP: the header of the usual sort, 24 bits, from bytes; all else by Pillow."""

from __future__ import annotations

from struct import Struct

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.format import Header
from hubzarr.media.images import with_pillow

__all__ = ["decode", "header"]

# Offset of pixels; size of the header, width, height, planes, bits, compression
_FIELDS = Struct("<10xIIiiHHI").unpack_from
_BYTES = np.dtype(np.uint8)

decode = with_pillow.decoder("BMP")


def header(data: bytes) -> Header:
    """Give shape and dtype of a BMP file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        Of what `decode` gives.

    Raises
    ------
    SampleError
        The header is broken, or pixels are missing at the end.
    """
    if not data.startswith(b"BM") or len(data) < 54:
        raise SampleError("broken BMP file: it does not begin as one")
    offset, size, width, height, planes, bits, compression = _FIELDS(data)
    if size < 40 or (planes, bits, compression) != (1, 24, 0) or width <= 0 or not height:
        return with_pillow.header(data, ("BMP",))
    height = abs(height)
    row_bytes = (3 * width + 3) // 4 * 4
    if offset + (height - 1) * row_bytes + 3 * width > len(data):
        raise SampleError(f"truncated BMP file: {len(data)} bytes of {height} rows")
    return Header((height, width, 3), _BYTES, {})
