"""What went wrong with a request, told apart from what clients raise, and in plain words.

Clients wrap one another, and say things in their own ways: here a failure is a status, a
code of the store (such as ``SlowDown``) or a fault of the connection, and each kind has
one piece of advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hubzarr.errors import HubzarrError, StorageError

__all__ = [
    "Failure",
    "explained",
    "failure_of",
    "is_final",
    "is_passing",
    "is_unreachable",
    "may_be_missing",
]

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([^<]{1,64})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<\n]{1,200})")
_TRIES: Final = re.compile(r"after (\d+) retries")
_SECONDS: Final = re.compile(r" in ([\d.]+)s\b")
# Signed URLs carry secrets after the question mark.
_QUERY: Final = re.compile(r"\?[^\s\"'<>]*")

# Each pattern is searched in what a client says; the first that is found counts.
_FAULTS: Final = {
    "region": re.compile(r"redirect without LOCATION|incorrectly configured region", re.I),
    "tls": re.compile(r"InvalidContentType|WRONG_VERSION_NUMBER|record layer failure", re.I),
    "dns": re.compile(r"dns error|failed to lookup|name resolution|ConnectorDNS|gaierror", re.I),
    # "ssl" alone is in every message of aiohttp.
    "certificate": re.compile(r"certificate|SSL validation failed", re.I),
    "refused": re.compile(r"refused|ClientConnectorError|EndpointConnection|Connect,", re.I),
    "encryption": re.compile(r"\bssl\b|\btls\b", re.I),
    "timeout": re.compile(r"TimedOut|timed out|Time-?outError|(?<!retry_)\btimeout\b", re.I),
    "dropped": re.compile(
        r"reset|IncompleteMessage|closed before|body error|ServerDisconnected|PayloadError"
        r"|IncompleteRead|ResponseStreamingError|ConnectionError|error sending request",
        re.I,
    ),
    "damaged": re.compile(r"invalid (list response|utf-8)|ChecksumError|ResponseParserError", re.I),
    "credentials": re.compile(
        r"NoCredentials|unable to locate credentials|credential.{0,40}not (found|configured)"
        r"|DefaultCredentialsError|token request|RefreshError|AzureCredential failed",
        re.I,
    ),
}

_REFUSED_KEYS: Final = frozenset(
    {
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed"),
        *("InvalidSecurity", "AuthorizationQueryParametersError", "UnrecognizedClientException"),
        "InvalidAuthenticationInfo",
    }
)
_EXPIRED: Final = frozenset({"ExpiredToken", "TokenRefreshRequired", "RequestExpired"})
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"})
_WRONG_REGION: Final = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_CLOCK: Final = frozenset({"RequestTimeTooSkewed"})
_UNREACHABLE: Final = frozenset({"dns", "refused"})
_PASSING: Final = _UNREACHABLE | {"timeout", "dropped", "damaged"}
_FINAL: Final = frozenset({"EACCES", "EPERM", "ENOENT", "EROFS", "clock", "region", "tls"})


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed, as far as the client's error tells.

    Examples
    --------
    >>> failure = Failure(status=503, code="SlowDown", tries=9, seconds=12.5)
    >>> print(explained(failure, "read", "s3://lab/x"))
    can't read 's3://lab/x': the store is overloaded (503 SlowDown, tried 9 times in 12.5 s): \
ask for less at once, or try again later
    """

    status: int | None = None
    code: str = ""
    message: str = ""
    fault: str = ""
    tries: int = 1
    seconds: float | None = None
    text: str = ""


