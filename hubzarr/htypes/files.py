"""Samples kept as files: bytes of the tensor's format stay untouched, all else is encoded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.htypes import colours
from hubzarr.htypes.casting import as_array, cast
from hubzarr.htypes.converting import same_file, told_to_encoder
from hubzarr.htypes.shapes import Shape
from hubzarr.htypes.spec import TensorSpec
from hubzarr.media import Sample, get_format
from hubzarr.media.images.with_pillow import to_array

__all__ = ["array_of", "decode_file", "encode_file", "is_pillow"]

type Array = np.ndarray[Any, Any]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def is_pillow(value: Any) -> bool:
    """Tell an image of Pillow, without importing Pillow."""
    return type(value).__module__.startswith("PIL.") and hasattr(value, "getbands")


def encode_file(spec: TensorSpec, value: Any) -> tuple[bytes, Shape]:
    """Give the bytes of a file, and the shape of the sample in it.

    Parameters
    ----------
    spec : TensorSpec
        With a sample compression.
    value : Sample, image of Pillow, or array_like
        A sample.

    Returns
    -------
    bytes, tuple of int
        A `Sample` that has the format already is not decoded.
    """
    if type(value) is not Sample:
        return _encode(spec, array_of(spec, value))
    try:
        return _kept(spec, value)
    except SampleError as error:
        raise _named(error, value) from error


def decode_file(spec: TensorSpec, data: bytes, shape: Shape, out: Array | None = None) -> Array:
    """Give the array in the bytes of a file.

    Parameters
    ----------
    spec : TensorSpec
        With a sample compression.
    data : bytes
        From `encode_file`; nothing is an empty sample.
    shape : tuple of int
        Of the sample.
    out : numpy.ndarray, optional
        Filled and returned: C-contiguous, of the sample's shape and dtype.
    """
    dtype = spec.numpy_dtype
    if out is not None:
        if len(data) > 0:
            casting = "equiv" if dtype is None else "unsafe"
            get_format(spec.sample_compression or "").decode_into(data, out, casting)
        return out
    if len(data) == 0:
        return np.zeros(shape, np.uint8 if dtype is None else dtype)
    array = get_format(spec.sample_compression or "").decode(data)
    if array.shape != shape and array.size == np.prod(shape, dtype=int):
        array = array.reshape(shape)
    return array if dtype is None else array.astype(dtype, copy=False)


def array_of(spec: TensorSpec, value: Any) -> Array:
    """Give a user's value as an array, converted to grey or colour where the htype says so."""
    if type(value) is Sample:
        array = value.array
    elif is_pillow(value):
        array = to_array(value)
    else:
        array = as_array(value)
    if spec.base == "image.rgb" and array.ndim in (2, 3) and array.shape[2:] != (3,):
        return array if array.size == 0 else colours.to_rgb(array)
    if spec.base == "image.gray" and array.ndim == 3:
        return colours.to_gray(array)
    return array


def _suits(spec: TensorSpec, shape: Shape) -> bool:
    """Whether a file of this shape may stay as it is, as far as colours go."""
    if spec.base == "image.rgb":
        return shape[2:] == (3,)
    return spec.base != "image.gray" or len(shape) == 2


def _kept(spec: TensorSpec, sample: Sample) -> tuple[bytes, Shape]:
    """Keep a file as it is if it has the right format and colours, else encode it anew."""
    wanted = spec.sample_compression or ""
    header = sample.header
    shape = header.shape
    data = same_file(sample, wanted) if _suits(spec, shape) else None
    if data is None:
        return _encode(spec, array_of(spec, sample), told_to_encoder(sample, wanted))
    dtype = spec.numpy_dtype
    if dtype is not None and header.dtype != dtype:
        _check_dtype(header.dtype, dtype)
    return data, spec.kind.fit(shape)


def _encode(
    spec: TensorSpec, array: Array, told: Mapping[str, Any] = _NOTHING
) -> tuple[bytes, Shape]:
    shape = spec.kind.fit(array.shape)
    if array.size == 0:
        return b"", shape
    # Encoders of audio know what integers mean; as floats their loudness would be lost.
    if spec.numpy_dtype is not None and spec.base != "audio":
        array = cast(array, spec.numpy_dtype)
    format = get_format(spec.sample_compression or "")
    if format.encode is None:
        raise SampleError(
            f"hubzarr keeps {format.name} files but can't write them; append hub.read(path) of "
            "one, or create the tensor with chunk_compression='zstd' for arrays"
        )
    options = {**told, **spec.options.get("encoding", {})}
    try:
        data = format.encode(array.reshape(shape), **options)
        # MP3 adds silence, H.264 wants even sides: what counts is what comes back
        whole = shape if format.kind == "image" else spec.kind.fit(format.header(data).shape)
        return data, whole
    except SampleError:
        other = _without_alpha(spec, array)
        if other is None:
            raise
        return format.encode(other, **options), spec.kind.fit(other.shape)


def _without_alpha(spec: TensorSpec, array: Array) -> Array | None:
    """The same picture in three channels, for formats that know no other, or None."""
    if spec.kind.files != "image" or array.ndim not in (2, 3) or spec.base == "image.gray":
        return None
    channels = array.shape[2] if array.ndim == 3 else 1
    if channels == 4 and not colours.opaque(array):
        raise SampleError(
            f"an image with transparency, which {spec.sample_compression} can't keep; append it "
            "without, as in image[..., :3], or use a tensor of htype image.rgb or of "
            "sample_compression='png'"
        )
    return colours.to_rgb(array) if channels in (1, 4) else None


def _check_dtype(given: np.dtype[Any], dtype: np.dtype[Any]) -> None:
    """Refuse files whose values the tensor's dtype can't hold."""
    if not np.can_cast(given, dtype, "safe"):
        raise SampleError(
            f"file of {given} in a tensor of {dtype}; create the tensor with dtype={given.name!r}"
        )


def _named(error: SampleError, sample: Sample) -> SampleError:
    if error.path is not None or sample.path is None:
        return error
    return SampleError(f"{sample.path}: {error.message}", path=sample.path)
