"""What workers do: run functions on a batch of inputs and prepare the samples they append."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from hubzarr.computing.collecting import Names, SampleOut
from hubzarr.computing.plans import Plan
from hubzarr.computing.rows import rows_of
from hubzarr.datasets.parallel import StoredBytes, StoredRows
from hubzarr.datasets.ragged import is_large
from hubzarr.errors import InvalidError
from hubzarr.htypes import Prepared

__all__ = ["Batch", "Column", "Job", "Work", "portable"]

#: Samples are prepared when so many bytes of them are there: files take less than pixels.
_PREPARED_AT: Final = 16 << 20

#: A function of a pipeline, its other arguments bound.
type Function = Callable[[Any, SampleOut], Any]


class Work(Protocol):
    """What workers do, the same for all batches; may be sent to other processes.

    Attributes
    ----------
    ignore_errors : bool
        Whether inputs that fail are left out; else nothing is kept after an error.
    """

    @property
    def ignore_errors(self) -> bool:
        """See above."""
        ...

    def work(
        self, plans: Mapping[str, Plan], items: Sequence[Any], stop: threading.Event | None = None
    ) -> Batch:
        """Work on one batch.

        Parameters
        ----------
        plans : mapping
            Plans for tensors by name, for those whose samples can be prepared here.
        items : sequence
            The inputs, or what stands for them.
        stop : threading.Event, optional
            Once it is set, nobody wants the result.
        """
        ...


@dataclass(frozen=True)
class Job:
    """Functions that are run on inputs.

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

    def work(
        self, plans: Mapping[str, Plan], items: Sequence[Any], stop: threading.Event | None = None
    ) -> Batch:
        """Run the functions on some inputs, and prepare the samples they give."""
        started = time.perf_counter()
        parts: list[Batch] = []
        done = 0
        while done < len(items) and not (parts and parts[-1].errors and not self.ignore_errors):
            part = self._some(items, done, stop)
            if not part.inputs:
                break
            part.prepare(plans)
            parts.append(part)
            done += part.inputs
        if len(parts) > 1 and any(part.is_partly_ready(plans) for part in parts):
            for part in parts:
                part.prepare(plans, large=True)
        batch = Batch.joined(parts, len(items))
        batch.seconds = time.perf_counter() - started
        return batch

    def _some(self, items: Sequence[Any], start: int, stop: threading.Event | None) -> Batch:
        """Run the functions from one input on, until there is enough to prepare."""
        errors: dict[int, Exception] = {}
        found: list[dict[str, list[Any]]] = []
        size = 0
        for item in items[start:]:
            if size >= _PREPARED_AT or (stop is not None and stop.is_set()):
                break
            columns: dict[str, list[Any]] = {}
            try:
                columns = self.columns(item)
            except Exception as error:
                errors[len(found)] = error
            found.append(columns)
            if errors and not self.ignore_errors:
                break
            size += sum(map(_size, columns.values()))
        batch = Batch(len(found), errors=errors)
        for name in dict.fromkeys(name for columns in found for name in columns):
            parts = [columns.get(name, ()) for columns in found]
            batch.columns[name] = Column([v for part in parts for v in part], [*map(len, parts)])
        return batch

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
        return sum(_size(column.values) for column in self.columns.values())


def _size(values: Any) -> int:
    if isinstance(values, np.ndarray | StoredBytes | StoredRows):
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
