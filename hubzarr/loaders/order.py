"""The order of an epoch: a pure function of the rows, the seed and the epoch.

An epoch goes through *windows*, one after the other: a window is read together, and its
samples come in an order of their own. Without a shuffle, windows are the rows in order. With
one, the *blocks* of rows that lie together in the store are put into a random order, some
of them at a time make a window, and its samples are mixed: reading stays as sequential as
the blocks are large, memory is bounded by the window. A full shuffle may put any sample
anywhere; its windows are only what is read ahead.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hubzarr.loaders.permutation import Permutation, digest, mixed

__all__ = ["Blocks", "Order", "Shuffle", "Window"]

type Numbers = npt.NDArray[np.int64]
type Shuffle = Literal["none", "window", "full"]

#: Changes whenever the same seed gives another order: a state of another one is refused.
ORDERS: Final = 1
#: The first windows are smaller by this, so that the first batch comes sooner.
RAMP: Final = 8
#: Positions in the windows that are kept, where four windows have fewer.
RECENT: Final = 1 << 16


@dataclass(frozen=True, eq=False)
class Blocks:
    """Which rows lie together in the store.

    Parameters
    ----------
    starts : ndarray of int64
        Where each block begins among `members`, and the number of rows at the end.
    members : ndarray of int64, optional
        Rows in the order of the blocks; None: as they are numbered.

    Examples
    --------
    >>> Blocks.regular(10, 4).starts.tolist()
    [0, 4, 8, 10]
    """

    starts: Numbers
    members: Numbers | None = None

    @classmethod
    def regular(cls, length: int, step: int, first: int = 0) -> Blocks:
        """Blocks of `step` rows; `first` rows of the first one lie before row 0."""
        step = max(1, step)
        starts = np.arange(-(first % step), length, step, dtype=np.int64)
        starts = np.append(np.maximum(starts, 0), length)
        return cls(starts if length else np.zeros(1, np.int64))

    @classmethod
    def of_rows(cls, numbers: Numbers, step: int) -> Blocks:
        """Blocks of the rows of a view: those whose numbers lie within the same `step`."""
        members = _sorting(numbers)
        homes = numbers[members] // max(1, step)
        begins = np.flatnonzero(np.diff(homes, prepend=-1))
        in_order = bool((members[1:] > members[:-1]).all())
        return cls(np.append(begins, len(numbers)).astype(np.int64), None if in_order else members)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return len(self.starts) - 1

    @property
    def length(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])

    def rows(self, chosen: Numbers) -> Numbers:
        """Rows of some blocks, one block after the other."""
        begins, ends = self.starts[chosen], self.starts[chosen + 1]
        sizes = ends - begins
        out = np.arange(int(sizes.sum()), dtype=np.int64)
        out += np.repeat(begins - np.append(0, np.cumsum(sizes)[:-1]), sizes)
        return out if self.members is None else self.members[out]


@dataclass(frozen=True, eq=False)
class Window:
    """Neighbouring positions of an epoch that are read together.

    Attributes
    ----------
    start : int
        Its first position.
    rows : ndarray of int64
        What to read, in the order in which it lies in the store.
    picks : ndarray of int64
        For each of its positions, which of `rows`.
    """

    start: int
    rows: Numbers
    picks: Numbers

    @property
    def stop(self) -> int:
        """The first position behind it."""
        return self.start + len(self.picks)


@dataclass(frozen=True, eq=False)
class Order:
    """The order of one epoch.

    Parameters
    ----------
    blocks : Blocks
        Without a shuffle, those of the rows as they are numbered.
    shuffle : {"none", "window", "full"}
    seed, epoch : int
    window : int
        Samples that a window holds, about: it is made of whole blocks.

    Examples
    --------
    >>> order = Order(Blocks.regular(8, 2), "window", seed=1, epoch=0, window=4)
    >>> order.rows(0, 8).tolist()
    [4, 5, 7, 2, 6, 3, 1, 0]
    >>> Order(Blocks.regular(8, 2), "none", seed=1, epoch=0, window=4).rows(2, 6).tolist()
    [2, 3, 4, 5]
    """

    blocks: Blocks
    shuffle: Shuffle
    seed: int
    epoch: int
    window: int

    @property
    def length(self) -> int:
        """Number of samples."""
        return self.blocks.length

    @property
    def fingerprint(self) -> str:
        """16 hex digits that are equal where all epochs have the same order."""
        kinds = {"none": 0, "window": 1, "full": 2}
        key = [ORDERS, kinds[self.shuffle], self.length]
        if self.shuffle == "window":
            starts, members = self.blocks.starts, self.blocks.members
            key += [self.window, self.blocks.count, digest(starts)]
            key += [] if members is None else [digest(members)]
        return f"{mixed(*key):016x}"

    # -- windows -----------------------------------------------------------------

    @cached_property
    def _permuted(self) -> Numbers:
        """Blocks in their order. If there is one window, their own: the samples are mixed."""
        blocks = np.arange(self.blocks.count, dtype=np.int64)
        if self.shuffle == "none" or len(self._groups) <= 2:
            return blocks
        return Permutation(len(blocks), self.seed, self.epoch, 0)(blocks)

    @cached_property
    def _groups(self) -> Numbers:
        """Where each window begins among the blocks in their order, and the end."""
        count, length = self.blocks.count, max(1, self.length)
        return _ramped(count, max(1, round(self.window * count / length)), self._ramps)

    @property
    def _ramps(self) -> bool:
        """Whether the first windows are smaller, where that changes no order or only a little."""
        # A full shuffle of a single window is read no quicker in parts.
        return self.shuffle == "none" or self.length > self.window

    @cached_property
    def starts(self) -> Numbers:
        """Position where each window begins, and the number of samples."""
        if self.shuffle == "full":
            return _ramped(self.length, max(1, self.window), self._ramps)
        sizes = np.diff(self.blocks.starts)[self._permuted]
        ends = np.append(0, np.cumsum(sizes))
        found: Numbers = ends[self._groups]
        return found

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.starts) - 1

    def window_of(self, position: int) -> int:
        """Number of the window that holds a position."""
        return int(np.searchsorted(self.starts, position, side="right")) - 1

    @cached_property
    def _recent(self) -> OrderedDict[int, Window]:
        return OrderedDict()

    def at(self, number: int) -> Window:
        """A window. The last few are kept."""
        found = self._recent.get(number)
        if found is None:
            found = self._recent[number] = self._made(number)
            # A step of many ranks may go through many small windows, again and again.
            while len(self._recent) > max(4, RECENT // max(1, self.window)):
                self._recent.popitem(last=False)
        return found

    def _made(self, number: int) -> Window:
        start, stop = self.starts[number : number + 2].tolist()
        if self.shuffle == "full":
            drawn = Permutation(self.length, self.seed, self.epoch, 2)(np.arange(start, stop))
            by_row = np.argsort(drawn, kind="stable")
            picks = np.empty(stop - start, np.int64)
            picks[by_row] = np.arange(stop - start)
            return Window(start, drawn[by_row], picks)
        first, last = self._groups[number : number + 2].tolist()
        rows = self.blocks.rows(self._permuted[first:last])
        picks = np.arange(stop - start, dtype=np.int64)
        if self.shuffle == "window":
            picks = Permutation(len(rows), self.seed, self.epoch, 1, number)(picks)
        return Window(start, rows, picks)

    # -- positions ---------------------------------------------------------------

    def places(self, positions: Numbers) -> tuple[Numbers, Numbers]:
        """Window of each position, and which of its rows it picks."""
        windows = np.searchsorted(self.starts, positions, side="right") - 1
        if len(windows) and (windows == windows[0]).all():  # as most batches are
            window = self.at(int(windows[0]))
            return windows, window.picks[positions - window.start]
        picks = np.empty(len(positions), np.int64)
        for number in np.unique(windows).tolist():
            window = self.at(number)
            here = windows == number
            picks[here] = window.picks[positions[here] - window.start]
        return windows, picks

    def rows(self, start: int, stop: int) -> Numbers:
        """Rows at the positions from `start` to `stop`."""
        positions = np.arange(start, stop, dtype=np.int64)
        windows, picks = self.places(positions)
        out = np.empty(len(positions), np.int64)
        for number in np.unique(windows).tolist():
            here = windows == number
            out[here] = self.at(number).rows[picks[here]]
        return out


def _sorting(numbers: Numbers) -> Numbers:
    """Indices that sort numbers, those of equal ones in order."""
    end = int(numbers.max()) + 1 if len(numbers) else 0
    if end <= 4 * len(numbers):
        # Where no number comes twice, it is enough to see which there are: no comparisons.
        places = np.full(end, -1, np.int64)
        places[numbers] = np.arange(len(numbers))
        found = places[places >= 0]
        if len(found) == len(numbers):
            return found
    return np.argsort(numbers, kind="stable")


def _ramped(count: int, size: int, ramps: bool) -> Numbers:
    """Bounds of groups of `size`; the first ones may be smaller."""
    bounds, step = [0], max(1, size // RAMP)
    while ramps and step < size and bounds[-1] + step < count:
        bounds.append(bounds[-1] + step)
        step *= 2
    rest = np.arange(bounds[-1] + size, count, size, dtype=np.int64)
    found = np.concatenate([bounds, rest, [count]]).astype(np.int64)
    return found if count else np.zeros(1, np.int64)
