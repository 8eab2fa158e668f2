"""Arrays as sources of loaders: a sample is an index of the first axis."""

from __future__ import annotations

import math
import pickle
from collections.abc import Hashable
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubzarr.arrays.handle import Source, open_engine
from hubzarr.engine import ArrayEngine
from hubzarr.engine.reading import read_boxes, read_gather
from hubzarr.errors import InvalidError
from hubzarr.indexing import Transform, apply
from hubzarr.loaders.source import Field, Stored

__all__ = ["ArraySource", "block_rows", "read_rows"]

#: Bytes as stored that are worth one request of their own.
BLOCK_BYTES: Final = 256 << 10


class ArraySource:
    """Samples of an array or view, as it is at one commit.

    Parameters
    ----------
    handle : Source
    view : Transform
    """

    single: bool = True

    def __init__(self, handle: Source, view: Transform) -> None:
        if not view.shape:
            raise InvalidError("an array without axes has no samples to load")
        self._handle = handle
        self._view = view
        self.commit = handle.commit

    @property
    def _engine(self) -> ArrayEngine:
        return open_engine(self._handle)

    @property
    def concurrency(self) -> int:
        """Requests that the store answers at a time."""
        return self._engine.cells.storage.concurrency

    @cached_property
    def fields(self) -> list[Field]:
        """The samples."""
        cells, shape = self._engine.cells, self._view.shape[1:]
        kind = "text" if cells.dtype.kind in "OUT" else "array"
        nbytes = math.prod(shape) * cells.dtype.itemsize
        return [Field("values", kind, cells.dtype, shape, True, nbytes)]

    @property
    def identity(self) -> Hashable:
        """The array, its commit, and what the view selects."""
        return self._handle.key, pickle.dumps(self._view)

    @property
    def selection(self) -> str:
        """The box that the view is, if it is one."""
        return repr(self._view.box or "")

    def __len__(self) -> int:
        return self._view.shape[0]

    def block(self) -> int:
        """How many neighbouring rows are worth reading together."""
        return block_rows(self.fields[0].nbytes, self._engine.cells.chunk_shape[0])

    def numbers(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows themselves: a view of an array counts its own."""
        return rows

    def is_contiguous(self) -> bool:
        """Always."""
        return True

    def load(
        self, name: str, rows: npt.NDArray[np.int64], out: npt.NDArray[Any] | None = None,
        keep: bool | None = None,
    ) -> npt.NDArray[Any]:  # fmt: skip
        """Samples as rows of one array."""
        return read_rows(self._engine, self._view, rows, out, keep)

    def decode(self, name: str, stored: Stored, out: npt.NDArray[Any] | None = None) -> Any:
        """Nothing to decode."""
        return stored.data

    def to_bytes(self, name: str, stored: Stored) -> bytes:
        """The bytes of a sample."""
        return bytes(stored.data)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArraySource, (self._handle, self._view)


def block_rows(nbytes: float, chunk: int) -> int:
    """How many rows of that size are worth reading together: whole chunks where there are any."""
    rows = max(1, round(BLOCK_BYTES / max(1.0, nbytes)))
    return rows if chunk <= 1 else max(1, round(rows / chunk)) * chunk


def read_rows(
    engine: ArrayEngine, view: Transform, rows: npt.NDArray[np.int64],
    out: npt.NDArray[Any] | None = None, keep: bool | None = None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Some indices of the first axis of a view; long runs of neighbours are read as boxes.

    Parameters
    ----------
    engine : ArrayEngine
    view : Transform
    rows : ndarray of int64
    out : ndarray, optional
        Where to put them.
    keep : bool, optional
        Whether chunks should stay in the cache; by default if they are few.
    """
    if out is None:
        out = np.empty((len(rows), *view.shape[1:]), engine.cells.dtype)
    if not out.size:
        return out
    box = view.box
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    chunk = engine.cells.chunk_shape[0] if engine.cells.chunk_shape else 1
    touched = np.count_nonzero(np.diff(rows // chunk)) + 1
    # Scattered rows are picked out of their chunks, which costs less than a box for each.
    if box is None or len(box) != len(view.shape) or len(breaks) > 2 * touched:
        t = apply(view, rows)
        if t.box is None:
            read_gather(engine, t, out, keep)
        else:
            out[...] = engine.read(t)
        return out
    begins = [0, *breaks.tolist()]
    ends = [*begins[1:], len(rows)]
    firsts = (rows[begins] + box[0][0]).tolist()
    boxes = [
        (((first, first + b - a), *box[1:]), out[a:b])
        for first, a, b in zip(firsts, begins, ends, strict=True)
    ]
    read_boxes(engine, boxes, keep)
    return out
