"""Running queries: prune, filter in stages, then order, group and compute what is left.

1. Bounds of runs of rows rule out what can't satisfy WHERE, before anything is read.
2. The conditions of WHERE run block by block, those on numbers first, then those on
   shapes, then those on texts and vectors, each on the rows that are left only.
3. What the rest of the query mentions is read for the rows that passed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hubzarr.errors import InvalidError
from hubzarr.media.extras import need
from hubzarr.querying.connection import RELATION, ask
from hubzarr.querying.functions import VOLATILE
from hubzarr.querying.parsing import parse, parse_condition
from hubzarr.querying.printing import quoted, say, sql_text
from hubzarr.querying.pruning import candidates
from hubzarr.querying.references import ROW, References, Use
from hubzarr.querying.resolving import Resolver
from hubzarr.querying.scanning import block_rows, scan, split, stream
from hubzarr.querying.table import Rows, RowTable
from hubzarr.querying.tree import (
    Call,
    Column,
    Item,
    Node,
    Operation,
    Order,
    Select,
    Star,
    conjuncts,
    walk,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowsResult", "run", "run_condition"]

type Ints = npt.NDArray[np.int64]

_EAGER = 1 << 16  # rows of a block where a LIMIT may end the search early


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
    return _Run(parse(sql), sql, table, timeout).result()


def run_condition(text: str, table: RowTable, *, timeout: float | None = None) -> Ints:
    """Numbers of the rows that satisfy a condition such as ``"labels == 'Rain'"``."""
    return _Run(parse_condition(text), text, table, timeout).rows()


@dataclass(frozen=True)
class _Stage:
    """Conditions that need the same sort of columns."""

    sql: str
    uses: dict[Use, str]


class _Run:
    """One query on one table."""

    def __init__(self, select: Select, sql: str, table: RowTable, timeout: float | None) -> None:
        self.select = select
        self.table = table
        self.timeout = timeout
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.references = References(table.columns, select.alias, sql)
        self.resolver = Resolver(self.references)
        self.conditions = [self.resolver.resolve(part) for part in conjuncts(select.where)]

    def result(self) -> RowsResult | pa.Table:
        columns = self._plain_columns()
        if columns is None:
            return self._computed()
        return RowsResult(self.rows(), columns or None)

    def rows(self) -> Ints:
        """Rows that the query selects."""
        select = self.select
        if not (select.orders or select.qualify or select.distinct_on):
            wanted = None if select.limit is None else select.offset + select.limit
            rows = self._survivors(wanted)
            if isinstance(rows, slice):
                rows = np.arange(rows.start, rows.stop)
            return rows[select.offset : wanted]
        row = self.references.use(Use(ROW, "row"))
        distinct = [self.resolver.resolve(part) for part in select.distinct_on]
        orders = (*map(self._order, select.orders), Order(row))
        qualify = None if select.qualify is None else self.resolver.resolve(select.qualify)
        head = f"DISTINCT ON ({_listed(distinct)}) " if distinct else ""
        sql = f"SELECT {head}{sql_text(row)} AS {ROW} FROM {RELATION}"
        if qualify is not None:
            sql += f" QUALIFY {sql_text(qualify)}"
        sql += f" ORDER BY {_listed(orders)}{self._limits()}"
        uses = self._uses([row, *distinct, *orders, *([qualify] if qualify else [])])
        found = self._ask_all(sql, uses)
        return np.asarray(found.column(0).to_numpy(), np.int64)

    # Which rows pass

    def _survivors(self, wanted: int | None = None) -> Rows:
        """Rows that pass WHERE, at least the first `wanted` ones."""
        names = {name: use for use, name in self.references.uses.items()}
        runs = candidates(self.conditions, names, self.table)
        stages = self._stages()
        if not stages:
            return slice(0, self.table.length)
        size = block_rows(self.table, stages[0].uses)
        size = size if wanted is None else min(size, _EAGER)
        passing: Iterable[Rows] = _blocks(runs, size)
        for stage in stages:
            passing = self._passing(passing, stage)
        parts: list[Ints] = []
        for rows in passing:
            parts.append(np.asarray(rows))
            if wanted is not None and sum(map(len, parts)) >= wanted:
                break
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _stages(self) -> list[_Stage]:
        """The conditions in the order of what reading their columns costs."""
        if any(
            isinstance(n, Call) and n.name in VOLATILE for c in self.conditions for n in walk(c)
        ):
            return [self._stage(self.conditions)]
        by_cost: dict[int, list[Node]] = {}
        for condition in self.conditions:
            cost = max(map(self._cost, self._uses([condition])), default=0)
            by_cost.setdefault(cost, []).append(condition)
        return [self._stage(by_cost[cost]) for cost in sorted(by_cost)]

    def _stage(self, conditions: Sequence[Node]) -> _Stage:
        whole = conditions[0] if len(conditions) == 1 else Operation("AND", tuple(conditions))
        sql = f"SELECT coalesce(CAST({sql_text(whole)} AS BOOLEAN), false) FROM {RELATION}"
        return _Stage(sql, self._uses(conditions) or {Use(ROW, "row"): ROW})

    def _cost(self, use: Use) -> int:
        if use.part in {"shape", "axis", "ndim"}:
            return 1
        column = self.table.columns.get(use.name)
        return 0 if column is None or column.kind in {"number", "label"} else 2

    def _passing(self, blocks: Iterable[Rows], stage: _Stage) -> Iterator[Ints]:
        size = block_rows(self.table, stage.uses)
        for block in blocks:
            for rows in split(block, size):
                answer = self._ask(stage.sql, scan(self.table, stage.uses, rows))
                passed = np.flatnonzero(answer.column(0).to_numpy())
                if len(passed):
                    yield passed + rows.start if isinstance(rows, slice) else rows[passed]

    # What is computed from them

    def _computed(self) -> pa.Table:
        select = self.select
        items = self._expanded()
        names = [item.alias or say(item.value) for item in items]
        values = [self.resolver.resolve(item.value) for item in items]
        aliases = {name.casefold(): name for name in names}
        with self.resolver.with_aliases(aliases, first=False):
            groups = [self.resolver.resolve(part) for part in select.groups]
            having = None if select.having is None else self.resolver.resolve(select.having)
            qualify = None if select.qualify is None else self.resolver.resolve(select.qualify)
            distinct = [self.resolver.resolve(part) for part in select.distinct_on]
        with self.resolver.with_aliases(aliases, first=True):
            orders = [self._order(order) for order in select.orders]
        head = "DISTINCT " if select.distinct else ""
        head = f"DISTINCT ON ({_listed(distinct)}) " if distinct else head
        shown = zip(values, names, strict=True)
        sql = f"SELECT {head}{', '.join(f'{sql_text(v)} AS {quoted(n)}' for v, n in shown)}"
        sql += f" FROM {RELATION}{self._grouped(groups)}"
        for word, part in (("HAVING", having), ("QUALIFY", qualify)):
            if part is not None:
                sql += f" {word} {sql_text(part)}"
        if orders:
            sql += f" ORDER BY {_listed(orders)}"
        parts = [*values, *groups, *distinct, *orders, *(p for p in (having, qualify) if p)]
        uses = self._uses(parts) or {Use(ROW, "row"): ROW}
        return _plain_numbers(self._ask_all(sql + self._limits(), uses))

    def _grouped(self, groups: Sequence[Node]) -> str:
        sets = self.select.group_sets
        if self.select.group_all:
            return " GROUP BY ALL"
        if len(sets) > 1:
            chosen = (f"({_listed([groups[i] for i in members])})" for members in sets)
            return f" GROUP BY GROUPING SETS ({', '.join(chosen)})"
        return f" GROUP BY {_listed(groups)}" if groups else ""

    def _order(self, order: Order) -> Order:
        return Order(self.resolver.resolve(order.by), order.direction)

    def _limits(self) -> str:
        limit, offset = self.select.limit, self.select.offset
        text = "" if limit is None else f" LIMIT {limit}"
        return f"{text} OFFSET {offset}" if offset else text

    # Columns

    def _plain_columns(self) -> tuple[str, ...] | None:
        """Columns of a query for rows, () for all; None if the query computes something."""
        select = self.select
        grouped = select.groups or select.group_sets or select.group_all or select.having
        if grouped or select.distinct:
            return None
        names: list[str] = []
        for item in select.items:
            if isinstance(item.value, Star) and not item.alias:
                names += self._starred(item.value)
                continue
            path = item.value.path if isinstance(item.value, Column) else ()
            found = self.references.find(path)
            if not path or item.alias or (found is not None and found.part != "value"):
                return None
            if found is None:
                raise self.references.missing(item.value)  # type: ignore[arg-type]
            names.append(found.name)
        whole = len(select.items) == 1 and select.items[0].value == Star()
        return () if whole else tuple(dict.fromkeys(names))

    def _starred(self, star: Star) -> list[str]:
        left_out = set()
        for name in star.exclude:
            found = self.references.find((name,))
            if found is None:
                raise self.references.missing(Column((name,)))
            left_out.add(found.name)
        return [name for name in self.table.columns if name not in left_out]

    def _expanded(self) -> list[Item]:
        """The SELECT list with all columns in the place of a star."""
        items: list[Item] = []
        for item in self.select.items:
            if not isinstance(item.value, Star):
                items.append(item)
                continue
            names = self._starred(item.value)
            closed = [name for name in names if self.table.columns[name].kind == "shape"]
            if closed:
                raise InvalidError(
                    f"a query that computes can't return whole samples ({', '.join(closed)}): "
                    "name the columns instead of *"
                )
            items += [Item(Column((name,)), name) for name in names]
        return items

    def _uses(self, nodes: Iterable[Node]) -> dict[Use, str]:
        """The columns that some expressions need."""
        mentioned = {
            part.path[1]
            for node in nodes
            for part in walk(node)
            if isinstance(part, Column) and len(part.path) == 2 and part.path[0] == RELATION
        }
        return {use: name for use, name in self.references.uses.items() if name in mentioned}

    def _ask_all(self, sql: str, uses: dict[Use, str]) -> pa.Table:
        """Run SQL over the rows that pass."""
        failures: list[Exception] = []
        try:
            return self._ask(sql, stream(self.table, uses, self._survivors(), failures))
        except InvalidError:
            if failures:
                raise failures[0] from None
            raise

    def _ask(self, sql: str, data: Any) -> pa.Table:
        left = None if self.deadline is None else max(self.deadline - time.monotonic(), 1e-3)
        return ask(sql, data, left)


def _listed(nodes: Sequence[Node]) -> str:
    return ", ".join(map(sql_text, nodes))


def _blocks(runs: Sequence[tuple[int, int]], size: int) -> Iterator[Rows]:
    """Runs of rows in blocks: long runs as slices, short ones together."""
    short: list[Ints] = []
    gathered = 0
    for start, stop in runs:
        if not short and stop - start >= size // 4:
            yield from split(slice(start, stop), size)
            continue
        for first in range(start, stop, size):
            short.append(np.arange(first, min(first + size, stop)))
            gathered += len(short[-1])
            if gathered >= size:
                yield np.concatenate(short)
                short, gathered = [], 0
    if short:
        yield np.concatenate(short)


def _plain_numbers(table: pa.Table) -> pa.Table:
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
