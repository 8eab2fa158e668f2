"""Clients of obstore: opened once for each store and way of asking, shared by all that use it.

A client owns its connections, so sharing saves a handshake for each array that is opened.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from hubzarr.errors import UnsupportedError
from hubzarr.storage.network.patience import Patience
from hubzarr.storage.objectstores.credentials import (
    botocore_session,
    from_botocore,
    from_google,
    from_keys,
)
from hubzarr.storage.objectstores.plans import Credentials, Plan

__all__ = ["installed", "open_client", "region_of", "runtime_is_dead", "settled"]

_GOOGLE: Final = "https://storage.googleapis.com"
_KEPT: Final = 64


class _Clients:
    """Clients by plan and time-outs; forgotten after a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: dict[Any, Any] = {}
        self.settled: dict[Plan, Plan] = {}
        # The runtime of obstore is threads, which a fork does not copy: whoever asks it
        # in a child waits for ever, with new clients too.
        self.dead = False
        self.orphans: list[Any] = []

    def after_fork(self) -> None:
        self.dead = self.dead or "obstore" in sys.modules
        # Kept alive: to close them would take the threads that are gone.
        self.orphans.append(self.opened)
        self.lock, self.opened = threading.Lock(), {}


_clients = _Clients()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_clients.after_fork)


def runtime_is_dead() -> bool:
    """Whether this process was forked from one that had loaded obstore."""
    return _clients.dead


def installed() -> bool:
    """Whether obstore can be used here."""
    if _clients.dead:
        return False
    try:
        import obstore  # noqa: F401
    except ImportError:
        return False
    return True


def open_client(plan: Plan, patience: Patience, seconds: float, retries: int = 0) -> Any:
    """Return the client for a plan whose requests wait that long for a byte.

    It sends failed requests again so many times by itself.
    """
    key = (plan, patience.connect, seconds, retries)
    client = _clients.opened.get(key)
    if client is None:
        with _clients.lock:
            client = _clients.opened.get(key)
            if client is None:
                client = _OPENERS[plan.kind](plan, _waiting(plan, patience, seconds, retries))
                if len(_clients.opened) >= _KEPT:
                    _clients.opened.pop(next(iter(_clients.opened)))
                _clients.opened[key] = client
    return client


def settled(plan: Plan) -> Plan:
    """Return a plan with the region and endpoint of the user's AWS profile.

    Raises UnsupportedError where a profile asks for what obstore can't do.
    """
    if plan.credentials.how != "botocore":
        return plan
    with _clients.lock:
        found = _clients.settled.get(plan)
        if found is None:
            found = _clients.settled[plan] = _by_profile(plan)
        return found


def _by_profile(plan: Plan) -> Plan:
    session = botocore_session(plan.credentials.what[0])
    if session is None:
        return replace(plan, credentials=Credentials("environment"))
    profile = session.get_scoped_config()
    if "services" in profile or "s3" in profile:
        raise UnsupportedError("the AWS profile has settings that obstore does not know")
    config = dict(plan.config)
    endpoint, region = profile.get("endpoint_url"), session.get_config_variable("region")
    client = dict(plan.client)
    if region and "region" not in config:
        config["region"] = region
    if endpoint and "endpoint" not in config:
        config |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        client["allow_http"] = endpoint.startswith("http://")
    provider = from_botocore(session)
    return replace(
        plan,
        config=tuple(config.items()),
        client=tuple(client.items()),
        credentials=Credentials("provider", (provider,)),
    )


def region_of(plan: Plan, seconds: float) -> str | None:
    """Ask S3 in which region a bucket lies; it says so to everybody."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    endpoint = plan.get("endpoint")
    if endpoint is None or plan.get("virtual_hosted_style_request"):
        address = endpoint or f"https://{plan.bucket}.s3.amazonaws.com"
    else:
        address = f"{endpoint}/{plan.bucket}"
    try:
        with urlopen(Request(address, method="HEAD"), timeout=seconds) as answer:
            headers: Any = answer.headers
    except HTTPError as error:
        headers = error.headers
    except OSError:
        return None
    found: str | None = headers.get("x-amz-bucket-region")
    return found


def _waiting(plan: Plan, patience: Patience, seconds: float, retries: int) -> dict[str, Any]:
    client: dict[str, Any] = dict(plan.client) | {
        "connect_timeout": timedelta(seconds=patience.connect),
        "read_timeout": timedelta(seconds=seconds),
        # Large objects over slow lines take their time: what counts is that bytes come.
        "timeout": timedelta(days=1),
    }
    if "default_headers" in client:
        client["default_headers"] = dict(client["default_headers"])
    return {"client_options": client, "retry_config": patience.of_obstore(retries)}


def _s3(plan: Plan, waiting: dict[str, Any]) -> Any:
    from obstore import store

    stores: Any = store  # its settings are typed one by one, ours come as a dict
    config = dict(plan.config)
    how, what = plan.credentials.how, plan.credentials.what
    provider: Callable[[], Any] | None = None
    if how == "anonymous":
        config["skip_signature"] = True
    elif how == "keys":
        provider = from_keys(*what)
    elif how == "provider":
        provider = what[0]
    return stores.S3Store(plan.bucket, config=config, credential_provider=provider, **waiting)


def _gcs(plan: Plan, waiting: dict[str, Any]) -> Any:
    from obstore import store

    stores: Any = store
    config = dict(plan.config)
    endpoint = config.pop("endpoint", _GOOGLE)
    how, what = plan.credentials.how, plan.credentials.what
    provider = from_google(*what) if how == "google" else None
    if provider is None:
        # Says more than skip_signature, which asks for a token to write.
        config["service_account_key"] = json.dumps(
            {"gcs_base_url": endpoint, "disable_oauth": True}
            | dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        )
    else:
        config["base_url"] = endpoint
    return stores.GCSStore(plan.bucket, config=config, credential_provider=provider, **waiting)


def _azure(plan: Plan, waiting: dict[str, Any]) -> Any:
    from obstore import store

    stores: Any = store
    return stores.AzureStore(plan.bucket, config=dict(plan.config), **waiting)


def _http(plan: Plan, waiting: dict[str, Any]) -> Any:
    from obstore import store

    stores: Any = store
    return stores.HTTPStore.from_url(plan.bucket, **waiting)


_OPENERS: Final[dict[str, Callable[[Plan, dict[str, Any]], Any]]] = {
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
    "http": _http,
}
