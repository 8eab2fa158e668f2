"""Comparing states of a repository: their history, the commit they share, nodes that differ.

Commits form a graph: each has a parent, and merges have a second one. A commit's depth is
above those of all its parents, so walking by falling depth meets every commit before
anything that led to it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from hubzarr.history.log import ancestors
from hubzarr.history.manifest import Commit, Manifest, Node
from hubzarr.history.nodes import nodes_of
from hubzarr.history.versions import read_manifest
from hubzarr.storage.base import Storage
from hubzarr.table.reader import PageReader

__all__ = [
    "MergeBase",
    "appended_rows",
    "differing_nodes",
    "history",
    "merge_base",
    "split_address",
]


def split_address(address: str) -> tuple[str, int]:
    """Version and number of ``version@number``.

    Examples
    --------
    >>> split_address("dev@5")
    ('dev', 5)
    """
    version, _, number = address.rpartition("@")
    return version, int(number)


class _Walk:
    """Commits by falling depth, from any number of starts, each with a mark."""

    def __init__(self, storage: Storage, reader: PageReader) -> None:
        self.storage = storage
        self.reader = reader
        self.heap: list[tuple[int, int, Commit, Iterator[Commit], int]] = []
        self.order = itertools.count()
        #: Marks of the commits met so far, by address.
        self.met: dict[str, int] = {}
        #: From which commit, and by which of its parents, one was first reached.
        self.via: dict[tuple[str, int], tuple[Commit, bool]] = {}

    def add(self, line: Iterator[Commit], mark: int) -> Commit | None:
        """Walk a line of first parents too."""
        commit = next(line, None)
        if commit is not None:
            heapq.heappush(self.heap, (-commit.depth, next(self.order), commit, line, mark))
        return commit

    def next(self) -> tuple[Commit, int] | None:
        """The next commit not met with its mark before, and all marks it has now."""
        while self.heap:
            _, _, commit, line, mark = heapq.heappop(self.heap)
            marks = self.met.get(commit.address, 0)
            if marks & mark:
                continue  # the rest of this line is walked already
            self.met[commit.address] = marks | mark
            parent = self.add(line, mark)
            if parent is not None:
                self.via.setdefault((parent.address, mark), (commit, False))
            if commit.merged is not None:
                self._add_merged(commit, commit.merged, mark)
            return commit, marks | mark
        return None

    def _add_merged(self, commit: Commit, address: str, mark: int) -> None:
        if self.met.get(address, 0) & mark:
            return
        manifest = read_manifest(self.storage, *split_address(address))
        if manifest is not None:  # else it was expired from the history
            self.add(ancestors(manifest, self.reader), mark)
            self.via.setdefault((address, mark), (commit, True))


def history(manifest: Manifest, storage: Storage, reader: PageReader) -> Iterator[Commit]:
    """The commit of a manifest and all that led to it, by both parents of merges."""
    walk = _Walk(storage, reader)
    walk.add(ancestors(manifest, reader), 1)
    while (found := walk.next()) is not None:
        yield found[0]


@dataclass(frozen=True, slots=True)
class MergeBase:
    """The commit that two states share.

    Attributes
    ----------
    commit : Commit
        The deepest of all that led to both.
    steps : tuple of (Commit, bool)
        The commits after it that lead to the moving state, newest first; and whether the
        step to the next goes by the second parent.
    """

    commit: Commit
    steps: tuple[tuple[Commit, bool], ...]


def merge_base(
    moving: Manifest, onto: Manifest, storage: Storage, reader: PageReader
) -> MergeBase | None:
    """The newest commit that led to both of two states; None when nothing did."""
    walk = _Walk(storage, reader)
    walk.add(ancestors(moving, reader), 1)
    walk.add(ancestors(onto, reader), 2)
    while (found := walk.next()) is not None:
        commit, marks = found
        if marks == 3:
            steps = []
            address = commit.address
            while address != moving.commit.address:
                step = walk.via[address, 1]
                steps.append(step)
                address = step[0].address
            return MergeBase(commit, tuple(reversed(steps)))
    return None


def appended_rows(
    base: MergeBase, path: str, before: tuple[int, ...], after: tuple[int, ...]
) -> int:
    """Rows that were appended to an array since the base; 0 if it grew in any other way.

    Parameters
    ----------
    before, after : tuple of int
        The array's shapes at the base and in the moving state.
    """
    if not before or before[1:] != after[1:] or after[0] <= before[0]:
        return 0
    for commit, second in base.steps:
        change = commit.changes.get(path)
        if second or not change:
            continue  # the summary of a merge compares it with its first parent
        first, last = change.get("shape") or (before, before)
        if "created" in change or "removed" in change:
            return 0
        if last[0] - first[0] != change.get("appended", 0):
            return 0
    return after[0] - before[0]


def differing_nodes(
    a: Manifest, b: Manifest, reader: PageReader
) -> dict[str, tuple[Node | None, Node | None]]:
    """The nodes that are not the same in two states, by path, sorted."""
    if a.nodes is None and b.nodes is None and len(a.node_pages) == len(b.node_pages):
        old, new = _paged_nodes(a, b, reader), _paged_nodes(b, a, reader)
    else:
        old, new = nodes_of(a, reader), nodes_of(b, reader)
    pairs = ((path, old.get(path), new.get(path)) for path in sorted({*old, *new}))
    return {path: (x, y) for path, x, y in pairs if x != y}


def _paged_nodes(a: Manifest, b: Manifest, reader: PageReader) -> dict[str, Node]:
    """The nodes of `a` in pages that `b` doesn't have at the same place."""
    out: dict[str, Node] = {}
    for address, other in zip(a.node_pages, b.node_pages, strict=True):
        if address != other:
            page = reader.document(bytes.fromhex(address))
            out.update((path, Node.from_json(value)) for path, value in page.items())
    return out
