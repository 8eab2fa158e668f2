"""Carrying commits from one repository to another: data first, then manifests in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched, chain, islice
from typing import Final

from hubzarr.errors import DamagedError, InvalidError
from hubzarr.history.compare import split_address
from hubzarr.history.manifest import Commit, Manifest
from hubzarr.history.versions import manifest_path, read_manifest
from hubzarr.progress import progress
from hubzarr.session.opening import check_writable_store
from hubzarr.session.transferring.carrying import Carrier, past_cache
from hubzarr.session.transferring.contents import Contents, Item
from hubzarr.session.transferring.grafting import Graft
from hubzarr.session.transferring.places import are_one_place
from hubzarr.session.transferring.planning import MANIFESTS, conflict, plan, read_manifests
from hubzarr.session.transferring.publishing import publish
from hubzarr.storage.base import Storage
from hubzarr.threads import map_all
from hubzarr.wording import say_bytes

__all__ = ["Transfer", "transfer"]

#: States that are kept for comparison with those that follow them.
STATES_KEPT: Final = 16
#: Objects of each commit that are found out before those of earlier commits are copied.
AHEAD: Final = 256


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a push, pull or clone did, or with ``dry_run`` would do.

    Attributes
    ----------
    source, target : str
        Addresses of the repositories.
    versions : dict
        Version to its newest number at the target before (-1: none) and after.
    commits, objects, nbytes : int
        What was copied: commits, and the objects that they needed, with their size in bytes.
    skipped : int
        Objects that were there already.
    dry_run : bool
        Nothing was copied; `objects` and `nbytes` say what would be, at most: an object that
        several commits need counts for each.
    """

    source: str
    target: str
    versions: dict[str, tuple[int, int]]
    commits: int
    objects: int
    nbytes: int
    skipped: int
    dry_run: bool = False

    def __str__(self) -> str:
        if not self.commits:
            return f"nothing to copy: {self.target} has all commits of {self.source}"
        moved = ", ".join(
            f"{version} (new, up to {after})" if before < 0 else f"{version} ({before} to {after})"
            for version, (before, after) in self.versions.items()
            if after > before
        )
        verb = "would copy" if self.dry_run else "copied"
        return (
            f"{verb} {_counted(self.commits, 'commit')} ({_counted(self.objects, 'object')}, "
            f"{say_bytes(self.nbytes)}) to {self.target}: {moved}"
        )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def transfer(
    source: Storage,
    target: Storage,
    goals: Mapping[str, int],
    *,
    graft: Graft | None = None,
    verify: bool = False,
    compare: bool = False,
    dry_run: bool = False,
) -> Transfer:
    """Carry versions, and all that led to them, to another repository.

    Each commit appears there when all that it needs is there, under the same number and with
    the same bytes. Whatever happens on the way, the target is whole, and the next transfer
    goes on where this one ended.

    Parameters
    ----------
    goals : mapping
        Version to the number up to which it is wanted.
    graft : Graft, optional
        For a version that gets another name.
    verify : bool
        Decode every chunk on the way, and compare sizes at the target.
    compare : bool
        Only compare sizes.
    dry_run : bool
        Only find out what there is to copy.

    Raises
    ------
    ConflictError
        The target has commits that the source lacks.
    """
    source, target = past_cache(source), past_cache(target)
    if source.url == target.url and are_one_place(target, source):
        raise InvalidError(f"{source.url} is both source and target: name another place")
    if not dry_run:
        check_writable_store(target)
    todo = plan(source, target, goals, graft.known if graft else None)
    if graft is not None:
        graft.check(todo.commits)
    with progress(None, f"copying to {target.url}, objects") as bar:
        carrier = Carrier(source, target, compare=verify or compare, only_count=dry_run, bar=bar)
        contents = Contents(source, thorough=verify)
        run = _Run(source, target, contents, carrier, graft, dry_run)
        for batch in batched(todo.commits, MANIFESTS):
            run.carry(batch)
    moved = {version: (todo.before[version], todo.after[version]) for version in sorted(todo.after)}
    return Transfer(
        source.url,
        target.url,
        graft.renamed(moved) if graft else moved,
        len(todo.commits),
        carrier.objects,
        carrier.nbytes,
        carrier.skipped,
        dry_run,
    )


@dataclass(slots=True)
class _Run:
    """One transfer."""

    source: Storage
    target: Storage
    contents: Contents
    carrier: Carrier
    graft: Graft | None
    dry_run: bool
    states: _States = field(init=False)

    def __post_init__(self) -> None:
        self.states = _States(self.source)

    def carry(self, batch: Sequence[Commit]) -> None:
        """Carry over what some commits need, then the commits."""
        places = [(commit.version, commit.number) for commit in batch]
        files = list(read_manifests(self.source, places))
        self.carrier.carry(self._items([manifest for manifest, _ in files]))
        if self.dry_run:
            return
        for manifest, data in files:
            if self.graft is not None and manifest.commit.version == self.graft.version:
                self.graft.publish(self.target, manifest)
            elif not publish(self.target, manifest, data):
                raise conflict(self.source, self.target, manifest.commit.version)

    def _items(self, manifests: Sequence[Manifest]) -> Iterator[Item]:
        walks = []
        for manifest in manifests:
            walks.append(self._walk(manifest, self.states.parents(manifest.commit)))
            self.states.keep(manifest)
        if self.source.is_local:
            yield from chain.from_iterable(walks)
            return
        # The pages of each commit are a round trip or two away: those of many are read at once.
        begun = map_all(lambda walk: list(islice(walk, AHEAD)), walks, self.source.concurrency)
        for first, walk in zip(begun, walks, strict=True):
            yield from first
            yield from walk

    def _walk(self, manifest: Manifest, bases: Sequence[Manifest]) -> Iterator[Item]:
        grafted = self.graft is not None and manifest.commit.version == self.graft.version
        yield from self.contents.state(manifest, bases)
        yield from self.contents.pages(manifest, bases, log=not grafted)


class _States:
    """States of the source, the last ones kept: most commits follow one of them."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._kept: OrderedDict[str, Manifest] = OrderedDict()

    def keep(self, manifest: Manifest) -> None:
        self._kept[manifest.commit.address] = manifest
        while len(self._kept) > STATES_KEPT:
            self._kept.popitem(last=False)

    def parents(self, commit: Commit) -> list[Manifest]:
        """What a commit was made on: the target has it already."""
        return [self._get(address) for address in (commit.parent, commit.merged) if address]

    def _get(self, address: str) -> Manifest:
        found = self._kept.get(address)
        if found is not None:
            self._kept.move_to_end(address)
            return found
        found = read_manifest(self.storage, *split_address(address))
        if found is None:
            path = manifest_path(*split_address(address))
            raise DamagedError(f"manifest {path} is missing from {self.storage.url}", path=path)
        self.keep(found)
        return found
