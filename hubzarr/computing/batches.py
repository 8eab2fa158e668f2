"""Batches: what became of some inputs, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hubzarr.computing.plans import Plan
from hubzarr.datasets.parallel import StoredBytes, StoredRows
from hubzarr.datasets.ragged import is_large
from hubzarr.htypes import Prepared

__all__ = ["Batch", "Column", "size_of_values"]


@dataclass
class Column:
    """Samples for one tensor from several inputs.

    Parameters
    ----------
    values : sequence
        All samples.
    counts : list of int
        How many are of each input.
    ready : bool
        Whether they are prepared.

    Examples
    --------
    >>> column = Column(["a", "b", "c"], [1, 0, 2])
    >>> list(column.parts()), column.without({2}).values
    ([['a'], [], ['b', 'c']], ['a'])
    """

    values: Any
    counts: list[int]
    ready: bool = False

    def parts(self) -> Iterator[Any]:
        """Samples of each input."""
        start = 0
        for count in self.counts:
            yield self.values[start : start + count]
            start += count

    def without(self, inputs: Any) -> Column:
        """The same without the samples of some inputs."""
        if not any(self.counts[i] for i in inputs):
            return self
        counts = [0 if i in inputs else n for i, n in enumerate(self.counts)]
        keep = np.repeat([i not in inputs for i in range(len(counts))], self.counts)
        if isinstance(self.values, StoredBytes | StoredRows):
            return Column(self.values.kept(keep), counts, self.ready)
        if isinstance(self.values, np.ndarray):
            return Column(self.values[keep], counts, self.ready)
        kept = [value for value, wanted in zip(self.values, keep, strict=True) if wanted]
        return Column(kept, counts, self.ready)

    @staticmethod
    def joined(parts: Sequence[Column]) -> Column:
        """Samples of several batches as one column; all of them are prepared, or none is."""
        counts = [count for part in parts for count in part.counts]
        full = [part.values for part in parts if part.counts and len(part.values)]
        ready = all(part.ready for part in parts if len(part.values))
        kinds = {(v.shape[1:], v.dtype) if isinstance(v, np.ndarray) else None for v in full}
        if len(kinds) == 1 and None not in kinds:
            return Column(np.concatenate(full), counts, ready)
        each = map(_as_prepared, full) if ready else full
        return Column([value for values in each for value in values], counts, ready)

    def prepare(self, plan: Plan, large: bool = False) -> dict[int, Exception]:
        """Prepare all samples; returns inputs with one that does not fit, and why.

        Where there are large ones, which are stored tile by tile, nothing is done unless
        `large` says that those may stay as they are.
        """
        if not large and _some_large(self.values):
            return {}  # for the one who writes
        try:
            self.values, self.ready = plan.prepare(self.values, large), True
            return {}
        except Exception:  # whose sample it is shows when they are taken one by one
            return self._prepare_each(plan, large)

    def _prepare_each(self, plan: Plan, large: bool) -> dict[int, Exception]:
        values: list[Prepared] = []
        errors: dict[int, Exception] = {}
        for i, part in enumerate(self.parts()):
            try:
                values += _as_prepared(plan.prepare(part, large) if len(part) else [])
            except Exception as error:
                errors[i] = error
                self.counts[i] = 0
        self.values, self.ready = values, True
        return errors


def _some_large(values: Any) -> bool:
    if isinstance(values, np.ndarray) and values.ndim:
        return any(is_large(value) for value in values[:1])  # they all have one shape
    return any(is_large(value) for value in values)


def _as_prepared(values: Any) -> Any:
    """Prepared samples one by one, which may have come as one array."""
    if isinstance(values, np.ndarray):
        return [Prepared(np.asarray(value), values.shape[1:]) for value in values]
    return values


@dataclass
class Batch:
    """What became of some inputs.

    Parameters
    ----------
    inputs : int
        How many there were.
    columns : dict
        Samples by name of the tensor.
    errors : dict
        What was raised, by number of the input within the batch.
    seconds : float
        How long it took.
    note : object
        What else is to be known of it.
    hindrance : str
        Why a worker could not store samples that it had room for.
    sent : int
        Bytes that were sent to the worker.
    """

    inputs: int
    columns: dict[str, Column] = field(default_factory=dict)
    errors: dict[int, Exception] = field(default_factory=dict)
    seconds: float = 0.0
    note: Any = None
    hindrance: str = ""
    sent: int = 0

    def prepare(self, plans: Mapping[str, Plan], large: bool = False) -> dict[int, Exception]:
        """Prepare columns that have a plan; inputs with a sample that does not fit go."""
        errors: dict[int, Exception] = {}
        for name, column in self.columns.items():
            if name in plans and not column.ready:
                errors = column.prepare(plans[name], large) | errors
        self.drop(errors)
        self.errors.update(errors)
        return errors

    def drop(self, inputs: Mapping[int, Any]) -> None:
        """Leave out all samples of some inputs."""
        if inputs:
            self.columns = {name: column.without(inputs) for name, column in self.columns.items()}

    def is_partly_ready(self, plans: Mapping[str, Plan]) -> bool:
        """Whether columns that have a plan are not prepared, as they hold large samples."""
        return any(name in plans and not column.ready for name, column in self.columns.items())

    @staticmethod
    def joined(parts: Sequence[Batch], inputs: int) -> Batch:
        """Several batches as one, of so many inputs."""
        if len(parts) == 1 and parts[0].inputs == inputs:
            return parts[0]
        out, first = Batch(inputs), 0
        for part in parts:
            out.errors |= {first + i: error for i, error in part.errors.items()}
            first += part.inputs
        for name in dict.fromkeys(name for part in parts for name in part.columns):
            out.columns[name] = Column.joined(
                [part.columns.get(name, Column([], [0] * part.inputs, True)) for part in parts]
            )
        return out

    @property
    def stored(self) -> bool:
        """Whether a worker has stored some of the samples."""
        return any(isinstance(c.values, StoredBytes | StoredRows) for c in self.columns.values())

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.size  # schedulers ask how much a worker holds

    @property
    def rows(self) -> int:
        """Samples of the longest column."""
        return max((len(column.values) for column in self.columns.values()), default=0)

    @property
    def size(self) -> int:
        """Bytes of all samples, more or less."""
        return sum(size_of_values(column.values) for column in self.columns.values())


def size_of_values(values: Any) -> int:
    """Bytes of some samples, more or less."""
    if isinstance(values, np.ndarray | StoredBytes | StoredRows):
        return values.nbytes
    return sum(_size(v.data if type(v) is Prepared else v) for v in values)


def _size(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) if isinstance(value, bytes) else 64
