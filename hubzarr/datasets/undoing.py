"""Taking back what was done to tensors, when the rest of it can't be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubzarr.datasets.catalog import catalog_of
from hubzarr.datasets.columns import column_of
from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.layout import group_document
from hubzarr.history.documents import copied
from hubzarr.session import ArrayState, Session
from hubzarr.session.state import is_array

__all__ = ["Before", "as_it_is", "make_empty", "take_back", "whole_or_not"]


@dataclass(frozen=True, slots=True)
class Before:
    """A tensor before something is appended to it.

    Attributes
    ----------
    length : int
        Number of samples; -1 while nothing says what they look like.
    attributes : dict
        Of its node: what it is, and names of classes.
    """

    length: int
    attributes: dict[str, Any]


def as_it_is(session: Session, path: str, entry: TensorEntry) -> Before:
    """What `take_back` needs to know of a tensor."""
    column = column_of(session, path, entry)
    document = session.document(path) or {}
    # Values of attributes are replaced, never changed, so that this copy need not be deep.
    return Before(-1 if column is None else len(column), dict(document.get("attributes", {})))


def take_back(session: Session, before: Mapping[str, Before]) -> None:
    """Put tensors back as they were. One that became ragged meanwhile remains so."""
    for path, old in before.items():
        entry = catalog_of(session).tensors.get(path)
        if entry is None:
            continue
        column = column_of(session, path, entry)
        if column is not None and old.length < 0:
            make_empty(session, path, old.attributes)
            continue
        if column is not None and len(column) > old.length:
            column.cut(old.length)
        _restore_attributes(session, path, old)


def make_empty(session: Session, path: str, attributes: Mapping[str, Any]) -> None:
    """Forget the samples of a tensor and the form that it took on with them."""
    for node in session.paths():
        if node.startswith(path + "/"):
            session.remove(node)
    session.set_group(path, group_document(attributes))


def _restore_attributes(session: Session, path: str, old: Before) -> None:
    document = session.document(path) or {}
    if document.get("attributes", {}) == old.attributes:
        return
    if is_array(document):
        session.array(path).document["attributes"] = old.attributes
        session.layout += 1
    else:
        session.set_group(path, group_document(old.attributes))


@contextlib.contextmanager
def whole_or_not(session: Session, path: str) -> Iterator[None]:
    """Put the arrays of a tensor back as they are now if what is done inside fails.

    Its buffers are stored first. No node may go or be replaced inside.
    """
    states = {node: state for node, state in session.states.items() if _is_in(node, path)}
    for state in states.values():
        state.engine.flush()
    before = [_memento(state) for state in states.values()]
    try:
        yield
    except BaseException:
        session.writes.rotate()  # cells may have been stored under its id
        for state, memento in zip(states.values(), before, strict=True):
            state.restore(memento)
        for node in [n for n in session.states if _is_in(n, path) and n not in states]:
            session.forget_state(node)  # arrays of large samples, opened or made inside
        raise


def _is_in(node: str, path: str) -> bool:
    return node == path or node.startswith(path + "/")


def _memento(state: ArrayState) -> tuple[Any, ...]:
    """What `ArrayState.restore` takes, all of it apart from what changes in place."""
    node, document, *rest, table = state.memento()
    return (node, copied(document), *rest, table.copy())
