"""A user's sample to what is stored: validated, converted, with as few copies as possible."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hubzarr.dtypes import is_small_float
from hubzarr.errors import SampleError
from hubzarr.htypes import documents
from hubzarr.htypes.casting import as_array, cast, items_of
from hubzarr.htypes.files import array_of, encode_file
from hubzarr.htypes.labels import check_numbers, class_numbers, has_names
from hubzarr.htypes.sequences import frame
from hubzarr.htypes.shapes import Shape
from hubzarr.htypes.spec import TensorSpec
from hubzarr.media import Link

__all__ = ["PREPARERS", "Prepared", "empty", "prepare"]

type Array = np.ndarray[Any, Any]


class Prepared(NamedTuple):
    """One sample as it is stored.

    Attributes
    ----------
    data : bytes or numpy.ndarray
        An array of the tensor's dtype where `TensorSpec.stores` is "array", else bytes.
    shape : tuple of int
        Of the array that the sample is; () of text, JSON and links, (length,) of lists,
        (items, longest of each axis) of sequences.
    """

    data: bytes | Array
    shape: Shape


def prepare(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    """Check and convert one sample.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.
    value : object
        What a user appends: array, number, string, dict, list, `Sample`, `Link`, image of
        Pillow, tensor of another library. None is an empty sample (null in JSON).
    info : mapping
        The tensor's info, with ``class_names``.

    Returns
    -------
    Prepared
        What to store.

    Raises
    ------
    SampleError
        The sample does not fit the tensor.

    Examples
    --------
    >>> from hubzarr.htypes import prepare, tensor_spec
    >>> spec, info = tensor_spec("bbox")
    >>> prepare(spec, [[0, 0, 10, 20]], info)
    Prepared(data=array([[ 0.,  0., 10., 20.]], dtype=float32), shape=(1, 4))
    >>> prepare(spec, [1, 2, 3], info)
    Traceback (most recent call last):
    hubzarr.errors.SampleError: sample of shape (3,); expected boxes: (number of boxes, 4)
    """
    if value is None and spec.base != "json":
        return empty(spec)
    return PREPARERS[spec.stores](spec, value, info)


def empty(spec: TensorSpec) -> Prepared:
    """Give a sample of nothing.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.

    Returns
    -------
    Prepared
        An empty array, file, string, list, sequence; null for JSON.

    Examples
    --------
    >>> from hubzarr.htypes import empty, tensor_spec
    >>> empty(tensor_spec("image", sample_compression="png")[0])
    Prepared(data=b'', shape=(0, 0, 0))
    """
    stores = spec.stores
    if stores == "json":
        return Prepared(b"null", ()) if spec.base == "json" else Prepared(b"[]", (0,))
    if stores == "sequence":
        return _frame(spec, [])
    if stores in ("text", "link"):
        return Prepared(b"", ())
    shape = (0,) * (spec.ndim or 1)
    if stores == "file":
        return Prepared(b"", shape)
    return Prepared(np.zeros(shape, spec.numpy_dtype or "u1"), shape)


def _array(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    is_path = isinstance(value, str | os.PathLike) and spec.kind.files not in (None, "any")
    if is_path or isinstance(value, Link):
        raise SampleError(
            f"{value!r:.80} in a tensor of htype {spec.htype!r}; append hub.read(path), or create "
            f"the tensor with htype='link[{spec.base}]'"
        )
    if spec.base == "class_label":
        value = _number(spec, value, info)
    if type(value) is int and (quick := _integer(spec, value)) is not None:
        return Prepared(quick, ())
    array = array_of(spec, value)
    dtype = spec.numpy_dtype
    if dtype is not None and array.dtype != dtype:
        array = cast(array, dtype)
    shape = array.shape
    kept = spec.kind.fit(shape)
    if kept != shape:
        array = array.reshape(kept)
    return Prepared(array, kept)


def _integer(spec: TensorSpec, value: int) -> Array | None:
    """An integer as an array, much quicker than others; None where it doesn't fit."""
    dtype = spec.numpy_dtype
    if dtype is None or dtype.kind not in "iuf" or is_small_float(dtype) or not spec.scalar_ok:
        return None
    try:
        return np.asarray(value, dtype)
    except OverflowError:
        return None


def _number(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Any:
    """Class labels as numbers."""
    class_names = info.get("class_names", ())
    if isinstance(value, str):
        try:
            return class_names.index(value)
        except ValueError:
            return class_numbers(value, class_names)[0]
    if type(value) is not int:
        value = class_numbers(value, class_names)[0] if has_names(value) else as_array(value)
    if not spec.extends:
        check_numbers(value, info)
    return value


def _file(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    if isinstance(value, Link | str | os.PathLike):
        raise SampleError(
            f"{value!r:.80} in a tensor of files; append hub.read(path), or create the tensor "
            f"with htype='link[{spec.base}]'"
        )
    return Prepared(*encode_file(spec, value))


def _text(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    return Prepared(documents.dump_text(value), ())


def _json(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    if spec.base == "json":
        return Prepared(documents.dump_json(value), ())
    data, length = (documents.dump_tags if spec.base == "tag" else documents.dump_list)(value)
    return Prepared(data, (length,))


def _link(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    return Prepared(documents.dump_link(value), ())


def _sequence(spec: TensorSpec, value: Any, info: Mapping[str, Any]) -> Prepared:
    item = spec.item
    items = items_of(value, item.htype)
    if spec.dtype is None and item.stores == "array" and len(items):
        raise SampleError(
            f"a tensor of htype {spec.htype!r} whose first samples were empty, so that its dtype "
            "is open; create it with dtype=..."
        )
    return _frame(spec, [prepare(item, each, info) for each in items])


def _frame(spec: TensorSpec, items: Sequence[Prepared]) -> Prepared:
    blobs = [d if isinstance(d := item.data, bytes) else _plain(d) for item in items]
    shapes = [item.shape for item in items]
    return Prepared(frame(blobs, shapes), (len(items), *_largest(spec.item, shapes)))


def _plain(array: Array) -> bytes:
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes()


def _largest(item: TensorSpec, shapes: Sequence[Shape]) -> Shape:
    """Longest of each axis, where all items have equally many."""
    ndims = {len(shape) for shape in shapes}
    if not ndims:
        return (0,) * (item.ndim or 0)
    return tuple(map(max, zip(*shapes, strict=True))) if len(ndims) == 1 else ()


PREPARERS: dict[str, Callable[[TensorSpec, Any, Mapping[str, Any]], Prepared]] = {
    "array": _array,
    "file": _file,
    "text": _text,
    "json": _json,
    "link": _link,
    "sequence": _sequence,
}
