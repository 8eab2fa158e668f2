"""Queries as trees: the few kinds of nodes that a query may consist of.

DuckDB parses the text of a query; `hubzarr.querying.parsing` translates what it found
into these nodes and refuses everything else; `hubzarr.querying.resolving` replaces names
by columns; `hubzarr.querying.printing` writes the text that DuckDB then runs. So nothing
of the user's text reaches the engine except through a node of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

__all__ = [
    "Call",
    "Case",
    "Cast",
    "Column",
    "Constant",
    "Item",
    "Lambda",
    "Node",
    "Operation",
    "Order",
    "Over",
    "Select",
    "Star",
    "conjuncts",
    "map_children",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a query."""


@dataclass(frozen=True, slots=True)
class Column(Node):
    """A name: ``images.shape`` is ``("images", "shape")``; `at` is its place in the text."""

    path: tuple[str, ...]
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A literal."""

    value: int | float | Decimal | str | bool | None


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """A comparison or another built-in with a syntax of its own: ``=``, ``AND``, ``IN``, ``[]``."""

    kind: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Order(Node):
    """One term of ORDER BY; `direction` is ``"ASC"``, ``"DESC NULLS LAST"`` or empty."""

    by: Node
    direction: str = ""


@dataclass(frozen=True, slots=True)
class Over(Node):
    """The window of a window function."""

    partitions: tuple[Node, ...] = ()
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function of the allowed ones, an aggregate or an operator such as ``+``."""

    name: str
    arguments: tuple[Node, ...] = ()
    distinct: bool = False
    where: Node | None = None
    orders: tuple[Order, ...] = ()
    over: Over | None = None
    ignore_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Cast(Node):
    """A conversion to a type; a lenient one gives NULL where it fails."""

    value: Node
    type: str
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Case(Node):
    """CASE WHEN ... THEN ... ELSE ... END; `arguments` are when, then, when, then, ..., else."""

    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Lambda(Node):
    """A function of list elements: ``x -> x > 2``."""

    names: tuple[str, ...]
    body: Node


@dataclass(frozen=True, slots=True)
class Star(Node):
    """All columns except some."""

    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item(Node):
    """One entry of the SELECT list."""

    value: Node
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Select(Node):
    """A whole query over the dataset."""

    items: tuple[Item, ...]
    where: Node | None = None
    groups: tuple[Node, ...] = ()
    group_sets: tuple[tuple[int, ...], ...] = ()
    group_all: bool = False
    having: Node | None = None
    qualify: Node | None = None
    distinct: bool = False
    distinct_on: tuple[Node, ...] = ()
    orders: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    alias: str = ""


def map_children[N: Node](node: N, change: Callable[[Any], Any]) -> N:
    """The same node with `change` applied to each of its children.

    Examples
    --------
    >>> both = Operation("AND", (Column(("a",)), Column(("b",))))
    >>> map_children(both, lambda child: Constant(child.path[0])).arguments
    (Constant(value='a'), Constant(value='b'))
    """
    changes = {}
    for field in fields(node):
        old = getattr(node, field.name)
        if isinstance(old, Node):
            changes[field.name] = change(old)
        elif isinstance(old, tuple) and old and isinstance(old[0], Node):
            changes[field.name] = tuple(change(child) for child in old)
    return replace(node, **changes) if changes else node


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it.

    Examples
    --------
    >>> [type(part).__name__ for part in walk(Cast(Column(("a",)), "DATE"))]
    ['Cast', 'Column']
    """
    yield node
    for field in fields(node):
        value = getattr(node, field.name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, Node):
                yield from walk(child)


def conjuncts(condition: Node | None) -> list[Node]:
    """The conditions that must all hold.

    Examples
    --------
    >>> a, b, c = (Column((name,)) for name in "abc")
    >>> conjuncts(Operation("AND", (a, Operation("AND", (b, c))))) == [a, b, c]
    True
    """
    if condition is None:
        return []
    if isinstance(condition, Operation) and condition.kind == "AND":
        return [part for argument in condition.arguments for part in conjuncts(argument)]
    return [condition]
