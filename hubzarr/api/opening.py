"""Finding and opening what exists."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from hubzarr.arrays import Array
from hubzarr.config import get_config
from hubzarr.datasets import Dataset
from hubzarr.errors import ExistsError, InvalidError, NotFoundError, UnsupportedError
from hubzarr.history.manifest import Node
from hubzarr.names import DEFAULT_VERSION, parse_name
from hubzarr.session import Session, branching, create_version, open_session
from hubzarr.session.opening import existing_versions
from hubzarr.session.place import Options, session_of, storage_of
from hubzarr.session.state import is_array
from hubzarr.session.store import VersionedStore
from hubzarr.storage.base import is_read_only

if TYPE_CHECKING:
    from hubzarr.session.branching import VersionInfo

__all__ = ["exists", "load", "opened", "store", "versions"]


def load(
    name: str,
    mode: Literal["r", "r+"] = "r+",
    *,
    read_only: bool = False,
    storage_options: Options = None,
) -> Any:
    """Open a named array or dataset.

    Parameters
    ----------
    name : str
        ``[namespace/]base[:version][@point]``; a point is a commit's number, its id or an
        ISO time, and only reads.
    mode : {"r+", "r"}
        For reading and writing, or for reading only.
    read_only : bool
        The same as ``mode="r"``.

    Returns
    -------
    Array or Dataset

    Raises
    ------
    NotFoundError
        No such array, dataset, version or point; the message says what there is.

    Examples
    --------
    >>> import hubzarr as hub
    >>> import numpy as np
    >>> _ = hub.from_numpy(np.arange(6), "examples/load")
    >>> hub.load("examples/load")[2:4].compute()
    array([2, 3])
    """
    if mode not in ("r", "r+"):
        raise InvalidError(f"mode={mode!r} is unknown; expected 'r' (read) or 'r+' (read, write)")
    parsed = parse_name(name)
    storage = storage_of(parsed, storage_options)
    mode = "r" if read_only else mode
    session = session_of(parsed, storage, mode, parsed.version or DEFAULT_VERSION)
    return opened(session, parsed.repository)


def opened(session: Session, name: str) -> Array | Dataset:
    """A handle on what a repository holds: an array or a group of them."""
    document = session.document("")
    if document is not None and not is_array(document):
        return Dataset(session, name)
    return Array(session, name)


def store(
    name: str,
    mode: Literal["r", "r+", "a"] = "a",
    *,
    storage_options: Options = None,
) -> VersionedStore:
    """Open a repository as a store for zarr and xarray: groups of arrays with one history.

    Parameters
    ----------
    name : str
        ``[namespace/]base[:version][@point]``.
    mode : {"a", "r+", "r"}
        "a" starts the version with an empty group if it doesn't exist.

    Returns
    -------
    VersionedStore
        A zarr store. Writes become visible to others with ``store.session.commit(message)``,
        or by themselves within a second. Sent to other processes, it reads this commit there;
        to write from many of them, as dask does, use ``with store.fork(message) as fork:`` and
        give them ``fork``.

    Examples
    --------
    >>> import hubzarr as hub
    >>> import numpy as np
    >>> import zarr
    >>> store = hub.store("examples/store")
    >>> group = zarr.open_group(store)
    >>> group.create_array("x", data=np.arange(4))
    <Array ...>
    >>> store.session.commit("x").number
    1
    """
    if mode not in ("r", "r+", "a"):
        raise InvalidError(f"mode={mode!r} is unknown; expected 'a', 'r+' or 'r'")
    parsed = parse_name(name)
    storage = storage_of(parsed, storage_options)
    version = parsed.version or DEFAULT_VERSION
    if mode == "a" and parsed.point is None:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        with contextlib.suppress(ExistsError):
            create_version(
                storage, version, None, author=get_config().author, message="created",
                name=parsed.repository, nodes={"": Node(group, "")},
            )  # fmt: skip
    return VersionedStore(session_of(parsed, storage, "r" if mode == "r" else "r+", version))


def exists(name: str, *, storage_options: Options = None) -> bool:
    """Whether a name can be loaded; without a version, whether the repository has any.

    Examples
    --------
    >>> import hubzarr as hub
    >>> hub.exists("examples/nothing")
    False
    """
    parsed = parse_name(name)
    storage = storage_of(parsed, storage_options)
    if parsed.version is None and parsed.point is None:
        return bool(existing_versions(storage))
    try:
        open_session(storage, parsed.version or DEFAULT_VERSION, parsed.point, mode="r")
    except NotFoundError:
        return False
    return True


def versions(name: str, *, storage_options: Options = None) -> list[VersionInfo]:
    """All versions of a repository.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((2,), "examples/several:v0")
    >>> _ = a.branch("v1")
    >>> [v.name for v in hub.versions("examples/several")]
    ['v0', 'v1']
    """
    storage = storage_of(parse_name(name), storage_options)
    found = branching.versions(storage)
    if not found and is_read_only(storage):
        raise UnsupportedError(
            f"can't tell the versions of {name!r}: nothing is there, or this web server lists "
            "nothing; load a version by its name"
        )
    return found
