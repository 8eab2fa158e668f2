"""How many inputs make a batch: enough that handing it over costs little, few enough to fit."""

from __future__ import annotations

from typing import Final

from hubzarr.computing.working import Batch

__all__ = ["Pace"]

_QUICK: Final = 0.05
_SLOW: Final = 0.5
_MOST_BYTES: Final = 8 << 20
_MOST: Final = 1024


class Pace:
    """The size of the next batch, by what earlier ones took.

    Examples
    --------
    >>> pace = Pace()
    >>> pace.tell(Batch(1, seconds=0.001)); pace.size
    2
    >>> pace.tell(Batch(2, seconds=2.0)); pace.size
    1
    """

    def __init__(self) -> None:
        self.size = 1
        self._largest = 1

    def tell(self, batch: Batch) -> None:
        """Learn from a batch."""
        if not batch.inputs:
            return
        self._largest = max(self._largest, batch.size // batch.inputs)
        if batch.seconds > _SLOW:
            self.size = max(1, min(self.size, batch.inputs // 2))
        elif batch.seconds < _QUICK and batch.inputs >= self.size:
            self.size *= 2
        self.size = max(1, min(self.size, _MOST, _MOST_BYTES // self._largest))
