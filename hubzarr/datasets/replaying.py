"""Merges of a tensor that took on another form on one side, such as from uniform to ragged.

Samples are compared one by one, which is dear but happens once or twice in a tensor's life.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

import numpy as np

from hubzarr.datasets.columns import Column, add, column_of, replace_sample
from hubzarr.datasets.entry import TensorEntry, entry_of
from hubzarr.datasets.info import Info
from hubzarr.datasets.layout import MARK
from hubzarr.datasets.ragged import bytes_of
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.engine import ArrayEngine
from hubzarr.htypes import Prepared, restore
from hubzarr.indexing import identity
from hubzarr.session import Session
from hubzarr.session.cells import Policy
from hubzarr.session.merge import Conflict
from hubzarr.session.records import has_rows
from hubzarr.session.replaying import Replay, same_form

__all__ = ["replay_of"]

#: Samples that are read and compared at a time.
_BATCH: Final = 256


@dataclass
class _Changes:
    """What one side did to the samples of a tensor."""

    cleared: bool = False
    updated: dict[int, Prepared] = field(default_factory=dict)
    appended: list[Prepared] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def note(self, path: str, documents: list[dict[str, Any]], policy: Policy) -> None:
        """Take in what was noted about the tensor."""
        base, mine, theirs = (document.get("attributes", {}) for document in documents)
        for key, value in mine.items():
            if key == MARK or (key in base and base[key] == value):
                continue
            if theirs.get(key) not in (base.get(key), value):
                if policy == "raise":
                    self.conflicts.append(Conflict(path, f"attribute {key!r}"))
                if policy != "mine":
                    continue
            self.info[key] = value

    def renumber(self, names: list[str], merged: list[str]) -> None:
        """Give labels the numbers that their names have after a merge."""
        numbers = np.array([merged.index(name) for name in names], np.int64)

        def moved(label: Prepared) -> Prepared:
            data = np.asarray(label.data)
            known = data < len(numbers)
            new = np.where(known, numbers[np.where(known, data, 0)], data)
            return Prepared(np.asarray(new, data.dtype), label.shape)

        self.updated = {row: moved(label) for row, label in self.updated.items()}
        self.appended = [moved(label) for label in self.appended]


def replay_of(
    path: str, base: Session, mine: Session, theirs: Session, policy: Policy
) -> Replay | None:
    """What to do again on top of theirs, of a tensor that has not one form in all states.

    Parameters
    ----------
    path : str
    base, mine, theirs : Session
        The three states.
    policy : str

    Returns
    -------
    Replay or None
        None of nodes that are no tensors, or not the same ones.
    """
    entries = [entry_of(session, path) for session in (base, mine, theirs)]
    old, ours, other = entries
    if old is None or ours is None or other is None or ours.spec != other.spec:
        return None
    documents = [session.document(path) or {} for session in (base, mine, theirs)]
    names = _merged_names(ours, *documents)
    if names is None and same_form(documents[0], documents[1], documents[2]):
        return None
    before, here, there = (
        _Side(column_of(session, path, entry), entry)
        for session, entry in ((base, old), (mine, ours), (theirs, other))
    )
    removed = len(here) < len(before) or len(there) < len(before) or _has_removed(mine)
    changes = (
        _removals(path, here, policy) if removed else _changes(path, before, here, there, policy)
    )
    if names is not None:
        changes.renumber(_class_names(documents[1]), names)
        documents[1] = {"attributes": documents[1]["attributes"] | {"class_names": names}}
        documents[2] = {"attributes": documents[2]["attributes"] | {"class_names": names}}
        changes.info["class_names"] = names
    changes.note(path, documents, policy)

    def again(session: Session) -> None:
        entry = entry_of(session, path) or ours
        column = column_of(session, path, entry)
        if changes.cleared and column is not None:
            column.clear()
        for row, value in changes.updated.items():
            replace_sample(session, path, entry, row, value)
        add(session, path, entry_of(session, path) or entry, changes.appended)
        if changes.info:
            Info(session, path).update(changes.info)

    return Replay(path, again, tuple(changes.conflicts))


def _class_names(document: dict[str, Any]) -> list[str]:
    found = document.get("attributes", {}).get("class_names", [])
    return list(found) if isinstance(found, list) else []


def _merged_names(
    entry: TensorEntry, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
) -> list[str] | None:
    """Names of classes where both sides added some; None if that is not what happened."""
    if entry.spec.base != "class_label" or entry.spec.stores != "array":
        return None
    old, new, other = (_class_names(document) for document in (base, mine, theirs))
    if new in (old, other) or old == other:
        return None
    if new[: len(old)] != old or other[: len(old)] != old or len(set(new)) < len(new):
        return None
    return [*other, *(name for name in new if name not in other)]


class _Side:
    """The samples of a tensor in one of the states."""

    def __init__(self, column: Column | None, entry: TensorEntry) -> None:
        self.column = column
        self.entry = entry

    def __len__(self) -> int:
        return 0 if self.column is None else len(self.column)

    def samples(self, start: int = 0, stop: int | None = None) -> Iterator[Prepared]:
        """Samples as they are stored."""
        column, spec = self.column, self.entry.spec
        if column is None:
            return
        stop = len(column) if stop is None else min(stop, len(column))
        for low in range(start, stop, _BATCH):
            rows = slice(low, min(low + _BATCH, stop))
            if isinstance(column, UniformColumn):
                for value in column.read(rows):
                    yield Prepared(np.asarray(value), value.shape)
                continue
            for data, shape in column.many(rows):
                if isinstance(data, ArrayEngine):
                    yield Prepared(data.read(identity(data.shape)), shape)
                elif spec.stores == "array":
                    yield Prepared(restore(spec, data, shape), shape)
                else:
                    yield Prepared(bytes(data), shape)


def _has_removed(session: Session) -> bool:
    """Whether rows were removed since the base, and others maybe appended then.

    Of a tensor that has another form now that is not known, so others tell: rows are removed
    from all tensors as a rule.
    """
    return any(s.appended is None and has_rows(s.document) for s in session.states.values())


def _removals(path: str, mine: _Side, policy: Policy) -> _Changes:
    """All samples of one side: rows have other numbers now."""
    out = _Changes()
    if policy == "raise":
        out.conflicts.append(Conflict(path, "samples were removed on one side"))
    elif policy == "mine":
        out.cleared, out.appended = True, list(mine.samples())
    return out


def _changes(path: str, base: _Side, mine: _Side, theirs: _Side, policy: Policy) -> _Changes:
    out, count = _Changes(), len(base)
    trios = zip_longest(base.samples(), mine.samples(0, count), theirs.samples(0, count))
    for row, (old, new, other) in enumerate(trios):
        if _equal(new, old) or _equal(new, other):
            continue
        if not _equal(other, old):
            if policy == "raise":
                out.conflicts.append(Conflict(path, f"sample {row}"))
            if policy != "mine":
                continue
        out.updated[row] = new
    out.appended = list(mine.samples(count))
    return out


def _equal(one: Prepared, other: Prepared) -> bool:
    return one.shape == other.shape and bytes_of(one.data) == bytes_of(other.data)
