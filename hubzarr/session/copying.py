"""Copying one state of a repository into another repository, and moving repositories."""

from __future__ import annotations

from itertools import batched

from hubzarr.errors import ConflictError, ExistsError
from hubzarr.history.heads import head
from hubzarr.history.hints import forget_hints
from hubzarr.history.manifest import Manifest
from hubzarr.history.nodes import nodes_of
from hubzarr.history.versions import list_versions
from hubzarr.progress import progress
from hubzarr.session.opening import check_writable_store, create_version
from hubzarr.session.session import Session
from hubzarr.session.transferring import (
    Carrier,
    Contents,
    Transfer,
    are_one_place,
    past_cache,
    transfer,
)
from hubzarr.storage.base import Storage
from hubzarr.threads import map_all

__all__ = ["all_goals", "copy_version", "count_copy", "delete_repository", "move_repository"]

#: What a repository consists of.
_FOLDERS = ("data", "pages", "forks", "versions")
#: Rounds in which a repository that is moved may still grow.
ROUNDS = 5


def copy_version(
    origin: Session,
    target: Storage,
    version: str,
    *,
    author: str,
    message: str,
    name: str,
    verify: bool = False,
) -> Manifest:
    """Create a version in another repository with the content of a session's manifest.

    Chunks and pages go over as they are, so statistics are kept and nothing is decoded.
    The version appears when all of them are there. If that is interrupted, the next attempt
    copies what is missing. History is not taken along.

    Raises
    ------
    ExistsError
        The target has such a version.
    """
    check_writable_store(target)
    old = head(target, version)
    if old is not None and old.commit.state != "deleted":
        raise ExistsError(
            f"version {version!r} of {name or target.url} exists already; load it, or choose "
            "another version",
            version=version,
        )
    _carry(origin, target, verify=verify)
    return create_version(
        target, version, None, author=author, message=message, name=name,
        nodes=nodes_of(origin.manifest, origin.reader), objects=origin.manifest.objects,
    )  # fmt: skip


def count_copy(origin: Session, target: Storage, version: str) -> Transfer:
    """What `copy_version` would copy."""
    carrier = _carry(origin, target, only_count=True)
    return Transfer(
        origin.storage.url,
        target.url,
        {version: (-1, 0)},
        1,
        carrier.objects,
        carrier.nbytes,
        carrier.skipped,
        dry_run=True,
    )


def _carry(
    origin: Session, target: Storage, *, verify: bool = False, only_count: bool = False
) -> Carrier:
    source, target = past_cache(origin.storage), past_cache(target)
    contents = Contents(source, thorough=verify)
    with progress(None, f"copying {origin.name}:{origin.version}, objects") as bar:
        carrier = Carrier(
            source, target, compare=verify, only_count=only_count, ask_always=True, bar=bar
        )
        carrier.carry(contents.state(origin.manifest))
    return carrier


def all_goals(source: Storage, target: Storage | None = None) -> dict[str, int]:
    """All versions of a repository, and their newest numbers.

    Of deleted ones those only that a target has too, if one is given.
    """
    source = past_cache(source)
    target = None if target is None else past_cache(target)
    names = list_versions(source)
    heads = map_all(lambda name: head(source, name), names, source.concurrency)
    out = {}
    for name, newest in zip(names, heads, strict=True):
        if newest is None:
            continue
        deleted = newest.commit.state == "deleted"
        if target is None or not deleted or head(target, name) is not None:
            out[name] = newest.commit.number
    return out


def move_repository(source: Storage, target: Storage, name: str = "") -> None:
    """Carry a whole repository over, then delete it where it was.

    Nothing is deleted before all commits, with all that they need, are at the target. An
    interrupted move goes on with the next one.

    Raises
    ------
    ExistsError
        There is another repository at the target, or the same one.
    """
    if are_one_place(past_cache(source), past_cache(target)):
        raise ExistsError(
            f"{name or target.url!r} is the same place as {source.url}: there is nothing to move"
        )
    for _ in range(ROUNDS):
        goals = all_goals(source)
        _refuse_other(all_goals(target), goals, name or target.url)
        try:
            transfer(source, target, goals, compare=True)
        except ConflictError as error:
            raise _exists(name or target.url) from error
        _carry_rest(past_cache(source), past_cache(target))
        if all_goals(source) == goals:  # asked last, for commits that came meanwhile
            break
    else:
        raise ConflictError(
            f"{source.url} takes commits faster than they can be moved: stop its writers"
        )
    delete_repository(source)


def delete_repository(storage: Storage) -> None:
    """Delete all that belongs to a repository, and nothing else that lies in its folder.

    That may be another repository: a name can be a namespace, too.
    """
    forget_hints(storage)
    # Manifests go last: until then a move can be done again.
    for folder in _FOLDERS:
        storage.delete_dir(folder)
    if not storage.list_dir(""):
        storage.delete_dir("")  # the folder itself


def _carry_rest(source: Storage, target: Storage) -> None:
    """Copy all objects that the target lacks, whether a commit refers to them or not.

    Commits that the target had before are not looked through again, so this is what finds out
    that it lost something of theirs.
    """
    concurrency = max(source.concurrency, target.concurrency)

    def missing(folder: str) -> set[str]:
        return set(source.list_all(folder)) - set(target.list_all(folder))

    def copy(path: str) -> None:
        data = source.get(path)
        if data is not None:
            target.put_atomic(path, data)

    writes = [f"data/{name[:-1]}" for name in source.list_dir("data") if name.endswith("/")]
    for folders in batched(["pages", *writes], 64):
        for paths in map_all(missing, folders, concurrency):
            map_all(copy, sorted(paths), concurrency)


def _refuse_other(there: dict[str, int], goals: dict[str, int], name: str) -> None:
    """Only what an interrupted move left may be at the target."""
    if any(number > goals.get(version, -1) for version, number in there.items()):
        raise _exists(name)


def _exists(name: str) -> ExistsError:
    return ExistsError(f"{name!r} exists already: choose another name", name=name)
