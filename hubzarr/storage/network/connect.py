"""What all that goes through fsspec needs: filesystems, errors, options without secrets."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Any

from hubzarr.config import is_secret, merged_options
from hubzarr.errors import HubzarrError, InvalidError, UnsupportedError
from hubzarr.storage.base import storage_error
from hubzarr.storage.filesystems.opening import shared_filesystem
from hubzarr.storage.network.failures import explained, failure_of
from hubzarr.storage.network.retrying import Attempts

__all__ = [
    "check_url",
    "of_the_store",
    "open_filesystem",
    "restored_options",
    "translated",
    "without_secrets",
]

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_EXTRAS |= dict.fromkeys(("abfs", "abfss", "az"), "azure")
# What only `open_storage` understands.
_OURS = frozenset({"fsync", "single_writer", "transport"})


def check_url(url: str) -> None:
    """Refuse a URL that carries secrets: it would end up in logs and pickles."""
    protocol, _, place = url.partition("://")
    if re.match(r"[^/]*:[^/]*@", place) or (protocol in ("http", "https") and "?" in place):
        raise InvalidError(
            f"the {protocol} URL contains a password or query; pass secrets in the environment "
            "or as options of the store"
        )


def open_filesystem(
    url: str, options: Mapping[str, Any], *, retrying: bool = True
) -> tuple[Any, str]:
    """Return a filesystem and the path that the URL has in it; see `shared_filesystem`."""
    protocol = url.partition("://")[0]
    try:
        return shared_filesystem(url, options, retrying=retrying)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        advice = f"pip install 'hubzarr[{extra}]'" if extra else str(error)
        raise UnsupportedError(
            f"can't open {url!r}: support for {protocol}:// is not installed; {advice}"
        ) from error
    except HubzarrError:
        raise
    except ValueError as error:
        raise UnsupportedError(f"can't open {url!r}: {error}") from error
    except Exception as error:
        raise translated(error, "open", url) from error


def translated(
    error: Exception, verb: str, where: str, attempts: Attempts | None = None
) -> HubzarrError:
    """Turn whatever a filesystem raises into one of our errors."""
    if isinstance(error, HubzarrError):
        return error
    failure = failure_of(error)
    if failure.status or failure.code or failure.fault or not isinstance(error, OSError):
        return explained(attempts.counted(failure) if attempts else failure, verb, where)
    if error.errno is None:
        error.errno = _code_of(error)
    return storage_error(error, verb, where)


def _code_of(error: OSError) -> int | None:
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT
    if isinstance(error, PermissionError):
        return errno.EACCES
    return errno.EEXIST if isinstance(error, FileExistsError) else None


def of_the_store(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options that a store's library gets: without those of `open_storage`.

    Examples
    --------
    >>> of_the_store({"single_writer": True, "anon": True})
    {'anon': True}
    """
    return {key: value for key, value in (options or {}).items() if key not in _OURS}


def restored_options(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an unpickled storage, with the secrets of its configured root."""
    return of_the_store(merged_options(url, options))


def without_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that another process may see: plain values, no secrets.

    Examples
    --------
    >>> without_secrets({"anon": False, "secret": "x", "client_kwargs": {"verify": True}})
    {'anon': False, 'client_kwargs': {'verify': True}}
    """
    kept: dict[str, Any] = {}
    for key, value in options.items():
        if is_secret(key, value):
            continue
        if isinstance(value, Mapping):
            kept[key] = without_secrets(value)
        elif isinstance(value, (str, int, float, bool, type(None))):
            kept[key] = value
    return kept
