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
from hubzarr.history.log import ancestors, extended
from hubzarr.history.manifest import Commit, Manifest, encode
from hubzarr.history.versions import read_manifest
from hubzarr.session.transferring.carrying import past_cache
from hubzarr.session.transferring.planning import common_number
from hubzarr.session.transferring.publishing import publish, same_id
from hubzarr.storage.base import Storage
from hubzarr.table.reader import PageReader

__all__ = ["Graft", "plan_graft"]


@dataclass(frozen=True, slots=True)
class Graft:
    """How commits of a version are called where it has another name.

    Attributes
    ----------
    version, name : str
        At the source and at the target.
    offset : int
        What a number is less at the target.
    newest : int
        Newest number of the name at the target, -1 if there is none.
    last : int
        Newest commit, by its number at the source, that the target has in this line: under
        the name if the line has begun, else under its own address.
    begun : bool
        Whether the target has the line under the name.
    shared : int
        Newest commit, by its number, that the target has under its own address.
    """

    version: str
    name: str
    offset: int
    newest: int
    last: int
    begun: bool
    shared: int

    @property
    def known(self) -> dict[str, int]:
        """Numbers of the source that the target has."""
        return {self.version: self.last}

    def renamed(self, moved: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """How far versions came, by their names at the target."""
        out = {}
        for version, (before, after) in moved.items():
            if version == self.version:
                out[self.name] = self.newest, max(self.newest, after - self.offset)
            else:
                out[version] = before, after
        return out

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
                version, number = split_address(address or "@-1")
                if version == self.version and number > self.shared:
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
        if (
            version != self.version
            or number < self.last
            or (number == self.last and not self.begun)
        ):
            return address
        return f"{self.name}@{number - self.offset}"


def _read(target: Storage, address: str) -> Manifest:
    found = read_manifest(target, *split_address(address))
    if found is None:
        raise DamagedError(f"commit {address} is missing from {target.url}")
    return found


def plan_graft(source: Storage, target: Storage, ours: Manifest, name: str) -> Graft:
    """Find out where a version that gets another name starts, and how much of it is there.

    Parameters
    ----------
    ours : Manifest
        The commit of the source up to which its version is wanted.

    Raises
    ------
    ConflictError
        The target has a version of that name with other commits.
    """
    source, target = past_cache(source), past_cache(target)
    version, number = ours.commit.version, ours.commit.number
    original = head(target, version)
    shared = -1
    if original is not None:
        shared = common_number(source, target, version, min(original.commit.number, number))
    newest = head(target, name)
    if newest is None or newest.commit.state == "deleted":
        # If all of it is there, the last commit gets the name too, so that there is one.
        last = min(shared, number - 1)
        taken = -1 if newest is None else newest.commit.number
        return Graft(version, name, last - taken, taken, last, False, shared)
    at, there = ours.commit, newest.commit
    if at.id != there.id:
        found = _ancestor(ours, source, there.id) or at
        if found is at:  # commits were added there
            there = _ancestor(newest, target, at.id) or there
        at = found
    if at.id != there.id or at.version != version or there.version != name:
        raise _taken(target, name, newest.commit.number)
    offset = at.number - there.number
    return Graft(version, name, offset, newest.commit.number, at.number, True, shared)


def _ancestor(manifest: Manifest, storage: Storage, wanted: str) -> Commit | None:
    """The commit with an id among those that led to a state."""
    line = ancestors(manifest, PageReader(storage))
    return next((commit for commit in line if commit.id == wanted), None)


def _taken(target: Storage, name: str, number: int) -> ConflictError:
    return ConflictError(
        f"version {name!r} of {target.url} has other commits, {name}@{max(number, 0)} for one: "
        "choose another version name",
        version=name,
    )
