"""What workers do: run functions on a batch of inputs and prepare the samples they append."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hubzarr.computing.collecting import Names, SampleOut
from hubzarr.computing.plans import Plan
from hubzarr.computing.rows import rows_of
from hubzarr.datasets.ragged import is_large
from hubzarr.errors import InvalidError
from hubzarr.htypes import Prepared

__all__ = ["Batch", "Column", "Job", "portable", "work"]

#: A function of a pipeline, its other arguments bound.
type Function = Callable[[Any, SampleOut], Any]


@dataclass(frozen=True)
class Job:
    """What is the same for all batches.

    Parameters
    ----------
    functions : tuple of callable
        The pipeline.
    read : callable or None
        Gives the input that stands for an item of a batch; None: items are inputs.
    names : Names
        Tensors of the target.
    skip_ok, check_lengths, ignore_errors, in_place : bool
        See `Pipeline.eval`.
    """

    functions: tuple[Function, ...]
    read: Callable[[Any], Any] | None
    names: Names
    skip_ok: bool = False
    check_lengths: bool = True
    ignore_errors: bool = False
    in_place: bool = False

    def columns(self, item: Any) -> dict[str, list[Any]]:
        """Samples that the functions append for one input, by name of the tensor."""
        samples = [item if self.read is None else self.read(item)]
        for function in self.functions[:-1]:
            samples = [row for sample in samples for row in rows_of(_called(function, sample))]
        columns: dict[str, list[Any]] = {}
        for sample in samples:
            _called(self.functions[-1], sample, columns, self.names)
        columns = {name: values for name, values in columns.items() if values}
        self._check(columns)
        return columns

    def _check(self, columns: Mapping[str, list[Any]]) -> None:
        lengths = {len(values) for values in columns.values()}
        if self.in_place:
            if lengths - {1}:
                raise InvalidError(
                    f"{_listed(columns)}: a row changed in place has one sample for each "
                    "tensor; give ds_out to make other rows"
                )
            return
        if columns and not self.skip_ok and not columns.keys() >= self.names.required:
            missing = [name for name in self.names.needed if name not in columns]
            raise InvalidError(
                f"no samples for {', '.join(missing)}, but for {_listed(columns)}: a row needs "
                "one for each tensor; skip_ok=True leaves tensors shorter"
            )
        if self.check_lengths and len(lengths) > 1:
            raise InvalidError(
                f"samples of different numbers ({_listed(columns)}) make no rows; "
                "check_lengths=False appends them all the same"
            )


def _listed(columns: Mapping[str, list[Any]]) -> str:
    return ", ".join(f"{name}: {len(values)}" for name, values in columns.items())


def _called(
    function: Function,
    sample: Any,
    columns: dict[str, list[Any]] | None = None,
    names: Names | None = None,
) -> dict[str, list[Any]]:
    columns = {} if columns is None else columns
    out = SampleOut(columns, names)
    returned = function(sample, out)
    if returned is not None and not isinstance(returned, SampleOut):
        raise InvalidError(
            f"the function returned a {type(returned).__name__}; append to sample_out instead, "
            "and return it or nothing"
        )
    return columns


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
        if isinstance(self.values, np.ndarray):
            return Column(self.values[keep], counts, self.ready)
        kept = [value for value, wanted in zip(self.values, keep, strict=True) if wanted]
        return Column(kept, counts, self.ready)

    def prepare(self, plan: Plan) -> dict[int, Exception]:
        """Prepare all samples; returns inputs with one that does not fit, and why."""
        if any(is_large(value) for value in self.values):
            return {}  # stored tile by tile, by the one who writes
        try:
            self.values, self.ready = plan.prepare(self.values), True
            return {}
        except Exception:  # whose sample it is shows when they are taken one by one
            return self._prepare_each(plan)

    def _prepare_each(self, plan: Plan) -> dict[int, Exception]:
        values: list[Prepared] = []
        errors: dict[int, Exception] = {}
        for i, part in enumerate(self.parts()):
            try:
                ready = plan.prepare(part) if len(part) else []
            except Exception as error:
                errors[i] = error
                self.counts[i] = 0
                continue
            if isinstance(ready, np.ndarray):
                ready = [Prepared(np.asarray(each), ready.shape[1:]) for each in ready]
            values += ready
        self.values, self.ready = values, True
        return errors


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
    """

    inputs: int
    columns: dict[str, Column] = field(default_factory=dict)
    errors: dict[int, Exception] = field(default_factory=dict)
    seconds: float = 0.0

    def prepare(self, plans: Mapping[str, Plan]) -> dict[int, Exception]:
        """Prepare columns that have a plan; inputs with a sample that does not fit go."""
        errors: dict[int, Exception] = {}
        for name, column in self.columns.items():
            if name in plans and not column.ready:
                errors = column.prepare(plans[name]) | errors
        self.drop(errors)
        self.errors.update(errors)
        return errors

    def drop(self, inputs: Mapping[int, Any]) -> None:
        """Leave out all samples of some inputs."""
        if inputs:
            self.columns = {name: column.without(inputs) for name, column in self.columns.items()}

    @property
    def rows(self) -> int:
        """Samples of the longest column."""
        return max((len(column.values) for column in self.columns.values()), default=0)

    @property
    def size(self) -> int:
        """Bytes of all samples, more or less."""
        return sum(_size(column.values) for column in self.columns.values())


def work(
    job: Job, plans: Mapping[str, Plan], items: Sequence[Any], stop: threading.Event | None = None
) -> Batch:
    """Run the functions on some inputs.

    Parameters
    ----------
    job : Job
    plans : mapping
        Plans for tensors by name, for those that can be prepared here.
    items : sequence
        The inputs, or what stands for them.
    stop : threading.Event, optional
        Once it is set, nobody wants the result.
    """
    started = time.perf_counter()
    batch = Batch(len(items))
    found: list[dict[str, list[Any]]] = []
    for i, item in enumerate(items):
        if stop is not None and stop.is_set():
            break
        columns: dict[str, list[Any]] = {}
        try:
            columns = job.columns(item)
        except Exception as error:
            batch.errors[i] = error
            if not job.ignore_errors:
                break
        found.append(columns)
    for name in dict.fromkeys(name for columns in found for name in columns):
        parts = [columns.get(name, ()) for columns in found]
        batch.columns[name] = Column([v for part in parts for v in part], [*map(len, parts)])
    batch.prepare(plans)
    batch.seconds = time.perf_counter() - started
    return batch


def _size(values: Any) -> int:
    if isinstance(values, np.ndarray):
        return values.nbytes
    if not values:
        return 0
    if type(values[0]) is Prepared:
        return sum(v.data.nbytes if isinstance(v.data, np.ndarray) else len(v.data) for v in values)
    return sum(v.nbytes if isinstance(v, np.ndarray) else 64 for v in values)


def portable(error: Exception) -> Exception:
    """An error that another process can take in, with its traceback as a note."""
    lines = traceback.format_exception(error)
    note = "raised in a worker:\n" + "".join(lines)
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(note)
    return copy if isinstance(copy, Exception) else RuntimeError(repr(error))
