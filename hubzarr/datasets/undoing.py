"""Taking back what was appended to tensors, when the rest of the rows can't be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubzarr.datasets.catalog import catalog_of
from hubzarr.datasets.columns import column_of
from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.layout import group_document
from hubzarr.session import Session
from hubzarr.session.state import is_array

__all__ = ["Before", "as_it_is", "make_empty", "take_back"]


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
