"""What is stored back to samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.errors import DamagedError
from hubzarr.htypes import documents
from hubzarr.htypes.files import decode_file
from hubzarr.htypes.sequences import unframe
from hubzarr.htypes.shapes import Shape
from hubzarr.htypes.spec import TensorSpec
from hubzarr.media import Link

__all__ = ["restore"]


def restore(spec: TensorSpec, data: Any, shape: Shape) -> Any:
    """Give a stored sample back.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.
    data : bytes or numpy.ndarray
        What `prepare` gave.
    shape : tuple of int
        Of the sample.

    Returns
    -------
    object
        An array (of files: decoded); a string; what JSON holds; a `Link`; for sequences and
        polygons a list of those. None for a link to nothing.

    Raises
    ------
    DamagedError
        The bytes are not what `prepare` gave.

    Examples
    --------
    >>> from hubzarr.htypes import prepare, restore, tensor_spec
    >>> spec, info = tensor_spec("sequence[text]")
    >>> restore(spec, *prepare(spec, ["a", "", "b"], info))
    ['a', '', 'b']
    """
    stores = spec.stores
    if stores == "array":
        return data if isinstance(data, np.ndarray) else _array(spec, data, shape)
    if not isinstance(data, bytes):
        data = bytes(data)
    if stores == "file":
        return decode_file(spec, data, shape)
    if stores == "text":
        return documents.load_text(data)
    if stores == "json":
        return documents.load_json(data)
    if stores == "link":
        return Link(documents.load_text(data)) if data else None
    item = spec.item
    blobs, shapes = unframe(data)
    return [restore(item, blob, each) for blob, each in zip(blobs, shapes, strict=True)]


def _array(spec: TensorSpec, data: bytes, shape: Shape) -> np.ndarray[Any, Any]:
    """An array of its own, which users may write to, from the bytes of its elements."""
    dtype = spec.stored_dtype
    try:
        array = np.frombuffer(bytearray(data), dtype).reshape(shape)
    except ValueError as error:
        raise DamagedError(
            f"{len(data)} bytes stored for a sample of shape {shape} and {dtype}: {error}"
        ) from error
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))
