"""A dataset as one of xarray: tensors whose samples have one shape, read when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.datasets.uniform import UniformColumn
from hubzarr.errors import InvalidError
from hubzarr.media.extras import need

if TYPE_CHECKING:
    import xarray

    from hubzarr.datasets.tensor import Tensor
    from hubzarr.datasets.view import DatasetView

__all__ = ["to_xarray"]

#: Names of the axes of an image's samples.
_AXES = ("y", "x", "channel")
_TEXT = ("text", "link")


def to_xarray(view: DatasetView) -> xarray.Dataset:
    """Tensors of one shape, text and labels as variables along the axis ``row``.

    Numbers stay in the store until they are needed (dask arrays of the present commit).
    Single class labels with names become these names. Tensors whose samples differ in
    shape or are files have no place; the attribute ``left_out`` names them.

    Parameters
    ----------
    view : DatasetView
        A dataset, a group of one, or a view.

    Raises
    ------
    InvalidError
        No tensor has a place.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/labelled")
    >>> ds.create_tensor("t").extend([1.0, 2.0, 4.0])
    >>> ds.create_tensor("sky", htype="class_label", class_names=["dry", "wet"]).extend([1, 0, 1])
    >>> days = to_xarray(ds[1:])
    >>> days.sky.values.tolist(), float(days.t.mean()), days.row.values.tolist()
    (['dry', 'wet'], 3.0, [1, 2])
    """
    xr = need("xarray", extra="xarray", what="to_xarray()")
    source = view.pinned()
    rows = np.asarray(source._selected(), np.int64)
    variables: dict[str, Any] = {}
    left_out = []
    for name, tensor in source.tensors.items():
        values = _values(tensor, rows)
        if values is None:
            left_out.append(name)
            continue
        variables[name] = (_dims(name, tensor, values.ndim), values, _plain(tensor.info))
    if not variables:
        raise InvalidError(
            f"no tensor of {view!r} has samples of one shape, so none becomes a variable of xarray"
        )
    attributes = _plain(source.info) | ({"left_out": left_out} if left_out else {})
    made: xarray.Dataset = xr.Dataset(variables, {"row": rows}, attributes)
    return made


def _values(tensor: Tensor, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """The values of a tensor; None where they make no array."""
    if tensor.spec.stores in _TEXT:
        texts = [getattr(value, "path", value) for value in tensor.values()]
        return np.array(texts, object)
    if not isinstance(tensor._column, UniformColumn):
        return None
    names = list(tensor.info.get("class_names", ()))
    if tensor.base_htype == "class_label" and tensor.ndim == 1 and names:
        found = [names[i] if i < len(names) else str(i) for i in tensor.numpy().tolist()]
        return np.array(found, object)
    whole = tensor.array.to_dask()
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return whole[int(rows[0]) : int(rows[-1]) + 1]
    return whole[rows]


def _dims(name: str, tensor: Tensor, ndim: int) -> tuple[str, ...]:
    if tensor.base_htype.startswith("image"):
        return ("row", *_AXES[: ndim - 1])
    return ("row", *(f"{name}_{axis}" for axis in range(1, ndim)))


def _plain(info: Any) -> dict[str, Any]:
    """What attributes of xarray may hold: no empty values."""
    return {key: value for key, value in dict(info).items() if value not in (None, [], {}, "")}
