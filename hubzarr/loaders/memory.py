"""Memory for batches that is used again: fresh memory costs more than what is put into it."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Memory"]

#: Where arrays begin: at a multiple of this TensorFlow and JAX take them over without a copy.
ALIGNMENT: Final = 64
#: Arrays of fewer bytes come from the allocator, which has memory at hand for those.
LEAST: Final = 1 << 16
#: Pieces that are kept by default.
KEPT: Final = 16


class Memory:
    """Arrays in memory that comes back by itself once nobody holds the array.

    The system gives fresh memory page by page, at the first touch, and clears each: for a batch
    of images that takes longer than to copy the images.

    Parameters
    ----------
    kept : int
        Pieces of memory that are used again.

    Examples
    --------
    >>> import numpy as np
    >>> memory = Memory()
    >>> first = memory.empty((100, 1000), np.dtype("f4"))
    >>> place = first.ctypes.data
    >>> memory.empty((100, 1000), np.dtype("f4")).ctypes.data == place  # `first` is in use
    False
    >>> del first
    >>> memory.empty((50, 2000), np.dtype("i4")).ctypes.data == place
    True
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._pieces: list[npt.NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array of any content."""
        nbytes = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or dtype.kind == "T":
            return np.empty(shape, dtype)
        piece = _fresh(nbytes) if nbytes < LEAST else self._piece(nbytes)
        start = -piece.ctypes.data % ALIGNMENT
        return piece[start : start + nbytes].view(dtype).reshape(shape)

    def _piece(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """A piece that nobody uses, neither too small nor more than twice as large."""
        if not self._lock.acquire(blocking=False):
            # Never wait: in a forked process, a thread that is not there may hold it for ever.
            return _fresh(nbytes)
        try:
            for number in range(len(self._pieces)):
                fits = nbytes <= self._pieces[number].nbytes - ALIGNMENT <= 2 * nbytes
                if fits and _references(self._pieces, number) == _UNUSED:
                    return self._pieces[number]
            piece = _fresh(nbytes)
            self._pieces.append(piece)
            if len(self._pieces) > self._kept:
                del self._pieces[0]  # whoever uses it keeps it
            return piece
        finally:
            self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, (self._kept,)


def _fresh(nbytes: int) -> npt.NDArray[np.uint8]:
    return np.empty(nbytes + ALIGNMENT, np.uint8)


def _references(pieces: list[npt.NDArray[np.uint8]], number: int) -> int:
    """References to a piece; each array in it holds one."""
    return sys.getrefcount(pieces[number])


#: Those of a piece in no use.
_UNUSED: Final = _references([_fresh(0)], 0)
