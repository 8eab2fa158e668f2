"""Windows of an epoch in memory: each read together, one ahead of the one in use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubzarr.errors import DamagedError, SampleError
from hubzarr.loaders.loaded import Broken, Column, Loaded, parts_of
from hubzarr.loaders.memory import Memory
from hubzarr.loaders.recent import recent_windows
from hubzarr.loaders.source import Field, Source, Stored
from hubzarr.loaders.steps import Plan
from hubzarr.threads import Pool, Task, at_once

__all__ = ["Windows", "read_column"]

type Numbers = npt.NDArray[np.int64]

#: Workers that may each keep a window that holds the whole epoch.
FEW: Final = 4
#: Fields that are asked for at once.
AT_ONCE: Final = 8
#: What stands in the place of a stored sample that could not be read, or not yet.
NOTHING: Final = Stored(b"", ())
#: Bytes from which on the first batch does not wait for the rest of its window.
MUCH: Final = 4 << 20


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
    memory : Memory
        For rows of arrays.
    first : int
        Samples of the first batch.
    ahead : bool
        Read in a thread what will be needed next.
    keep : bool or None
        Whether chunks should stay in the cache; None: if they are few.
    """

    def __init__(
        self, source: Source, plan: Plan, fields: Sequence[Field], kept: dict[Any, Loaded],
        memory: Memory, first: int, ahead: bool, keep: bool | None,
    ) -> None:  # fmt: skip
        self._source = source
        self._plan = plan
        self._fields = fields
        self._kept = kept
        self._memory = memory
        self._first = first
        self._ahead = ahead
        self._keep_chunks = keep
        self._pool: Pool | None = None
        # A store that takes its time is asked for all fields at once.
        others = min(len(fields), AT_ONCE) - 1 if source.concurrency > 8 else 0
        self._aside = Pool(others, "loader-fields") if others > 0 else None
        self._tasks: dict[int, Task[Loaded]] = {}
        #: The one window of the epoch, by the key for later loaders, until all of it was read.
        self._whole: tuple[tuple[Any, ...], Loaded] | None = None

    def get(self, number: int) -> Loaded:
        """A window; those before it are let go, the next one begins to be read."""
        for old in [n for n in self._tasks if n < number]:
            self._tasks.pop(old).cancel()
        task = self._tasks.get(number)
        if task is None:
            # This one is waited for: its first batch should not wait for all of it.
            task = self._tasks[number] = at_once(lambda: self._load(number, soon=True))
        found = task.result()
        after = number + 1
        if self._ahead and after < self._plan.order.count and after not in self._tasks:
            self._tasks[after] = self._later(lambda: self._load(after))
        return found

    def close(self) -> None:
        """Stop reading ahead."""
        for task in self._tasks.values():
            if not task.cancel() and task.done() and task.exception() is None:
                loaded = task.result()
                # The one window of the epoch is read to its end: the next epoch needs it.
                for _, part in loaded.parts if self._whole is None else ():
                    part.cancel()
        self._tasks.clear()
        self._keep()
        for pool in (self._pool, self._aside):
            if pool is not None:
                pool.close()

    def _later[T](self, work: Callable[[], T]) -> Task[T]:
        if self._pool is None:
            self._pool = Pool(1, "loader-windows")
        return self._pool.submit(work)

    def _load(self, number: int, soon: bool = False) -> Loaded:
        order = self._plan.order
        window = order.at(number)
        picks = window.picks[self._plan.wanted(number)]
        whole = len(picks) == len(window.rows)
        # A few workers read all of it, too: what each of them needs is another part each epoch.
        few = 1 < self._plan.workers <= FEW and self._plan.steps.world == 1
        if order.count == 1 and (whole or few):
            return self._all(window.rows, picks)
        if whole:
            return self._read(window.rows, np.arange(len(picks)), picks if soon else None)
        slots = np.full(len(window.rows), -1, np.int64)
        chosen = np.unique(picks)
        slots[chosen] = np.arange(len(chosen))
        return self._read(window.rows[chosen], slots, slots[picks] if soon else None)

    def _all(self, rows: Numbers, picks: Numbers) -> Loaded:
        """The one window of an epoch, which need not be read for each epoch or loader."""
        names = tuple(one.name for one in self._fields)
        found: Loaded | None = self._kept.get(names)
        if found is not None:
            return found
        key = (self._source.identity, names, hashlib.sha256(rows.tobytes()).digest())
        found = recent_windows.get(key)
        if found is not None:
            self._kept[names] = found
            return found
        found = self._read(rows, np.arange(len(rows)), picks)
        self._whole = key, found
        self._keep()
        if self._ahead and not found.is_complete:
            self._later(self._keep)  # behind the other parts
        return found

    def _keep(self) -> None:
        """Keep the one window for later, once all of it was read."""
        whole = self._whole
        if whole is None or not whole[1].is_complete:
            return
        key, found = whole
        self._kept[key[1]] = found
        if not found.broken:  # what is broken may be mended
            recent_windows.put(key, found, found.nbytes)

    def _read(self, rows: Numbers, slots: Numbers, needed: Numbers | None) -> Loaded:
        """Rows in the order in which they lie in the store, those of the first batch at once."""
        bounds = np.array([0, len(rows)])
        if needed is not None and self._is_much(len(rows)):
            homes = self._source.numbers(rows) // max(1, self._source.block())
            order, bounds = parts_of(needed, homes, self._first)
            places = np.empty(len(rows), np.int64)
            places[order] = np.arange(len(rows))
            rows, slots = rows[order], np.where(slots < 0, slots, places[slots])
        columns = {one.name: self._room(one, len(rows)) for one in self._fields}
        loaded = Loaded(rows, slots, columns)
        for start, stop in pairwise(bounds.tolist()):
            loaded.parts.append((start, Task(partial(self._fill, loaded, start, stop))))
        loaded.ensure(1)
        if self._ahead:
            for _, task in loaded.parts[1:]:
                self._later(task.run)
        return loaded

    def _is_much(self, count: int) -> bool:
        """Whether rows take a while to read, on a disk that is as quick with parts of them."""
        nbytes = sum(one.nbytes for one in self._fields) * count
        return self._source.concurrency <= 8 and nbytes > MUCH

    def _room(self, one: Field, count: int) -> Column:
        """Where samples of a field go."""
        if not one.uniform or one.dtype is None:
            return [NOTHING] * count
        return self._memory.empty((count, *(n or 0 for n in one.shape or ())), one.dtype)

    def _fill(self, loaded: Loaded, start: int, stop: int) -> None:
        """Read one part of the columns."""
        rows = loaded.rows[start:stop]
        tasks = [self._reading(one, rows, loaded.columns[one.name], start) for one in self._fields]
        for task in tasks:
            task.run()  # unless a thread aside did it or does it
            for (place, name), error in task.result().items():
                loaded.broken[place + start, name] = error

    def _reading(self, one: Field, rows: Numbers, column: Column, start: int) -> Task[Broken]:
        def work() -> Broken:
            broken: Broken = {}
            room = column[start : start + len(rows)]
            out = room if isinstance(room, np.ndarray) else None
            found = read_column(self._source, one, rows, broken, out, self._keep_chunks)
            if found is not out:
                column[start : start + len(rows)] = found
            return broken

        return Task(work) if self._aside is None else self._aside.submit(work)


def read_column(
    source: Source, one: Field, rows: Numbers, broken: Broken,
    out: npt.NDArray[Any] | None = None, keep: bool | None = None,
) -> Column:  # fmt: skip
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
    keep : bool, optional
        Whether chunks should stay in the cache; by default if they are few.
    """
    try:
        return source.load(one.name, rows, out, keep)
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
    return [NOTHING]
