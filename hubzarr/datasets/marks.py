"""Notes of our own about a dataset, in the attribute of its root that is reserved for us."""

from __future__ import annotations

from typing import Any

from hubzarr.datasets.layout import MARK, group_document, mark_of
from hubzarr.session import Session

__all__ = ["root_mark", "set_root_mark"]


def root_mark(session: Session, key: str) -> Any:
    """A note; None if there is none."""
    return mark_of(session.document("")).get(key)


def set_root_mark(session: Session, key: str, value: Any) -> None:
    """Write a note, of JSON; None removes it."""
    with session.lock:
        session.check_writable()
        attributes = (session.document("") or {}).get("attributes", {})
        mark = {k: v for k, v in mark_of(session.document("")).items() if k != key}
        if value is not None:
            mark[key] = value
        session.set_group("", group_document(attributes | {MARK: mark}))
