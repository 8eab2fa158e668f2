"""Merges of what changed its form: by doing one side's changes once more on top of the other's.

Cells can be compared only as long as nodes keep their form. Who gives nodes other forms, as
datasets do with tensors, registers a function here that says what to do again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubzarr.history.manifest import Manifest
from hubzarr.history.nodes import nodes_of
from hubzarr.session.merge import Conflict
from hubzarr.session.state import Document, is_array

if TYPE_CHECKING:
    from hubzarr.session.cells import Policy
    from hubzarr.session.session import Session

__all__ = ["Replay", "is_apart", "replayers", "replays", "same_form"]


@dataclass(frozen=True)
class Replay:
    """What a merge leaves to be done again.

    Attributes
    ----------
    path : str
        The merge leaves this node and those below it as the other side has them.
    again : callable
        Does the changes of one side again, in a session on top of the other side.
    conflicts : tuple of Conflict
    """

    path: str
    again: Callable[[Session], None]
    conflicts: tuple[Conflict, ...] = ()


type Replayer = Callable[[str, Session, Session, Session, Policy], Replay | None]

#: Functions of a path and the sessions base, mine and theirs; None: a merge of cells will do.
replayers: list[Replayer] = []


def replays(
    base: Manifest,
    mine: Session,
    changed: Iterable[str],
    theirs: Manifest,
    policy: Policy,
) -> list[Replay]:
    """What must be done again where a node has not the same form in all three states.

    Parameters
    ----------
    base : Manifest
    mine : Session
        Its buffers must be flushed.
    changed : iterable of str
        Paths of nodes that changed in it.
    theirs : Manifest
    policy : str
    """
    if not replayers:
        return []
    before, after = nodes_of(base, mine.reader), nodes_of(theirs, mine.reader)
    asked = {p for path in changed for p in (path, path.rpartition("/")[0])}
    found: list[Replay] = []
    for path in sorted(asked):
        b, m, t = before.get(path), mine.document(path), after.get(path)
        if b is None or m is None or t is None:
            continue
        if same_form(b.document, m, t.document) and not _both_noted(b.document, m, t.document):
            continue
        make = type(mine)
        sides = [
            make(mine.storage, state, writable=False, name=mine.name) for state in (base, theirs)
        ]
        for replayer in replayers:
            replay = replayer(path, sides[0], mine, sides[1], policy)
            if replay is not None:
                found.append(replay)
                break
    return found


def _both_noted(base: Document, mine: Document, theirs: Document) -> bool:
    """Whether both sides changed attributes."""
    b, m, t = (document.get("attributes") for document in (base, mine, theirs))
    return m not in (b, t) and t != b


def same_form(base: Document, mine: Document, theirs: Document) -> bool:
    """Whether cells of a node can be compared in all three states."""
    kinds = is_array(base), is_array(mine), is_array(theirs)
    if kinds != (False, True, True):
        return len(set(kinds)) == 1
    return _without_rows(mine) == _without_rows(theirs)


def _without_rows(document: Document) -> Document:
    return document | {"shape": document["shape"][1:]}


def is_apart(path: str, replays: Iterable[Replay]) -> bool:
    """Whether a merge leaves a node as it is, since changes are done again there."""
    return any(path == replay.path or path.startswith(replay.path + "/") for replay in replays)
