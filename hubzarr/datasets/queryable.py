"""Datasets as tables for queries.

Which tensors a query can look into: numbers, class labels, text, JSON, tags, addresses of
links, and small arrays such as boxes and embeddings. Of all others, images above all, it
sees the shapes.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hubzarr.datasets.columns import Column, column_of
from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.rows import as_numbers
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.datasets.values import values
from hubzarr.dtypes import wide_dtype
from hubzarr.engine import ArrayEngine
from hubzarr.engine.statistics import has_rows, settle
from hubzarr.errors import InvalidError
from hubzarr.querying.arrow import arrow_lists, arrow_numbers, arrow_texts, arrow_vectors
from hubzarr.querying.table import Bounds, QueryColumn, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from hubzarr.datasets.tensor import Tensor
    from hubzarr.datasets.view import DatasetView

__all__ = ["DatasetTable"]

type Array = npt.NDArray[Any]

#: Htypes whose samples are small arrays when their shapes differ.
_SMALL: Final = frozenset(
    {"bbox", "bbox.3d", "class_label", "embedding", "generic", "instance_label", "intrinsics"}
    | {"keypoints_coco", "point"}
)
#: Numbers in a sample up to which a query may look into it.
_MOST: Final = 1 << 16
_TEXT_WIDTH: Final = 200


class DatasetTable:
    """The rows of a dataset or view as `hubzarr.querying.run` reads them.

    Parameters
    ----------
    view : DatasetView
        What to query; must not change meanwhile.

    Examples
    --------
    >>> import hubzarr as hub
    >>> from hubzarr.querying import run
    >>> from hubzarr.datasets.queryable import DatasetTable
    >>> ds = hub.empty("examples/querying")
    >>> _ = ds.create_tensor("labels", htype="class_label", class_names=["Rain", "Shine"])
    >>> ds.labels.extend(["Shine", "Rain", "Shine"])
    >>> run("SELECT * WHERE labels = 'Shine'", DatasetTable(ds)).rows.tolist()
    [0, 2]
    """

    def __init__(self, view: DatasetView) -> None:
        self._tensors = view.tensors
        self._rows = view._selected()
        self._columns: dict[str, Column | None] = {}
        self.length = len(self._rows)

    @cached_property
    def columns(self) -> Mapping[str, QueryColumn]:
        """What there is to query."""
        return {name: _described(t, self._column(name)) for name, t in self._tensors.items()}

    def _column(self, name: str) -> Column | None:
        if name not in self._columns:
            tensor = self._tensors[name]
            self._columns[name] = column_of(tensor._session, tensor._path, tensor._entry)
        return self._columns[name]

    def numbers(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Numbers in the dataset of rows of the view."""
        return _array(self._chosen(rows))

    def _chosen(self, rows: Rows) -> Any:
        if isinstance(rows, slice):
            return self._rows[rows.start : rows.stop]
        if isinstance(self._rows, range):
            return rows * self._rows.step + self._rows.start
        return self._rows[rows]

    def read(self, name: str, rows: Rows) -> pa.Array:
        """Values of a column."""
        column, about = self._column(name), self.columns[name]
        tensor, chosen = self._tensors[name], self._chosen(rows)
        if column is None:
            return _nothing(about)
        if isinstance(column, RaggedColumn) and about.kind in {"text", "json"}:
            return arrow_texts([_stored(data) for data, _ in column.many(_key(chosen))])
        found = values(column, tensor._entry, chosen)
        if about.dtype == "str":
            lengths = np.array([len(tags) for tags in found], np.int64)
            return arrow_lists(lengths, arrow_texts([tag for tags in found for tag in tags]))
        if not isinstance(found, np.ndarray):
            return _ragged(found, np.dtype(about.dtype))
        if about.kind == "number" or (about.kind == "label" and not about.several):
            return arrow_numbers(found.reshape(len(found)))
        if about.several:
            lengths = np.full(len(found), math.prod(found.shape[1:]), np.int64)
            return arrow_lists(lengths, arrow_numbers(found.reshape(-1)))
        return arrow_vectors(found)

    def shapes(self, name: str, rows: Rows) -> npt.NDArray[np.int64]:
        """Shapes of samples."""
        column = self._column(name)
        if column is None:
            return np.empty((0, 0), np.int64)
        return np.asarray(column.shapes(_array(self._chosen(rows))), np.int64)

    def bounds(self, name: str) -> Bounds | None:
        """Bounds of the chunks of an array, where they are stored."""
        column, rows = self._column(name), self._rows
        whole = isinstance(rows, range) and rows.step == 1 and len(rows) > 0
        if not isinstance(column, UniformColumn) or not whole:
            return None
        engine = column.state.engine
        if len(engine.shape) != 1 or not has_rows(engine):
            return None
        found = _chunk_bounds(engine)
        starts = found.starts - rows[0]
        first = int(np.searchsorted(starts, 0, side="right")) - 1
        last = int(np.searchsorted(starts, self.length))
        starts = np.maximum(starts[first:last], 0)
        return Bounds(starts, found.smallest[first:last], found.largest[first:last])


