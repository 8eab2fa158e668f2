"""Appending bytes to a flat array, and its last cell while that is being filled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.engine.buffer import CellBuffer

if TYPE_CHECKING:
    from hubzarr.engine.array import ArrayEngine

__all__ = ["TailBuffer", "append_bytes"]

type Array = np.ndarray[Any, Any]


class TailBuffer(CellBuffer):
    """A new cell of one axis that is filled from its start; what lies behind is fill.

    Unlike other buffers it needs no record of which elements were written, so that filling
    it costs no more than copying.

    Parameters
    ----------
    memory : ndarray
        Of a whole cell, of any content.
    """

    __slots__ = ("clean", "used")

    def __init__(self, memory: Array) -> None:
        self.memory = memory
        self.data = memory
        self.rows = bytearray()
        self.mask = None
        self.cut = None
        #: Never 0, so that readers ask for what lies behind the written part.
        self.missing = 1
        #: Elements written, from the first on.
        self.used = 0
        #: From here on the memory holds the fill value.
        self.clean = len(memory)

    @property
    def nbytes_written(self) -> int:
        """Bytes that storing it costs."""
        return self.used

    @property
    def extent(self) -> int:
        """The whole cell always lies inside the array."""
        return len(self.memory)

    @property
    def full(self) -> bool:
        """Whether nothing more fits in."""
        return self.used == len(self.memory)

    def take(self, part: memoryview) -> int:
        """Copy as much of the bytes as fits; returns how many."""
        count = min(len(part), len(self.memory) - self.used)
        memoryview(self.memory)[self.used : self.used + count] = part[:count]
        self.used += count
        return count

    def fill_from(self, base: Array) -> None:
        """Put the fill value behind the written part, for a reader."""
        if self.used < self.clean:
            self.memory[self.used : self.clean] = base[self.used : self.clean]
            self.clean = self.used


def append_bytes(
    engine: ArrayEngine, parts: Iterable[memoryview], grow: Callable[[int], object]
) -> list[int]:
    """Put pieces of bytes one behind the other, in cells that nothing was written to yet.

    Each flush ends the cell: the next bytes begin another one, so that committing a few
    bytes never stores earlier ones again.

    Parameters
    ----------
    engine : ArrayEngine
        Of an array of bytes with one axis.
    parts : iterable of memoryview
    grow : callable
        Adds so many elements to the array.

    Returns
    -------
    list of int
        Where each piece begins. It may reach over the end of a cell into the next.
    """
    starts: list[int] = []
    with engine.lock:
        engine.reap()
        cell, tail = _open_tail(engine, grow)
        first = cell[0] * len(tail.memory)
        for part in parts:
            starts.append(first + tail.used)
            left = part
            while len(left):
                if tail.full:
                    engine.store_soon(cell)
                    engine.bound()
                    cell, tail = _open_tail(engine, grow)
                    first = cell[0] * len(tail.memory)
                left = left[tail.take(left) :]
    return starts


def _open_tail(engine: ArrayEngine, grow: Callable[[int], object]) -> tuple[tuple[int], TailBuffer]:
    """The cell that the next bytes go to, and its buffer."""
    size = engine.cells.cell_shape[0]
    cell = (engine.shape[0] // size - 1,)
    tail = engine.buffers.get(cell)
    if type(tail) is TailBuffer and not tail.full:
        return cell, tail
    grow(-engine.shape[0] % size + size)
    cell = (engine.shape[0] // size - 1,)
    tail = TailBuffer(engine.memory((size,)))
    engine.buffers[cell] = tail
    engine.buffered_bytes += tail.memory.nbytes
    return cell, tail
