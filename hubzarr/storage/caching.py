"""Whether a store gets a disk cache, and whether it may be asked at all: the settings say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hubzarr.config import get_config
from hubzarr.storage.base import Storage
from hubzarr.storage.cached import CachedStorage
from hubzarr.storage.unreachable import UnreachableStorage

__all__ = ["server_of", "with_cache"]

_NO_CACHE: Final = "set cache_dir to the folder of a disk cache, or go online with offline=False"
_PREFETCH: Final = "go online (offline=False) and read it, or keep it with `hubzarr prefetch NAME`"
_SERVERS: Final = ("endpoint_url", "endpoint", "account_name", "host")


def with_cache(url: str, options: Mapping[str, Any], open_store: Callable[[], Storage]) -> Storage:
    """Open a store that is not on this machine, as the settings want it.

    Parameters
    ----------
    url : str
    options : mapping
        Of the store. The server that they name tells apart stores of one URL.
    open_store : callable
        Opens the store itself; not called offline.

    Examples
    --------
    >>> from hubzarr.storage.memory import MemoryStorage
    >>> with_cache("memory://x", {}, lambda: MemoryStorage("x"))
    MemoryStorage('x')
    """
    config = get_config()
    if config.offline:
        advice = _NO_CACHE if config.cache_dir is None else _PREFETCH
        inner: Storage = UnreachableStorage(url, advice)
    else:
        inner = open_store()
    if config.cache_dir is None or inner.is_local:
        return inner
    return CachedStorage(
        inner, config.cache_dir, config.cache_size, config.offline, server_of(options)
    )


def server_of(options: Mapping[str, Any]) -> str:
    """The server that options name, '' if none; without passwords.

    Examples
    --------
    >>> server_of({"endpoint_url": "https://ann:secret@minio:9000/"})
    'https://minio:9000'
    """
    client = options.get("client_kwargs")
    tables = [options, client if isinstance(client, Mapping) else {}]
    found = (str(table[key]) for table in tables for key in _SERVERS if table.get(key))
    return re.sub("//[^/]*@", "//", next(found, "")).rstrip("/")  # no passwords in keys
