"""Units of a source read in other processes, or by the workers of a cluster, who store samples."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from hubzarr.computing.batches import Batch, Column
from hubzarr.computing.plans import Plan, plans_of
from hubzarr.computing.schedulers import Pending, open_workers
from hubzarr.computing.targets import Target
from hubzarr.datasets import Dataset
from hubzarr.errors import SampleError
from hubzarr.ingesting.reading import Part, compressions_of, read_unit
from hubzarr.ingesting.source import Block, Source, Unit

__all__ = ["PartOfWorker", "ReadWork", "UnitReaders", "renumbered"]

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ReadWork:
    """Reads units of a source and prepares their samples.

    Parameters
    ----------
    source : Source
    names : tuple of str
        The tensors that a row has samples for.
    verify : frozenset of str
        Columns whose samples are decoded, to find broken ones.
    renumber : dict
        By column, the numbers that the dataset has for the source's classes.
    """

    source: Source
    names: tuple[str, ...]
    verify: frozenset[str]
    renumber: dict[str, Array]
    #: A unit with a sample that does not fit is read again by the owner, who knows what to do.
    ignore_errors: bool = False

    def work(
        self, plans: Mapping[str, Plan], items: Sequence[Any], stop: threading.Event | None = None
    ) -> Batch:
        """Read one unit."""
        (unit,) = items
        part = self.read(unit)
        blocks, part.blocks = part.blocks, []
        rows = sum(block.rows for block in blocks)
        batch = Batch(rows, note=part)
        names = dict.fromkeys([*self.names, *(name for block in blocks for name in block.columns)])
        for name in names if rows else ():
            batch.columns[name] = self._column(name, blocks)
        if batch.prepare(plans):
            batch.columns = {}
        return batch

    def read(self, unit: Unit) -> Part:
        """What is in a unit."""
        return read_unit(self.source, unit, compressions_of(self.source), self.verify)

    def _column(self, name: str, blocks: Sequence[Block]) -> Column:
        parts = []
        for block in blocks:
            values = block.columns.get(name, [None] * block.rows)
            if name in self.renumber:
                values = renumbered(values, self.renumber[name])
            parts.append(Column(values, [1] * block.rows))
        return parts[0] if len(parts) == 1 else Column.joined(parts)


@dataclass
class PartOfWorker(Part):
    """A unit that a worker has read.

    Parameters
    ----------
    batch : Batch
        Its samples.
    """

    batch: Batch = field(default_factory=lambda: Batch(0))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.batch.inputs


class UnitReaders:
    """Workers that read the units of a source for one dataset.

    Parameters
    ----------
    ds : Dataset
    work : ReadWork
    scheduler : str
        As `open_workers` takes it.
    num_workers : int
    """

    def __init__(self, ds: Dataset, work: ReadWork, scheduler: str, num_workers: int) -> None:
        self.target = Target(ds, in_place=False)
        self._work = work
        self._scheduler = scheduler
        self._num_workers = num_workers
        self._plans: dict[str, Plan] | None = None

    def parts(self, units: Iterable[Unit]) -> Generator[Part]:
        """All units in order; some are read ahead. Each has to be written before the next."""
        todo = iter(units)
        waiting: deque[Pending] = deque()
        rooms = self.target.rooms
        with open_workers(self._scheduler, self._num_workers, self._work, rooms) as workers:
            while True:
                for unit in islice(todo, workers.window - len(waiting)):
                    waiting.append(workers.submit(self._closed_plans(), [unit]))
                if not waiting:
                    return
                batch = waiting.popleft().result()
                part = batch.note
                yield PartOfWorker(
                    part.unit, [], part.skipped, part.size, part.converted, part.lossy, batch=batch
                )

    def _closed_plans(self) -> dict[str, Plan]:
        """Plans for tensors whose samples can be prepared in any order."""
        if self._plans is None:
            plans = plans_of(self.target.session, self._work.names)
            self._plans = {name: plan for name, plan in plans.items() if not plan.is_open}
        return self._plans

    def write(self, part: PartOfWorker) -> bool:
        """Append the rows of a unit: all of them, or none if a sample does not fit.

        Returns
        -------
        bool
            Whether they are there.
        """
        batch, target = part.batch, self.target
        open_columns = [name for name, column in batch.columns.items() if not column.ready]
        if open_columns and not batch.errors:
            batch.prepare(target.settle(batch.columns, open_columns))
            self._plans = None
        if not batch.errors:
            with contextlib.suppress(SampleError):
                target.write((), batch)
                return True
        target.rooms.settle()
        self._plans = None
        return False

    def read_here(self, unit: Unit) -> Part:
        """The same unit, read by the caller."""
        return self._work.read(unit)


def renumbered(values: Any, numbers: Array) -> Any:
    """Classes by the numbers that a dataset has for them."""
    if isinstance(values, np.ndarray):
        return numbers[values]
    return [value if isinstance(value, str) else numbers[value] for value in values]
