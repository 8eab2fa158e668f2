"""Storage options that no library knows: misspelled ones are told, not passed on or ignored."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any, Final

from hubzarr.errors import InvalidError

__all__ = ["check_options"]

# Of `open_storage`, and of all filesystems.
_COMMON: Final = frozenset(
    {
        *("timeout", "retries", "transport", "single_writer", "fsync"),
        *("asynchronous", "loop", "batch_size", "skip_instance_cache", "use_listings_cache"),
        *("listings_expiry_time", "max_paths"),
    }
)
_S3: Final = frozenset(
    {
        *("endpoint_url", "region", "anon", "key", "secret", "token", "profile", "session"),
        *("username", "password", "use_ssl", "client_kwargs", "config_kwargs"),
        *("requester_pays", "s3_additional_kwargs", "cache_regions", "max_concurrency"),
        *("version_aware", "default_block_size", "default_fill_cache", "default_cache_type"),
        *("fixed_upload_size", "local_expiry_check"),
    }
)
_GOOGLE: Final = frozenset(
    {
        *("endpoint_url", "region", "anon", "token", "project", "access", "requester_pays"),
        *("block_size", "consistency", "cache_timeout", "secure_serialize", "version_aware"),
        *("check_connection", "requests_timeout", "session_kwargs", "default_location"),
    }
)
_AZURE: Final = frozenset(
    {
        *("account_name", "account_key", "connection_string", "credential", "sas_token", "anon"),
        *("client_id", "client_secret", "tenant_id", "location_mode", "account_host", "region"),
        *("request_session", "socket_timeout", "blocksize", "max_concurrency", "version_aware"),
        *("connection_timeout", "read_timeout", "assume_container_exists"),
        *("default_fill_cache", "default_cache_type"),
    }
)
_WEB: Final = frozenset({"headers", "client_kwargs", "block_size", "simple_links", "same_scheme"})

_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("s3", "s3a"), _S3),
    **dict.fromkeys(("gs", "gcs"), _GOOGLE),
    **dict.fromkeys(("az", "abfs", "abfss"), _AZURE),
    **dict.fromkeys(("http", "https"), _WEB),
}
# These pass further options on, to Azure's logins and to each request: there only what looks
# like a known one is refused.
_OPEN: Final = _AZURE, _WEB
_NEAR: Final = 0.8


def check_options(url: str, options: Mapping[str, Any]) -> None:
    """Refuse options that no library of this kind of store knows, and half a pair of keys.

    Parameters
    ----------
    url : str
    options : mapping

    Raises
    ------
    InvalidError

    Examples
    --------
    >>> check_options("s3://lab/hub", {"endpont": "http://minio:9000"})
    Traceback (most recent call last):
    ...
    hubzarr.errors.InvalidError: unknown option 'endpont' for 's3://lab/hub'; did you mean \
'endpoint_url'? ...
    """
    protocol = url.partition("://")[0].lower()
    known = _KNOWN.get(protocol)
    if known is None:
        return
    for name in options:
        if name not in known | _COMMON:
            _check_name(url, protocol, name, known)
    if known is _S3:
        _check_keys(url, options)


def _check_name(url: str, protocol: str, name: str, known: frozenset[str]) -> None:
    usual = sorted(known | _COMMON)
    is_open = known in _OPEN
    near = difflib.get_close_matches(name, usual, 1, _NEAR if is_open else 0.6)
    if (is_open and not near) or name in _of_the_library(protocol):
        return
    hint = f"; did you mean {near[0]!r}?" if near else "."
    ours = sorted(known | {"timeout", "retries", "transport", "single_writer"})
    raise InvalidError(
        f"unknown option {name!r} for {url!r}{hint} Known ones are {', '.join(ours)}"
    )


def _of_the_library(protocol: str) -> frozenset[str]:
    """Options that the installed release has besides; a newer one may have more."""
    from fsspec import get_filesystem_class

    try:
        made = get_filesystem_class(protocol)
    except ImportError:
        return frozenset()
    return frozenset(inspect.signature(made.__init__).parameters)


def _check_keys(url: str, options: Mapping[str, Any]) -> None:
    inner = options.get("client_kwargs")
    inner = inner if isinstance(inner, Mapping) else {}
    key = options.get("key") or options.get("username") or inner.get("aws_access_key_id")
    secret = options.get("secret") or options.get("password") or inner.get("aws_secret_access_key")
    if bool(key) == bool(secret) or options.get("anon"):
        return
    given, missing = ("key", "secret") if key else ("secret", "key")
    raise InvalidError(
        f"{url!r} got {given!r} without {missing!r}: give both, or neither to use what the "
        "environment or a profile holds"
    )
