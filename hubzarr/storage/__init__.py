"""Where bytes live: local files, memory, object stores, and all else that fsspec reaches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hubzarr.config import merged_options
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.storage.base import Counters, Data, Storage
from hubzarr.storage.cache.caching import with_cache
from hubzarr.storage.filesystems.remote import FsspecStorage
from hubzarr.storage.local import LocalStorage
from hubzarr.storage.memory import MemoryStorage
from hubzarr.storage.objectstores.http import HttpStorage
from hubzarr.storage.objectstores.objects import ObjectStorage
from hubzarr.storage.transport import open_remote

__all__ = [
    "Counters",
    "Data",
    "FsspecStorage",
    "HttpStorage",
    "LocalStorage",
    "MemoryStorage",
    "ObjectStorage",
    "Storage",
    "open_storage",
]


def open_storage(url: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Storage:
    """Open the storage at a URL or path.

    Parameters
    ----------
    url : str or path
        A path, ``file://...``, ``memory://...``, or a URL that fsspec knows, such as
        ``s3://bucket/hub``.
    options : mapping, optional
        ``single_writer=True`` promises that only one process writes, where a store
        can't create objects atomically. ``fsync=True`` makes local writes wait for
        the device. ``transport`` is ``"obstore"``, ``"fsspec"`` or ``"auto"``: obstore
        where it is installed and knows the options. ``timeout`` (30 seconds) and
        ``retries`` (8) say how long to wait for a store. All others are as the fsspec
        filesystem has them, such as ``endpoint_url`` for S3. Below a configured root,
        its options count for what is not given here.

    Examples
    --------
    >>> storage = open_storage("memory://example")
    >>> storage.put("a/b", b"data")
    >>> storage.list_dir(""), storage.get("a/b")
    (['a/'], b'data')
    """
    place = os.fspath(url) if isinstance(url, os.PathLike) else url
    if not isinstance(place, str):
        raise InvalidTypeError(f"expected a URL or path as text, not {type(url).__name__}")
    if not place:
        raise InvalidError("the URL or path is empty; name a folder or a store")
    rest = merged_options(place, options)
    fsync, single_writer = bool(rest.pop("fsync", False)), bool(rest.pop("single_writer", False))
    protocol, separator, below = place.partition("://")
    protocol = protocol.lower() if separator else "file"
    if protocol not in ("file", "local", "memory"):
        return with_cache(
            place, rest, lambda: open_remote(place, rest, single_writer=single_writer)
        )
    if rest:
        raise InvalidError(
            f"unknown options for {place!r}: {', '.join(map(repr, rest))}; "
            "known ones are 'fsync' and 'single_writer'"
        )
    if protocol == "memory":
        return MemoryStorage(below)
    root = _path_of(below) if separator else place
    return LocalStorage(root, fsync=fsync, single_writer=single_writer)


def _path_of(place: str) -> str:
    """Return the path in a file URL; on Windows one slash too many precedes the drive."""
    if os.name == "nt" and place[:1] == "/" and place[2:3] == ":":
        return place[1:]
    return place
