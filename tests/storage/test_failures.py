"""What went wrong, from what clients say."""

from __future__ import annotations

import errno

import pytest

from hubzarr.errors import StorageError
from hubzarr.storage.network.connect import translated
from hubzarr.storage.network.failures import Failure, explained, failure_of, is_final, is_passing


class _Http(Exception):
    """As aiohttp and Azure's client raise them."""

    def __init__(self, status, text="bad"):
        super().__init__(text)
        self.status = status


class HttpError(Exception):
    """As gcsfs raises it."""

    code = "503"


class _Client(Exception):
    """As botocore raises it."""

    def __init__(self, code, status, retries=0):
        super().__init__(f"An error occurred ({code})")
        meta = {"HTTPStatusCode": status, "RetryAttempts": retries}
        self.response = {"Error": {"Code": code, "Message": "no."}, "ResponseMetadata": meta}


OVERLOADED = """Generic S3 error: Error performing GET http://h/b/x?sig=hunter2 in 10.6s, after 8 \
retries, max_retries: 8, retry_timeout: 90s - Server returned non-2xx status code: 503 Service \
Unavailable: <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>

Debug source:
Generic { retry_timeout: 90s }"""
REFUSED = """Generic S3 error: Error performing GET http://h/b/x in 137.4ms, after 1 retries, \
max_retries: 1, retry_timeout: 180s  - HTTP error: error sending request

Debug source: ... kind: Connect, source: ... ConnectError("tcp connect error", Os { code: 111, \
kind: ConnectionRefused, message: "Connection refused" })"""
RESET = """Generic S3 error: Error performing POST http://h/b?delete in 1ms - HTTP error: error \
sending request

Debug source: RetryErrorImpl { retry_timeout: 3s, kind: ConnectionReset }"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(OVERLOADED), (503, "SlowDown", "", 9)),
        (RuntimeError(REFUSED), (None, "", "refused", 2)),
        (RuntimeError(RESET), (None, "", "dropped", 1)),
        (_Http(403), (403, "", "", 1)),
        (HttpError("try later"), (503, "", "", 1)),
        (_Client("SlowDown", 503, 4), (503, "SlowDown", "", 5)),
        (OSError("Forbidden: https://host/x"), (403, "", "", 1)),
        (TimeoutError(), (None, "", "timeout", 1)),
        (ConnectionResetError("reset by peer"), (None, "", "dropped", 1)),
        (RuntimeError("certificate verify failed"), (None, "", "certificate", 1)),
        (RuntimeError("Unable to locate credentials"), (None, "", "credentials", 1)),
    ],
)
def test_kinds_of_failures(error, expected):
    found = failure_of(error)
    assert (found.status, found.code, found.fault, found.tries) == expected


def test_the_cause_is_looked_at_too():
    error = OSError(errno.EINVAL, "bad")
    error.__cause__ = _Client("NoSuchBucket", 404)
    assert failure_of(error).code == "NoSuchBucket"


def test_messages_say_what_how_often_and_what_to_do():
    error = explained(failure_of(RuntimeError(OVERLOADED)), "read", "s3://b/x")
    assert str(error) == (
        "can't read 's3://b/x': the store is overloaded (503 SlowDown, tried 9 times in 10.6 s): "
        "ask for less at once, or try again later"
    )
    assert (error.status, error.code, error.tries) == (503, "SlowDown", 9)
    assert isinstance(error, StorageError)


def test_signed_urls_are_not_shown():
    error = RuntimeError("odd answer from https://h/b/x?sv=1&sig=hunter2 today")
    assert "hunter2" not in str(explained(failure_of(error), "read", "az://b/x"))
    assert "odd answer from https://h/b/x today" in str(translated(error, "read", "az://b/x"))


@pytest.mark.parametrize(
    ("failure", "passing", "final"),
    [
        (Failure(status=503), True, False),
        (Failure(status=503, tries=9), True, False),  # Attempts counts these tries
        (Failure(fault="damaged"), True, False),
        (Failure(status=429), True, False),
        (Failure(status=501), False, False),
        (Failure(fault="dropped"), True, False),
        (Failure(fault="refused", tries=9), True, False),
        (Failure(status=403), False, True),
        (Failure(status=404, code="NoSuchBucket"), False, True),
        (Failure(status=403, code="RequestTimeTooSkewed"), False, True),
    ],
)
def test_what_may_pass_and_what_is_final(failure, passing, final):
    error = explained(failure, "read", "s3://b/x")
    assert (is_passing(error), is_final(error)) == (passing, final)


def test_errors_of_the_system_keep_their_advice():
    error = translated(OSError(errno.ENOSPC, "No space left"), "write", "sftp://host/x")
    assert error.reason == "ENOSPC"
    assert "free some space" in str(error)
