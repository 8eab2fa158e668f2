"""Merges of tensors that one side removed: their nodes are kept or removed together.

The group of a ragged tensor seldom changes, but the arrays in it do. Decided one by one, the
arrays that one side changed would stay behind in a group that the other side removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hubzarr.history.manifest import Node
from hubzarr.session.merge import Conflict, Merged, Policy
from hubzarr.session.records import is_tensor
from hubzarr.session.state import Side
from hubzarr.table.table import TableDraft

__all__ = ["Removals"]

type Outcomes = dict[str, tuple[Merged | None, Side | None]]


@dataclass(frozen=True)
class Removals:
    """What a merge knows of the nodes of both sides.

    Attributes
    ----------
    base, theirs : mapping
        Nodes by path.
    mine_has, mine_changed : callable
        Whether a path is there on my side, and whether it changed there.
    side_of : callable
        A node as a side of the merge.
    """

    base: Mapping[str, Node]
    theirs: Mapping[str, Node]
    mine_has: Callable[[str], bool]
    mine_changed: Callable[[str], bool]
    side_of: Callable[[Node], Side]

    def settle(self, outcomes: Outcomes, policy: Policy) -> list[Conflict]:
        """Make outcomes those of whole tensors; returns conflicts if `policy` says so."""
        conflicts: list[Conflict] = []
        for top, node in self.base.items():
            here, there = self.mine_has(top), top in self.theirs
            if here == there or not is_tensor(node.document):
                continue
            parts = [p for p in {*self.base, *self.theirs, *outcomes} if _is_in(p, top)]
            if not any(self.mine_changed(p) if here else self._they_changed(p) for p in parts):
                continue
            if policy == "raise":
                what = "removed there, but changed here"
                conflicts.append(Conflict(top, what if here else "removed here, but changed there"))
            elif (policy == "mine") == here:
                self._keep([*_above(top), *parts], outcomes, here)
            else:
                self._drop(parts, outcomes)
        return conflicts

    def _they_changed(self, path: str) -> bool:
        return self.base.get(path) != self.theirs.get(path)

    def _keep(self, paths: Iterable[str], outcomes: Outcomes, mine: bool) -> None:
        """Keep nodes as one side has them."""
        for path in paths:
            if not mine:
                outcomes.pop(path, None)
            elif path in self.base and path not in outcomes and self.mine_has(path):
                side = self.side_of(self.base[path])
                draft = None if side.table is None else TableDraft(side.table)
                outcomes[path] = Merged(side, draft), None

    def _drop(self, paths: Iterable[str], outcomes: Outcomes) -> None:
        """Let all nodes of a tensor go."""
        for path in paths:
            outcomes.pop(path, None)
            if path in self.theirs:
                outcomes[path] = None, None


def _is_in(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")


def _above(path: str) -> list[str]:
    """Groups that a node is in."""
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]
