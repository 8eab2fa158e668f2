"""How many inputs make a batch: enough that handing it over costs little, few enough to fit."""

from __future__ import annotations

from typing import Final

from hubzarr.computing.batches import Batch

__all__ = ["Pace"]

#: A batch that takes less is too small, one that takes more too large: in seconds.
_QUICK: Final = 0.05
_SLOW: Final = 0.5
_MOST_BYTES: Final = 8 << 20
_MOST: Final = 1024
#: Where workers store samples, a batch makes a few objects: they take about so long to compute.
_FAR: Final = 3.0
_FAR_MOST_BYTES: Final = 32 << 20
_FAR_MOST: Final = 1 << 14
#: A batch is at most so many times as large as the one that it was learned from.
_GROWTH: Final = 4
#: What is left is divided into so many batches for each worker, as long as they are large enough.
_SHARES: Final = 2
_SHARE_BYTES: Final = 4 << 20


class Pace:
    """The size of the next batch, by what earlier ones took.

    Parameters
    ----------
    storing : int
        How many workers store samples; 0: they are sent to the caller.

    Examples
    --------
    >>> pace = Pace()
    >>> pace.tell(Batch(1, seconds=0.001)); pace.size
    2
    >>> pace.tell(Batch(2, seconds=2.0)); pace.size
    1
    """

    def __init__(self, storing: int = 0) -> None:
        self.size = 1
        self._largest = 1
        self._heaviest = 1
        self._storing = storing

    def tell(self, batch: Batch) -> None:
        """Learn from a batch."""
        if not batch.inputs:
            return
        self._largest = max(self._largest, batch.size // batch.inputs)
        self._heaviest = max(self._heaviest, batch.sent // batch.inputs)
        most, nbytes = (_FAR_MOST, _FAR_MOST_BYTES) if batch.stored else (_MOST, _MOST_BYTES)
        if self._storing:
            growth = min(_GROWTH, _FAR / max(batch.seconds, 1e-6))
            self.size = int(growth * batch.inputs)
        elif batch.seconds > _SLOW:
            self.size = min(self.size, batch.inputs // 2)
        elif batch.seconds < _QUICK and batch.inputs >= self.size:
            self.size *= 2
        inputs = _MOST_BYTES // self._heaviest
        self.size = max(1, min(self.size, most, nbytes // self._largest, inputs))

    def next(self, left: int | None) -> int:
        """Inputs of the next batch; where workers store, all of them have work to the end.

        Parameters
        ----------
        left : int or None
            Inputs that are left; None: nobody knows.
        """
        if not self._storing or left is None:
            return self.size
        share = max(-(-left // (_SHARES * self._storing)), _SHARE_BYTES // self._largest)
        return max(1, min(self.size, share))
