"""Evaluations: batches of inputs handed to workers, and their rows written in order."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from hubzarr.computing.batches import Batch
from hubzarr.computing.checkpoints import Checkpoints
from hubzarr.computing.inputs import Inputs, RowReader, inputs_of
from hubzarr.computing.pace import Pace
from hubzarr.computing.plans import plans_of
from hubzarr.computing.report import ComputeReport, SkippedInput
from hubzarr.computing.schedulers import Workers, open_workers
from hubzarr.computing.targets import Target, target_of
from hubzarr.computing.working import Job
from hubzarr.datasets import Dataset
from hubzarr.errors import InvalidError, SampleError, TransformError
from hubzarr.progress import Progress, progress

__all__ = ["Options", "evaluate"]

#: Items of a batch, and what became of them.
type Done = tuple[list[Any], Batch]


@dataclass(frozen=True)
class Options:
    """Arguments of `Pipeline.eval` beyond what is read and written."""

    num_workers: int = 0
    scheduler: str = "threads"
    progressbar: bool = True
    skip_ok: bool = False
    check_lengths: bool = True
    checkpoint_interval: int = 0
    ignore_errors: bool = False
    message: str | None = None


def evaluate(
    name: str,
    functions: Sequence[Callable[..., Any]],
    arguments: str,
    given: Any,
    ds_out: Dataset | None,
    options: Options,
) -> ComputeReport:
    """Run functions over inputs and write what they give.

    Parameters
    ----------
    name : str
        Of the functions.
    functions : sequence of callable
        The pipeline, each called with a sample and a `SampleOut`.
    arguments : str
        What else the functions get, to tell whether it is the same as before.
    given : object
        The inputs.
    ds_out : Dataset, optional
    options : Options

    Returns
    -------
    ComputeReport
    """
    target = target_of(given, ds_out, aligned=options.check_lengths and not options.skip_ok)
    _check(options, target)
    inputs, alone = inputs_of(given), False
    if isinstance(inputs.read, RowReader):
        inputs.read, alone = inputs.read.apart_from(target.session)
    if alone:
        options = replace(options, scheduler="serial")
    job = Job(
        tuple(functions), inputs.read, target.names, options.skip_ok, options.check_lengths,
        options.ignore_errors, target.in_place,
    )  # fmt: skip
    checkpoints = Checkpoints(target.session, target.label(name), [inputs.origin, arguments])
    return _Evaluation(name, job, inputs, target, checkpoints, options).run()


def _check(options: Options, target: Target) -> None:
    interval = options.checkpoint_interval
    _check_count("num_workers", options.num_workers, "workers")
    _check_count("checkpoint_interval", interval, "inputs")
    if target.session.in_transaction and (interval or options.message is not None):
        what = "checkpoint_interval" if interval else "message"
        raise InvalidError(
            f"{what} is of no use inside a transaction, which is one commit, made at its end: "
            "call eval outside of it"
        )


def _check_count(name: str, value: Any, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidError(f"{name}={value!r}; expected a number of {what}, or 0 for none")


class _Evaluation:
    """One call of `eval`."""

    def __init__(
        self,
        name: str,
        job: Job,
        inputs: Inputs,
        target: Target,
        checkpoints: Checkpoints,
        options: Options,
    ) -> None:
        self._name = name
        self._job = job
        self._inputs = inputs
        self._target = target
        self._checkpoints = checkpoints
        self._options = options
        self._pace = Pace()
        self._plans = self._closed_plans()
        self._written = 0
        self._rows = 0
        self._skipped: list[SkippedInput] = []

    def run(self) -> ComputeReport:
        """Do all of it."""
        options, started = self._options, time.perf_counter()
        resumed = 0
        if options.checkpoint_interval:
            resumed = self._written = self._checkpoints.resume(self._inputs)
        bar = progress(self._inputs.total, f"computing {self._name}")
        shown = bar if options.progressbar else None
        with (
            shown or contextlib.nullcontext(),
            self._open_workers() as workers,
            contextlib.closing(self._batches(workers)) as batches,
        ):
            if resumed:
                bar.advance(resumed)
            self._write(batches, bar)
        return ComputeReport(
            self._name,
            self._written - resumed,
            self._rows,
            resumed,
            tuple(self._skipped),
            time.perf_counter() - started,
        )

    # -- working -----------------------------------------------------------------------

    def _open_workers(self) -> AbstractContextManager[Workers]:
        options = self._options
        return open_workers(options.scheduler, options.num_workers, self._job, self._target.rooms)

    def _batches(self, workers: Workers) -> Generator[Done]:
        """All batches in order; some are worked on ahead."""
        waiting: deque[tuple[list[Any], Any]] = deque()
        self._pace = Pace(workers.storing)
        while True:
            while len(waiting) < workers.window and (items := self._next_items()):
                waiting.append((items, workers.submit(self._plans, items)))
            if not waiting:
                return
            items, pending = waiting.popleft()
            batch = pending.result()
            self._pace.tell(batch)
            yield items, batch

    def _next_items(self) -> list[Any]:
        """Inputs of the next batch, which does not reach across a checkpoint."""
        total, interval = self._inputs.total, self._options.checkpoint_interval
        size = self._pace.next(None if total is None else total - self._inputs.taken)
        if interval:
            size = min(size, interval - self._inputs.taken % interval)
        return self._inputs.take(size)

    def _closed_plans(self) -> dict[str, Any]:
        """Plans for tensors whose samples can be prepared in any order."""
        target = self._target
        plans = plans_of(target.session, map(target.path, target.names.tensors))
        named = {name: plans[target.path(name)] for name in target.names.tensors}
        return {name: plan for name, plan in named.items() if not plan.is_open}

    # -- writing -----------------------------------------------------------------------

    def _write(self, batches: Iterator[Done], bar: Progress[Any]) -> None:
        options, target = self._options, self._target
        if not options.checkpoint_interval:
            with target.transaction(options.message):
                self._checkpoints.forget()
                for items, batch in batches:
                    self._write_batch(items, batch)
                    bar.advance(len(items))
            return
        more = True
        while more:
            more = False
            with target.transaction(None):
                before = self._written
                for items, batch in batches:
                    self._write_batch(items, batch)
                    bar.advance(len(items))
                    if self._written % options.checkpoint_interval == 0:
                        more = True
                        break
                if self._written > before:
                    self._checkpoints.write(self._written)
        with target.transaction(options.message):
            self._checkpoints.forget()

    def _write_batch(self, items: list[Any], batch: Batch) -> None:
        self._refuse(items, batch)
        open_columns = [name for name, c in batch.columns.items() if not c.ready]
        if open_columns:
            batch.prepare(self._target.settle(batch.columns, open_columns))
            self._refuse(items, batch)
            self._plans = self._closed_plans()
        try:
            self._target.write(items, batch)
        except SampleError as error:  # of a sample too large to be prepared by workers
            raise self._failure(self._written, f"inputs from {self._written} on", error) from error
        self._note_skipped(items, batch)
        self._rows += batch.rows
        self._written += len(items)
        if self._options.checkpoint_interval:
            self._checkpoints.done(items)

    def _refuse(self, items: list[Any], batch: Batch) -> None:
        """Raise the first error of a batch, unless inputs may be left out."""
        if batch.errors and not self._options.ignore_errors:
            first = min(batch.errors)
            error = batch.errors[first]
            what = f"input {self._written + first} ({self._inputs.shown(items[first])})"
            raise self._failure(self._written + first, what, error) from error

    def _failure(self, index: int, what: str, error: Exception) -> TransformError:
        return TransformError(
            f"{self._name} failed on {what}: {type(error).__name__}: {error}. "
            "ignore_errors=True leaves out such inputs and reports them",
            index=index,
        )

    def _note_skipped(self, items: list[Any], batch: Batch) -> None:
        for offset in sorted(batch.errors):
            what = self._inputs.shown(items[offset])
            error = batch.errors[offset]
            self._skipped.append(SkippedInput(self._written + offset, what, error))
