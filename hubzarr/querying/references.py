"""Names in a query: which tensor, which part of it, and the column that will hold it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, NamedTuple

from hubzarr.errors import InvalidError, NotFoundError
from hubzarr.querying.connection import RELATION
from hubzarr.querying.table import QueryColumn
from hubzarr.querying.translating import refusal
from hubzarr.querying.tree import Column

__all__ = ["ROW", "Reference", "References", "Use"]

#: The column of row numbers.
ROW = "_row"

type Part = Literal["value", "name", "shape", "axis", "ndim", "row"]


class Reference(NamedTuple):
    """What a name of the query stands for."""

    name: str
    part: Literal["value", "shape", "ndim", "row"]


class Use(NamedTuple):
    """A column that the engine needs: values or names of labels, shapes, one length."""

    name: str
    part: Part
    axis: int = 0


class References:
    """Looks names up and remembers what is used.

    Parameters
    ----------
    columns : mapping
        Columns of the table.
    alias : str
        What the query calls the dataset.
    sql : str
        The query, for messages.

    Examples
    --------
    >>> refs = References({"boxes/size": QueryColumn("number", "int64")}, "dataset", "")
    >>> refs.find(("boxes", "size")), refs.find(("dataset", "boxes/size", "shape"))
    (Reference(name='boxes/size', part='value'), Reference(name='boxes/size', part='shape'))
    """

    def __init__(self, columns: Mapping[str, QueryColumn], alias: str, sql: str) -> None:
        self.columns = columns
        self.sql = sql
        self.uses: dict[Use, str] = {}
        self._owners = {RELATION, alias.casefold()}
        self._folded: dict[str, list[str]] = {}
        for name in columns:
            self._folded.setdefault(name.casefold(), []).append(name)

    def find(self, path: tuple[str, ...]) -> Reference | None:
        """What a name stands for; None if nothing has it."""
        found = self._find(path)
        if found is None and len(path) > 1 and path[0].casefold() in self._owners:
            found = self._find(path[1:])
        return found

    def _find(self, path: tuple[str, ...]) -> Reference | None:
        for cut in range(len(path), 0, -1):
            name = self._named("/".join(path[:cut]))
            rest = "/".join(path[cut:]).casefold()
            if name is None:
                continue
            if not rest:
                return Reference(name, "value")
            if rest == "shape" or rest == "ndim":
                return Reference(name, "shape" if rest == "shape" else "ndim")
        return Reference(ROW, "row") if path == (ROW,) else None

    def _named(self, name: str) -> str | None:
        """SQL doesn't tell capital letters; we do only where two names differ by them."""
        if name in self.columns:
            return name
        alike = self._folded.get(name.casefold(), ())
        return alike[0] if len(alike) == 1 else None

    def column(self, reference: Reference) -> QueryColumn | None:
        """How the table describes what is referred to; None for shapes and row numbers."""
        return self.columns[reference.name] if reference.part == "value" else None

    def use(self, use: Use) -> Column:
        """Say that a column is needed; the node that stands for it."""
        if use not in self.uses:
            taken = {name.casefold() for name in self.uses.values()}
            name = _display(use)
            while name.casefold() in taken:
                name += "'"
            self.uses[use] = name
        return Column((RELATION, self.uses[use]))

    def missing(self, node: Column, also: tuple[str, ...] = ()) -> NotFoundError:
        """An error about a name that nothing has."""
        name = ".".join(node.path)
        quotes = node.at is not None and self.sql.encode()[node.at : node.at + 1] == b'"'
        hint = f"; texts take single quotes: '{name}'" if quotes else ""
        owner = self._named(node.path[0])
        if owner is not None and self.columns[owner].kind == "json":
            hint = f"; what is in JSON is {owner}->>'$.{'.'.join(node.path[1:])}'"
        known = [*self.columns, ROW, *also]
        near = get_close_matches(name.replace(".", "/"), known, n=3, cutoff=0.6)
        if near and not hint:
            hint = f"; did you mean {' or '.join(near)}?"
        elif not hint:
            shown = ", ".join(list(self.columns)[:12]) or "none"
            hint = f"; there are {shown}{', ...' if len(self.columns) > 12 else ''}"
        shown_at = refusal(self.sql, f"no tensor is called {name!r}{hint}", node.at)
        return NotFoundError(shown_at.message, name=name, sql=self.sql)

    def unreadable(self, name: str, node: Column) -> InvalidError:
        """An error about a tensor that queries can't look into."""
        message = (
            f"queries can't look into the samples of {name!r}, only at their shapes: "
            f"{name}.shape[0], {name}.ndim, len({name})"
        )
        return refusal(self.sql, message, node.at)


def _display(use: Use) -> str:
    """A name that says what a column holds, since the engine's messages show it."""
    match use.part:
        case "shape" | "ndim":
            return f"{use.name}.{use.part}"
        case "axis":
            return f"{use.name}.shape[{use.axis}]"
    return use.name
