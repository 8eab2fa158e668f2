"""Batches of samples to what is stored: as one array wherever samples have one shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hubzarr.dtypes import kind_of
from hubzarr.errors import SampleError
from hubzarr.htypes.casting import as_array, cast
from hubzarr.htypes.labels import check_numbers, class_numbers
from hubzarr.htypes.preparing import PREPARERS, Prepared, empty
from hubzarr.htypes.spec import TensorSpec

__all__ = ["prepare_many"]

type Array = np.ndarray[Any, Any]

_NUMBERS = frozenset({int, float, bool, complex})
# Small arrays are quicker as one batch; large ones would only be copied once more.
_STACKED_BYTES = 1 << 14


def prepare_many(spec: TensorSpec, values: Any, info: Mapping[str, Any]) -> list[Prepared] | Array:
    """Check and convert a batch of samples.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.
    values : sequence
        Samples; an array is a batch along its first axis.
    info : mapping
        The tensor's info.

    Returns
    -------
    numpy.ndarray or list of Prepared
        One array (samples, *shape) where all samples are arrays of one shape that came as one,
        or are numbers, else a list.

    Raises
    ------
    SampleError
        A sample does not fit; `index` says which one, where samples are looked at one by one.

    Examples
    --------
    >>> from hubzarr.htypes import prepare_many, tensor_spec
    >>> spec, info = tensor_spec("class_label", class_names=["cat", "dog"])
    >>> prepare_many(spec, ["dog", "dog", "cat"], info)
    array([1, 1, 0], dtype=uint32)
    """
    if spec.stores == "array":
        batch = _batch(spec, values, info)
        if batch is not None:
            return batch
    elif spec.stores == "text" and (texts := _texts(values)) is not None:
        return texts
    elif spec.is_link and isinstance(values, str):
        raise SampleError("one address in place of a list of them; expected a list")
    if isinstance(values, str | bytes | Mapping):
        raise SampleError(f"a {type(values).__name__} in place of a list of samples")
    prepared: list[Prepared] = []
    add = prepared.append
    one = PREPARERS[spec.stores]
    blank = spec.base == "json"
    try:
        for value in values:
            add(one(spec, value, info) if blank or value is not None else empty(spec))
    except SampleError as error:
        error.fields["index"] = len(prepared)
        raise
    return prepared


def _batch(spec: TensorSpec, values: Any, info: Mapping[str, Any]) -> Array | None:
    """All samples as one array, or None where they have to be looked at one by one."""
    if spec.base == "class_label":
        values = _label_column(values, info)
    array = values if isinstance(values, np.ndarray) else _gathered(values)
    if array is None or array.dtype.kind in "OU" or array.ndim == 0:
        return None
    if spec.base == "class_label" and not spec.extends:
        check_numbers(array, info)
    shape = array.shape[1:]
    if spec.base == "image.rgb" and shape[2:] != (3,):
        return None  # to be converted
    if spec.base == "image.gray" and len(shape) != 2:
        return None
    dtype = spec.numpy_dtype
    if dtype is not None and array.dtype != dtype:
        array = cast(array, dtype)
    kept = spec.kind.fit(shape)
    return array if kept == shape else array.reshape(len(array), *kept)


def _label_column(values: Any, info: Mapping[str, Any]) -> Any:
    """Numbers of a column of names; what is no such column as it was."""
    if isinstance(values, np.ndarray) and values.dtype.kind not in "UTO":
        return values
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, list | tuple) or not values or not isinstance(values[0], str):
        return values
    if not all(isinstance(value, str) for value in values):
        return values
    return class_numbers(values, info.get("class_names", ()))[0]


def _gathered(values: Any) -> Array | None:
    """One array of a batch of numbers, of lists of them, or of small arrays of one shape."""
    if not isinstance(values, list | tuple):
        return _column(values)
    kinds = set(map(type, values))
    if not kinds:
        return None
    if kinds <= _NUMBERS or kinds <= {list, tuple}:
        return _nested(values)
    first = values[0]
    if kinds != {np.ndarray}:
        same = len(kinds) == 1 and isinstance(first, np.generic)
        return np.array(values, first.dtype) if same and kind_of(first.dtype) in "biufc" else None
    if first.nbytes > _STACKED_BYTES or first.dtype.hasobject:
        return None
    if any(v.shape != first.shape or v.dtype != first.dtype for v in values):
        return None
    return np.stack(values)


def _column(values: Any) -> Array | None:
    """An array or column of numbers of another library; of objects None."""
    if not hasattr(values, "__array__"):
        return None
    try:
        return as_array(values)
    except SampleError:
        return None


def _nested(values: Any) -> Array | None:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError):  # of different lengths, or no numbers
        return None
    return array if array.dtype.kind in "biufc" else None


def _texts(values: Any) -> list[Prepared] | None:
    """Strings in UTF-8, without a look at each; None where one of them needs it."""
    if not isinstance(values, list | tuple) or set(map(type, values)) != {str}:
        return None
    try:
        return [Prepared(data, ()) for data in map(str.encode, values)]
    except UnicodeEncodeError:
        return None
