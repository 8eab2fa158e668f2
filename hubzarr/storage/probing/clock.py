"""How far the clock of this machine is from the store's."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from hubzarr.storage.base import Storage
from hubzarr.storage.local import LocalStorage

__all__ = ["skew"]

_SERVICES: Final = {
    "s3": "https://s3.amazonaws.com",
    "s3a": "https://s3.amazonaws.com",
    "gs": "https://storage.googleapis.com",
    "gcs": "https://storage.googleapis.com",
}
_VARIABLES: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "s3a": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("STORAGE_EMULATOR_HOST",),
    "gcs": ("STORAGE_EMULATOR_HOST",),
}
_PATIENCE: Final = 5.0


def skew(storage: Storage, path: str, options: Mapping[str, Any]) -> float | None:
    """Seconds by which this machine is ahead; None when the store does not tell the time.

    Parameters
    ----------
    storage : Storage
    path : str
        An object that was written just now: on network mounts, its time is the server's.
    options : mapping
        Storage options.
    """
    if isinstance(storage, LocalStorage):
        try:
            return time.time() - os.path.getmtime(os.path.join(storage.root, path))
        except OSError:
            return None
    address = _service(storage.url, options)
    return None if address is None else _ask(address)


def _service(url: str, options: Mapping[str, Any]) -> str | None:
    protocol = url.partition("://")[0]
    if protocol in ("http", "https"):
        return url
    inner = options.get("client_kwargs")
    given = options.get("endpoint_url") or (
        inner.get("endpoint_url") if isinstance(inner, Mapping) else None
    )
    if protocol in ("az", "abfs", "abfss") and options.get("account_name"):
        return f"https://{options['account_name']}.blob.core.windows.net"
    named = next(filter(None, map(os.environ.get, _VARIABLES.get(protocol, ()))), None)
    found = given or named or _SERVICES.get(protocol)
    return found if isinstance(found, str) and found.startswith(("http://", "https://")) else None


def _ask(address: str) -> float | None:
    """Compare with the Date header of any answer, refusals included."""
    from email.utils import parsedate_to_datetime
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    began = time.time()
    try:
        with urlopen(Request(address, method="HEAD"), timeout=_PATIENCE) as answer:
            date = answer.headers.get("Date")
    except HTTPError as refusal:
        date = refusal.headers.get("Date")
        refusal.close()
    except (OSError, ValueError):
        return None
    if not date:
        return None
    try:
        there = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None
    # The header has whole seconds: half of one is the best guess for the rest.
    return (began + time.time()) / 2 - (there + 0.5)
