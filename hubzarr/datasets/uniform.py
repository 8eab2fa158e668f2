"""Samples of one shape: an array with a row for each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hubzarr.arrays.values import elements, fitted
from hubzarr.indexing import apply, identity
from hubzarr.session.rebase import box_view
from hubzarr.session.state import ArrayState

__all__ = ["UniformColumn", "remove_rows"]

type Array = np.ndarray[Any, Any]

_BLOCK = 32 << 20


class UniformColumn:
    """Rows of one array.

    Parameters
    ----------
    state : ArrayState
        The session's.
    """

    def __init__(self, state: ArrayState) -> None:
        self.state = state

    def __len__(self) -> int:
        return self.state.shape[0]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of a sample."""
        return self.state.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""
        return self.state.engine.cells.dtype

    @property
    def row_nbytes(self) -> int:
        """Bytes of a sample."""
        return math.prod(self.row_shape) * self.dtype.itemsize

    def block(self, values: Any) -> Array | None:
        """Samples as rows of the array; None if they have other shapes."""
        if isinstance(values, np.ndarray):
            return values if values.shape[1:] == self.row_shape else None
        shape = self.row_shape
        if any(value.shape != shape or not isinstance(value.data, np.ndarray) for value in values):
            return None
        out = np.empty((len(values), *shape), self.dtype)
        for i, value in enumerate(values):
            out[i] = value.data
        return out

    def append(self, block: Array) -> None:
        """Add rows."""
        self.state.append(elements(block, self.dtype, "the tensor"))

    def cut(self, length: int) -> None:
        """Take back rows that were just appended."""
        cut_back(self.state, length)

    def write(self, row: int | slice, value: Any, sub: Any = ()) -> None:
        """Set a sample or neighbours, or a part of each."""
        t = apply(identity(self.state.shape), (row, *(sub if isinstance(sub, tuple) else (sub,))))
        self.state.engine.write(t, fitted(value, t.shape, self.dtype, "the tensor"))

    def read(self, key: Any) -> Array:
        """Rows, and what the rest of the key selects inside them."""
        return self.state.engine.read(apply(identity(self.state.shape), key))

    def shapes(self, rows: Array) -> Array:
        """Shapes of some samples, int64 of shape (n, ndim)."""
        shape = np.array(self.row_shape, np.int64)
        return np.broadcast_to(shape, (len(rows), len(shape)))

    def interval(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Smallest and largest extent along each axis."""
        return self.row_shape, self.row_shape

    def remove(self, rows: Array) -> None:
        """Drop some rows; later ones move up."""
        remove_rows(self.state, rows)

    def clear(self) -> None:
        """Drop all rows."""
        self.state.resize((0, *self.row_shape))


def cut_back(state: ArrayState, length: int) -> None:
    """Take back the rows from `length` on, which were just appended."""
    extra = state.shape[0] - length
    if extra > 0:
        appended = state.appended
        state.take_back((length, None if appended is None else appended - extra))


def remove_rows(state: ArrayState, rows: Array) -> None:
    """Drop rows (sorted, unique) of an array; later ones move up, in bounded memory."""
    total, shape = state.shape[0], state.shape[1:]
    width = math.prod(shape) * state.engine.cells.dtype.itemsize
    step = max(1, _BLOCK // max(1, width))
    tail = tuple((0, n) for n in shape)
    target = int(rows[0])
    for start in range(target, total, step):
        stop = min(start + step, total)
        block = state.engine.read(box_view(((start, stop), *tail)))
        gone = rows[(rows >= start) & (rows < stop)] - start
        kept = np.delete(block, gone, axis=0)
        if len(kept):
            state.engine.write(box_view(((target, target + len(kept)), *tail)), kept)
        target += len(kept)
    state.resize((target, *shape))