def _chunk_bounds(engine: ArrayEngine) -> Bounds:
    stats = settle(engine).stats
    if stats is None:
        raise InvalidError("the array keeps no statistics")
    length, step = engine.shape[0], engine.cells.cell_shape[0]
    cells = -(-length // step)
    rows = stats.read_box((0,), (cells,)).reshape(cells, -1)[:, 0]
    starts = np.arange(cells, dtype=np.int64) * step
    sizes = np.minimum(step, length - starts)
    smallest, largest = rows["min"].copy(), rows["max"].copy()
    dtype = smallest.dtype
    # What nobody wrote holds the fill value, and is not counted.
    counted = rows["n"] + rows["nan"]
    fill = np.asarray(engine.cells.codec.fill_value).astype(dtype)
    if fill == fill:
        alone = rows["n"] == 0
        filled = counted < sizes
        smallest[filled] = np.where(alone, fill, np.minimum(smallest, fill))[filled]
        largest[filled] = np.where(alone, fill, np.maximum(largest, fill))[filled]
    open_ = (rows["unknown"] > 0) | (counted > sizes) | (rows["nan"] == sizes)
    low, high = (-np.inf, np.inf) if dtype.kind == "f" else _limits(dtype)
    smallest[open_], largest[open_] = low, high
    return Bounds(starts, smallest, largest)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _described(tensor: Tensor, column: Column | None) -> QueryColumn:
    """What a query may do with a tensor."""
    spec = tensor.spec
    if spec.stores in {"text", "link"}:
        return QueryColumn("text", width=_TEXT_WIDTH)
    if spec.stores == "json":
        if spec.base == "tag":
            return QueryColumn("array", "str", width=_TEXT_WIDTH)
        return QueryColumn("json", width=_TEXT_WIDTH)
    if spec.stores != "array" or spec.dtype == "str":
        return QueryColumn("shape")
    uniform = isinstance(column, UniformColumn)
    dtype = column.dtype if isinstance(column, UniformColumn) else spec.numpy_dtype
    dtype = None if dtype is None else wide_dtype(dtype)
    if dtype is None or dtype.kind not in "biufM":
        return QueryColumn("shape")
    shape = column.row_shape if isinstance(column, UniformColumn) else None
    small = math.prod(shape) <= _MOST if shape is not None else spec.base in _SMALL
    if not small or (shape is not None and len(shape) > 3):
        return QueryColumn("shape")
    one = shape in {(), (1,)} if uniform else column is None and spec.base == "class_label"
    width = dtype.itemsize * (math.prod(shape) if shape is not None else 16)
    if spec.base == "class_label":
        names = tuple(map(str, tensor.info.get("class_names", ())))
        if names:
            return QueryColumn("label", dtype.name, names, several=not one, width=width)
    if one:
        return QueryColumn("number", dtype.name, width=width)
    size = shape[0] if shape is not None and len(shape) == 1 else None
    return QueryColumn("array", dtype.name, size=size, width=width)


def _stored(data: Any) -> bytes:
    """Bytes of a text or of JSON, which are stored as UTF-8."""
    if isinstance(data, ArrayEngine):
        raise InvalidError("a text of this size can't be queried")
    return bytes(data)


def _key(rows: Any) -> Any:
    if isinstance(rows, range) and rows.step == 1:
        return slice(rows.start, rows.stop)
    return _array(rows)


def _array(rows: Any) -> npt.NDArray[np.int64]:
    """Row numbers as an array; NumPy itself would go through a range item by item."""
    if isinstance(rows, range):
        return np.arange(rows.start, rows.stop, rows.step)
    return as_numbers(rows)


def _nothing(about: QueryColumn) -> pa.Array:
    """A column without rows."""
    if about.kind in {"text", "json"}:
        return arrow_texts([])
    items = arrow_texts([]) if about.dtype == "str" else arrow_numbers(np.empty(0, about.dtype))
    return arrow_lists(np.empty(0, np.int64), items) if _in_lists(about) else items


def _in_lists(about: QueryColumn) -> bool:
    return about.kind == "array" or about.several


def _ragged(samples: list[Any], dtype: np.dtype[Any]) -> pa.Array:
    """Samples of different shapes as lists, or lists of lists."""
    arrays = [np.atleast_1d(sample) for sample in samples]
    flat = [array.reshape(-1) for array in arrays]
    everything = np.concatenate(flat) if flat else np.empty(0, dtype)
    found = arrow_numbers(everything, missing=np.zeros(len(everything), bool))
    axes = max((array.ndim for array in arrays), default=1)
    shapes = np.ones((len(arrays), axes), np.int64)
    for i, array in enumerate(arrays):
        shapes[i, axes - array.ndim :] = array.shape
    for axis in range(axes - 1, -1, -1):
        counts = shapes[:, :axis].prod(axis=1)
        found = arrow_lists(np.repeat(shapes[:, axis], counts), found)
    return found
