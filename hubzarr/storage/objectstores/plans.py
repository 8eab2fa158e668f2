"""What the storage options of fsspec's filesystems mean to obstore's clients.

Users know the options of s3fs, gcsfs and adlfs, so both transports take these. What has
no counterpart in obstore gives no plan: then fsspec serves the store.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from hubzarr.errors import InvalidError

__all__ = ["Credentials", "Plan", "plan_for"]

# Options about caches, blocks and event loops of fsspec mean nothing here.
_IGNORED: Final = frozenset(
    {
        *("asynchronous", "loop", "use_listings_cache", "skip_instance_cache", "cache_regions"),
        *("default_block_size", "default_cache_type", "default_fill_cache", "max_concurrency"),
        *("listings_expiry_time", "max_paths", "check_connection", "block_size", "blocksize"),
        *("consistency", "cache_timeout", "secure_serialize", "fixed_upload_size"),
        *("local_expiry_check", "project", "default_location", "assume_container_exists"),
    }
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks: how to find it out, and what for.

    Attributes
    ----------
    how : str
        ``anonymous``; ``keys``; ``botocore`` for the chain and profiles of AWS;
        ``google`` for the application default or a service account; ``environment``
        for what obstore finds itself.
    what : tuple
        Keys and token; the name of a profile; a token of Google.
    """

    how: str
    what: tuple[Any, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to open a store with obstore.

    Attributes
    ----------
    kind : str
        ``s3``, ``gcs``, ``azure`` or ``http``.
    bucket : str
        Bucket, container, or for HTTP scheme and host.
    base : str
        Path below it, without slashes at its ends.
    config : tuple of pairs
        Settings of the store's client; may hold secrets.
    client : tuple of pairs
        Settings of its HTTP client.
    credentials : Credentials
    """

    kind: str
    bucket: str
    base: str
    config: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    client: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    credentials: Credentials = field(default=Credentials("environment"))

    def get(self, setting: str) -> Any:
        """A setting of the store's client, None if it is not given."""
        return dict(self.config).get(setting)


class _Unknown(Exception):
    """An option that has no counterpart."""


class _Options:
    """Options that are taken one by one; what is left was unknown."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.rest = {key: value for key, value in options.items() if key not in _IGNORED}

    def take(self, *names: str) -> Any:
        """The first of these options that is given, all of them taken."""
        values = [self.rest.pop(name, None) for name in names]
        return next((value for value in values if value is not None), None)

    def table(self, name: str) -> _Options:
        value = self.take(name)
        if value is not None and not isinstance(value, Mapping):
            raise _Unknown
        return _Options(value or {})

    def end(self, allowed: Iterable[Any] = (None,)) -> None:
        if any(value not in allowed for value in self.rest.values()):
            raise _Unknown


def plan_for(url: str, options: Mapping[str, Any]) -> Plan | None:
    """Return how obstore opens a URL with options of fsspec, None if it can't.

    Examples
    --------
    >>> plan_for("s3://lab/hub", {"anon": True, "region": "eu-west-1"})
    Plan(kind='s3', bucket='lab', base='hub', credentials=Credentials(how='anonymous'))
    >>> plan_for("ftp://host/hub", {}) is None
    True
    """
    protocol, _, place = url.partition("://")
    plan = _PLANS.get(protocol)
    if plan is None:
        return None
    try:
        return plan(protocol, place.rstrip("/"), _Options(options))
    except _Unknown:
        return None


# S3


def _s3(protocol: str, place: str, options: _Options) -> Plan:
    bucket, base = _split(place)
    inner, settings = options.table("client_kwargs"), options.table("config_kwargs")
    endpoint = options.take("endpoint_url") or inner.take("endpoint_url")
    region = options.take("region") or inner.take("region_name") or settings.take("region_name")
    credentials = _s3_credentials(options, inner)
    client = _verification(inner.take("verify"))
    config: dict[str, Any] = {}
    if options.take("requester_pays"):
        config["request_payer"] = True
    style = _s3_style(settings)
    if options.take("use_ssl") is False and not endpoint:
        raise _Unknown
    for left in (options, inner, settings):
        left.end((None, {}))
    endpoint = endpoint or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    region = region or _environment("AWS_REGION", "AWS_DEFAULT_REGION")
    if region:
        config["region"] = region
    if endpoint:
        config |= _s3_endpoint(endpoint, bucket, virtual=style == "virtual")
        client["allow_http"] = endpoint.startswith("http://")
    elif style != "path" and "." not in bucket:  # dots in its name break its certificate
        config["virtual_hosted_style_request"] = True
    return Plan("s3", bucket, base, tuple(config.items()), tuple(client.items()), credentials)


def _s3_credentials(options: _Options, inner: _Options) -> Credentials:
    key = options.take("key") or inner.take("aws_access_key_id")
    secret = options.take("secret") or inner.take("aws_secret_access_key")
    token = options.take("token") or inner.take("aws_session_token")
    profile, anonymous = options.take("profile"), options.take("anon")
    if anonymous:
        return Credentials("anonymous")
    if key and secret:
        return Credentials("keys", (key, secret, token))
    if key or secret or token:
        raise _Unknown
    given = _environment("AWS_ACCESS_KEY_ID"), _environment("AWS_SECRET_ACCESS_KEY")
    if not profile and all(given):
        return Credentials("keys", (*given, _environment("AWS_SESSION_TOKEN")))
    return Credentials("botocore", (profile,))


def _s3_style(settings: _Options) -> str:
    for name in ("max_pool_connections", "connect_timeout", "read_timeout", "retries"):
        settings.take(name)
    version = settings.take("signature_version")
    if version not in (None, "s3v4", "v4"):
        raise _Unknown
    inner = settings.table("s3")
    style = inner.take("addressing_style") or "auto"
    inner.end()
    if not isinstance(style, str):
        raise _Unknown
    return style


def _s3_endpoint(endpoint: str, bucket: str, *, virtual: bool) -> dict[str, Any]:
    endpoint = _checked_endpoint(endpoint)
    if virtual:
        scheme, _, host = endpoint.partition("://")
        if _is_address(host):  # which no bucket can precede
            raise _Unknown
        endpoint = f"{scheme}://{bucket}.{host}"
    found = {"endpoint": endpoint, "virtual_hosted_style_request": virtual}
    if _environment("AWS_ENDPOINT_URL_S3"):  # it would win over what is said here
        found["aws_endpoint_url_s3"] = endpoint
    return found


def _is_address(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    return ":" in name or name.replace(".", "").isdigit()


def _verification(verify: Any) -> dict[str, Any]:
    """Settings that say which certificates to trust: botocore takes False or a file."""
    if verify in (None, True):
        verify = _environment("AWS_CA_BUNDLE")
    if verify is None:
        return {}
    if verify is False:
        return {"allow_invalid_certificates": True}
    try:
        with open(verify, encoding="utf-8") as file:
            return {"root_certificate": file.read()}
    except (OSError, TypeError, ValueError):
        raise _Unknown from None


# Google


def _gcs(protocol: str, place: str, options: _Options) -> Plan:
    bucket, base = _split(place)
    endpoint, token = options.take("endpoint_url"), options.take("token")
    anonymous = bool(options.take("anon")) or token == "anon"
    access = options.take("access")
    options.end((None, {}, False))
    if access == "read_only":
        raise _Unknown
    endpoint = endpoint or _environment("STORAGE_EMULATOR_HOST")
    config: dict[str, Any] = {}
    client: dict[str, Any] = {}
    if endpoint:
        config["endpoint"] = _checked_endpoint(endpoint)
        client["allow_http"] = endpoint.startswith("http://")
    who = _google_credentials(token, anonymous)
    return Plan("gcs", bucket, base, tuple(config.items()), tuple(client.items()), who)


def _google_credentials(token: Any, anonymous: bool) -> Credentials:
    if anonymous:
        return Credentials("anonymous")
    if isinstance(token, str) and os.path.isfile(token):
        token = _json_of(token)
    if isinstance(token, Mapping) and token.get("type") == "service_account":
        return Credentials("google", ("account", json.dumps(dict(token), sort_keys=True)))
    if token is None or token == "google_default":
        return Credentials("google", ("default", None))
    if hasattr(token, "refresh") and hasattr(token, "token"):
        return Credentials("google", ("object", token))
    raise _Unknown


def _json_of(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        raise _Unknown from None


# Azure


def _azure(protocol: str, place: str, options: _Options) -> Plan:
    container, base = _split(place)
    container, at, host = container.partition("@")
    given = _connection(options.take("connection_string"))
    account = options.take("account_name") or given.get("AccountName")
    account = (host.partition(".")[0] if at else None) or account
    account = account or _environment("AZURE_STORAGE_ACCOUNT_NAME")
    if host and not host.endswith((".core.windows.net", ".fabric.microsoft.com")):
        raise _Unknown
    key = options.take("account_key") or given.get("AccountKey")
    sas = options.take("sas_token") or given.get("SharedAccessSignature")
    names = ("tenant_id", "client_id", "client_secret")
    client = {name: options.take(name) for name in names}
    anonymous, endpoint = options.take("anon"), given.get("BlobEndpoint")
    options.end((None, {}, False, "primary"))
    if not account or (endpoint and not _is_http(endpoint)):
        raise _Unknown
    config: dict[str, Any] = {"account_name": account}
    http = {}
    if endpoint:
        config["endpoint"] = _checked_endpoint(endpoint)
        http["allow_http"] = endpoint.startswith("http://")
    key = key or (None if sas else _environment("AZURE_STORAGE_ACCOUNT_KEY"))
    sas = sas or (None if key else _environment("AZURE_STORAGE_SAS_TOKEN"))
    if anonymous:
        config["skip_signature"] = True
    elif key:
        config["account_key"] = key
    elif sas:
        config["sas_key"] = sas.removeprefix("?")
    elif all(client.values()):
        config |= client
    else:
        raise _Unknown  # the chain of azure.identity, which adlfs asks
    how = Credentials("anonymous" if anonymous else "keys")
    return Plan("azure", container, base, tuple(config.items()), tuple(http.items()), how)


def _connection(text: Any) -> dict[str, str]:
    """The parts of a connection string, such as ``AccountName=lab;AccountKey=...``."""
    text = text or _environment("AZURE_STORAGE_CONNECTION_STRING")
    if not isinstance(text, str):
        return {}
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


# HTTP


def _http(protocol: str, place: str, options: _Options) -> Plan:
    inner = options.table("client_kwargs")
    headers = options.take("headers") or inner.take("headers") or {}
    options.end((None, {}, False))
    inner.end()
    client: dict[str, Any] = {"allow_http": protocol == "http"}
    if headers:
        client["default_headers"] = tuple(sorted(headers.items()))
    host, base = _split(place)
    return Plan("http", f"{protocol}://{host}", unquote(base), (), tuple(client.items()))


_PLANS: Final[dict[str, Callable[[str, str, _Options], Plan]]] = {
    **dict.fromkeys(("s3", "s3a"), _s3),
    **dict.fromkeys(("gs", "gcs"), _gcs),
    **dict.fromkeys(("abfs", "abfss", "az"), _azure),
    **dict.fromkeys(("http", "https"), _http),
}


def _split(place: str) -> tuple[str, str]:
    """Bucket and path of what follows the protocol in a URL."""
    bucket, _, base = place.partition("/")
    return bucket, base.strip("/")


def _environment(*names: str) -> str | None:
    return next((found for name in names if (found := os.environ.get(name))), None)


def _is_http(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(("http://", "https://"))


def _checked_endpoint(endpoint: str) -> str:
    if not _is_http(endpoint):
        raise InvalidError(
            f"bad endpoint {endpoint!r}: expected a URL such as 'https://minio.lab:9000'"
        )
    try:
        has_host = bool(urlsplit(endpoint).hostname) and urlsplit(endpoint).port != 0
    except ValueError:
        has_host = False
    if not has_host or re.search(r"\s", endpoint):
        raise InvalidError("bad endpoint: its host or port makes no sense")
    if "@" in urlsplit(endpoint).netloc:
        raise InvalidError("the endpoint contains a password: pass key and secret instead")
    return endpoint.rstrip("/")
