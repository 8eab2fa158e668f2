"""Which options of a store are secrets: they are never shown, pickled or stored elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["is_credential", "is_secret", "secrets_in"]

_SECRET: Final = re.compile(
    r"(^|[_-])key($|[_-])|secret|token|passw|passphrase|credential|sas|(^|[_-])auth"
    r"|connection_string|cookie|header|username|session",
    re.IGNORECASE,
)
# A URL with a password in it, such as that of a proxy.
_WITH_PASSWORD: Final = re.compile(r"//[^/@\s]*:[^/@\s]*@")
# These values of "token" say where to look for a secret and are none themselves.
_PUBLIC_TOKENS: Final = frozenset({"anon", "browser", "cache", "cloud", "google_default"})
# Say who asks, without being secrets.
_IDENTITIES: Final = frozenset({"anon", "profile", "client_id", "tenant_id"})


def is_secret(key: str, value: Any) -> bool:
    """Whether an option of a store, such as ``secret``, must not be shown; nor what is in it.

    Examples
    --------
    >>> is_secret("secret", "x"), is_secret("region", "eu-west-1"), is_secret("token", "anon")
    (True, False, False)
    """
    if key == "token" and isinstance(value, str) and value in _PUBLIC_TOKENS:
        return False
    if isinstance(value, str) and _WITH_PASSWORD.search(value):
        return True
    return value is not None and _SECRET.search(key) is not None


def is_credential(key: str, value: Any) -> bool:
    """Whether an option says who asks: a secret, a profile, or nobody at all.

    Examples
    --------
    >>> is_credential("profile", "lab"), is_credential("anon", True), is_credential("anon", False)
    (True, True, False)
    """
    return is_secret(key, value) or key == "token" or (key in _IDENTITIES and bool(value))


def secrets_in(options: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Names of the options that hold secrets, in tables within tables too.

    Examples
    --------
    >>> list(secrets_in({"key": "x", "client_kwargs": {"verify": True, "session_token": "y"}}))
    ['key', 'client_kwargs.session_token']
    """
    for key, value in options.items():
        if is_secret(key, value):
            yield above + key
        elif isinstance(value, Mapping):
            yield from secrets_in(value, f"{above}{key}.")
