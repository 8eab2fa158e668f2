"""The text of a query into a `Select`, or a refusal that says what and where.

Queries are what DuckDB reads as one SELECT over one table, the dataset. ``FROM dataset``
may be left out. Other statements, tables, table functions, joins, subqueries, WITH,
UNION and samples are refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from hubzarr.errors import HubzarrError, InvalidError, UnsupportedError
from hubzarr.querying.connection import RELATION, parse_json
from hubzarr.querying.translating import Translator, refusal
from hubzarr.querying.tree import (
    Call,
    Column,
    Constant,
    Item,
    Node,
    Select,
    Star,
    map_children,
    walk,
)

__all__ = ["parse", "parse_condition"]

type Json = dict[str, Any]

_JOINED = "conditions are joined by AND and OR, not by && and ||"
_SUBSCRIPT = re.compile(r"[\w\"]\[[^\[\]]*$")
_LONGEST = 1_000_000  # characters: more is no query but data


def parse(sql: str) -> Select:
    """Parse a query.

    Raises
    ------
    InvalidError
        The text is no query, or does something that queries may not do; `position` of
        the error counts the characters before the place.

    Examples
    --------
    >>> parse("SELECT * WHERE labels = 'Rain' LIMIT 5").limit
    5
    >>> parse("SELECT * FROM read_csv('x')")
    Traceback (most recent call last):
    hubzarr.errors.InvalidError: FROM takes the word dataset and nothing else, ...
    """
    if not isinstance(sql, str):
        raise InvalidError(f"a query is text, not a {type(sql).__name__}", sql=repr(sql))
    if len(sql) > _LONGEST:
        raise InvalidError(f"a query may have {_LONGEST} characters, this one has {len(sql)}")
    try:
        return _parse(sql)
    except RecursionError:
        raise InvalidError("the query is nested too deeply", sql=sql) from None
    except (AttributeError, KeyError, TypeError) as error:
        if isinstance(error, HubzarrError):
            raise
        raise UnsupportedError(
            "this release of DuckDB describes the query in a way that hubzarr doesn't know: "
            "install another release of duckdb or a newer one of hubzarr"
        ) from error


def _parse(sql: str) -> Select:
    found = _syntax(sql)
    if len(found) != 1:
        raise InvalidError(f"a query is one SELECT, not {len(found)} statements", sql=sql)
    statement = found[0]
    node = statement["node"]
    if node["type"] != "SELECT_NODE" or statement.get("named_param_map"):
        what = node["type"].removesuffix("_NODE").replace("_", " ").lower()
        raise InvalidError(f"a query is one plain SELECT without parameters, not {what}", sql=sql)
    return _select(Translator(sql), node)


def parse_condition(text: str) -> Select:
    """Parse a condition on rows, in the words of SQL or with Python's ``==``.

    Examples
    --------
    >>> from hubzarr.querying.printing import say
    >>> say(parse_condition("labels == 'Rain' and images.shape[0] > 100").where)
    "(labels = 'Rain') AND (images.shape[0] > 100)"
    """
    if not isinstance(text, str) or not text.strip():  # type: ignore[redundant-expr]
        raise InvalidError(f"a condition is text such as \"labels == 'Rain'\", not {text!r}")
    start = "SELECT * WHERE ("
    try:
        select = parse(f"{start}{text}\n)")
    except InvalidError as error:
        position = error.fields.get("position")
        if position is None and not error.message.startswith("Chained"):
            raise
        message = error.message.partition(", at character ")[0]
        if message.startswith("Chained comparisons") and "&&" in text:
            message = _JOINED
        if position is None:
            raise InvalidError(message, sql=text) from None
        at = min(max(0, position - len(start)), len(text))
        raise refusal(text, message, len(text[:at].encode())) from None
    if replace(select, where=None, alias="") != Select((Item(Star()),)):
        raise InvalidError("a condition has no ORDER BY, LIMIT or other clauses: use a query")
    for node in walk(select.where or Constant(None)):
        if isinstance(node, Call) and node.name == "&&" and not _of_lists(node):
            raise InvalidError(_JOINED)
    return replace(select, where=_moved(select.where, -len(start)))


def _moved(node: Any, by: int) -> Any:
    """The same condition at another place."""
    if isinstance(node, Column):
        return node if node.at is None else replace(node, at=node.at + by)
    return node if node is None else map_children(node, lambda child: _moved(child, by))


def _of_lists(node: Call) -> bool:
    """Whether ``&&`` stands for what it is in DuckDB: two lists have something in common."""
    return any(isinstance(part, Call) and part.name == "list_value" for part in node.arguments)


def _syntax(sql: str) -> list[Json]:
    # The text goes to the parser as a parameter: nothing of it is executed.
    answer: Json = json.loads(parse_json(sql))
    if not answer["error"]:
        return list(answer["statements"])
    if answer["error_type"] == "not implemented":
        raise InvalidError("a query is one SELECT; other statements aren't allowed", sql=sql)
    position = answer.get("position")
    at = None if position is None else int(position)
    message = str(answer["error_message"])
    if 'near ","' in message and _SUBSCRIPT.search(sql.encode()[:at].decode(errors="ignore")):
        message += "; elements are boxes[0][2], not boxes[0, 2]"
    raise refusal(sql, message, at)


def _select(translator: Translator, node: Json) -> Select:
    sql = translator.sql
    if node["cte_map"]["map"]:
        raise InvalidError("queries can't use WITH; run the inner query first", sql=sql)
    if node["sample"] is not None:
        raise InvalidError("queries can't use SAMPLE: ORDER BY random() LIMIT n does it", sql=sql)
    alias = _dataset_alias(translator, node["from_table"])
    rest: dict[str, Any] = {}
    for modifier in node["modifiers"]:
        rest |= _modifier(translator, modifier)
    return Select(
        items=tuple(_item(translator, item) for item in node["select_list"]),
        where=translator.maybe(node["where_clause"]),
        groups=translator.nodes(node["group_expressions"]),
        group_sets=tuple(tuple(map(int, chosen)) for chosen in node["group_sets"]),
        group_all=node["aggregate_handling"] == "FORCE_AGGREGATES",
        having=translator.maybe(node["having"]),
        qualify=translator.maybe(node["qualify"]),
        alias=alias,
        **rest,
    )


def _item(translator: Translator, item: Json) -> Item:
    return Item(translator.node(item), str(item["alias"]))


def _dataset_alias(translator: Translator, table: Json) -> str:
    """Check FROM; the name by which the query calls the dataset."""
    if table["type"] == "EMPTY":
        return RELATION
    odd = ("schema_name", "catalog_name", "sample", "at_clause", "column_name_alias")
    plain = table["type"] == "BASE_TABLE" and not any(table.get(key) for key in odd)
    if not plain or table["table_name"].lower() != RELATION:
        raise translator.refuse("FROM takes the word dataset and nothing else", table)
    return str(table["alias"] or RELATION)


def _modifier(translator: Translator, modifier: Json) -> dict[str, Any]:
    match modifier["type"]:
        case "ORDER_MODIFIER":
            return {"orders": translator.orders(modifier)}
        case "DISTINCT_MODIFIER":
            on = translator.nodes(modifier["distinct_on_targets"])
            return {"distinct": not on, "distinct_on": on}
        case "LIMIT_MODIFIER" if modifier.get("limit_type", "ROW_COUNT") == "ROW_COUNT":
            limit = _count(translator, modifier.get("limit"))
            return {"limit": limit, "offset": _count(translator, modifier.get("offset")) or 0}
    raise InvalidError("LIMIT and OFFSET take numbers of rows", sql=translator.sql)


def _count(translator: Translator, node: Json | None) -> int | None:
    if node is None:
        return None
    found: Node = translator.node(node)
    if not (isinstance(found, Constant) and type(found.value) is int and found.value >= 0):
        raise translator.refuse("LIMIT and OFFSET take whole numbers", node)
    return found.value
