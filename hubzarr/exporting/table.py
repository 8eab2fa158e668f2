"""What is exported: the rows of a view in blocks of bounded size, files kept encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.datasets.values import values
from hubzarr.dtypes import wide_dtype, widened
from hubzarr.engine import ArrayEngine
from hubzarr.errors import InvalidError
from hubzarr.htypes import TensorSpec, unframe
from hubzarr.indexing import identity
from hubzarr.media import Sample, get_format

if TYPE_CHECKING:
    from hubzarr.datasets import DatasetView, Tensor
    from hubzarr.datasets.columns import Column

__all__ = ["Block", "Field", "Table"]

type Array = np.ndarray[Any, Any]
type Numbers = np.ndarray[Any, np.dtype[np.int64]]

_ROWS = 1024
_BYTES = 32 << 20
#: What a dataset remembers of its own ingests, which is nobody else's.
_RECORDS = "ingested"
#: Rows whose sizes are looked up at a time.
_LOOK = 8192


class Field:
    """A tensor to export.

    Parameters
    ----------
    name : str
        In the view, with "/" between groups.
    tensor : Tensor
    rows : ndarray of int64
        Of the view.
    """

    def __init__(self, name: str, tensor: Tensor, rows: Numbers) -> None:
        self.name = name
        self.tensor = tensor
        self.spec: TensorSpec = tensor.spec
        self._rows = rows
        self._column: Column | None = tensor._column

    def __repr__(self) -> str:
        return f"Field({self.name!r}, {self.spec.htype!r})"

    @cached_property
    def info(self) -> dict[str, Any]:
        """What users know of all samples, such as class names."""
        return dict(self.tensor.info)

    @cached_property
    def class_names(self) -> list[str]:
        """Names of classes; none where there are none."""
        return [str(name) for name in self.info.get("class_names", ())]

    @cached_property
    def stored_dtype(self) -> np.dtype[Any] | None:
        """Of arrays; None where there are none, or each has its own."""
        column = self._column
        return column.dtype if isinstance(column, UniformColumn) else self.spec.numpy_dtype

    @cached_property
    def dtype(self) -> np.dtype[Any] | None:
        """Of the arrays that `read` gives: bfloat16, which few formats know, becomes float32."""
        stored = self.stored_dtype
        return None if stored is None else wide_dtype(stored)

    @cached_property
    def row_shape(self) -> tuple[int, ...] | None:
        """Shape of all samples; None where they differ, or are no arrays."""
        column = self._column
        return column.row_shape if isinstance(column, UniformColumn) else None

    @cached_property
    def interval(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Smallest and largest extents of the samples along each axis; -1 for an axis less."""
        column = self._column
        if column is None or not len(self._rows):
            return (), ()
        shapes = column.shapes(self._rows)
        return tuple(map(int, shapes.min(axis=0))), tuple(map(int, shapes.max(axis=0)))

    @property
    def is_scalar(self) -> bool:
        """Whether all samples are single numbers."""
        if self.row_shape is not None:
            return self.row_shape == ()
        return self.spec.stores == "array" and all(n < 0 for n in self.interval[1])

    @property
    def is_file(self) -> bool:
        """Whether samples are files."""
        return self.spec.stores == "file"

    @property
    def is_label(self) -> bool:
        """Whether samples are single numbers of classes, also as arrays of one."""
        if self.spec.base != "class_label" or self.spec.stores != "array":
            return False
        return self.is_scalar or self.row_shape == (1,) or self.interval == ((1,), (1,))

    @property
    def is_picture(self) -> bool:
        """Whether samples are images, files or arrays."""
        return self.spec.stores in ("file", "array") and (
            self.spec.base.startswith("image")
            or (self.is_file and get_format(str(self.spec.sample_compression)).kind == "image")
        )

    @property
    def file_format(self) -> str | None:
        """Format of the files that samples are, or that images become."""
        if self.is_file or (self.spec.is_sequence and self.spec.item.stores == "file"):
            return self.spec.sample_compression
        if self.is_picture:
            small = self.dtype is not None and self.dtype.name in ("uint8", "uint16")
            return "png" if small else "tiff"
        return None

    @property
    def extension(self) -> str:
        """Of their names, with the dot."""
        return get_format(str(self.file_format)).extensions[0]

    def sizes(self, rows: Numbers) -> Numbers:
        """About how many bytes samples take in memory, files encoded."""
        column = self._column
        if isinstance(column, UniformColumn):
            return np.full(len(rows), column.row_nbytes)
        if column is None:
            return np.zeros(len(rows), np.int64)
        entries = column.entries(rows)
        large = np.maximum(entries[:, 2:], 1).prod(axis=1) * 8
        return np.where(entries[:, 1] < 0, large, entries[:, 1])

    def read(self, rows: Numbers) -> Any:
        """Samples: of files and images `Sample` or None, else as Python and NumPy have them."""
        column, spec = self._column, self.spec
        if column is None:
            return [None] * len(rows)
        item = spec.item.stores if spec.is_sequence else None
        if isinstance(column, RaggedColumn) and (self.is_file or item == "file"):
            found = column.many(rows)
            if self.is_file:
                return [self._sample(data) for data, _ in found]
            return [[self._sample(d) for d in unframe(bytes(data))[0]] for data, _ in found]
        samples = self.raw(rows)
        if self.dtype != self.stored_dtype:
            samples = _wide(samples)
        if not self.is_picture:
            return samples
        return [Sample(array=array) if array.size else None for array in samples]

    def raw(self, rows: Numbers) -> Any:
        """Samples as Python and NumPy have them, files decoded."""
        if self._column is None:
            return []
        return values(self._column, self.tensor._entry, rows)

    def stored(self, rows: Numbers) -> list[tuple[Any, tuple[int, ...]]]:
        """Bytes and shapes of samples that are no rows of an array."""
        column = self._column
        if not isinstance(column, RaggedColumn):
            return []
        return [(self._bytes(data), shape) for data, shape in column.many(rows)]

    def _bytes(self, data: Any) -> Any:
        if not isinstance(data, ArrayEngine):
            return data
        array = data.read(identity(data.shape))
        if self.is_file:
            return Sample(array=array).encoded(str(self.spec.sample_compression))
        return array.astype(array.dtype.newbyteorder("<")).tobytes()

    def _sample(self, data: Any) -> Sample | None:
        compression = self.spec.sample_compression
        if isinstance(data, ArrayEngine):
            return Sample(array=data.read(identity(data.shape)), compression=compression)
        return Sample(bytes(data), compression=compression) if len(data) else None

    def names_of(self, value: Any) -> Any:
        """Labels by name; numbers that have none as text."""
        if isinstance(value, list | np.ndarray) and np.ndim(value):
            return [self.names_of(item) for item in value]
        number = int(np.asarray(value).reshape(()))
        return self.class_names[number] if number < len(self.class_names) else str(number)

    def describe(self) -> dict[str, Any]:
        """The tensor for `dataset.json`."""
        spec = self.spec
        found: dict[str, Any] = {"htype": spec.htype}
        if self.stored_dtype is not None:
            found["dtype"] = self.stored_dtype.name
        for name in ("sample_compression", "chunk_compression"):
            if getattr(spec, name) is not None:
                found[name] = getattr(spec, name)
        if self.is_label and not self.is_scalar:
            found["shape"] = [1]
        return found | ({"info": self.info} if self.info else {})


