"""Credentials that obstore asks for when it needs them, and again before they expire."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hubzarr.errors import InvalidError, StorageError

__all__ = ["botocore_session", "from_botocore", "from_google", "from_keys"]

# botocore renews its own ten minutes before they end.
_SAFE: Final = timedelta(minutes=9)
_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.full_control"

type Provider = Callable[[], dict[str, Any]]


def from_keys(key: str, secret: str, token: str | None = None) -> Provider:
    """Return a provider of keys that never change.

    They come this way so that no variable of the environment mixes with them.
    """
    found = {"access_key_id": key, "secret_access_key": secret, "token": token}
    return lambda: found | {"expires_at": None}


def botocore_session(profile: str | None) -> Any:
    """Return a session of botocore, which knows the files and services of AWS; or None."""
    try:
        from botocore.exceptions import ProfileNotFound
        from botocore.session import Session
    except ImportError:
        return None
    session = Session(profile=profile)
    try:
        session.get_scoped_config()
    except ProfileNotFound:
        raise _missing(f"there is no AWS profile {profile!r} on this machine") from None
    return session


def from_botocore(session: Any) -> Provider:
    """Return a provider that asks botocore: files, roles, single sign-on, machines."""
    found = session.get_credentials()
    if found is None:
        raise _missing("no credentials were found for S3")
    renewed = hasattr(found, "refresh_needed")

    def provide() -> dict[str, Any]:
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _SAFE if renewed else None,
        }

    return provide


def from_google(how: str, what: Any) -> Provider | None:
    """Return a provider of tokens of Google; None where there are no credentials at all."""
    from google.auth.transport.requests import Request

    found = what if how == "object" else _google_credentials(how, what)
    if found is None:
        return None
    lock, request = threading.Lock(), Request()

    def provide() -> dict[str, Any]:
        with lock:
            if not found.valid:
                found.refresh(request)
            # They are renewed some minutes before they end: then this asks again.
            expires = found.expiry
        if expires is not None and expires.tzinfo is None:
            expires = expires.replace(tzinfo=UTC)
        return {"token": found.token, "expires_at": expires}

    return provide


def _google_credentials(how: str, what: Any) -> Any:
    import google.auth as library
    from google.auth.exceptions import DefaultCredentialsError
    from google.oauth2 import service_account

    auth: Any = library
    accounts: Any = service_account.Credentials
    if how == "account":
        try:
            return accounts.from_service_account_info(json.loads(what), scopes=[_SCOPE])
        except ValueError as error:
            raise InvalidError(
                f"bad service account of Google: {error}; download its key anew"
            ) from None
    try:
        return auth.default(scopes=[_SCOPE])[0]
    except DefaultCredentialsError:
        return None


def _missing(what: str) -> StorageError:
    return StorageError(
        f"{what}: give key and secret, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a "
        "profile, or pass anon=True for public data",
        reason="EACCES",
    )
