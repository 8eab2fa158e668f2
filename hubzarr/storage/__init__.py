"""Where bytes live: local files, memory, and every store that fsspec reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubzarr.errors import InvalidError
from hubzarr.storage.base import Counters, Data, Storage
from hubzarr.storage.local import LocalStorage
from hubzarr.storage.memory import MemoryStorage

__all__ = ["Counters", "Data", "LocalStorage", "MemoryStorage", "Storage", "open_storage"]


def open_storage(url: str, options: Mapping[str, Any] | None = None) -> Storage:
    """Open the storage at a URL or path.

    Parameters
    ----------
    url : str
        A path, ``file://...`` or ``memory://...``.
    options : mapping, optional
        ``single_writer=True`` promises that only one process writes, where a store
        can't create objects atomically. ``fsync=True`` makes local writes wait for
        the device.

    Examples
    --------
    >>> storage = open_storage("memory://example")
    >>> storage.put("a/b", b"data")
    >>> storage.list_dir(""), storage.get("a/b")
    (['a/'], b'data')
    """
    rest = dict(options or {})
    fsync, single_writer = rest.pop("fsync", False), rest.pop("single_writer", False)
    protocol, separator, place = url.partition("://")
    if rest:
        raise InvalidError(f"unknown options {sorted(rest)} for {url!r}: leave them out")
    if separator and protocol == "memory":
        return MemoryStorage(place)
    root = place if separator else url
    return LocalStorage(root, fsync=bool(fsync), single_writer=bool(single_writer))
