"""NumPy arrays and texts as Arrow arrays, from their buffers.

`pyarrow.array` and `to_numpy` would do, but their first calls import pandas, which takes
longer than a query over a million rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubzarr.dtypes import widened
from hubzarr.errors import DamagedError, InvalidTypeError
from hubzarr.media.extras import need

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_lists", "arrow_numbers", "arrow_texts", "arrow_vectors", "plain_numbers"]

type Values = npt.NDArray[Any]

_LARGEST = (1 << 31) - 1  # what 32-bit offsets reach


def arrow_numbers(values: Values, missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers, truth values or times of one axis; NaN and NaT are missing.

    Examples
    --------
    >>> arrow_numbers(np.array([1.5, np.nan])).to_pylist()
    [1.5, None]
    """
    arrow = need("pyarrow", extra="query", what="running queries")
    values = widened(np.ascontiguousarray(values))
    kind = values.dtype.kind
    if kind == "f" and values.dtype.itemsize != 4:
        values = values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    if kind in "fM" and missing is None:
        missing = np.isnan(values) if kind == "f" else np.isnat(values)
    type_ = _type_of(arrow, values.dtype)
    if arrow.types.is_date32(type_):
        values = values.astype(np.int64).astype(np.int32)
    elif kind == "M":
        values = values.view(np.int64)
    buffer = arrow.py_buffer(_bits(values) if kind == "b" else _native(values))
    validity = None
    if missing is not None and missing.any():
        validity = arrow.py_buffer(_bits(~missing))
    return arrow.Array.from_buffers(type_, len(values), [validity, buffer])


def arrow_texts(values: Sequence[str | bytes]) -> pa.Array:
    """Texts, or their bytes in UTF-8.

    Examples
    --------
    >>> arrow_texts(["Rain", "é"]).to_pylist()
    ['Rain', 'é']
    """
    arrow = need("pyarrow", extra="query", what="running queries")
    encoded = [text.encode() if isinstance(text, str) else text for text in values]
    ends = np.cumsum([0, *map(len, encoded)])
    wide = ends[-1] > _LARGEST
    offsets = ends.astype(np.int64 if wide else np.int32)
    buffers = [None, arrow.py_buffer(offsets), arrow.py_buffer(b"".join(encoded))]
    type_ = arrow.large_string() if wide else arrow.string()
    found = arrow.Array.from_buffers(type_, len(encoded), buffers)
    try:
        found.validate(full=True)  # the engine relies on it
    except arrow.ArrowInvalid as error:
        raise DamagedError(f"stored text is no UTF-8: {error}") from None
    return found


def arrow_lists(lengths: npt.NDArray[np.int64], items: pa.Array) -> pa.Array:
    """Lists of the given lengths, whose items follow each other.

    Examples
    --------
    >>> arrow_lists(np.array([2, 0, 1]), arrow_numbers(np.arange(3))).to_pylist()
    [[0, 1], [], [2]]
    """
    arrow = need("pyarrow", extra="query", what="running queries")
    ends = np.concatenate([[0], np.cumsum(lengths)])
    wide = ends[-1] > _LARGEST
    make = arrow.LargeListArray if wide else arrow.ListArray
    offsets = arrow_numbers(ends.astype(np.int64 if wide else np.int32))
    return make.from_arrays(offsets, items)


def arrow_vectors(values: Values) -> pa.Array:
    """Arrays of one shape, the first axis being the rows, as lists of that size.

    Examples
    --------
    >>> arrow_vectors(np.array([[1, 2], [3, 4]])).to_pylist()
    [[1, 2], [3, 4]]
    """
    arrow = need("pyarrow", extra="query", what="running queries")
    # Inside of vectors NaN stays what it is: engines compute with whole vectors.
    flat = values.reshape(-1)
    found = arrow_numbers(flat, missing=np.zeros(flat.shape, bool))
    for axis in range(values.ndim - 1, 0, -1):
        found = arrow.FixedSizeListArray.from_arrays(found, values.shape[axis])
    return found


def plain_numbers(column: pa.Array | pa.ChunkedArray) -> Values:
    """Numbers or truth values without missing ones, as NumPy array.

    Examples
    --------
    >>> plain_numbers(arrow_numbers(np.array([True, False, True]))).tolist()
    [True, False, True]
    """
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    parts = [_plain(chunk) for chunk in chunks]
    if not parts:
        return np.empty(0, column.type.to_pandas_dtype())
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _plain(chunk: Any) -> Values:
    buffer, offset, stop = chunk.buffers()[1], chunk.offset, chunk.offset + len(chunk)
    if str(chunk.type) == "bool":
        bits = np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)
        return np.unpackbits(bits, count=stop, bitorder="little")[offset:].view(bool)
    dtype = np.dtype(chunk.type.to_pandas_dtype())
    if not len(chunk):
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype)[offset:stop]


def _type_of(arrow: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "M":
        unit = np.datetime_data(dtype)[0]
        if unit == "D":
            return arrow.date32()
        if unit in {"s", "ms", "us", "ns"}:
            return arrow.timestamp(unit)
    elif dtype.kind in "iufb":
        return arrow.bool_() if dtype.kind == "b" else getattr(arrow, dtype.name)()
    raise InvalidTypeError(f"queries can't look into values of dtype {dtype}", dtype=str(dtype))


def _native(values: Values) -> Values:
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _bits(flags: Values) -> npt.NDArray[np.uint8]:
    return np.packbits(flags, bitorder="little")
