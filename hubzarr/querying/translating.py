"""DuckDB's expressions into our nodes; whatever isn't known and allowed is refused.

DuckDB writes its syntax trees as JSON in two dialects: releases before 2.0 keep the
arguments of functions under ``children`` and literals as typed values, later ones keep
named ``arguments`` and the text of literals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from hubzarr.errors import InvalidError
from hubzarr.querying.functions import AGGREGATES, FUNCTIONS, LAMBDA_FUNCTIONS, TYPES, WINDOWS
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
    Star,
)

__all__ = ["Translator", "refusal"]

type Json = dict[str, Any]

_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_OPERATORS = {
    "OPERATOR_NOT": "NOT",
    "OPERATOR_IS_NULL": "IS NULL",
    "OPERATOR_IS_NOT_NULL": "IS NOT NULL",
    "OPERATOR_COALESCE": "COALESCE",
    "COMPARE_IN": "IN",
    "ARRAY_EXTRACT": "[]",
    "ARRAY_SLICE": "[:]",
}
_DIRECTIONS = {"ORDER_DEFAULT": "", "DEFAULT": "", "ASCENDING": "ASC", "DESCENDING": "DESC"}
_NOWHERE = 1 << 62  # DuckDB's place of what has none is 2**64 - 1


def refusal(sql: str, message: str, at: int | None) -> InvalidError:
    """An error that shows the place; `at` counts the bytes before it.

    Examples
    --------
    >>> print(refusal("SELECT * FRM x", "syntax error", 9))
    syntax error, at character 10 of the query: SELECT * ▶FRM x
    """
    if at is None or not 0 <= at < _NOWHERE:
        return InvalidError(message, sql=sql)
    place = len(sql.encode()[:at].decode(errors="ignore"))
    before, after = sql[:place][-40:], sql[place : place + 40]
    shown = f"{before}▶{after}".replace("\n", " ")
    return InvalidError(
        f"{message}, at character {place + 1} of the query: {shown}", sql=sql, position=place
    )


class Translator:
    """Translates the expressions of one query; `sql` is its text, for messages."""

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def refuse(self, message: str, node: Json) -> InvalidError:
        """An error about a part of the query."""
        return refusal(self.sql, message, node.get("query_location"))

    def maybe(self, node: Json | None) -> Node | None:
        """An expression that may be absent."""
        return None if node is None else self.node(node)

    def nodes(self, nodes: Sequence[Json]) -> tuple[Node, ...]:
        """Expressions of a list."""
        return tuple(map(self.node, nodes))

    def node(self, node: Json) -> Node:
        """An expression."""
        translate = _BY_CLASS.get(node["class"])
        if translate is None:
            what = _UNKNOWN.get(node["class"], f"{node['class'].lower()} expressions")
            raise self.refuse(f"queries can't use {what}", node)
        return translate(self, node)

    def orders(self, modifier: Json | Sequence[Json] | None) -> tuple[Order, ...]:
        """Terms of an ORDER BY."""
        found: Any = modifier["orders"] if isinstance(modifier, dict) else modifier or []
        return tuple(map(self._order, found))

    def _order(self, term: Json) -> Order:
        direction = _DIRECTIONS[term["type"]]
        nulls = term["null_order"].replace("_", " ")
        if nulls.startswith("NULLS "):
            direction = f"{direction} {nulls}".lstrip()
        return Order(self.node(term["expression"]), direction)

    def _column(self, node: Json) -> Node:
        return Column(tuple(node["column_names"]), node.get("query_location"))

    def _constant(self, node: Json) -> Node:
        literal = node.get("literal")
        try:
            return Constant(_of_value(node["value"]) if literal is None else _of_literal(literal))
        except (KeyError, ValueError, ArithmeticError):
            raise self.refuse("this literal can't be used in queries", node) from None

    def _comparison(self, node: Json) -> Node:
        kind = _COMPARISONS[node["type"]]
        return Operation(kind, self.nodes((node["left"], node["right"])))

    def _conjunction(self, node: Json) -> Node:
        kind = {"CONJUNCTION_AND": "AND", "CONJUNCTION_OR": "OR"}[node["type"]]
        return Operation(kind, self.nodes(node["children"]))

    def _between(self, node: Json) -> Node:
        return Operation("BETWEEN", self.nodes((node["input"], node["lower"], node["upper"])))

    def _operator(self, node: Json) -> Node:
        kind, children = node["type"], node["children"]
        if kind == "ARRAY_CONSTRUCTOR":
            return Call("list_value", self.nodes(children))
        if kind == "COMPARE_NOT_IN":
            return Operation("NOT", (Operation("IN", self.nodes(children)),))
        if kind not in _OPERATORS:
            raise self.refuse(f"queries can't use {_words(kind)}", node)
        if kind == "ARRAY_SLICE":
            if len(children) != 3:
                raise self.refuse("slices with a step can't be used in queries", node)
            base, *ends = children
            bounds = [Constant(None) if _is_open(end) else self.node(end) for end in ends]
            return Operation("[:]", (self.node(base), *bounds))
        return Operation(_OPERATORS[kind], self.nodes(children))

    def _function(self, node: Json) -> Node:
        name = self._allowed(node)
        children = _arguments(node)
        inside = LAMBDA_FUNCTIONS
        parts = [self._lambda(c) if name in inside else self.node(c) for c in children]
        return Call(
            name,
            tuple(parts),
            distinct=bool(node.get("distinct")),
            where=self.maybe(node.get("filter")),
            orders=self.orders(node.get("order_bys")),
        )

    def _allowed(self, node: Json) -> str:
        name = str(node["function_name"]).lower()
        foreign = node.get("catalog") or node.get("schema") not in (None, "", "main")
        if foreign or name not in FUNCTIONS:
            path = ".".join(filter(None, (node.get("catalog"), node.get("schema"), name)))
            raise self.refuse(f"queries can't use the function {path}", node)
        if any(argument.get("name") for argument in node.get("arguments", ())):
            raise self.refuse("arguments of functions can't be named", node)
        return name

    def _window(self, node: Json) -> Node:
        name = self._allowed(node)
        if name not in AGGREGATES | WINDOWS:
            raise self.refuse(f"{name} is no function of windows", node)
        frame = (node["start"], node["end"], node.get("exclude_clause", "NO_OTHER"))
        if frame != ("UNBOUNDED_PRECEDING", "CURRENT_ROW_RANGE", "NO_OTHER"):
            raise self.refuse("queries can't use ROWS, RANGE, GROUPS or EXCLUDE in OVER", node)
        extra = [node[key] for key in ("offset_expr", "default_expr") if node.get(key)]
        return Call(
            name,
            self.nodes([*_arguments(node), *extra]),
            distinct=bool(node.get("distinct")),
            where=self.maybe(node.get("filter_expr")),
            orders=self.orders(node.get("arg_orders")),
            over=Over(self.nodes(node["partitions"]), self.orders(node["orders"])),
            ignore_nulls=bool(node.get("ignore_nulls")),
        )

    def _cast(self, node: Json) -> Node:
        old, new = node.get("cast_type"), node.get("type_expr")
        type_name = _old_type(old) if old is not None else _new_type(new or {})
        if type_name is None:
            raise self.refuse("queries can't cast to this type", node)
        value = self.node(node["child"])
        if type_name == "BOOLEAN" and value in (Constant("t"), Constant("f")):
            return Constant(value == Constant("t"))  # how old releases write true and false
        return Cast(value, type_name, bool(node.get("try_cast")))

    def _case(self, node: Json) -> Node:
        checks = node["case_checks"]
        pairs = [self.nodes((check["when_expr"], check["then_expr"])) for check in checks]
        parts = [part for pair in pairs for part in pair]
        return Case((*parts, self.node(node["else_expr"])))

    def _arrow(self, node: Json) -> Node:
        """An arrow outside of list functions takes a part of a JSON value."""
        if node.get("syntax_type") == "LAMBDA_KEYWORD":
            raise self.refuse("queries can use lambda in list functions only", node)
        return Call("->", self.nodes((node["lhs"], node["expr"])))

    def _lambda(self, node: Json) -> Node:
        if node["class"] != "LAMBDA":
            return self.node(node)
        left = node["lhs"]
        names = _arguments(left) if left["class"] == "FUNCTION" else [left]
        if any(n["class"] != "COLUMN_REF" or len(n["column_names"]) != 1 for n in names):
            raise self.refuse("the parameters of this lambda aren't plain names", node)
        return Lambda(tuple(n["column_names"][0] for n in names), self.node(node["expr"]))

    def _star(self, node: Json) -> Node:
        odd = ("columns", "expr", "replace_list", "rename_list", "qualified_exclude_list")
        if any(node.get(key) for key in odd):
            message = "queries can't use ALL, COLUMNS, REPLACE, RENAME or EXCLUDE with dots"
            raise self.refuse(f"{message}; name the columns", node)
        return Star(tuple(node["exclude_list"]))


_BY_CLASS: dict[str, Callable[[Translator, Json], Node]] = {
    "BETWEEN": Translator._between,
    "CASE": Translator._case,
    "CAST": Translator._cast,
    "COLUMN_REF": Translator._column,
    "COMPARISON": Translator._comparison,
    "CONJUNCTION": Translator._conjunction,
    "CONSTANT": Translator._constant,
    "FUNCTION": Translator._function,
    "LAMBDA": Translator._arrow,
    "OPERATOR": Translator._operator,
    "STAR": Translator._star,
    "WINDOW": Translator._window,
}
_UNKNOWN = {
    "PARAMETER": "parameters such as ? or $1; write the value",
    "POSITIONAL_REFERENCE": "columns by position such as #1; name them",
    "SUBQUERY": "queries inside of queries; run the inner one first",
}


def _words(kind: str) -> str:
    return kind.replace("OPERATOR_", "").replace("_", " ")


def _arguments(node: Json) -> list[Json]:
    if "arguments" in node:
        return [argument["expression"] for argument in node["arguments"]]
    return list(node["children"])


def _is_open(node: Json) -> bool:
    """An end that a slice doesn't have: an empty list."""
    if node["class"] == "FUNCTION":
        return bool(node["function_name"] == "list_value") and not _arguments(node)
    return node["class"] == "CONSTANT" and bool(
        node.get("value", {}).get("type", {}).get("id") == "LIST"
    )


