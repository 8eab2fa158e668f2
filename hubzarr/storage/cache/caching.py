"""Whether a store gets a disk cache, and whether it may be asked at all: the settings say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hubzarr.config import get_config
from hubzarr.storage.base import Storage
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.storage.cache.unreachable import UnreachableStorage

__all__ = ["server_of", "with_cache"]

_NO_CACHE: Final = "set cache_dir to the folder of a disk cache, or go online with offline=False"
#: Variables by which the clients of a store are sent to another server.
_VARIABLES: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("STORAGE_EMULATOR_HOST",),
}
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
    if config.offline and config.cache_dir is None:
        return UnreachableStorage(url, _NO_CACHE)
    inner = UnreachableStorage(url) if config.offline else open_store()
    if config.cache_dir is None or inner.is_local:
        return inner
    server = server_of(options) or _server_of_environment(url)
    return CachedStorage(inner, config.cache_dir, config.cache_size, config.offline, server)


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
    return _without_password(next(found, ""))


def _server_of_environment(url: str) -> str:
    names = _VARIABLES.get(url.partition("://")[0].lower(), ())
    return _without_password(next(filter(None, map(os.environ.get, names)), ""))


def _without_password(server: str) -> str:
    return re.sub("//[^/]*@", "//", server).rstrip("/")
