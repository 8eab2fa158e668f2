"""Copying, renaming and deleting."""

from __future__ import annotations

from typing import Any

from hubzarr.api.opening import opened
from hubzarr.config import get_config
from hubzarr.errors import ExistsError, InvalidNameError, NotFoundError
from hubzarr.names import DEFAULT_VERSION, Name, parse_name
from hubzarr.session import Session, branching, create_version
from hubzarr.session.copying import copy_version, count_copy, delete_repository, move_repository
from hubzarr.session.opening import existing_versions
from hubzarr.session.place import Options, parsed_name, session_of, storage_of
from hubzarr.session.sides import storages_of
from hubzarr.session.transferring import Transfer, are_one_place, plan_graft, transfer
from hubzarr.storage import Storage

__all__ = ["copy", "copy_of", "delete", "rename"]


def copy(
    source: str,
    target: str,
    *,
    history: bool = False,
    verify: bool = False,
    dry_run: bool = False,
    storage_options: Options = None,
    target_options: Options = None,
) -> Any:
    """Copy one version, or one point of it, to a new name: chunks as they are stored.

    Within one repository nothing is copied; the new version shares its chunks. To another
    one only what is missing there is copied, so that an interrupted copy goes on where it
    ended.

    Parameters
    ----------
    source : str
        ``[namespace/]base[:version][@point]``.
    target : str
        A name whose version doesn't exist yet; the source's version name by default.
    history : bool
        Take all commits that led to it along, with their ids, messages, authors and times.
        By default the copy begins with a commit of its own.
    verify : bool
        Decode every chunk on the way, and compare sizes at the target.
    dry_run : bool
        Only find out how much there is to copy.
    storage_options, target_options : mapping, optional
        Options of the store, and of the target's if that is another one. Both are found by
        themselves for places below a configured root.

    Returns
    -------
    Array or Dataset
        The copy; with `dry_run` a `Transfer`, which says how many objects and bytes there are
        to copy.

    Raises
    ------
    ExistsError
        The target exists.

    See Also
    --------
    push, pull, clone : Commits from one repository to another, again and again.

    Examples
    --------
    >>> import hubzarr as hub
    >>> import numpy as np
    >>> _ = hub.from_numpy(np.arange(4), "examples/source")
    >>> hub.copy("examples/source", "examples/target:v1").sum()
    np.int64(6)
    """
    old, new = parse_name(source), parsed_name(target, "copy to it")
    version = new.version or old.version or DEFAULT_VERSION
    here, storage = storages_of(old, new, storage_options, target_options)
    origin = session_of(old, here, "r", old.version or DEFAULT_VERSION)
    within = _is_within(here, storage)
    if dry_run and within:
        return Transfer(here.url, storage.url, {version: (-1, 0)}, 1, 0, 0, 0, dry_run=True)
    if history and not within:
        done = _with_history(origin, storage, version, verify, dry_run)
        if dry_run:
            return done
        return opened(session_of(new, storage, "r+", version), new.repository)
    if dry_run:
        return count_copy(origin, storage, version)
    return copy_of(origin, storage, new, version, source, verify=verify)


def copy_of(
    origin: Session, storage: Storage, new: Name, version: str, source: str, *, verify: bool = False
) -> Any:
    """Copy the state that a session shows to a new name in `storage`, without its history."""
    author, message = get_config().author, f"copied from {source}"
    if _is_within(origin.storage, storage):
        create_version(
            storage, version, origin.manifest, author=author, message=message, name=new.repository
        )
    else:
        copy_version(
            origin, storage, version, author=author, message=message, name=new.repository,
            verify=verify,
        )  # fmt: skip
    return opened(session_of(new, storage, "r+", version), new.repository)


def _is_within(source: Storage, target: Storage) -> bool:
    """Whether a copy stays in one repository: one URL may be another place on another server."""
    return source.url == target.url and are_one_place(target, source)


def _with_history(
    origin: Session, target: Storage, version: str, verify: bool, dry_run: bool
) -> Transfer:
    commit = origin.manifest.commit
    graft = None
    if version != commit.version:
        graft = plan_graft(origin.storage, target, origin.manifest, version)
    goals = {commit.version: commit.number}
    return transfer(origin.storage, target, goals, graft=graft, verify=verify, dry_run=dry_run)


def rename(
    source: str, target: str, *, storage_options: Options = None, target_options: Options = None
) -> None:
    """Give a repository, or one version of it, another name.

    A repository is copied to its new place, and deleted at the old one when all of it is
    there. If that is interrupted, the next attempt goes on where it ended.

    Parameters
    ----------
    source : str
        Without a version: the whole repository with its history moves. With one: that
        version gets another name in the same repository.
    target : str
    storage_options, target_options : mapping, optional
        As for `copy`.

    Raises
    ------
    ExistsError
        There is something of the new name.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.array((2,), "examples/old")
    >>> hub.rename("examples/old", "examples/new")
    >>> hub.exists("examples/old"), hub.exists("examples/new")
    (False, True)
    """
    old, new = parsed_name(source, "rename it"), parsed_name(target, "rename to it")
    storage = storage_of(old, storage_options)
    if old.version is not None:
        if new.repository != old.repository or new.version is None:
            raise InvalidNameError(
                f"a version keeps its repository: rename {source!r} to "
                f"'{old.repository}:other', or copy it"
            )
        branching.rename_version(storage, old.version, new.version, get_config().author)
        return
    if new.version is not None:
        raise InvalidNameError(f"name a version on both sides or on none, not {target!r}")
    if not existing_versions(storage):
        raise NotFoundError(f"no array or dataset named {source!r}", name=source)
    here, there = storages_of(old, new, storage_options, target_options)
    if here.url == there.url:
        raise ExistsError(f"{target!r} is its name already: choose another name", name=target)
    move_repository(here, there, target)


def delete(name: str, *, force: bool = False, storage_options: Options = None) -> None:
    """Delete one version, or without a version the repository with all of them.

    Parameters
    ----------
    name : str
    force : bool
        Delete sealed versions too.

    Raises
    ------
    NotFoundError
        There is nothing of that name.
    SealedError
        It is sealed, or a version in the repository is, and `force` is not set.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.array((2,), "examples/gone")
    >>> hub.delete("examples/gone")
    >>> hub.exists("examples/gone")
    False
    """
    parsed = parsed_name(name, "delete it")
    storage = storage_of(parsed, storage_options)
    author = get_config().author
    there = existing_versions(storage)
    if not there:
        raise NotFoundError(f"no array or dataset named {name!r}; see hub.list()", name=name)
    chosen = [m for m in there if parsed.version in (None, m.commit.version)]
    if not chosen:
        names = ", ".join(m.commit.version for m in there)
        raise NotFoundError(
            f"no version {parsed.version!r} of {parsed.repository}; versions there: {names}",
            name=name,
        )
    for manifest in chosen:
        branching.delete_version(storage, manifest.commit.version, author, force=force)
    if parsed.version is None:
        delete_repository(storage)
