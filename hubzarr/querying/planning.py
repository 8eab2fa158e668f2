"""What there is to do for a query: conditions to filter by, then a SELECT over the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hubzarr.errors import InvalidError
from hubzarr.querying.connection import RELATION
from hubzarr.querying.functions import VOLATILE
from hubzarr.querying.printing import quoted, say, select_text, sql_text
from hubzarr.querying.references import ROW, References, Use
from hubzarr.querying.resolving import Resolver
from hubzarr.querying.table import RowTable
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
    map_children,
    walk,
)

__all__ = ["Plan", "Step", "plan"]


@dataclass(frozen=True)
class Step:
    """SQL to run, and the columns that it needs by the names that it gives them."""

    sql: str
    uses: dict[Use, str]


@dataclass(frozen=True)
class Plan:
    """A query in steps.

    Parameters
    ----------
    conditions : tuple of Node
        What rows must satisfy, for pruning.
    stages : tuple of Step
        The same in the order of costs; each gives a truth value per row.
    final : Step, optional
        What to compute from the rows that are left; None: nothing.
    gives_rows : bool
        Whether `final` gives numbers of rows.
    columns : tuple of str, optional
        Columns that a query for rows asks for; None: all.
    limit, offset : int
        Applied to the rows where there is no `final`, which else does it.
    """

    conditions: tuple[Node, ...]
    stages: tuple[Step, ...]
    final: Step | None
    gives_rows: bool
    columns: tuple[str, ...] | None
    limit: int | None
    offset: int


def plan(select: Select, sql: str, table: RowTable) -> Plan:
    """Plan a parsed query; `sql` is its text, for messages."""
    return _Planner(select, sql, table).plan()


class _Planner:
    def __init__(self, select: Select, sql: str, table: RowTable) -> None:
        self.select = select
        self.table = table
        self.references = References(table.columns, select.alias, sql)
        self.resolver = Resolver(self.references)

    def plan(self) -> Plan:
        conditions = tuple(map(self.resolver.resolve, conjuncts(self.select.where)))
        columns = self._plain_columns()
        final = self._computed() if columns is None else self._ordered()
        return Plan(
            conditions,
            tuple(self._stages(conditions)),
            final,
            columns is not None,
            columns or None,
            self.select.limit,
            self.select.offset,
        )

    # Which rows pass

    def _stages(self, conditions: Sequence[Node]) -> list[Step]:
        """The conditions in the order of what reading their columns costs."""
        calls = (node for condition in conditions for node in walk(condition))
        if any(isinstance(node, Call) and node.name in VOLATILE for node in calls):
            return [self._stage(conditions)]
        by_cost: dict[int, list[Node]] = {}
        for condition in conditions:
            cost = max(map(self._cost, self._uses([condition])), default=0)
            by_cost.setdefault(cost, []).append(condition)
        return [self._stage(by_cost[cost]) for cost in sorted(by_cost)]

    def _stage(self, conditions: Sequence[Node]) -> Step:
        whole = conditions[0] if len(conditions) == 1 else Operation("AND", tuple(conditions))
        sql = f"SELECT coalesce(CAST({sql_text(whole)} AS BOOLEAN), false) FROM {RELATION}"
        return Step(sql, self._uses(conditions))

    def _cost(self, use: Use) -> int:
        if use.part in {"shape", "axis", "ndim"}:
            return 1
        column = self.table.columns.get(use.name)
        return 0 if column is None or column.kind in {"number", "label"} else 2

    # What is made of them

    def _ordered(self) -> Step | None:
        """The numbers of the rows in the order of the query; None: as they are."""
        select = self.select
        if not (select.orders or select.qualify or select.distinct_on):
            return None
        row = self.references.use(Use(ROW, "row"))
        resolved = self._resolved((Item(row, ROW),))
        resolved = replace(resolved, orders=(*resolved.orders, Order(row)))  # among equals
        return self._final(resolved)

    def _computed(self) -> Step:
        items = self._expanded()
        values = [self.resolver.resolve(item.value) for item in items]
        names = [item.alias or say(item.value) for item in items]
        return self._final(self._resolved(tuple(map(Item, values, names))))

    def _resolved(self, items: tuple[Item, ...]) -> Select:
        """The query over columns of the engine, without WHERE."""
        select, resolve = self.select, self.resolver.resolve
        aliases = {item.alias.casefold(): item.alias for item in items}
        with self.resolver.with_aliases(aliases, first=False):
            resolved = replace(
                select,
                items=items,
                where=None,
                groups=tuple(map(resolve, select.groups)),
                having=None if select.having is None else resolve(select.having),
                qualify=None if select.qualify is None else resolve(select.qualify),
                distinct_on=tuple(map(resolve, select.distinct_on)),
            )
        with self.resolver.with_aliases(aliases, first=True):
            orders = tuple(Order(resolve(o.by), o.direction) for o in select.orders)
        return replace(resolved, orders=orders)

    def _final(self, select: Select) -> Step:
        source, changed = _unnested(select)
        return Step(select_text(changed, source), self._uses([select]))

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
            if not isinstance(item.value, Column) or item.alias:
                return None
            found = self.references.find(item.value.path)
            if found is None:
                raise self.references.missing(item.value)
            if found.part != "value":
                return None
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
        """The columns that some expressions need; the numbers of rows if they need none."""
        mentioned = {
            part.path[1]
            for node in nodes
            for part in walk(node)
            if isinstance(part, Column) and len(part.path) == 2 and part.path[0] == RELATION
        }
        found = {use: name for use, name in self.references.uses.items() if name in mentioned}
        return found or {Use(ROW, "row"): ROW}


def _unnested(select: Select) -> tuple[str, Select]:
    """Take unnest() into FROM, since the engine doesn't group by it."""
    lists: dict[Node, Column] = {}

    def change(node: Node) -> Node:
        if isinstance(node, Call) and node.name == "unnest":
            return lists.setdefault(node, Column((f"unnested {len(lists)}",)))
        return map_children(node, change)

    changed = map_children(select, change)
    if not lists:
        return RELATION, select
    added = ", ".join(f"{sql_text(node)} AS {quoted(c.path[0])}" for node, c in lists.items())
    return f"(SELECT *, {added} FROM {RELATION}) AS {RELATION}", changed
