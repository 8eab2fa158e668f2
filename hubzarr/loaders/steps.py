"""Steps of an epoch: how many samples all ranks take together, and which of them each gets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hubzarr.loaders.order import Order

__all__ = ["Plan", "Steps"]

type Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """Positions of an epoch cut into steps of all ranks together.

    Each step is a stretch of positions, so that what was consumed is always a beginning of the
    order, and one number says how far an epoch has come.

    Parameters
    ----------
    length : int
        Samples of an epoch.
    batch : int
        Samples of one rank's batch.
    world : int
        Number of ranks.
    start : int
        Position to begin at.
    drop_last : bool
        Leave out a last step that is not full.
    pad : bool
        Fill it up with samples from the beginning of the order.

    Examples
    --------
    >>> steps = Steps(length=10, batch=2, world=2)
    >>> [steps.bounds(k) for k in range(steps.count)]
    [(0, 4), (4, 8), (8, 10)]
    """

    length: int
    batch: int
    world: int = 1
    start: int = 0
    drop_last: bool = False
    pad: bool = False

    @property
    def size(self) -> int:
        """Samples of a full step."""
        return self.batch * self.world

    @cached_property
    def count(self) -> int:
        """Number of steps."""
        full, rest = divmod(self.length - self.start, self.size)
        return full if self.drop_last or not rest else full + 1

    @cached_property
    def regular(self) -> int:
        """Number of steps, from the first one on, that are full and where one expects them."""
        full, rest = divmod(self.length - self.start, self.size)
        return full - 1 if full and self._short(rest) else full

    def of_rank(self, rank: int) -> int:
        """Number of steps in which a rank has samples.

        It is one less than all where fewer samples are left than there are ranks.
        """
        if not self.count:
            return 0
        first, last = self.bounds(self.count - 1)
        return self.count - (not len(_share(last - first, rank, self.world)))

    def _short(self, rest: int) -> bool:
        """Whether a rest is so small that a rank would get none, and wait for others in vain."""
        return 0 < rest < self.world and self.batch > 1 and not (self.drop_last or self.pad)

    def bounds(self, step: int) -> tuple[int, int]:
        """First and last position of a step; padded ones lie behind the end of the epoch."""
        first = self.start + step * self.size
        last = first + self.size
        if self.pad:
            return first, last
        if step >= self.regular and self.regular < self.count - 1:
            # The last step takes some from the one before it, so that each rank gets one.
            cut = self.length - self.world
            return (first, cut) if step == self.regular else (cut, self.length)
        return first, min(last, self.length)

    def consumed(self, steps: int) -> int:
        """Position after so many steps."""
        return self.start if not steps else min(self.bounds(steps - 1)[1], self.length)


@dataclass(frozen=True)
class Plan:
    """What one reader (a worker of a rank) takes, batch by batch.

    Parameters
    ----------
    order : Order
    steps : Steps
    rank : int
    worker, workers : int
        Batches of a rank go round its workers.

    Examples
    --------
    >>> from hubzarr.loaders.order import Blocks, Order
    >>> order = Order(Blocks.regular(6, 2), "none", seed=0, epoch=0, window=2)
    >>> plan = Plan(order, Steps(6, batch=1, world=2), rank=1)
    >>> [plan.positions(k).tolist() for k in range(plan.count)]
    [[1], [3], [5]]
    """

    order: Order
    steps: Steps
    rank: int = 0
    worker: int = 0
    workers: int = 1

    @cached_property
    def count(self) -> int:
        """Number of batches."""
        return len(range(self.worker, self.steps.count, self.workers))

    @property
    def takes_all(self) -> bool:
        """Whether there is no other reader."""
        return self.steps.world == 1 and self.workers == 1

    def positions(self, batch: int) -> Numbers:
        """Positions of the reader's batch of that number, each in ``0 … length - 1``."""
        return self._positions(self.worker + batch * self.workers)

    def _positions(self, step: int) -> Numbers:
        first, last = self.steps.bounds(step)
        positions = np.arange(first, last, dtype=np.int64) % max(1, self.order.length)
        world = self.steps.world
        if world == 1:
            return positions
        # Samples that lie together in the store go to the same rank, so that a rank need not
        # read all blocks. Which step they belong to does not change by that.
        windows, picks = self.order.places(positions)
        by_place = np.lexsort((picks, windows))
        share = _share(len(positions), self.rank, world)
        return positions[np.sort(by_place[share.start : share.stop])]

    def wanted(self, window: int) -> npt.NDArray[np.bool_]:
        """Which positions of a window this reader will take."""
        start, stop = self.order.starts[window : window + 2].tolist()
        out = np.zeros(stop - start, np.bool_)
        steps, length = self.steps, self.order.length
        end = steps.bounds(steps.count - 1)[1] if steps.count else steps.start
        # Padding goes through the beginning of the order again, behind its end.
        for lap in range(0, end, max(1, length)):
            first, last = max(start + lap, steps.start), min(stop + lap, end)
            if first >= last:
                continue
            if self.takes_all:
                out[first - lap - start : last - lap - start] = True
                continue
            inner = self._steps_inside(first, last)
            if inner:
                out[self._taken_inside(inner, window, lap)] = True
            for step in self._steps_with(first, last):
                if step not in inner:
                    taken = self._positions(step)
                    out[taken[(taken >= start) & (taken < stop)] - start] = True
        return out

    def _steps_with(self, first: int, last: int) -> range:
        """The reader's steps that touch a stretch of positions; at the end one more, maybe."""
        size = self.steps.size
        begin = (first - self.steps.start) // size
        until = min((last - 1 - self.steps.start) // size + 2, self.steps.count)
        return self._own(begin, until)

    def _steps_inside(self, first: int, last: int) -> range:
        """The reader's steps that are full and lie in a stretch of positions as a whole."""
        size = self.steps.size
        begin = -((self.steps.start - first) // size)
        return self._own(begin, min((last - self.steps.start) // size, self.steps.regular))

    def _own(self, begin: int, until: int) -> range:
        """Those of some steps that are the reader's."""
        return range(begin + (self.worker - begin) % self.workers, until, self.workers)

    def _taken_inside(self, steps: range, window: int, lap: int) -> Numbers:
        """What `_positions` gives for steps inside a window, all at once, from its start."""
        size, world = self.steps.size, self.steps.world
        firsts = np.asarray(steps) * size + self.steps.start - lap - int(self.order.starts[window])
        places = firsts[:, None] + np.arange(size)
        if world == 1:
            return places
        share = _share(size, self.rank, world)
        by_pick = np.argsort(self.order.at(window).picks[places], axis=1)
        by_pick = by_pick[:, share.start : share.stop]
        return firsts[:, None] + by_pick


def _share(count: int, rank: int, world: int) -> range:
    """Which samples of a step a rank gets, in the order of where they are stored."""
    return range(count * rank // world, count * (rank + 1) // world)
