"""MosaicML's streaming shards (MDS), written without its library.

``index.json`` lists the shards; each is::

    uint32 n · uint32 offsets[n + 1] · JSON of the columns · samples

and a sample the uint32 sizes of its columns of variable size, and then the values of all
columns. JPEG and PNG files are written as they are stored; files of other formats have the
encoding "bytes".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.exporting.cells import json_text, plain
from hubzarr.exporting.report import Written
from hubzarr.exporting.table import Field, Table
from hubzarr.exporting.target import Target
from hubzarr.media import Link

__all__ = ["FORMAT", "is_single", "write"]

FORMAT: Final = "mds"

type Advance = Callable[[int], None]
type Array = np.ndarray[Any, Any]

_SIZE_LIMIT: Final = 1 << 26
_LARGEST: Final = (1 << 32) - 1
#: Code of each dtype in a value of the encoding "ndarray".
_CODES: Final = {
    "uint8": 8, "int8": 9, "uint16": 16, "int16": 17, "float16": 18, "uint32": 32, "int32": 33,
    "float32": 34, "uint64": 64, "int64": 65, "float64": 66,
}  # fmt: skip


def is_single(url: str) -> bool:
    """Whether the target is one file: it never is."""
    return False


def write(table: Table, target: Target, advance: Advance, *, maxsize: int = _SIZE_LIMIT) -> Written:
    """Write shards and their index.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done.
    maxsize : int
        Bytes after which the next shard begins.
    """
    if not 0 < maxsize <= _LARGEST:
        raise InvalidError(f"maxsize={maxsize}; expected 1 to {_LARGEST}")
    made = {field.name: _column(field) for field in table.fields}
    left_out = {name: c for name, c in made.items() if isinstance(c, str)}
    # The library writes columns in the order of their names.
    columns = [c for _, c in sorted(made.items()) if isinstance(c, _Column)]
    if not columns:
        raise InvalidError(f"no tensor has a place in MDS: {left_out}")
    shards = _Shards(target, columns, maxsize)
    for block in table.blocks([column.field for column in columns]):
        for row, samples in block.each():
            shards.add(row, [column.encoded(samples[column.field.name]) for column in columns])
        advance(block.rows)
    shards.finish()
    return Written(left_out, tensors={c.field.name: {"encoding": c.encoding} for c in columns})


@dataclass(frozen=True)
class _Column:
    """A column: its encoding, the bytes of each value if all have as many, and how to make it."""

    field: Field
    encoding: str
    size: int | None
    encode: Callable[[Any], bytes]

    def encoded(self, value: Any) -> bytes:
        return b"" if value is None else self.encode(value)


def _column(field: Field) -> _Column | str:
    spec = field.spec
    if field.file_format:
        if spec.is_sequence:
            return "its samples are lists of files"
        format_ = field.file_format
        encoding = format_ if format_ in ("jpeg", "png") else "bytes"
        return _Column(field, encoding, None, lambda sample: bytes(sample.encoded(format_)))
    if field.is_label:
        return _Column(field, "int", 8, lambda v: np.int64(np.asarray(v).reshape(())).tobytes())
    if spec.stores in ("text", "link"):
        return _Column(field, "str", None, _text)
    if spec.stores != "array":
        return _Column(field, "json", None, lambda value: json_text(plain(field, value)).encode())
    return _numbers(field)


def _text(value: Any) -> bytes:
    return str(value.path if isinstance(value, Link) else value).encode()


def _numbers(field: Field) -> _Column | str:
    dtype = field.dtype
    stored = "uint8" if dtype is not None and dtype.kind == "b" else dtype and dtype.name
    if dtype is None or stored not in _CODES:
        return f"MDS has no arrays of {dtype}"
    little = np.dtype(stored).newbyteorder("<")

    def encode(value: Any) -> bytes:
        return np.asarray(value).astype(little).tobytes()

    if field.is_scalar:
        return _Column(field, stored, little.itemsize, encode)
    shape = field.row_shape
    if shape is not None and all(shape):
        encoding = f"ndarray:{stored}:{','.join(map(str, shape))}"
        return _Column(field, encoding, int(np.prod(shape)) * little.itemsize, encode)

    def encode_shaped(value: Any) -> bytes:
        array = np.asarray(value)
        return _shape_head(stored, array.shape) + encode(array)

    return _Column(field, "ndarray", None, encode_shaped)


def _shape_head(dtype: str, shape: Sequence[int]) -> bytes:
    """Code of the dtype, number of axes and width of their sizes, and the sizes."""
    width = next(w for w in range(4) if max(shape, default=0) < 1 << (8 << w))
    head = bytes([_CODES[dtype], len(shape) << 2 | width])
    return head + np.array(shape, f"<u{1 << width}").tobytes()


class _Shards:
    """Collects samples, and writes a shard when there are enough."""

    def __init__(self, target: Target, columns: Sequence[_Column], maxsize: int) -> None:
        self._target = target
        self._sizes = [column.size for column in columns]
        self._maxsize = maxsize
        self._about = {
            "column_encodings": [column.encoding for column in columns],
            "column_names": [column.field.name for column in columns],
            "column_sizes": self._sizes,
            "compression": None,
            "format": "mds",
            "hashes": [],
            "size_limit": maxsize,
            "version": 2,
        }
        self._head = json.dumps(self._about, sort_keys=True).encode()
        self._samples: list[bytes] = []
        self._index: list[dict[str, Any]] = []
        self._used = self._empty = 8 + len(self._head)

    def add(self, row: int, values: Sequence[bytes]) -> None:
        """Add a sample."""
        if max(map(len, values)) > _LARGEST - 4 * len(values) - self._empty:
            raise SampleError(f"row {row} is larger than the 4 GiB that MDS can count", row=row)
        pairs = zip(values, self._sizes, strict=True)
        lengths = [len(value) for value, size in pairs if size is None]
        sample = b"".join([np.array(lengths, "<u4").tobytes(), *values])
        if self._samples and self._used + 4 + len(sample) > self._maxsize:
            self._flush()
        self._samples.append(sample)
        self._used += 4 + len(sample)

    def finish(self) -> None:
        """Write the last shard, and the index."""
        if self._samples or not self._index:
            self._flush()
        self._target.write(
            "index.json", json.dumps({"shards": self._index, "version": 2}, sort_keys=True).encode()
        )

    def _flush(self) -> None:
        name = f"shard.{len(self._index):05d}.mds"
        count = len(self._samples)
        start = 4 + 4 * (count + 1) + len(self._head)
        offsets = np.cumsum([start, *map(len, self._samples)]).astype("<u4")
        with self._target.open(name) as file:
            file.write(np.uint32(count).astype("<u4").tobytes() + offsets.tobytes() + self._head)
            for sample in self._samples:
                file.write(sample)
        raw = {"basename": name, "bytes": int(offsets[-1]), "hashes": {}}
        self._index.append(self._about | {"samples": count, "raw_data": raw, "zip_data": None})
        self._samples, self._used = [], self._empty
