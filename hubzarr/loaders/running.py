"""An epoch as one reader goes through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubzarr.config import get_config
from hubzarr.loaders.ahead import ahead
from hubzarr.loaders.assembling import Assembler, Part, Skipped
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.loaded import Broken, Loaded
from hubzarr.loaders.memory import Memory
from hubzarr.loaders.options import Options
from hubzarr.loaders.order import Blocks, Order
from hubzarr.loaders.permutation import digest, mixed
from hubzarr.loaders.source import Source
from hubzarr.loaders.steps import Plan, Steps
from hubzarr.loaders.windows import Windows, read_column

__all__ = ["Reading"]

#: Bytes of stored samples in a window, unless the user says how many samples.
WINDOW_BYTES: Final = 64 << 20
#: The same for samples in order.
AHEAD_BYTES: Final = 32 << 20
#: Samples in a window at most, by default: their order takes time too.
MOST: Final = 1 << 18
#: Blocks in a window at least.
MIXED: Final = 8
#: Samples that are made together where batches are not wanted.
TOGETHER: Final = 32


@dataclass(eq=False)
class Reading:
    """What is read and how, for any epoch. Picklable: workers get it.

    Parameters
    ----------
    source : Source
    options : Options
    to : Framework
    """

    source: Source
    options: Options
    to: Framework
    #: Samples that were skipped or replaced.
    skipped: list[Skipped] = field(default_factory=list)
    kept: dict[Any, Loaded] = field(default_factory=dict)
    _orders: dict[int, Order] = field(default_factory=dict)

    @cached_property
    def _memory(self) -> Memory:
        """For windows: the one in use, the next one, and one that is about to be let go."""
        return Memory(3 * len(self.options.tensors))

    def __reduce__(self) -> tuple[Any, ...]:
        return Reading, (self.source, self.options, self.to)

    # -- the plan ----------------------------------------------------------------

    @property
    def window(self) -> int:
        """Samples of a window."""
        options = self.options
        if options.window is not None:
            return options.window
        chosen = [one for one in self.source.fields if one.name in options.tensors]
        limit = AHEAD_BYTES if options.shuffle == "none" else WINDOW_BYTES
        nbytes = max(1.0, sum(one.nbytes for one in chosen))
        return min(MOST, max(1, round(limit / nbytes)))

    def order(self, epoch: int) -> Order:
        """The order of an epoch."""
        found = self._orders.get(epoch)
        if found is None:
            options = self.options
            found = Order(self._blocks, options.shuffle, options.seed, epoch, self.window)
            self._orders = {epoch: found}
        return found

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that are equal where the same rows come in the same order."""
        source, length = self.source, len(self.source)
        # Neighbours are told by the first of them.
        told = min(length, 1) if source.is_contiguous() else length
        rows = digest(source.numbers(np.arange(told, dtype=np.int64)))
        order = self.order(next(iter(self._orders), 0))
        selection = digest(np.frombuffer(source.selection.encode(), np.uint8).astype(np.int64))
        return f"{mixed(int(order.fingerprint, 16), rows, selection):016x}"

    @cached_property
    def _blocks(self) -> Blocks:
        source, length = self.source, len(self.source)
        if self.options.shuffle != "window":
            return Blocks.regular(length, min(source.block(), self.window))
        # However large chunks are, a window mixes samples of several places.
        step = max(1, min(source.block(), self.window // MIXED))
        if source.is_contiguous():
            first = int(source.numbers(np.zeros(1, np.int64))[0]) if length else 0
            return Blocks.regular(length, step, first)
        return Blocks.of_rows(source.numbers(np.arange(length, dtype=np.int64)), step)

    def _keeps_chunks(self, order: Order) -> bool | None:
        """Whether decoded chunks should stay in the cache; None: as for any other read."""
        if order.count == 1:
            return False  # the window itself stays
        block = self.source.block()
        least = self.window // MIXED if order.shuffle == "window" else self.window
        if order.shuffle == "full" or least < block:
            return None  # several windows of an epoch need the same chunks
        nbytes = sum(one.nbytes for one in self.source.fields if one.name in self.options.tensors)
        return nbytes * len(self.source) <= get_config().cache_bytes // 2

    def steps(self, position: int = 0) -> Steps:
        """The steps of an epoch from a position on."""
        options = self.options
        return Steps(
            len(self.source), options.batch_size or 1, options.world_size, position,
            options.drop_last, options.pad,
        )  # fmt: skip

    # -- batches -----------------------------------------------------------------

    def batches(
        self, epoch: int, position: int = 0, worker: int = 0, workers: int = 1,
        *, skip: int = 0, ahead_by: int | None = None,
    ) -> Iterator[tuple[int, Any]]:  # fmt: skip
        """Batches of one reader, each with the number of steps of the rank up to it.

        Parameters
        ----------
        epoch : int
        position : int
            Where to begin.
        worker, workers : int
        skip : int
            Batches of this worker to leave out first.
        ahead_by : int, optional
            Batches made ahead in a thread; by default as many as the options say.
        """
        plan = Plan(
            self.order(epoch), self.steps(position), self.options.rank, worker, workers
        )  # fmt: skip
        made = self._made(plan, skip)
        depth = self.options.prefetch if ahead_by is None else ahead_by
        return ahead(made, depth) if depth else made

    def samples(self, rows: npt.NDArray[np.int64]) -> list[Any]:
        """Samples of some rows, in their order; for options with ``batch_size=None``.

        Each row is read once, however often it is named.
        """
        assembler = Assembler(self.source, self.options, self.to, self.skipped)
        chosen, places = np.unique(rows, return_inverse=True)
        loaded = Loaded(chosen, np.arange(len(chosen)), {})
        for one in assembler.fields:
            broken: Broken = {}
            loaded.columns[one.name] = read_column(self.source, one, chosen, broken)
            loaded.broken |= broken
        made = assembler.batch([Part(loaded, places, slice(0, len(rows)))], len(rows))
        return [sample for _, sample in made or ()]

    def _made(self, plan: Plan, skip: int) -> Iterator[tuple[int, Any]]:
        assembler = Assembler(self.source, self.options, self.to, self.skipped)
        background = self.options.prefetch > 0
        together = TOGETHER if self.options.batch_size is None else 1
        windows = Windows(
            self.source, plan, assembler.fields, self.kept, self._memory,
            first=together * (self.options.batch_size or 1), ahead=background,
            keep=self._keeps_chunks(plan.order),
        )  # fmt: skip
        try:
            for first in range(skip, plan.count, together):
                group = range(first, min(first + together, plan.count))
                positions = [plan.positions(number) for number in group]
                parts, count = _parts(plan.order, windows, np.concatenate(positions))
                if not count:
                    continue
                made = assembler.batch(parts, count)
                if self.options.batch_size is not None:
                    if made is not None:
                        yield plan.worker + first * plan.workers + 1, made
                    continue
                for i, sample in made or ():
                    yield plan.worker + (first + i) * plan.workers + 1, sample
        finally:
            windows.close()


def _parts(order: Order, windows: Windows, positions: Any) -> tuple[list[Part], int]:
    """Samples at some positions, window by window."""
    count = len(positions)
    numbers, picks = order.places(positions)
    if not count:
        return [], 0
    if numbers[0] == numbers[-1] and (numbers == numbers[0]).all():
        return [_part(windows.get(int(numbers[0])), picks, slice(0, count))], count
    parts = []
    for number in np.unique(numbers).tolist():
        at = np.flatnonzero(numbers == number)
        parts.append(_part(windows.get(number), picks[at], at))
    return parts, count


def _part(loaded: Loaded, picks: npt.NDArray[np.int64], at: Any) -> Part:
    places = loaded.slots[picks]
    loaded.ensure(int(places.max()) + 1)
    return Part(loaded, places, at)
