"""Samples to batches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from hubzarr.errors import InvalidError
from hubzarr.loaders.framework import Framework

__all__ = ["collate"]


def collate(
    name: str, values: Sequence[Any], how: str, fill: Any, rows: Sequence[int], to: Framework
) -> Any:
    """One value for a batch out of those of its samples.

    Parameters
    ----------
    name : str
        Of the tensor, for messages.
    values : sequence
        Arrays, numbers, tensors of the framework; of all else a list is made.
    how : {"stack", "pad", "list", "nested"}
        What is done with arrays.
    fill : scalar
        What pads them.
    rows : sequence of int
        Numbers of the samples, for messages.
    to : Framework

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.loaders.framework import Framework
    >>> ragged = [np.ones(1), np.ones(3)]
    >>> collate("x", ragged, "pad", 0, [0, 1], Framework()).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    if values and all(to.is_tensor(value) for value in values):
        shapes = [tuple(value.shape) for value in values]
        if how == "stack":
            _same(name, shapes, rows)
            return to.stack(values)
        if how == "nested":
            return to.nested(values)
        if how == "list":
            return list(values)
        return to.convert(_padded(name, [np.asarray(value) for value in values], fill, rows, to))
    if not values or not all(isinstance(v, np.ndarray | np.generic | int | float) for v in values):
        return to.convert(list(values))
    arrays = [np.asarray(value) for value in values]
    if any(array.dtype.kind in "OUT" for array in arrays):
        return [array.item() if array.ndim == 0 else array.tolist() for array in arrays]
    if how == "list":
        return to.convert(arrays)
    if how == "nested":
        return to.nested(arrays)
    if how == "pad" and arrays[0].ndim:
        return to.convert(_padded(name, arrays, fill, rows, to))
    _same(name, [array.shape for array in arrays], rows)
    out = to.empty((len(arrays), *arrays[0].shape), np.result_type(*{a.dtype for a in arrays}))
    for place, array in zip(out, arrays, strict=True) if arrays[0].ndim else ():
        place[...] = array
    if not arrays[0].ndim:
        out[...] = arrays
    return to.convert(out)


def _same(name: str, shapes: Sequence[tuple[int, ...]], rows: Sequence[int]) -> None:
    for shape, row in zip(shapes, rows, strict=True):
        if shape != shapes[0]:
            raise InvalidError(
                f"samples of tensor {name!r} differ in shape: {shapes[0]} in row {rows[0]}, "
                f"{shape} in row {row}. ragged='pad' pads them, 'list' and 'nested' keep them "
                f"apart, and transform={{{name!r}: function}} can bring them to one shape"
            )


def _padded(
    name: str, arrays: Sequence[npt.NDArray[Any]], fill: Any, rows: Sequence[int], to: Framework
) -> npt.NDArray[Any]:
    ndim = arrays[0].ndim
    for array, row in zip(arrays, rows, strict=True):
        if array.ndim != ndim:
            raise InvalidError(
                f"samples of tensor {name!r} differ in their number of axes, {ndim} in row "
                f"{rows[0]} and {array.ndim} in row {row}, and can't be padded to one shape: "
                "ragged='list' keeps them apart"
            )
    shape = np.max([array.shape for array in arrays], axis=0).astype(int).tolist() if ndim else []
    dtype = np.result_type(*{array.dtype for array in arrays})
    if all(array.shape == tuple(shape) for array in arrays):
        out = to.empty((len(arrays), *shape), dtype)
    else:
        padding = _fitting(name, fill, dtype, to.wider(dtype))
        out = to.empty((len(arrays), *shape), padding.dtype)
        out[...] = padding
    for i, array in enumerate(arrays):
        out[i][tuple(map(slice, array.shape))] = array
    return out


def _fitting(name: str, fill: Any, dtype: np.dtype[Any], wider: np.dtype[Any]) -> npt.NDArray[Any]:
    """What pads, as the samples' type has it, or else a wider one."""
    given = np.asarray(fill)
    for one in (dtype, wider):
        with np.errstate(all="ignore"), suppress(TypeError, ValueError):
            found = given.astype(one)
            if one.kind not in "biu" or found == given:
                return found
    raise InvalidError(
        f"fill={fill!r} for tensor {name!r}: {dtype} can't hold it. A transform can make another "
        "dtype of samples"
    )
