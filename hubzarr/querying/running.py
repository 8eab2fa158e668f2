"""Running queries: prune, filter in stages, then order, group and compute what is left.

1. Bounds of runs of rows rule out what can't satisfy WHERE, before anything is read.
2. The conditions of WHERE run block by block, those on numbers first, then those on
   shapes, then those on texts and vectors, each on the rows that are left only.
3. What the rest of the query mentions is read for the rows that passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hubzarr.errors import InvalidError
from hubzarr.media.extras import need
from hubzarr.querying.arrow import plain_numbers
from hubzarr.querying.connection import Deadline, ask
from hubzarr.querying.parsing import parse, parse_condition
from hubzarr.querying.planning import Plan, Step, plan
from hubzarr.querying.pruning import candidates
from hubzarr.querying.scanning import block_rows, scan, split, stream
from hubzarr.querying.table import Rows, RowTable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowsResult", "run", "run_condition"]

type Ints = npt.NDArray[np.int64]

_EAGER = 1 << 16  # rows of a block where a LIMIT may end the search early
_LONG = 1 << 14  # rows of a run that make a block of their own


class RowsResult(NamedTuple):
    """Rows that a query selected, in its order, and the columns it asked for (None: all)."""

    rows: Ints
    columns: tuple[str, ...] | None


def run(sql: str, table: RowTable, *, timeout: float | None = None) -> RowsResult | pa.Table:
    """Run a query.

    Parameters
    ----------
    sql : str
        One SELECT over the table, which it may call ``dataset`` or not name at all.
    table : RowTable
        What is queried.
    timeout : float, optional
        Seconds after which the query is given up.

    Returns
    -------
    RowsResult or pyarrow.Table
        Rows, where the query selects ``*`` or columns by name; a table of values, where
        it computes something or groups.

    Raises
    ------
    InvalidError
        The text is no query, does what queries may not do, or compares what can't be.
    NotFoundError
        There is no such column or class.
    """
    found = plan(parse(sql), sql, table)
    return _Run(found, table, timeout).result()


def run_condition(text: str, table: RowTable, *, timeout: float | None = None) -> Ints:
    """Numbers of the rows that satisfy a condition such as ``"labels == 'Rain'"``."""
    found = plan(parse_condition(text), text, table)
    return _Run(found, table, timeout).rows()


class _Run:
    """A planned query at work on a table."""

    def __init__(self, plan: Plan, table: RowTable, timeout: float | None) -> None:
        self.plan = plan
        self.table = table
        self.deadline = None if timeout is None else Deadline(timeout)

    def result(self) -> RowsResult | pa.Table:
        """Rows, or a table of what is computed."""
        if self.plan.gives_rows:
            return RowsResult(self.rows(), self.plan.columns)
        return _plain_sums(self._final())

    def rows(self) -> Ints:
        """Rows that the query selects, in its order."""
        if self.plan.final is not None:
            return plain_numbers(self._final().column(0))
        limit, offset = self.plan.limit, self.plan.offset
        wanted = None if limit is None else offset + limit
        rows = self._survivors(wanted)
        if isinstance(rows, slice):
            rows = np.arange(rows.start, rows.stop)
        return rows[offset:wanted]

    def _survivors(self, wanted: int | None = None) -> Rows:
        """Rows that pass WHERE, at least the first `wanted` ones."""
        stages = self.plan.stages
        if not stages:
            return slice(0, self.table.length)
        names = {name: use for stage in stages for use, name in stage.uses.items()}
        size = block_rows(self.table, stages[0].uses)
        size = size if wanted is None else min(size, _EAGER)
        passing: Iterable[Rows] = _blocks(candidates(self.plan.conditions, names, self.table), size)
        for stage in stages:
            passing = self._passing(passing, stage)
        parts: list[Ints] = []
        found = 0
        for rows in passing:
            parts.append(np.asarray(rows))
            found += len(parts[-1])
            if wanted is not None and found >= wanted:
                break
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _passing(self, blocks: Iterable[Rows], stage: Step) -> Iterator[Ints]:
        """The rows of blocks that satisfy the conditions of a stage."""
        size = block_rows(self.table, stage.uses)
        for block in blocks:
            for rows in split(block, size):
                answer = self._ask(stage.sql, scan(self.table, stage.uses, rows))
                passed = np.flatnonzero(plain_numbers(answer.column(0)))
                if len(passed):
                    yield passed + rows.start if isinstance(rows, slice) else rows[passed]

    def _final(self) -> pa.Table:
        """What the rest of the query makes of the rows that pass."""
        step = self.plan.final
        if step is None:
            raise InvalidError("this query computes nothing")
        failures: list[Exception] = []
        try:
            data = stream(self.table, step.uses, self._survivors(), failures)
            return self._ask(step.sql, data)
        except InvalidError:
            if failures:
                raise failures[0] from None
            raise

    def _ask(self, sql: str, data: Any) -> pa.Table:
        return ask(sql, data, self.deadline)


def _blocks(runs: Sequence[tuple[int, int]], size: int) -> Iterator[Rows]:
    """Runs of rows in blocks: long runs as slices, short ones together."""
    short: list[Ints] = []
    gathered = 0
    for start, stop in runs:
        long = stop - start >= min(size, _LONG)
        if short and (long or gathered >= size):
            yield np.concatenate(short)
            short, gathered = [], 0
        if long:
            yield from split(slice(start, stop), size)
        else:
            short.append(np.arange(start, stop))
            gathered += stop - start
    if short:
        yield np.concatenate(short)


def _plain_sums(table: pa.Table) -> pa.Table:
    """Sums of integers as 64-bit ones where they fit: the engine has 128 bits."""
    arrow = need("pyarrow", extra="query", what="running queries")
    for index, field in enumerate(table.schema):
        if arrow.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                column = table.column(index).cast(arrow.int64())
            except arrow.ArrowInvalid:
                continue
            table = table.set_column(index, field.name, column)
    return table
