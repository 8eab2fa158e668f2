"""Copying, renaming and deleting."""

from __future__ import annotations

from typing import Any

from hubzarr.api.opening import opened
from hubzarr.config import get_config
from hubzarr.errors import ExistsError, InvalidNameError, NotFoundError
from hubzarr.names import DEFAULT_VERSION, parse_name
from hubzarr.progress import progress
from hubzarr.session import branching, create_version
from hubzarr.session.copying import copy_version
from hubzarr.session.opening import existing_versions
from hubzarr.session.place import Options, parsed_name, session_of, storage_of

__all__ = ["copy", "delete", "rename"]


def copy(source: str, target: str, *, storage_options: Options = None) -> Any:
    """Copy one version, or one point of it, to a new name: chunks as they are stored.

    Within one repository nothing is copied; the new version shares its chunks.

    Parameters
    ----------
    source : str
        ``[namespace/]base[:version][@point]``.
    target : str
        A name whose version doesn't exist yet; the source's version name by default.

    Raises
    ------
    ExistsError
        The target exists.

    Examples
    --------
    >>> import hubzarr as hub
    >>> import numpy as np
    >>> _ = hub.from_numpy(np.arange(4), "examples/source")
    >>> hub.copy("examples/source", "examples/target:v1").sum()
    np.int64(6)
    """
    old, new = parse_name(source), parsed_name(target, "copy to it")
    config = get_config()
    version = new.version or old.version or DEFAULT_VERSION
    origin = session_of(old, storage_of(old, storage_options), "r", old.version or DEFAULT_VERSION)
    storage = storage_of(new, storage_options)
    if storage.url == origin.storage.url:
        create_version(
            storage, version, origin.manifest, author=config.author,
            message=f"copied from {source}", name=new.repository,
        )  # fmt: skip
    else:
        copy_version(
            origin, storage, version, author=config.author, message=f"copied from {source}",
            name=new.repository,
        )  # fmt: skip
    return opened(session_of(new, storage, "r+", version), new.repository)


def rename(source: str, target: str, *, storage_options: Options = None) -> None:
    """Give a repository, or one version of it, another name.

    Parameters
    ----------
    source : str
        Without a version: the whole repository with its history moves. With one: that
        version gets another name in the same repository.
    target : str

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
    destination = storage_of(new, storage_options)
    if existing_versions(destination):
        raise ExistsError(f"{target!r} exists already: choose another name", name=target)
    for path in progress(storage.list_all(""), f"moving {source}"):
        data = storage.get(path)
        if data is not None:
            destination.put_atomic(path, data)
    storage.delete_dir("")


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
        storage.delete_dir("")
