"""A version that gets another name in the repository to which it is carried.

Where two repositories went separate ways, numbers are taken, and commits can't keep theirs.
Then the commits after the last one in common become a version of another name that starts
from that one. They keep ids, messages, authors, times and content.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hubzarr.errors import ConflictError, DamagedError, InvalidError
from hubzarr.history.compare import split_address
from hubzarr.history.heads import head
from hubzarr.history.log import extended
from hubzarr.history.manifest import Commit, Manifest, encode
from hubzarr.history.versions import read_manifest
from hubzarr.session.transferring.carrying import past_cache
from hubzarr.session.transferring.planning import common_number
from hubzarr.session.transferring.publishing import publish, same_id
from hubzarr.storage.base import Storage

__all__ = ["Graft", "plan_graft"]


@dataclass(frozen=True, slots=True)
class Graft:
    """How commits of a version are called where it has another name.

    Attributes
    ----------
    version, name : str
        At the source and at the target.
    offset : int
        Number at the source of what is number 0 at the target; earlier ones keep the version's
        name.
    newest : int
        Newest number at the target, -1 if there is none.
    """

    version: str
    name: str
    offset: int
    newest: int

    @property
    def known(self) -> dict[str, int]:
        """Numbers of the source that the target has."""
        return {self.version: self.offset + self.newest}

    def renamed(self, moved: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """How far versions came, by their names at the target."""
        return {
            self.name if version == self.version else version: (before, after)
            if version != self.version
            else (before - self.offset, after - self.offset)
            for version, (before, after) in moved.items()
        }

    def check(self, commits: Iterable[Commit]) -> None:
        """Refuse where other versions grew from commits that get another name."""
        for commit in commits:
            if commit.version == self.version:
                continue
            if commit.version == self.name:
                raise InvalidError(
                    f"{self.version!r} can't be called {self.name!r} there: its history holds "
                    "another version of that name; choose a third one"
                )
            for address in (commit.parent, commit.merged):
                if address is not None and self._address(address) != address:
                    raise InvalidError(
                        f"{self.version!r} can't get another name there: {commit.address}, which "
                        f"belongs to its history, was made on {address}; make a version of it "
                        f"here, with branch({self.name!r}), and push that"
                    )

    def publish(self, target: Storage, manifest: Manifest) -> None:
        """Make a commit of the version appear at the target."""
        commit = manifest.commit
        parent = None
        if commit.parent is not None:
            parent = _read(target, self._address(commit.parent))
        log, pages = extended(parent.log, parent.commit) if parent is not None else ({}, {})
        moved = replace(
            commit,
            version=self.name,
            number=commit.number - self.offset,
            parent=None if parent is None else parent.commit.address,
        )
        digest = None if parent is None or manifest.parent_digest is None else parent.digest
        data, complete = encode(replace(manifest, commit=moved, log=log, parent_digest=digest))
        for path, content in pages.items():
            target.put(path, content)
        if not publish(target, complete, data, same_id):
            raise _taken(target, self.name, moved.number)

    def _address(self, address: str) -> str:
        version, number = split_address(address)
        if version == self.version and number >= self.offset:
            return f"{self.name}@{number - self.offset}"
        return address


def _read(target: Storage, address: str) -> Manifest:
    found = read_manifest(target, *split_address(address))
    if found is None:
        raise DamagedError(f"commit {address} is missing from {target.url}")
    return found


def plan_graft(source: Storage, target: Storage, version: str, number: int, name: str) -> Graft:
    """Find out where a version that gets another name starts, and how much of it is there.

    Raises
    ------
    ConflictError
        The target has a version of that name with other commits.
    """
    source, target = past_cache(source), past_cache(target)
    newest = head(target, name)
    if newest is None:
        theirs = head(target, version)
        shared = -1
        if theirs is not None:
            shared = common_number(source, target, version, min(theirs.commit.number, number))
        # If all of it is there, the last commit gets the name too, so that there is one.
        return Graft(version, name, min(shared + 1, number), -1)
    first = read_manifest(target, name, 0)
    parent = None if first is None else first.commit.parent
    start = ("", -1) if parent is None else split_address(parent)
    offset = start[1] + 1 if start[0] == version else 0
    last = min(newest.commit.number, number - offset)
    ours = read_manifest(source, version, last + offset) if last >= 0 else None
    there = read_manifest(target, name, last) if last >= 0 else None
    if ours is None or there is None or not same_id(ours, there):
        raise _taken(target, name, last)
    return Graft(version, name, offset, newest.commit.number)


def _taken(target: Storage, name: str, number: int) -> ConflictError:
    return ConflictError(
        f"version {name!r} of {target.url} has other commits, {name}@{max(number, 0)} for one: "
        "choose another version name",
        version=name,
    )
