"""What is stored back to samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.errors import DamagedError, InvalidError
from hubzarr.htypes import documents
from hubzarr.htypes.files import decode_file
from hubzarr.htypes.sequences import unframe
from hubzarr.htypes.shapes import Shape
from hubzarr.htypes.spec import TensorSpec
from hubzarr.media import Link

__all__ = ["restore"]


def restore(
    spec: TensorSpec, data: Any, shape: Shape, out: np.ndarray[Any, Any] | None = None
) -> Any:
    """Give a stored sample back.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.
    data : bytes or numpy.ndarray
        What `prepare` gave.
    shape : tuple of int
        Of the sample.
    out : numpy.ndarray, optional
        An array to put the sample into and to return, for samples that are arrays: C-contiguous,
        writable, of the sample's shape and dtype.  Decoders of images write right into it.
        After an error it holds anything.

    Returns
    -------
    object
        An array (of files: decoded); a string; what JSON holds; a `Link`; for sequences and
        polygons a list of those. None for a link to nothing.

    Raises
    ------
    DamagedError
        The bytes are not what `prepare` gave.
    SampleError
        A file is broken, or holds an array that doesn't fit `out`.
    InvalidError
        `out` is not such an array, or the sample is no array.

    Examples
    --------
    >>> from hubzarr.htypes import prepare, restore, tensor_spec
    >>> spec, info = tensor_spec("sequence[text]")
    >>> restore(spec, *prepare(spec, ["a", "", "b"], info))
    ['a', '', 'b']

    >>> import numpy as np
    >>> spec, info = tensor_spec("image", sample_compression="png")
    >>> batch = np.empty((2, 4, 5, 3), "u1")
    >>> data, shape = prepare(spec, np.full((4, 5, 3), 7, "u1"), info)
    >>> restore(spec, data, shape, out=batch[1]).sum()
    np.uint64(420)
    """
    stores = spec.stores
    if out is not None:
        _check_target(spec, shape, out)
    if stores == "array":
        return _array(spec, data, shape, out)
    if not isinstance(data, bytes):
        data = bytes(data)
    if stores == "file":
        return decode_file(spec, data, shape, out)
    if stores == "text":
        return documents.load_text(data)
    if stores == "json":
        return documents.load_json(data)
    if stores == "link":
        return Link(documents.load_text(data)) if data else None
    item = spec.item
    blobs, shapes = unframe(data)
    return [restore(item, blob, each) for blob, each in zip(blobs, shapes, strict=True)]


def _check_target(spec: TensorSpec, shape: Shape, out: np.ndarray[Any, Any]) -> None:
    """Refuse an array that a sample can't be put into."""
    if spec.stores not in ("array", "file"):
        raise InvalidError(
            f"out= for a sample of htype {spec.htype!r}, which is no array; leave it out"
        )
    dtype = spec.numpy_dtype
    if out.shape != shape or not out.flags.carray or dtype not in (None, out.dtype):
        raise InvalidError(
            f"out is an array of {out.dtype} {out.shape}; expected one of "
            f"{dtype or 'its dtype'} {shape}, C-contiguous and writable"
        )


def _array(
    spec: TensorSpec, data: Any, shape: Shape, out: np.ndarray[Any, Any] | None
) -> np.ndarray[Any, Any]:
    """An array of its own, which users may write to, or `out`, from the bytes of its elements."""
    if isinstance(data, np.ndarray):
        found = data
    else:
        found = _viewed(spec.stored_dtype, data if out is not None else bytearray(data), shape)
    if out is not None:
        np.copyto(out, found)
        return out
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def _viewed(dtype: np.dtype[Any], data: bytes | bytearray, shape: Shape) -> np.ndarray[Any, Any]:
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:
        raise DamagedError(
            f"{len(data)} bytes stored for a sample of shape {shape} and {dtype}: {error}"
        ) from error
