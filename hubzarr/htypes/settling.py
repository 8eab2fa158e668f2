"""What a tensor leaves open until its first sample comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.htypes.arguments import tensor_spec
from hubzarr.htypes.casting import items_of
from hubzarr.htypes.files import array_of
from hubzarr.htypes.spec import TensorSpec

__all__ = ["settled", "settled_by"]

_HTYPES: dict[type, str] = {str: "text", np.str_: "text", dict: "json"}


def settled(spec: TensorSpec, value: Any) -> TensorSpec:
    """Fill in what a specification leaves to the first sample: its dtype, and that it is text.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.
    value : object
        The first sample.

    Returns
    -------
    TensorSpec
        The same one if nothing was open, or if an empty sample tells nothing.

    Examples
    --------
    >>> from hubzarr.htypes import settled, tensor_spec
    >>> open_spec = tensor_spec()[0]
    >>> settled(open_spec, [1.5, 2]).dtype, settled(open_spec, "hello").htype
    ('float64', 'text')
    """
    if spec.dtype is not None or spec.item_stores != "array" or value is None:
        return spec
    items = items_of(value, spec.item.htype) if spec.is_sequence else [value]
    if not len(items):
        return spec
    htype = _HTYPES.get(type(items[0]))
    try:
        if htype is not None and spec.base == "generic":
            text = spec.htype.replace("generic", htype)
            return tensor_spec(text, chunk_compression=spec.chunk_compression)[0]
        dtype = np.result_type(*(array_of(spec, item).dtype for item in items))
        made = tensor_spec(spec.htype, dtype, None, spec.chunk_compression)[0]
    except (InvalidError, TypeError) as error:
        if isinstance(error, SampleError):
            raise
        raise SampleError(f"a first sample that can't be stored: {error}") from error
    return replace(spec, dtype=made.dtype)


def settled_by(spec: TensorSpec, samples: Iterable[Any]) -> TensorSpec:
    """Fill in what a specification leaves open, by the first of some samples that tells.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.
    samples : iterable
        The first samples; empty ones are passed over.

    Returns
    -------
    TensorSpec
        The same one if nothing was open, or if all samples are empty.

    Examples
    --------
    >>> from hubzarr.htypes import settled_by, tensor_spec
    >>> settled_by(tensor_spec()[0], [None, 1.5]).dtype
    'float64'
    """
    if spec.dtype is not None or spec.item_stores != "array":
        return spec
    for sample in samples:
        found = settled(spec, sample)
        if found is not spec:
            return found
    return spec
