"""Sources of arrays side by side: axis 0 is the rows, each array a column.

IDX, CIFAR, NPY, HDF5 and Zarr differ in how a box of an array is read and in little
else. Each of them lists its arrays as `ArrayInfo`; `arrangement` finds out which belong
together, and `BlockSource` reads them in blocks of rows of bounded size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hubzarr.ingesting.columns import as_json, is_label_name
from hubzarr.ingesting.source import Block, Column, Row, Skipped, Unit

__all__ = [
    "ArrayInfo",
    "ArrayRegion",
    "BlockSource",
    "Part",
    "array_options",
    "dtype_name",
    "fields_of",
    "whole_sample",
]

UNIT_BYTES = 16_000_000
UNIT_ROWS = 4096


@dataclass(frozen=True)
class ArrayInfo:
    """One array of a source: what it is, and how some of it is read.

    Parameters
    ----------
    name : str
        With slashes between groups and name.
    shape : tuple of int
    dtype : numpy.dtype
        Of what `read` gives; object for text and ragged values.
    read : callable
        ``read(box)``, with a slice for each axis, gives that part of the array. It has to be
        picklable and fit for several threads.
    chunk_rows : int
        Rows that are stored together; blocks begin at multiples of it.
    chunk_shape : tuple of int, optional
        Shape of a stored chunk.
    options : dict, optional
        Of the tensor, where the source knows better than `array_options`.
    item_bytes : int, optional
        Bytes of an element, where the dtype does not tell.

    Examples
    --------
    >>> info = ArrayInfo("x", (3, 2), np.dtype("f4"), np.zeros((3, 2), "f4").__getitem__)
    >>> info.row_bytes
    8
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[tuple[slice, ...]], Any]
    chunk_rows: int = 1
    chunk_shape: tuple[int, ...] | None = None
    options: dict[str, Any] | None = None
    item_bytes: int | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, at least 1."""
        size = self.item_bytes or (64 if self.dtype.hasobject else self.dtype.itemsize)
        return max(1, math.prod(self.shape[1:]) * size)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return (self.shape[0] if self.shape else 1) * self.row_bytes

    def whole(self) -> Any:
        """All of it."""
        return self.read(tuple(slice(0, size) for size in self.shape))


@dataclass(frozen=True)
class ArrayRegion:
    """A large array as one sample, of which boxes are read.

    Examples
    --------
    >>> array = np.arange(6).reshape(2, 3)
    >>> region = ArrayRegion((2, 3), array.dtype, (1, 3), array.__getitem__)
    >>> region.read((slice(1, 2), slice(0, 2)))
    array([[3, 4]])
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tile_shape: tuple[int, ...]
    reader: Callable[[tuple[slice, ...]], Any]

    def read(self, box: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """The part of the array in a box: a slice for each axis."""
        return np.asarray(self.reader(box))


@dataclass(frozen=True)
class Part:
    """Rows that are stored side by side: a file, or a split.

    Parameters
    ----------
    key : str
        Stable name, '' if there is one part.
    arrays : dict
        Array by the name of the column.
    constants : dict
        Value by the name of the column, the same in each row.
    whole : bool
        The arrays are the samples of one row.
    skipped : tuple of Skipped
        What became no row; told with the first block.
    """

    key: str
    arrays: dict[str, ArrayInfo]
    constants: dict[str, Any] = field(default_factory=dict)
    whole: bool = False
    skipped: tuple[Skipped, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return 1 if self.whole else next(iter(self.arrays.values())).shape[0]

    def step(self) -> int:
        """Rows of a block: bounded in bytes, whole chunks where they fit."""
        row_bytes = sum(array.row_bytes for array in self.arrays.values())
        rows = max(1, min(UNIT_ROWS, UNIT_BYTES // row_bytes))
        chunk = max(array.chunk_rows for array in self.arrays.values())
        return rows // chunk * chunk if 1 <= chunk <= rows else rows


@dataclass(frozen=True)
class BlockSource:
    """Rows of arrays, read in blocks.

    Parameters
    ----------
    kind : str
    columns : tuple of Column
    parts : tuple of Part
    info : dict
        For the info of the dataset.

    Examples
    --------
    >>> x = ArrayInfo("x", (3,), np.dtype("i8"), np.array([5, 6, 7]).__getitem__)
    >>> column = Column("x", array_options(x))
    >>> source = BlockSource("npy", (column,), (Part("", {"x": x}),))
    >>> [block for unit in source.units() for block in source.rows(unit)]
    [Block(columns={'x': array([5, 6, 7])}, rows=3)]
    """

    kind: str
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    info: dict[str, Any] = field(default_factory=dict)

    def units(self) -> Iterator[Unit]:
        """Blocks of rows of each part, in order."""
        for number, part in enumerate(self.parts):
            step = part.step() if not part.whole else 1
            for start in range(0, part.rows, step):
                stop = min(part.rows, start + step)
                key = f"{part.key}/{start}" if part.key else str(start)
                yield Unit(key, (number, start, stop), stop - start)

    def rows(self, unit: Unit) -> Iterator[Row]:
        """The rows of a block, column by column."""
        number, start, stop = unit.payload
        part = self.parts[number]
        if start == 0:
            yield from part.skipped
        values: dict[str, Any] = {}
        for name, array in part.arrays.items():
            if part.whole:
                values[name] = [whole_sample(array)]
            else:
                rest = tuple(slice(0, size) for size in array.shape[1:])
                values[name] = _values(array.read((slice(start, stop), *rest)))
        for name, value in part.constants.items():
            values[name] = [value] * (stop - start)
        yield Block(values, stop - start)


def array_options(array: ArrayInfo) -> dict[str, Any]:
    """Options of a tensor whose samples are the rows of an array.

    Bytes of the shape of pictures become ``image``, whole numbers named like labels
    ``class_label``.

    Examples
    --------
    >>> pictures = np.zeros((5, 32, 32, 3), "u1")
    >>> array_options(ArrayInfo("x", pictures.shape, pictures.dtype, pictures.__getitem__))
    {'htype': 'image', 'dtype': 'uint8'}
    """
    if array.options is not None:
        return dict(array.options)
    dtype, sample = array.dtype, array.shape[1:]
    if dtype.kind in "OSTU":
        return {"htype": "text" if not sample else "json"}
    if dtype.kind == "u" and dtype.itemsize <= 2:
        if len(sample) == 3 and sample[2] in (1, 3, 4) and min(sample[:2]) >= 8:
            return {"htype": "image", "dtype": dtype.name}
        if len(sample) == 2 and min(sample) >= 8 and "image" in array.name.lower():
            return {"htype": "image.gray", "dtype": dtype.name}
    if dtype.kind in "iu" and not sample and is_label_name(array.name) and _are_labels(array):
        return {"htype": "class_label"}
    return {"htype": "generic", "dtype": dtype_name(dtype)}


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Name of a tensor's dtype for elements of a dtype; opaque ones are bytes.

    Examples
    --------
    >>> dtype_name(np.dtype(">f4")), dtype_name(np.dtype("V3"))
    ('float32', 'uint8')
    """
    return "uint8" if dtype.kind == "V" else _native(dtype).name


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def fields_of(array: ArrayInfo) -> list[ArrayInfo]:
    """A structured array as one array for each of its fields; others as they are.

    Examples
    --------
    >>> points = np.zeros(2, [("x", "f4"), ("y", "f4")])
    >>> [f.name for f in fields_of(ArrayInfo("points", (2,), points.dtype, points.__getitem__))]
    ['points/x', 'points/y']
    """
    if array.dtype.names is None:
        return [array]
    made = []
    for name in array.dtype.names:
        dtype = array.dtype[name]
        inner = replace(
            array,
            name=f"{array.name}/{name}" if array.name else name,
            shape=array.shape + dtype.shape,
            dtype=dtype.base,
            read=_FieldReader(array.read, name, len(array.shape)),
            chunk_shape=None,
            item_bytes=None,
        )
        made += fields_of(inner)
    return made


@dataclass(frozen=True)
class _FieldReader:
    """Reads one field of a structured array."""

    read: Callable[[tuple[slice, ...]], Any]
    name: str
    ndim: int

    def __call__(self, box: tuple[slice, ...]) -> Any:
        inner = (slice(None),) * self.ndim
        return self.read(box[: self.ndim])[self.name][(*inner, *box[self.ndim :])]


def _are_labels(array: ArrayInfo) -> bool:
    """Whether the first numbers can be labels."""
    first = np.asarray(array.read((slice(0, min(array.shape[0], 100_000)),)))
    return bool(first.min() >= 0 and first.max() < 100_000)


def _values(block: Any) -> Any:
    """Samples as the tensor takes them: an array, or a list of text or of ragged arrays."""
    if not isinstance(block, np.ndarray):
        return block
    if block.dtype.kind in "OSTU":
        return [_plain(value) for value in block]
    if block.dtype.kind == "V":
        return np.ascontiguousarray(block).view(np.uint8).reshape(*block.shape, -1)
    return block.astype(_native(block.dtype), copy=False)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return as_json(value) if value.dtype.kind in "OSTU" else value
    return str(value) if isinstance(value, str) else value


def whole_sample(array: ArrayInfo) -> Any:
    """An array as one sample: itself if it is small, else a region to read boxes of.

    Examples
    --------
    >>> numbers = np.arange(3)
    >>> whole_sample(ArrayInfo("x", numbers.shape, numbers.dtype, numbers.__getitem__))
    array([0, 1, 2])
    """
    if array.dtype.kind in "OSTU":
        return as_json(array.whole())
    if array.nbytes <= UNIT_BYTES:
        return _values(np.asarray(array.whole()))
    dtype = _native(array.dtype)
    return ArrayRegion(array.shape, dtype, array.chunk_shape or _tile(array), array.read)


def _tile(array: ArrayInfo) -> tuple[int, ...]:
    """A slab of rows of about a MB."""
    return (max(1, min(array.shape[0], 1_000_000 // array.row_bytes)), *array.shape[1:])
