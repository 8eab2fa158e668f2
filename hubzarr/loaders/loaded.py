"""Samples of a window as they are stored, read in parts where the first batch need not wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubzarr.loaders.source import Stored
from hubzarr.threads import Task

__all__ = ["Broken", "Column", "Loaded", "parts_of"]

type Numbers = npt.NDArray[np.int64]
type Column = npt.NDArray[Any] | list[Stored]
#: What kept samples from being read, by place in the columns and field.
type Broken = dict[tuple[int, str], Exception]

#: The second part is for so many times as many samples as the first.
NEXT: Final = 4
#: A first part that has more than this of all rows is not worth it.
WORTH: Final = 0.6


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
    parts : list
        Where each part of the columns begins, and what reads it.
    """

    rows: Numbers
    slots: Numbers
    columns: dict[str, Column]
    broken: Broken = field(default_factory=dict)
    parts: list[tuple[int, Task[None]]] = field(default_factory=list)

    def ensure(self, stop: int) -> None:
        """Have the first `stop` places of the columns; what no thread has begun is read here."""
        for start, task in self.parts:
            if start >= stop:
                return
            task.run()
            task.result()

    @property
    def is_complete(self) -> bool:
        """Whether all parts were read."""
        return all(task.done() and task.exception() is None for _, task in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes that the columns take, about."""
        return sum(
            column.nbytes
            if isinstance(column, np.ndarray)
            else sum(len(data) if isinstance(data, bytes | memoryview) else 0 for data, _ in column)
            for column in self.columns.values()
        )


def parts_of(needed: Numbers, homes: Numbers, first: int) -> tuple[Numbers, Numbers]:
    """In which order rows are read, so that those that are needed first come soon.

    Rows that lie together are read together, as soon as one of them is needed.

    Parameters
    ----------
    needed : ndarray of int64
        Which rows are needed, in that order; each once at most.
    homes : ndarray of int64
        Where each row lies: the same number for neighbours that lie together.
    first : int
        How many of the needed ones are wanted first.

    Returns
    -------
    order : ndarray of int64
        The rows, part by part.
    bounds : ndarray of int64
        Where each part begins, and the number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> homes = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    >>> order, bounds = parts_of(np.array([4, 9, 5, 0, 7, 8, 2, 1, 3, 6]), homes, 1)
    >>> [order[a:b].tolist() for a, b in zip(bounds, bounds[1:])]
    [[4, 5], [0, 1, 8, 9], [2, 3, 6, 7]]
    """
    count = len(homes)
    when = np.full(count, len(needed), np.int64)
    when[needed] = np.arange(len(needed))
    starts = np.flatnonzero(np.diff(homes, prepend=homes[:1] - 1))
    if not count:
        return homes, np.zeros(1, np.int64)
    soonest = np.minimum.reduceat(when, starts)
    part = np.searchsorted([first, NEXT * first], soonest, side="right")
    parts = np.repeat(part, np.diff(np.append(starts, count)))
    sizes = np.bincount(parts)
    if sizes[0] > WORTH * count:
        return np.arange(count), np.array([0, count])
    return np.argsort(parts, kind="stable"), np.append(0, np.cumsum(sizes[sizes > 0]))
