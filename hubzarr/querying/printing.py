"""From trees to the text of SQL, with every name and every text quoted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from hubzarr.querying.tree import (
    Call,
    Case,
    Cast,
    Column,
    Constant,
    Lambda,
    Node,
    Operation,
    Order,
    Over,
    Select,
    Star,
)

__all__ = ["INFIX", "quoted", "say", "select_text", "sql_text"]

#: Functions that are written between their arguments, and how.
INFIX = {name: name for name in ("+", "-", "*", "/", "//", "%", "**", "^", "||", "->", "->>")}
INFIX |= {name: name for name in ("&", "|", "<<", ">>", "&&", "@>", "<@", "^@")}
INFIX |= {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE", "~~~": "GLOB"}

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quoted(name: str) -> str:
    """A name in double quotes.

    Examples
    --------
    >>> print(quoted('a "b"'))
    "a ""b\"""
    """
    return '"' + name.replace('"', '""') + '"'


def sql_text(node: Node) -> str:
    """A part of a query as SQL.

    Examples
    --------
    >>> sql_text(Operation("=", (Column(("labels",)), Constant("Rain's"))))
    '("labels" = \\'Rain\\'\\'s\\')'
    """
    return _Printer(quoted).text(node)


def select_text(select: Select, source: str) -> str:
    """A whole query over `source`, which is SQL; WHERE must have been taken out of it.

    Examples
    --------
    >>> from hubzarr.querying.tree import Item
    >>> print(select_text(Select((Item(Column(("a",)), "b"),), limit=3), "dataset"))
    SELECT "a" AS "b" FROM dataset LIMIT 3
    """
    head = "DISTINCT " if select.distinct else ""
    if select.distinct_on:
        head = f"DISTINCT ON ({_listed(select.distinct_on)}) "
    items = (f"{sql_text(item.value)} AS {quoted(item.alias)}" for item in select.items)
    parts = [f"SELECT {head}{', '.join(items)} FROM {source}"]
    if select.group_all:
        parts.append("GROUP BY ALL")
    elif len(select.group_sets) > 1:
        sets = (f"({_listed([select.groups[i] for i in found])})" for found in select.group_sets)
        parts.append(f"GROUP BY GROUPING SETS ({', '.join(sets)})")
    elif select.groups:
        parts.append(f"GROUP BY {_listed(select.groups)}")
    if select.having is not None:
        parts.append(f"HAVING {sql_text(select.having)}")
    if select.qualify is not None:
        parts.append(f"QUALIFY {sql_text(select.qualify)}")
    if select.orders:
        parts.append(f"ORDER BY {_listed(select.orders)}")
    if select.limit is not None:
        parts.append(f"LIMIT {select.limit}")
    if select.offset:
        parts.append(f"OFFSET {select.offset}")
    return " ".join(parts)


def _listed(nodes: Sequence[Node]) -> str:
    return ", ".join(map(sql_text, nodes))


def say(node: Node) -> str:
    """A part of a query for people: quotes only where they are needed.

    Examples
    --------
    >>> say(Call("avg", (Operation("[]", (Column(("images", "shape")), Constant(0))),)))
    'avg(images.shape[0])'
    """
    text = _Printer(_spared).text(node)
    outer = isinstance(node, (Operation, Call)) and text.startswith("(") and text.endswith(")")
    return text[1:-1] if outer else text


def _spared(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else quoted(name)


class _Printer:
    """Writes trees; `name` quotes a name."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self.name = name

    def text(self, node: Node) -> str:
        match node:
            case Column(path):
                return ".".join(map(self.name, path))
            case Constant(value):
                return _constant(value)
            case Operation(kind, arguments):
                return self._operation(kind, arguments)
            case Call():
                return self._call(node)
            case Cast(value, type_name, lenient):
                word = "TRY_CAST" if lenient else "CAST"
                return f"{word}({self.text(value)} AS {type_name})"
            case Case(arguments):
                *pairs, otherwise = map(self.text, arguments)
                whens = zip(pairs[::2], pairs[1::2], strict=True)
                middle = "".join(f" WHEN {when} THEN {then}" for when, then in whens)
                return f"CASE{middle} ELSE {otherwise} END"
            case Lambda(names, body):
                return f"(lambda {', '.join(map(self.name, names))}: {self.text(body)})"
            case Order(by, direction):
                return f"{self.text(by)} {direction}".rstrip()
            case Star(exclude):
                left_out = ", ".join(map(self.name, exclude))
                return f"* EXCLUDE ({left_out})" if left_out else "*"
        raise TypeError(f"{type(node).__name__} has no text of its own")

    def _list(self, nodes: tuple[Node, ...]) -> str:
        return ", ".join(map(self.text, nodes))

    def _operation(self, kind: str, arguments: tuple[Node, ...]) -> str:
        if kind == "COALESCE":
            return f"coalesce({self._list(arguments)})"
        first, *rest = map(self.text, arguments)
        match kind:
            case "NOT":
                return f"(NOT {first})"
            case "IS NULL" | "IS NOT NULL":
                return f"({first} {kind})"
            case "IN":
                return f"({first} IN ({', '.join(rest)}))"
            case "BETWEEN":
                return f"({first} BETWEEN {rest[0]} AND {rest[1]})"
            case "[]":
                return f"{first}[{rest[0]}]"
            case "[:]":  # an open end is NULL
                begin, end = ("" if text == "NULL" else text for text in rest)
                return f"{first}[{begin}:{end}]"
        return "(" + f" {kind} ".join([first, *rest]) + ")"

    def _call(self, node: Call) -> str:
        if node.name in INFIX and len(node.arguments) == 2:
            left, right = map(self.text, node.arguments)
            return f"({left} {INFIX[node.name]} {right})"
        if node.name in INFIX:
            return f"({node.name} {self._list(node.arguments)})"
        if node.name == "list_value":
            return f"[{self._list(node.arguments)}]"
        name = "count" if node.name == "count_star" else node.name
        inside = "*" if _counts_rows(node) else self._list(node.arguments)
        inside = f"DISTINCT {inside}" if node.distinct else inside
        if node.orders:
            inside += f" ORDER BY {self._list(node.orders)}"
        if node.ignore_nulls:
            inside += " IGNORE NULLS"
        text = f"{name}({inside})"
        if node.where is not None:
            text += f" FILTER (WHERE {self.text(node.where)})"
        return text if node.over is None else f"{text} OVER ({self._window(node.over)})"

    def _window(self, over: Over) -> str:
        parts = []
        if over.partitions:
            parts.append(f"PARTITION BY {self._list(over.partitions)}")
        if over.orders:
            parts.append(f"ORDER BY {self._list(over.orders)}")
        return " ".join(parts)


def _counts_rows(node: Call) -> bool:
    return node.name in {"count", "count_star"} and not node.arguments


def _constant(value: float | Decimal | str | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if "\0" in value:  # ends a text in some of DuckDB's parsers
            pieces = [f"'{piece.replace(_QUOTE, _QUOTE * 2)}'" for piece in value.split("\0")]
            return "(" + " || chr(0) || ".join(pieces) + ")"
        return "'" + value.replace(_QUOTE, _QUOTE * 2) + "'"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return f"CAST('{value}' AS DOUBLE)"
        text = repr(value)
        return text if "e" in text else f"{text}e0"  # without an exponent it were a DECIMAL
    return str(value)


_QUOTE = "'"
