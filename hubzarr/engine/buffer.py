"""Write-back buffers: cells that have been written to and not stored yet."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["CellBuffer"]

type Array = np.ndarray[Any, Any]


class CellBuffer:
    """The elements of one cell that were written, and which they are.

    Rows of axis 0 that were written whole are marked one by one; the first write of any
    other shape adds a mask.

    Parameters
    ----------
    memory : ndarray
        One axis or more; axis 0 as long as the cell, so that appended rows fit in, the
        others as long as the cell's part inside the array.
    extent : int
        Rows of axis 0 that lie inside the array.
    """

    __slots__ = ("cut", "data", "mask", "memory", "missing", "rows")

    def __init__(self, memory: Array, extent: int) -> None:
        self.memory = memory
        self.data = memory[:extent]
        #: One byte per row of axis 0: written whole or not.
        self.rows = bytearray(extent)
        #: Rows not written whole yet; 0 means that the buffer holds the whole cell.
        self.missing = extent
        self.mask: Array | None = None
        #: Rows of the stored cell that count, if not all: later ones were taken back.
        self.cut: int | None = None

    @property
    def nbytes_written(self) -> int:
        """Bytes that storing it costs."""
        return self.data.nbytes

    @property
    def extent(self) -> int:
        """Rows of axis 0 that lie inside the array."""
        return len(self.rows)

    @property
    def full(self) -> bool:
        """Whether every element was written and no row can be appended."""
        return not self.missing and len(self.rows) == len(self.memory)

    def grow(self, extent: int) -> None:
        """More rows of axis 0 lie inside the array now."""
        more = extent - len(self.rows)
        self.rows += bytes(more)
        self.missing += more
        self.data = self.memory[:extent]
        if self.mask is not None:
            self.mask = np.concatenate([self.mask, np.zeros((more, *self.mask.shape[1:]), bool)])

    def shrink(self, extent: int) -> None:
        """Fewer rows of axis 0 lie inside the array now."""
        del self.rows[extent:]
        self.missing = self.rows.count(0)
        self.data = self.memory[:extent]
        if self.mask is not None:
            self.mask = self.mask[:extent]

    def mark_row(self, row: int) -> None:
        """One row of axis 0 was written whole."""
        if not self.rows[row]:
            self.rows[row] = 1
            self.missing -= 1

    def mark_rows(self, start: int, stop: int) -> None:
        """Rows of axis 0 were written whole."""
        self.missing -= self.rows[start:stop].count(0)
        self.rows[start:stop] = b"\1" * (stop - start)

    def mark(self, inside: tuple[Any, ...]) -> None:
        """The elements ``data[inside]`` were written."""
        if not self.missing:
            return
        first = inside[0]
        if type(first) is slice and first.step in (None, 1) and self._spans(inside[1:]):
            self.mark_rows(*first.indices(len(self.rows))[:2])
            return
        if self.mask is None:
            self.mask = np.zeros(self.data.shape, bool)
        self.mask[inside] = True
        done = self.mask.reshape(len(self.rows), -1).all(axis=1)
        for row in np.nonzero(done)[0].tolist():
            self.mark_row(row)

    def _spans(self, inside: tuple[Any, ...]) -> bool:
        """Whether an index covers all axes but the first entirely."""
        extents = self.data.shape[1:]
        return len(inside) == len(extents) and all(
            type(s) is slice and s.indices(n) == (0, n, 1)
            for s, n in zip(inside, extents, strict=True)
        )

    def fill_from(self, base: Array) -> None:
        """Take the elements that were not written from `base`; the buffer is then whole."""
        if not self.missing:
            return
        unwritten = np.frombuffer(bytes(self.rows), np.uint8) == 0
        first = self.rows.find(1)
        if self.mask is None and self.missing == first:  # rows were appended, no others written
            self.data[:first] = base[:first]
        elif self.mask is None:
            self.data[unwritten] = base[unwritten]
        else:
            self.mask[~unwritten] = True
            np.copyto(self.data, base, where=~self.mask)
        self.mark_rows(0, len(self.rows))