def _wide(samples: Any) -> Any:
    """Arrays as float32, also in lists."""
    if isinstance(samples, list):
        return [_wide(sample) for sample in samples]
    return widened(samples) if isinstance(samples, np.ndarray) else samples


@dataclass(frozen=True)
class Block:
    """Some rows: their samples by the name of the tensor, and which row is the first."""

    start: int
    rows: int
    columns: dict[str, Any]

    def each(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows one by one, with their numbers."""
        for i in range(self.rows):
            yield self.start + i, {name: column[i] for name, column in self.columns.items()}


class Table:
    """The rows of a view, of one commit.

    Parameters
    ----------
    view : DatasetView
        A dataset, a group of one, or a view.
    tensors : sequence of str, optional
        Which tensors; all that are not hidden by default.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/table")
    >>> ds.create_tensor("x").extend([5, 6, 7])
    >>> [block.columns["x"].tolist() for block in Table(ds[1:]).blocks()]
    [[6, 7]]
    """

    def __init__(self, view: DatasetView, tensors: Sequence[str] | None = None) -> None:
        self.source = view.pinned()
        if tensors is not None:
            if isinstance(tensors, str):
                raise InvalidError(f"tensors={tensors!r}: expected a list of names")
            self.source = self.source[list(tensors)]
        #: Numbers of the rows in the dataset.
        self.numbers: Numbers = np.asarray(self.source._selected(), np.int64)
        self.fields = [Field(n, t, self.numbers) for n, t in self.source.tensors.items()]
        if not self.fields:
            raise InvalidError(f"{view!r} has no tensors to export")

    def __len__(self) -> int:
        return len(self.numbers)

    def field(self, name: str) -> Field:
        """A field by its name."""
        for field in self.fields:
            if field.name == name:
                return field
        raise InvalidError(
            f"no tensor {name!r} to export; there are {', '.join(f.name for f in self.fields)}"
        )

    def blocks(
        self, fields: Sequence[Field] | None = None, *, rows: int = _ROWS, nbytes: int = _BYTES
    ) -> Iterator[Block]:
        """The rows in order, so many at a time that they fit into memory."""
        chosen = self.fields if fields is None else fields
        for start, part in self.pieces(chosen, rows=rows, nbytes=nbytes):
            yield Block(start, len(part), {field.name: field.read(part) for field in chosen})

    def pieces(
        self, fields: Sequence[Field], *, rows: int = _ROWS, nbytes: int = _BYTES
    ) -> Iterator[tuple[int, Numbers]]:
        """Which rows make each block: the first one's place, and their numbers."""
        for first in range(0, len(self), _LOOK):
            numbers = self.numbers[first : first + _LOOK]
            ends = np.cumsum(sum(field.sizes(numbers) for field in fields))
            start = 0
            while start < len(numbers):
                before = int(ends[start - 1]) if start else 0
                stop = int(np.searchsorted(ends, before + nbytes, "right"))
                stop = min(max(stop, start + 1), start + rows, len(numbers))
                yield first + start, numbers[start:stop]
                start = stop

    def column(self, field: Field) -> list[Any]:
        """All samples of one small tensor."""
        return [sample for block in self.blocks([field]) for sample in block.columns[field.name]]

    def document(self) -> dict[str, Any]:
        """What is exported, for `dataset.json`."""
        source = self.source
        return {
            "source": {
                "name": source.name,
                "version": source.version,
                "commit": source.commit_id,
                "query": source.query_text,
            },
            "rows": len(self),
            "info": {key: v for key, v in dict(source.info).items() if key != _RECORDS},
            "tensors": {field.name: field.describe() for field in self.fields},
        }
