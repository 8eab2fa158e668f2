"""What workers do: run functions on a batch of inputs and prepare the samples they append."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hubzarr.computing.batches import Batch, Column, size_of_values
from hubzarr.computing.collecting import Names, SampleOut
from hubzarr.computing.plans import Plan
from hubzarr.computing.rows import rows_of
from hubzarr.errors import InvalidError

__all__ = ["Job", "Work", "portable"]

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
            size += sum(map(size_of_values, columns.values()))
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
