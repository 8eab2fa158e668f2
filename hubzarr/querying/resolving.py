"""From names of the query to columns that the engine gets.

Labels are compared as numbers wherever that gives the same answer, because numbers are
there already; only functions of text, orderings and results use the names. Subscripts of
tensors and their shapes count from 0, as in NumPy, and slices exclude their end; SQL's
own lists count from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import NamedTuple

from hubzarr.errors import InvalidError, NotFoundError
from hubzarr.querying.functions import (
    COMPARISONS,
    EQUALITIES,
    LENGTHS,
    MEMBERSHIP,
    NUMERIC_TYPES,
    OF_NUMBERS,
    OF_VECTORS,
)
from hubzarr.querying.references import Reference, References, Use
from hubzarr.querying.table import QueryColumn
from hubzarr.querying.tree import (
    Call,
    Cast,
    Column,
    Constant,
    Lambda,
    Node,
    Operation,
    map_children,
)

__all__ = ["Resolver"]


class _Label(NamedTuple):
    """A label in an expression: its tensor, and the place in its list if it has several."""

    reference: Reference
    column: QueryColumn
    subscript: Node | None = None


class Resolver:
    """Resolves the expressions of one query.

    Parameters
    ----------
    references : References
        Looks names up and collects what is used.
    """

    def __init__(self, references: References) -> None:
        self.references = references
        self._bound: list[str] = []  # parameters of lambdas around
        self._aliases: Mapping[str, str] = {}
        self._alias_first = False

    @contextmanager
    def with_aliases(self, names: Mapping[str, str], *, first: bool) -> Iterator[None]:
        """Let names of the SELECT list stand, before or after names of tensors."""
        before = self._aliases, self._alias_first
        self._aliases, self._alias_first = names, first
        try:
            yield
        finally:
            self._aliases, self._alias_first = before

    def resolve(self, node: Node) -> Node:
        """The expression over columns that the engine gets."""
        match node:
            case Column():
                return self._column(node)
            case Operation():
                return self._operation(node)
            case Call():
                return self._call(node)
            case Cast(value, type_name) if type_name in NUMERIC_TYPES and self._label(value):
                return replace(node, value=self._numbers(value))
            case Lambda(names, body):
                self._bound += names
                try:
                    return Lambda(names, self.resolve(body))
                finally:
                    del self._bound[len(self._bound) - len(names) :]
        return map_children(node, self.resolve)

    def _column(self, node: Column) -> Node:
        alone = node.path[0].casefold() if len(node.path) == 1 else ""
        if node.path[0] in self._bound:
            return node
        if self._alias_first and alone in self._aliases:
            return Column((self._aliases[alone],))
        reference = self.references.find(node.path)
        if reference is None:
            if alone in self._aliases:
                return Column((self._aliases[alone],))
            raise self.references.missing(node, tuple(self._aliases.values()))
        column = self.references.column(reference)
        if column is not None and column.kind == "shape":
            raise self.references.unreadable(reference.name, node)
        named = column is not None and column.kind == "label"
        return self.references.use(Use(reference.name, "name" if named else reference.part))

    def _found(self, node: Node) -> Reference | None:
        """What a plain name refers to; ``shape(images)`` is ``images.shape``."""
        if isinstance(node, Call) and node.name in {"shape", "ndim"} and len(node.arguments) == 1:
            inner = node.arguments[0]
            node = Column((*inner.path, node.name), inner.at) if isinstance(inner, Column) else node
        if not isinstance(node, Column) or node.path[0] in self._bound:
            return None
        alone = node.path[0].casefold() if len(node.path) == 1 else ""
        if self._alias_first and alone in self._aliases:
            return None
        return self.references.find(node.path)

    # Labels

    def _label(self, node: Node) -> _Label | None:
        subscript = None
        if isinstance(node, Operation) and node.kind == "[]":
            node, subscript = node.arguments
        reference = self._found(node)
        column = None if reference is None else self.references.column(reference)
        if reference is None or column is None or column.kind != "label":
            return None
        if subscript is not None and not column.several:
            return None
        return _Label(reference, column, subscript)

    def _numbers(self, node: Node) -> Node:
        """An expression with numbers in the place of a label's names."""
        label = self._label(node)
        if label is None:
            return self.resolve(node)
        numbers = self.references.use(Use(label.reference.name, "value"))
        if label.subscript is None:
            return numbers
        return Operation("[]", (numbers, self._from_one(label.subscript)))

    def _is_number(self, node: Node) -> bool:
        match node:
            case Constant(value):
                return not isinstance(value, str)
            case Cast(_, type_name):
                return type_name in NUMERIC_TYPES
            case Call(name):
                return name in OF_NUMBERS or name in LENGTHS
            case Operation("[]", (base, _)):
                return self._is_number(base)
        reference = self._found(node)
        if reference is None:
            return False
        column = self.references.column(reference)
        return column is None or column.kind in {"number", "array"}

    def _compared_labels(self, node: Operation) -> Node | None:
        """A comparison with labels in it; None if there are none."""
        labels = [label for label in map(self._label, node.arguments) if label is not None]
        if not labels:
            return None
        for label in labels:
            if label.column.several and label.subscript is None and node.kind in EQUALITIES:
                self._one_of_several(label, node)
        others = [part for part in node.arguments if self._label(part) is None]
        texts = [part for part in others if _is_text(part)]
        names = labels[0].column.class_names
        if any(label.column.class_names != names for label in labels):
            return None
        if not all(_is_text(part) or self._is_number(part) for part in others):
            return None
        if texts and node.kind not in EQUALITIES:
            return None
        parts = (
            self._number_of(part, labels[0]) if _is_text(part) else self._numbers(part)
            for part in node.arguments
        )
        return Operation(node.kind, tuple(parts))

    def _one_of_several(self, label: _Label, node: Operation) -> None:
        if any(_is_text(part) or isinstance(part, Constant) for part in node.arguments):
            name = label.reference.name
            raise InvalidError(
                f"{name!r} has several labels in a row: "
                f"use list_contains({name}, 'name') or {name}[0] = 'name'",
                name=name,
            )

    def _number_of(self, text: Node, label: _Label) -> Constant:
        name = str(text.value) if isinstance(text, Constant) else ""
        names = label.column.class_names
        if name in names:
            return Constant(names.index(name))
        near = get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?"
        if not near:
            more = ", ..." if len(names) > 12 else ""
            hint = f"there are {', '.join(map(repr, names[:12]))}{more}"
        raise NotFoundError(
            f"{label.reference.name!r} has no class {name!r}; {hint}",
            name=name,
            tensor=label.reference.name,
        )

    def _members(self, node: Call) -> Node | None:
        """Functions of a list of labels and names, such as ``list_contains``."""
        labels = [self._label(part) for part in node.arguments]
        several = [lb for lb in labels if lb is not None and lb.column.several and not lb.subscript]
        if not several:
            return self._in_list(node)
        parts: list[Node] = []
        for part in node.arguments:
            if _is_text(part):
                parts.append(self._number_of(part, several[0]))
            elif isinstance(part, Call) and part.name == "list_value":
                if not all(_is_text(p) or self._is_number(p) for p in part.arguments):
                    return None
                numbers = (
                    self._number_of(p, several[0]) if _is_text(p) else self.resolve(p)
                    for p in part.arguments
                )
                parts.append(replace(part, arguments=tuple(numbers)))
            elif self._label(part) is not None or self._is_number(part):
                parts.append(self._numbers(part))
            else:
                return None
        return replace(node, arguments=tuple(parts))

    def _in_list(self, node: Call) -> Node | None:
        """``labels IN ['a', 'b']`` comes as contains(['a', 'b'], labels)."""
        if node.name == "contains" and len(node.arguments) == 2:
            values, one = node.arguments
            if isinstance(values, Call) and values.name == "list_value" and self._label(one):
                return self._operation(Operation("IN", (one, *values.arguments)))
        return None

    # Operations and calls

    def _operation(self, node: Operation) -> Node:
        if node.kind == "[]":
            return self._subscripted(node)
        if node.kind == "[:]":
            return self._sliced(node)
        if node.kind in COMPARISONS:
            compared = self._compared_labels(node)
            if compared is not None:
                return compared
        if node.kind in {"IS NULL", "IS NOT NULL"} and self._label(node.arguments[0]):
            return Operation(node.kind, (self._numbers(node.arguments[0]),))
        return map_children(node, self.resolve)

    def _call(self, node: Call) -> Node:
        name, arguments = node.name, node.arguments
        if len(arguments) == 1 and (name in LENGTHS or name in {"shape", "ndim"}):
            measured = self._measured(name, arguments[0])
            if measured is not None:
                return measured
        if name in {"shape", "ndim"}:
            raise InvalidError(f"{name}() takes the name of one tensor")
        if name == "isnan" and len(arguments) == 1 and self._found(arguments[0]) is not None:
            return Operation("IS NULL", (self.resolve(arguments[0]),))  # NaN comes as NULL
        if name in MEMBERSHIP:
            members = self._members(node)
            if members is not None:
                return members
        if name in OF_VECTORS and len(arguments) == 2:
            return self._of_vectors(node)
        if name in OF_NUMBERS or name == "count":
            first = tuple(map(self._numbers, arguments))
            return replace(map_children(replace(node, arguments=()), self.resolve), arguments=first)
        return map_children(node, self.resolve)

    def _measured(self, name: str, node: Node) -> Node | None:
        """``len(images)``, ``shape(images)`` and ``ndim(images)`` don't read samples."""
        reference = self._found(node)
        column = None if reference is None else self.references.column(reference)
        if reference is None or column is None:
            return None
        if name in {"shape", "ndim"}:
            return self.references.use(Use(reference.name, "shape" if name == "shape" else "ndim"))
        if column.kind in {"shape", "array"} or column.several:
            return self.references.use(Use(reference.name, "axis", 0))
        if column.kind == "json":
            return Call("json_array_length", (self.resolve(node),))
        return None

    # Subscripts

    def _subscripted(self, node: Operation) -> Node:
        base, subscript = node.arguments
        reference = self._found(base)
        if reference is not None and reference.part == "shape" and _is_whole(subscript):
            axis = int(str(subscript.value)) if isinstance(subscript, Constant) else 0
            return self.references.use(Use(reference.name, "axis", axis))
        if self._is_tensor(base):
            return Operation("[]", (self.resolve(base), self._from_one(subscript)))
        return map_children(node, self.resolve)

    def _sliced(self, node: Operation) -> Node:
        base, begin, end = node.arguments
        if not self._is_tensor(base):
            return map_children(node, self.resolve)
        for bound in (begin, end):
            if not (_is_whole(bound) or bound == Constant(None)):
                raise InvalidError("slices of tensors take whole numbers")
        return Operation("[:]", (self.resolve(base), _first(begin), _last(end)))

    def _is_tensor(self, node: Node) -> bool:
        """Whether a subscript of this counts from 0: a tensor or a part of one."""
        while isinstance(node, Operation) and node.kind in {"[]", "[:]"}:
            node = node.arguments[0]
        reference = self._found(node)
        if reference is None:
            return False
        column = self.references.column(reference)
        return column is None or column.kind != "json"

    def _from_one(self, subscript: Node) -> Node:
        """A subscript that counts from 0 as one that counts from 1; -1 stays the last."""
        if isinstance(subscript, Constant):
            if not _is_whole(subscript):
                raise InvalidError(f"a subscript is a whole number, not {subscript.value!r}")
            return _first(subscript)
        found = self.resolve(subscript)
        positive = Cast(Operation(">=", (found, Constant(0))), "INTEGER")
        return Call("+", (found, positive))

    # Vectors

    def _of_vectors(self, node: Call) -> Call:
        """Constant vectors as the engine's fixed-size type, which it doesn't guess."""
        arguments = tuple(map(self.resolve, node.arguments))
        columns = [self._vector(part) for part in node.arguments]
        known = next((column for column in columns if column is not None), None)
        if known is None:
            return replace(node, arguments=arguments)
        if known.size is None:
            return Call(node.name.replace("array_", "list_"), arguments)
        for part in node.arguments:
            if isinstance(part, Call) and part.name == "list_value":
                found = len(part.arguments)
                if found != known.size:
                    raise InvalidError(
                        f"{node.name} got a vector of {found} numbers for rows of {known.size}"
                    )
        element = "FLOAT" if known.dtype in {"float16", "float32"} else "DOUBLE"
        type_name = f"{element}[{known.size}]"
        return replace(node, arguments=tuple(Cast(part, type_name) for part in arguments))

    def _vector(self, node: Node) -> QueryColumn | None:
        reference = self._found(node)
        column = None if reference is None else self.references.column(reference)
        return column if column is not None and column.kind == "array" else None


def _is_text(node: Node) -> bool:
    return isinstance(node, Constant) and isinstance(node.value, str)


def _is_whole(node: Node) -> bool:
    return isinstance(node, Constant) and type(node.value) is int


def _first(begin: Node) -> Node:
    if isinstance(begin, Constant) and type(begin.value) is int and begin.value >= 0:
        return Constant(begin.value + 1)
    return begin


def _last(end: Node) -> Node:
    """The last element that belongs to a slice, whose end doesn't."""
    if isinstance(end, Constant) and type(end.value) is int and end.value < 0:
        return Constant(end.value - 1)
    return end