def failure_of(error: BaseException) -> Failure:
    """Return what an error of some client says, in the one or other way."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)  # botocore
        if isinstance(response, dict) and "Error" in response:
            return _of_botocore(error, response)
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else _status_of(error)
    head = text.partition("\n\nDebug source")[0]
    seconds = _SECONDS.search(head)
    return Failure(
        status=status,
        code=found[1] if (found := _CODE.search(text)) else _code_of(error),
        message=found[1] if (found := _MESSAGE.search(text)) else "",
        fault="" if status else _fault_of(error),
        tries=1 + int(found[1]) if (found := _TRIES.search(head)) else 1,
        seconds=float(seconds[1]) if seconds else None,
        text=f"{type(error).__name__}: {_shortened(head) or 'no details'}",
    )


def explained(failure: Failure, verb: str, where: str) -> StorageError:
    """Return our error: what failed, how often it was tried, what to do."""
    reason, advice = _advice(failure, where)
    return StorageError(
        f"can't {verb} {where!r}: {advice}",
        path=where,
        reason=reason,
        status=failure.status,
        code=failure.code or None,
        tries=failure.tries,
    )


def is_passing(error: HubzarrError) -> bool:
    """Whether a failure may be over soon.

    >>> is_passing(explained(Failure(status=503), "read", "s3://lab/x"))
    True
    >>> is_passing(explained(Failure(status=501), "read", "s3://lab/x"))
    False
    """
    status, reason = error.fields.get("status"), error.fields.get("reason")
    if status == 501:
        return False
    return status in (408, 429) or (status or 0) >= 500 or reason in _PASSING


def is_unreachable(error: HubzarrError) -> bool:
    """Whether there was no connection at all: the address may be wrong.

    >>> is_unreachable(explained(Failure(fault="refused"), "read", "s3://lab/x"))
    True
    """
    return error.fields.get("reason") in _UNREACHABLE


def may_be_missing(error: HubzarrError) -> bool:
    """Whether a store says so of missing objects too, to those who may not list.

    >>> may_be_missing(explained(Failure(status=403, code="AccessDenied"), "read", "s3://lab/x"))
    True
    >>> may_be_missing(explained(Failure(status=403, code="ExpiredToken"), "read", "s3://lab/x"))
    False
    """
    return error.fields.get("status") == 403 and error.fields.get("code") in (None, "AccessDenied")


def is_final(error: StorageError) -> bool:
    """Whether it is of no use to ask again: no rights, no bucket, a wrong clock."""
    return error.reason in _FINAL


def _advice(failure: Failure, where: str) -> tuple[str, str]:
    status, code, fault = failure.status, failure.code, failure.fault
    what = _what(failure)
    if code in _CLOCK:
        return "clock", f"the store refuses this machine's time ({what}): set the clock right"
    if code in _NO_BUCKET:
        bucket = where.partition("://")[2].partition("/")[0]
        return "ENOENT", (
            f"the bucket {bucket!r} does not exist ({what}): correct its name, or create it"
        )
    if code in _EXPIRED:
        return "EACCES", f"the credentials have expired ({what}): renew them, then try again"
    if code in _REFUSED_KEYS or status == 401:
        return "EACCES", (
            f"the store refuses the credentials ({what}): check {_means(where)[0]}, "
            "and the endpoint"
        )
    if code in _WRONG_REGION or fault == "region" or status in (301, 307, 308):
        return "region", (
            f"the bucket lies in another region or at another endpoint ({what}): "
            "pass region or endpoint_url"
        )
    if status == 403:
        return "EACCES", (
            f"access is denied ({what}): check what these credentials may do there (who may "
            "not list is told so of missing objects too)"
        )
    if status in (429, 503):
        return code or str(status), (
            f"the store is overloaded ({what}): ask for less at once, or try again later"
        )
    if status is not None and status >= 500:
        return code or str(status), f"the store failed ({what}): try again later"
    return _of_connection(failure, what, where)


def _of_connection(failure: Failure, what: str, where: str) -> tuple[str, str]:
    tried = f" ({what})" if what else ""
    advices = {
        "dns": "its host is unknown{}: check the endpoint and the network",
        "refused": "no connection to its host{}: check the endpoint and the network",
        "tls": "its host does not speak TLS{}: write http:// instead of https:// in the endpoint, "
        "or correct its port",
        "encryption": "no encrypted connection to its host{}: check the endpoint",
        "certificate": "the certificate of its host is not trusted{}: check the endpoint, or "
        "name your own authority's certificate",
        "timeout": "the store does not answer{}: check the network, then try again, or allow "
        "more with timeout=",
        "dropped": "the connection broke{}: check the network, then try again",
        "damaged": "the answer was damaged on its way{}: check the network, then try again",
        "credentials": f"no credentials were found{{}}: {_means(where)[1]}, or pass anon=True "
        "for public data",
    }
    advice = advices.get(failure.fault)
    if advice is not None:
        reason = "EACCES" if failure.fault == "credentials" else failure.fault
        return reason, advice.format(tried)
    return failure.code or str(failure.status or "unknown"), (
        f"{what or failure.text}: check the address, the credentials and the network, "
        "then try again"
    )


def _means(where: str) -> tuple[str, str]:
    """What proves to this kind of store who asks, and how to give it."""
    protocol = where.partition("://")[0]
    if protocol in ("az", "abfs", "abfss"):
        return "account_name, account_key or sas_token", (
            "give account_key, sas_token or connection_string, set AZURE_STORAGE_ACCOUNT_KEY, "
            "sign in with 'az login'"
        )
    if protocol in ("gs", "gcs"):
        return "token and project", (
            "give token, the path of a service account's key, set "
            "GOOGLE_APPLICATION_CREDENTIALS, sign in with 'gcloud auth application-default login'"
        )
    if protocol in ("http", "https"):
        return "headers", "give headers"
    return "key, secret, token or profile", (
        "give key and secret, a token or a profile, set them in the environment"
    )


def _what(failure: Failure) -> str:
    """Status, code and tries: '503 SlowDown, tried 9 times in 12.5 s'."""
    parts = []
    if failure.status or failure.code:
        parts.append(" ".join(str(part) for part in (failure.status, failure.code) if part))
        if failure.message and failure.status not in (429, 503):
            parts[0] += f": {failure.message.strip().rstrip('.')}"
    if failure.tries > 1:
        took = f" in {failure.seconds:.3g} s" if failure.seconds else ""
        parts.append(f"tried {failure.tries} times{took}")
    return ", ".join(parts)


def _of_botocore(error: BaseException, response: dict[str, Any]) -> Failure:
    about, meta = response.get("Error") or {}, response.get("ResponseMetadata") or {}
    code = str(about.get("Code") or "")
    status = meta.get("HTTPStatusCode")
    return Failure(
        status=status if isinstance(status, int) else int(code) if code.isdigit() else None,
        code="" if code.isdigit() else code,
        message=_shortened(str(about.get("Message") or ""))[:200],
        tries=1 + int(meta.get("RetryAttempts") or 0),
        text=_shortened(str(error)) or type(error).__name__,
    )


def _status_of(error: BaseException) -> int | None:
    """The HTTP status in errors of gcsfs, aiohttp and Azure's client."""
    for cause in _chain(error):
        # aiohttp's errors of bodies have a code too, which is none of the server's.
        own = type(cause).__name__ == "HttpError"
        for name in ("status", "status_code", *(["code"] if own else [])):
            value = getattr(cause, name, None)
            if isinstance(value, str) and value.isdecimal():
                value = int(value)
            if isinstance(value, int) and 300 <= value < 600:
                return value
        if type(cause).__name__ == "ProxyError" and not str(cause):  # gcsfs
            return 502
        if isinstance(cause, OSError) and str(cause).startswith("Forbidden"):  # gcsfs
            return 403
    return None


def _code_of(error: BaseException) -> str:
    for cause in _chain(error):
        code = getattr(cause, "error_code", None)  # Azure's client; may be an enumeration
        if code:
            return str(getattr(code, "value", code))
    return ""


def _fault_of(error: BaseException) -> str:
    said = "\n".join(f"{type(cause).__name__} {cause}" for cause in _chain(error))
    return next((name for name, found in _FAULTS.items() if found.search(said)), "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(8):
        # What was understood before is another failure, during which this one happened.
        if cause is None or isinstance(cause, HubzarrError):
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _shortened(text: str) -> str:
    return _QUERY.sub("", re.sub(r"\s+", " ", text)).strip()[:400]
