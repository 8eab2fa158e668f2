"""From a name to its repository on a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubzarr.config import get_config
from hubzarr.errors import InvalidNameError
from hubzarr.names import Name, parse_name
from hubzarr.session.autosync import sync_place
from hubzarr.session.opening import open_session
from hubzarr.session.session import Session
from hubzarr.storage import Storage, open_storage

__all__ = ["Options", "address_of", "parsed_name", "session_of", "storage_of"]

type Options = Mapping[str, Any] | None


def storage_of(name: Name, options: Options = None) -> Storage:
    """The storage of a name's repository, with everything that this process wrote there."""
    config = get_config()
    given = dict(options or {})
    if config.fsync:
        given.setdefault("fsync", True)
    storage = open_storage(address_of(name), given)
    sync_place(storage.url)
    return storage


def address_of(name: Name) -> str:
    """URL or path of a name's repository.

    The first part of a name is that of a configured root if there is one of that name,
    else a namespace below the default root.

    Examples
    --------
    >>> from hubzarr.config import configure
    >>> _ = configure(root="s3://bucket/hub", roots={"lab": "/mnt/lab"})
    >>> [address_of(parse_name(text)) for text in ("hub://lab/alice/x:v1", "alice/x", "lab")]
    ['/mnt/lab/alice/x', 's3://bucket/hub/alice/x', 's3://bucket/hub/lab']
    >>> _ = configure(root=None, roots=None)
    """
    config = get_config()
    if name.root is None:
        first, _, below = name.path.partition("/")
        if below and first in config.roots:
            return f"{config.roots[first].url.rstrip('/')}/{below}"
    return name.address(config.root)


def parsed_name(name: Any, what: str) -> Name:
    """A name without a point, for what writes."""
    parsed = parse_name(name)
    if parsed.point is not None:
        raise InvalidNameError(
            f"{name!r} names a point of the history, which only reads; to {what}, leave out "
            f"@{parsed.point}"
        )
    return parsed


def session_of(
    name: Name, storage: Storage, mode: str, version: str, sync_interval: float | None = None
) -> Session:
    """A session of one version, as the configuration has it."""
    config = get_config()
    return open_session(
        storage,
        version,
        name.point,
        mode=mode,
        author=config.author,
        sync_interval=config.sync_interval if sync_interval is None else sync_interval,
        name=name.repository,
    )