def _of_literal(literal: Json) -> int | float | Decimal | str | bool | None:
    """A literal of DuckDB 2: a kind and a text."""
    kind, text = literal["kind"], literal.get("text", "")
    if kind == "STRING":
        return str(text)
    if kind == "NULL_LITERAL":
        return None
    if kind == "BOOLEAN":
        return bool(text == "true")
    plain = text.replace("_", "")
    if kind == "INTEGER":
        return int(plain)
    if kind != "NUMERIC":
        raise ValueError(kind)
    return float(plain) if "e" in plain.lower() else Decimal(plain)


def _of_value(value: Json) -> int | float | Decimal | str | bool | None:
    """A literal of DuckDB 1: a type and a value."""
    kind = value["type"]["id"]
    if value["is_null"]:
        return None
    found = value["value"]
    if kind == "DECIMAL":
        return Decimal(_whole(found)).scaleb(-value["type"]["type_info"]["scale"])
    if kind in {"DOUBLE", "FLOAT"}:
        return float(found)
    if kind in {"VARCHAR", "BOOLEAN"}:
        return str(found) if kind == "VARCHAR" else bool(found)
    return _whole(found)


def _whole(value: Any) -> int:
    if isinstance(value, dict):  # 128 bits in two halves
        return (int(value["upper"]) << 64) + int(value["lower"])
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    return int(value)


def _old_type(type_: Json) -> str | None:
    kind, info = type_["id"], type_.get("type_info") or {}
    if kind in {"UNBOUND", "USER"}:
        return TYPES.get(str(info.get("name", info.get("user_type_name", ""))).upper())
    if kind in {"LIST", "ARRAY"}:
        inner = _old_type(info["child_type"])
        size = int(info["size"]) if kind == "ARRAY" else ""
        return None if inner is None else f"{inner}[{size}]"
    if kind == "DECIMAL" and info:
        return f"DECIMAL({int(info['width'])}, {int(info['scale'])})"
    return TYPES.get(kind)


def _new_type(type_: Json) -> str | None:
    kind, children = str(type_.get("type_name", "")).upper(), type_.get("children", [])
    if type_.get("schema") or type_.get("catalog"):
        return None
    if kind in {"LIST", "ARRAY"} and children:
        inner = _new_type(children[0])
        size = int(children[1]["literal"]["text"]) if kind == "ARRAY" else ""
        return None if inner is None else f"{inner}[{size}]"
    name = TYPES.get(kind)
    if name == "DECIMAL" and children:
        return f"DECIMAL({', '.join(str(int(child['literal']['text'])) for child in children)})"
    return name
