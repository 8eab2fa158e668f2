"""Which commits a repository lacks that another one has, and in what order they may come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import batched
from typing import Final

from hubzarr.errors import ConflictError, DamagedError
from hubzarr.history.compare import split_address
from hubzarr.history.heads import head
from hubzarr.history.manifest import Commit, Manifest, decode
from hubzarr.history.versions import manifest_path, read_manifest
from hubzarr.names import check_segment
from hubzarr.storage.base import Storage

__all__ = ["Plan", "common_number", "conflict", "plan", "read_manifests"]

#: Manifests that are held at a time.
MANIFESTS: Final = 64
#: Commits that an error lists.
SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Commits to carry over.

    Attributes
    ----------
    commits : tuple of Commit
        Each after all that it builds on; no more than their addresses and those of their parents.
    before : dict
        Newest number of each version that is concerned at the target, -1 for none.
    after : dict
        The same when all is done.
    """

    commits: tuple[Commit, ...]
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)


def plan(
    source: Storage,
    target: Storage,
    goals: Mapping[str, int],
    known: Mapping[str, int] | None = None,
) -> Plan:
    """Find out what a target lacks of some versions and of all that led to them.

    Parameters
    ----------
    goals : mapping
        Version to the number up to which it is wanted.
    known : mapping, optional
        Versions that are not looked for, because the target has them under another name, to
        the newest number there.

    Raises
    ------
    ConflictError
        The target has commits in one of the versions that the source does not have.
    """
    found = _Lines(source, target, known or {})
    waiting = list(goals.items())
    while waiting:
        version, number = waiting.pop()
        for commit in found.reach(version, number):
            waiting += [split_address(at) for at in (commit.parent, commit.merged) if at]
    found.check()
    before = found.there
    after = {version: max(number, before[version]) for version, number in found.reached.items()}
    return Plan(tuple(_ordered(found.commits)), dict(before), after)


class _Lines:
    """How far versions are needed, and how far the target has them."""

    def __init__(self, source: Storage, target: Storage, known: Mapping[str, int]) -> None:
        self.source = source
        self.target = target
        self.there = dict(known)
        self.heads: dict[str, Manifest] = {}
        self.reached: dict[str, int] = {}
        self.commits: dict[str, Commit] = {}

    def reach(self, version: str, number: int) -> Iterator[Commit]:
        """Commits of a version, up to a number, that were not looked at and are not there."""
        if version not in self.there:
            check_segment(version, "version")  # it may come from another repository's commits
            newest = head(self.target, version)
            self.there[version] = -1 if newest is None else newest.commit.number
            if newest is not None:
                self.heads[version] = newest
        old = self.reached.get(version, -1)
        self.reached[version] = max(old, number)
        first = max(old, self.there[version]) + 1
        places = ((version, n) for n in range(first, number + 1))
        for manifest, _ in read_manifests(self.source, places):
            # There may be very many.
            commit = replace(manifest.commit, id="", author="", time="", message=None,
                             writes=(), changes={})  # fmt: skip
            self.commits[commit.address] = commit
            yield commit

    def check(self) -> None:
        """Refuse where the target went another way than the source."""
        for version, newest in self.heads.items():
            shared = min(self.reached[version], newest.commit.number)
            theirs = newest.digest
            if newest.commit.number != shared:
                theirs = _digest(self.target, version, shared)
            if _digest(self.source, version, shared) != theirs:
                raise conflict(self.source, self.target, version)


def _ordered(commits: Mapping[str, Commit]) -> Iterator[Commit]:
    """Commits after those that they build on, and versions without gaps."""
    graph: TopologicalSorter[str] = TopologicalSorter()
    for address, commit in commits.items():
        earlier = (f"{commit.version}@{commit.number - 1}", commit.parent, commit.merged)
        graph.add(address, *(at for at in earlier if at is not None and at in commits))
    try:
        order = tuple(graph.static_order())
    except CycleError as error:
        raise DamagedError(
            f"commits are said to have been made on one another: {' on '.join(error.args[1])}"
        ) from error
    for address in order:
        yield commits[address]


def read_manifests(
    storage: Storage, places: Iterable[tuple[str, int]]
) -> Iterator[tuple[Manifest, bytes]]:
    """Manifests, checked, and the bytes of their files; a few are read at a time."""
    for batch in batched(places, MANIFESTS):
        files = storage.get_many([manifest_path(version, number) for version, number in batch])
        for (version, number), data in zip(batch, files, strict=True):
            path = manifest_path(version, number)
            if data is None:
                raise DamagedError(
                    f"manifest {path} is missing from {storage.url}, so its version has no whole "
                    "history; copy its present state instead, with hub.copy()",
                    path=path,
                )
            try:
                manifest = decode(data, path)
            except DamagedError:
                if not storage.distrust(path):
                    raise
                data = storage.get(path) or b""
                manifest = decode(data, path)
            if (manifest.commit.version, manifest.commit.number) != (version, number):
                raise DamagedError(
                    f"manifest {path} says that it is {manifest.commit.address}: files were moved "
                    "by hand; put it back",
                    path=path,
                )
            yield manifest, data


# -- where two repositories went separate ways ---------------------------------------------


def common_number(source: Storage, target: Storage, version: str, limit: int) -> int:
    """The newest number up to which a version is the same in both, -1 if it never was."""
    low, high = -1, limit + 1
    middle = limit  # where they did not part, one look is enough
    while high - low > 1:
        ours = _digest(source, version, middle)
        if ours and ours == _digest(target, version, middle):
            low = middle
        else:
            high = middle
        middle = (low + high) // 2
    return low


def _digest(storage: Storage, version: str, number: int) -> str:
    manifest = read_manifest(storage, version, number)
    return "" if manifest is None else manifest.digest


def conflict(source: Storage, target: Storage, version: str) -> ConflictError:
    """The error for a target that has commits of a version that the source does not have."""
    found = head(target, version)
    newest = 0 if found is None else found.commit.number
    shared = common_number(source, target, version, newest)
    theirs = [
        manifest.commit
        for number in range(shared + 1, min(newest, shared + SHOWN) + 1)
        if (manifest := read_manifest(target, version, number)) is not None
    ]
    said = ", ".join(_said(commit) for commit in theirs)
    more = newest - shared - len(theirs)
    other = f"bring it under another version name, such as ':{version}-2'"
    if shared < 0:
        why = "they have no commit in common, as of two repositories that began apart"
        advice = (
            f"Histories that began apart can't be merged by element: {other}, or to a repository "
            "of another name"
        )
    else:
        why = f"the last commit in common is {version}@{shared}"
        advice = (
            f"To keep the commits of both, {other}, and merge the two in {target.url}; to keep "
            f"those of {source.url} alone, bring it so and go on with that version"
        )
    return ConflictError(
        f"version {version!r} of {target.url} has commits that {source.url} lacks: {said}"
        + (f" and {more} more" if more > 0 else "")
        + f"; {why}. Nothing was copied from where they part. {advice}",
        version=version,
        common=shared,
        commits=tuple(commit.id for commit in theirs),
    )


def _said(commit: Commit) -> str:
    text = "sync" if commit.message is None else repr(commit.message)
    return f"{commit.address} {text} by {commit.author} at {commit.time}"
