"""Opening fsspec filesystems: with time-outs, without caches of listings, shared where possible.

The defaults of these libraries suit single users with notebooks: ten connections, no time-out
at all on Google, listings that never expire. Each is set here, unless the caller set it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MethodType
from typing import Any, Final

from hubzarr.errors import InvalidError
from hubzarr.storage.network.patience import Patience

__all__ = ["new_filesystem", "shared_filesystem"]

_S3: Final = frozenset({"s3", "s3a"})
_GOOGLE: Final = frozenset({"gs", "gcs"})
_AZURE: Final = frozenset({"abfs", "abfss", "az"})
_HTTP: Final = frozenset({"http", "https"})
_SHARED: Final = _S3 | _GOOGLE | _AZURE | _HTTP
#: Connections that a filesystem may hold open.
_CONNECTIONS: Final = 64
#: Setting by which gcsfs is told to use its second, newer class.
_GOOGLE_SWITCH: Final = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"


class _Filesystems:
    """Filesystems by URL and options; a forked child has none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: dict[str, Any] = {}


_filesystems = _Filesystems()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_filesystems.__init__)  # type: ignore[misc]


def shared_filesystem(
    url: str, options: Mapping[str, Any], *, retrying: bool = True
) -> tuple[Any, str]:
    """Return a filesystem and the path that the URL has in it.

    Clients of the same bucket with the same options share their connections.

    Parameters
    ----------
    url : str
    options : mapping
    retrying : bool
        Whether it sends failed requests again by itself; else the caller does.
    """
    protocol, _, place = url.partition("://")
    if protocol not in _SHARED:
        return new_filesystem(url, options, retrying=retrying)
    try:
        parts = [protocol, place.partition("/")[0], options, retrying]
        key = json.dumps(parts, sort_keys=True)
    except (TypeError, ValueError):  # holds objects, which nobody can compare
        return new_filesystem(url, options, retrying=retrying)
    with _filesystems.lock:
        if key not in _filesystems.opened:
            _filesystems.opened[key] = new_filesystem(url, options, retrying=retrying)[0]
        fs = _filesystems.opened[key]
    return fs, str(fs._strip_protocol(url))


def new_filesystem(
    url: str, options: Mapping[str, Any], *, retrying: bool = True
) -> tuple[Any, str]:
    """Return a filesystem of its own and the path that the URL has in it."""
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    rest = dict(options)
    rest.pop("transport", None)
    patience = Patience.taken_from(rest)
    if not retrying:
        patience = replace(patience, retries=0)
    for kind, prepare in _PREPARED:
        if protocol in kind:
            prepare(rest, patience)
    if protocol in ("file", "local"):
        rest.setdefault("auto_mkdir", True)
    fixed = {"use_listings_cache": False, "skip_instance_cache": True}
    if protocol in _GOOGLE and _GOOGLE_SWITCH not in os.environ:
        # The newer class opens a second channel, which hangs on emulators and proxies.
        from gcsfs.core import GCSFileSystem

        fs = GCSFileSystem(**(rest | fixed))
        if not retrying:
            _without_google_retries(fs)
        return fs, str(fs._strip_protocol(url))
    fs, base = url_to_fs(url, **(rest | fixed))
    if protocol in _S3:
        # It counts upon the retries of the client below it, for what that does not retry.
        fs.retries = min(3, 1 + patience.retries)
    if protocol in _AZURE and not retrying:
        _without_azure_retries(fs)
    return fs, base


def _without_google_retries(fs: Any) -> None:
    """Let gcsfs send each request once: it has no setting for its six attempts."""
    once = getattr(type(fs)._request, "__wrapped__", None)
    if once is not None:
        fs._request = MethodType(once, fs)


def _without_azure_retries(fs: Any) -> None:
    """Let Azure's client send each request once: it pauses for 15 s and more in between."""
    policy = getattr(getattr(fs.service_client, "_config", None), "retry_policy", None)
    if policy is not None:
        policy.total_retries = 0


def _quieten(logger: str) -> None:
    """Keep a library from printing tracebacks of what our errors say, unless someone wants it."""
    found = logging.getLogger(logger)
    if found.level == logging.NOTSET:
        found.setLevel(logging.CRITICAL)


def _prepare_s3(options: dict[str, Any], patience: Patience) -> None:
    client = _table(options, "client_kwargs")
    if region := options.pop("region", None):
        client.setdefault("region_name", region)
    config = _table(options, "config_kwargs")
    config.setdefault("max_pool_connections", _CONNECTIONS)
    config.setdefault("connect_timeout", patience.connect)
    config.setdefault("read_timeout", patience.timeout)
    attempts = 1 + (patience.retries + 1) // 2
    config.setdefault("retries", {"max_attempts": attempts, "mode": "standard"})
    options |= {"client_kwargs": client, "config_kwargs": config}


def _prepare_google(options: dict[str, Any], patience: Patience) -> None:
    _quieten("gcsfs")
    options.pop("region", None)  # a bucket knows its own
    if options.pop("anon", False):
        options.setdefault("token", "anon")
    options.setdefault("requests_timeout", _timeout_of(patience))


def _prepare_azure(options: dict[str, Any], patience: Patience) -> None:
    _quieten("azure.identity")
    options.pop("region", None)
    options.setdefault("connection_timeout", round(max(1, patience.connect)))
    options.setdefault("read_timeout", round(max(1, patience.timeout)))


def _prepare_http(options: dict[str, Any], patience: Patience) -> None:
    client = _table(options, "client_kwargs")
    client.setdefault("timeout", _timeout_of(patience))
    options["client_kwargs"] = client


_PREPARED: Final[tuple[tuple[frozenset[str], Callable[[dict[str, Any], Patience], None]], ...]] = (
    (_S3, _prepare_s3),
    (_GOOGLE, _prepare_google),
    (_AZURE, _prepare_azure),
    (_HTTP, _prepare_http),
)


def _timeout_of(patience: Patience) -> Any:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.timeout)


def _table(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = options.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise InvalidError(f"bad option {name!r}: expected a table of names and values")
    return dict(value or {})
