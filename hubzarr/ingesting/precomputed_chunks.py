"""Chunks of Neuroglancer Precomputed volumes, decoded to arrays of axes x, y, z, channel.

Encodings are ``raw``, ``jpeg``, ``png``, ``jxl`` and ``compressed_segmentation``. The last
one cuts a channel into blocks; each has a table of the labels in it, and for each voxel the
number of its label in as few bits as the block needs. All 32-bit words, little-endian::

    for each channel     place of its data in the file
    for each block       table's place (24 bits), bits of a number (8 bits); numbers' place
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from hubzarr.errors import SampleError, UnsupportedError
from hubzarr.media import get_format
from hubzarr.media.extras import need
from hubzarr.media.guard import broken_unless_read

__all__ = ["ENCODINGS", "decode_chunk", "decode_segmentation"]

type Array = np.ndarray[Any, Any]
type Shape = tuple[int, int, int, int]


@broken_unless_read("chunk")
def decode_chunk(
    data: bytes,
    encoding: str,
    shape: Shape,
    dtype: np.dtype[Any],
    block: tuple[int, int, int] = (8, 8, 8),
) -> Array:
    """The voxels of a chunk, as (x, y, z, channel).

    Parameters
    ----------
    data : bytes
        Of the chunk, not packed by gzip any more.
    encoding : str
        Of the scale.
    shape : tuple of int
        Of the chunk: x, y, z, channels.
    dtype : numpy.dtype
        Of the volume.
    block : tuple of int
        Size of the blocks of ``compressed_segmentation``.

    Examples
    --------
    >>> decode_chunk(bytes(range(6)), "raw", (3, 2, 1, 1), np.dtype("u1"))[:, :, 0, 0]
    array([[0, 3],
           [1, 4],
           [2, 5]], dtype=uint8)
    """
    decoder = ENCODINGS.get(encoding)
    if decoder is None:
        raise UnsupportedError(
            f"chunks of encoding {encoding!r} are not read; encodings that are: "
            f"{', '.join(ENCODINGS)}"
        )
    chunk = decoder(data, shape, dtype, block)
    if chunk.shape != shape or chunk.dtype != dtype:
        raise SampleError(f"it holds {chunk.shape} of {chunk.dtype}, not {shape} of {dtype}")
    return chunk


@broken_unless_read("chunk of compressed_segmentation")
def decode_segmentation(
    data: bytes, shape: Shape, dtype: np.dtype[Any], block: tuple[int, int, int]
) -> Array:
    """Labels from the format ``compressed_segmentation``.

    Examples
    --------
    >>> words = [1, 2 | 1 << 24, 4, 7, 9, 0b0110]  # one block: labels 7 and 9, one bit each
    >>> data = np.array(words[:1] + [3 | 1 << 24, 2, 0b0110, 7, 9], "<u4").tobytes()
    >>> decode_segmentation(data, (2, 2, 1, 1), np.dtype("u4"), (2, 2, 1))[:, :, 0, 0]
    array([[7, 9],
           [9, 7]], dtype=uint32)
    """
    if dtype.kind != "u" or dtype.itemsize not in (4, 8):
        raise SampleError(f"labels of {dtype}; expected uint32 or uint64")
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    channels = [_channel(words[start:], shape[:3], dtype, block) for start in words[: shape[3]]]
    return np.stack(channels, axis=-1)


def _channel(
    words: Array, shape: tuple[int, ...], dtype: np.dtype[Any], block: tuple[int, int, int]
) -> Array:
    grid = [-(-size // edge) for size, edge in zip(shape, block, strict=True)]
    headers = words[: 2 * math.prod(grid)].reshape(-1, 2).astype(np.int64)
    tables, widths, places = headers[:, 0] & 0xFFFFFF, headers[:, 0] >> 24, headers[:, 1]
    labels = np.empty((len(headers), math.prod(block)), dtype)
    for width in np.unique(widths).tolist():
        chosen = widths == width
        numbers = _numbers(words, places[chosen], width, labels.shape[1])
        at = tables[chosen, None] + numbers * (dtype.itemsize // 4)
        found = words[at].astype(dtype)
        if dtype.itemsize == 8:
            found |= words[at + 1].astype(dtype) << np.uint64(32)
        labels[chosen] = found
    # Blocks and the voxels in them are ordered with x running fastest.
    blocks = labels.reshape(*grid[::-1], *block[::-1]).transpose(2, 5, 1, 4, 0, 3)
    whole = blocks.reshape([count * edge for count, edge in zip(grid, block, strict=True)])
    return whole[: shape[0], : shape[1], : shape[2]]


def _numbers(words: Array, places: Array, width: int, count: int) -> Array:
    """Packed numbers of so many bits, `count` of them from each place."""
    if width not in (0, 1, 2, 4, 8, 16, 32):
        raise SampleError(f"numbers of {width} bits; expected 0, 1, 2, 4, 8, 16 or 32")
    if width == 0:
        return np.zeros((len(places), count), np.int64)
    in_word = 32 // width
    packed = words[places[:, None] + np.arange(-(-count // in_word))].astype(np.int64)
    shifts = np.arange(in_word) * width
    numbers = packed[:, :, None] >> shifts & ((1 << width) - 1)
    return numbers.reshape(len(places), -1)[:, :count]


def _raw(data: bytes, shape: Shape, dtype: np.dtype[Any], block: Any) -> Array:
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape, order="F")


def _image(format_name: str) -> Callable[[bytes, Shape, np.dtype[Any], Any], Array]:
    def decode(data: bytes, shape: Shape, dtype: np.dtype[Any], block: Any) -> Array:
        return _unrolled(get_format(format_name).decode(data), shape)

    return decode


def _jxl(data: bytes, shape: Shape, dtype: np.dtype[Any], block: Any) -> Array:
    codecs = need("imagecodecs", extra="images", what="reading JPEG XL")
    return _unrolled(codecs.jpegxl_decode(data), shape)


def _unrolled(picture: Array, shape: Shape) -> Array:
    """Rows of a picture, one after another, are the voxels with x running fastest."""
    x, y, z, channels = shape
    return picture.reshape(z, y, x, channels).transpose(2, 1, 0, 3)


ENCODINGS = MappingProxyType(
    {
        "raw": _raw,
        "jpeg": _image("jpeg"),
        "png": _image("png"),
        "jxl": _jxl,
        "compressed_segmentation": decode_segmentation,
    }
)
