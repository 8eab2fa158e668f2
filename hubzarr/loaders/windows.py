"""Windows of an epoch in memory: read as a whole, one ahead of the one in use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubzarr.errors import DamagedError, SampleError
from hubzarr.loaders.memory import Memory
from hubzarr.loaders.recent import recent_windows
from hubzarr.loaders.source import Field, Source, Stored
from hubzarr.loaders.steps import Plan
from hubzarr.threads import Pool, Task, at_once

__all__ = ["Broken", "Loaded", "Windows", "read_column"]

type Numbers = npt.NDArray[np.int64]
type Column = npt.NDArray[Any] | list[Stored]
#: What kept samples from being read, by place in the columns and field.
type Broken = dict[tuple[int, str], Exception]

#: Workers that may each keep a window that holds the whole epoch.
FEW: Final = 4
#: Fields that are asked for at once.
AT_ONCE: Final = 8


@dataclass(slots=True)
class Loaded:
    """Samples of a window, not yet decoded.

    Attributes
    ----------
    rows : ndarray of int64
        Rows in the order of the columns.
    slots : ndarray of int64
        For each row of the whole window its place in the columns; -1 for rows left out.
    columns : dict
        Samples by name of the field.
    broken : dict
        What kept rows from being read, by place and field.
    """

    rows: Numbers
    slots: Numbers
    columns: dict[str, Column]
    broken: Broken = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes that the columns take, about."""
        return sum(
            column.nbytes
            if isinstance(column, np.ndarray)
            else sum(len(data) if isinstance(data, bytes | memoryview) else 0 for data, _ in column)
            for column in self.columns.values()
        )


class Windows:
    """The windows that a plan needs, in its order.

    Parameters
    ----------
    source : Source
    plan : Plan
    fields : sequence of Field
        What to load.
    kept : dict
        Where a window that holds the whole epoch stays for later epochs.
    ahead : bool
        Read the next window in a thread while one is in use.
    memory : Memory
        For rows of arrays.
    """

    def __init__(
        self, source: Source, plan: Plan, fields: Sequence[Field], kept: dict[Any, Loaded],
        ahead: bool, memory: Memory,
    ) -> None:  # fmt: skip
        self._source = source
        self._plan = plan
        self._fields = fields
        self._kept = kept
        self._memory = memory
        self._pool = Pool(1, "loader-windows") if ahead and plan.order.count > 1 else None
        # A store that takes its time is asked for all fields at once.
        others = min(len(fields), AT_ONCE) - 1 if source.concurrency > 8 else 0
        self._aside = Pool(others, "loader-fields") if others > 0 else None
        self._tasks: dict[int, Task[Loaded]] = {}

    def get(self, number: int) -> Loaded:
        """A window; those before it are let go, the next one begins to be read."""
        for old in [n for n in self._tasks if n < number]:
            self._tasks.pop(old).cancel()
        found = self._begin(number).result()
        if self._pool is not None and number + 1 < self._plan.order.count:
            self._begin(number + 1)
        return found

    def close(self) -> None:
        """Stop reading ahead."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        for pool in (self._pool, self._aside):
            if pool is not None:
                pool.close()

    def _begin(self, number: int) -> Task[Loaded]:
        task = self._tasks.get(number)
        if task is None:
            if self._pool is None:
                task = at_once(lambda: self._load(number))
            else:
                task = self._pool.submit(lambda: self._load(number))
            self._tasks[number] = task
        return task

    def _load(self, number: int) -> Loaded:
        order = self._plan.order
        window = order.at(number)
        picks = window.picks[self._plan.wanted(number)]
        whole = len(picks) == len(window.rows)
        # A few workers read all of it, too: what each of them needs is another part each epoch.
        few = 1 < self._plan.workers <= FEW and self._plan.steps.world == 1
        if order.count == 1 and (whole or few):
            return self._all(window.rows)
        if whole:
            return self._read(window.rows, np.arange(len(picks)))
        slots = np.full(len(window.rows), -1, np.int64)
        chosen = np.unique(picks)
        slots[chosen] = np.arange(len(chosen))
        return self._read(window.rows[chosen], slots)

    def _all(self, rows: Numbers) -> Loaded:
        """The one window of an epoch, which need not be read for each epoch or loader."""
        names = tuple(one.name for one in self._fields)
        found = self._kept.get(names)
        if found is not None:
            return found
        key = (self._source.identity, names, hashlib.sha256(rows.tobytes()).digest())
        found = recent_windows.get(key)
        if found is None:
            found = self._read(rows, np.arange(len(rows)))
            if not found.broken:  # what is broken may be mended
                recent_windows.put(key, found, found.nbytes)
        self._kept[names] = found
        return found

    def _read(self, rows: Numbers, slots: Numbers) -> Loaded:
        loaded = Loaded(rows, slots, {})
        tasks = [self._reading(one, rows) for one in self._fields]
        for one, task in zip(self._fields, tasks, strict=True):
            task.run()  # unless a thread aside did it or does it
            loaded.columns[one.name], broken = task.result()
            loaded.broken |= broken
        return loaded

    def _reading(self, one: Field, rows: Numbers) -> Task[tuple[Column, Broken]]:
        def work() -> tuple[Column, Broken]:
            broken: Broken = {}
            out = None
            if one.uniform and one.dtype is not None and one.shape is not None:
                out = self._memory.empty((len(rows), *(n or 0 for n in one.shape)), one.dtype)
            return read_column(self._source, one, rows, broken, out), broken

        return Task(work) if self._aside is None else self._aside.submit(work)


def read_column(
    source: Source, one: Field, rows: Numbers, broken: Broken, out: npt.NDArray[Any] | None = None
) -> Column:
    """Samples of a field as they are stored; what can't be read is noted as broken.

    Parameters
    ----------
    source : Source
    one : Field
    rows : ndarray of int64
    broken : dict
        What kept rows from being read, by place among them and name of the field.
    out : ndarray, optional
        Where to put rows of an array.
    """
    try:
        return source.load(one.name, rows, out)
    except (DamagedError, SampleError) as error:
        if len(rows) < 2:
            if not len(rows):
                raise
            broken[0, one.name] = error
            return nothing(one)
    # Something in there is broken: halves tell which rows.
    middle = len(rows) // 2
    parts = []
    for start, part in ((0, rows[:middle]), (middle, rows[middle:])):
        found: Broken = {}
        parts.append(read_column(source, one, part, found))
        broken.update({(place + start, name): e for (place, name), e in found.items()})
    first, second = parts
    if isinstance(first, list) or isinstance(second, list):
        return [*first, *second]
    return np.concatenate([first, second])


def nothing(one: Field) -> Column:
    """What stands in the place of a sample that could not be read."""
    if one.uniform:
        return np.zeros((1, *(n or 0 for n in one.shape or ())), one.dtype)
    return [Stored(b"", ())]
