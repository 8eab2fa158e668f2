"""What a newcomer gets wrong, and what the error says about it."""

from __future__ import annotations

import logging

import pytest

from hubzarr.errors import InvalidError, StorageError
from hubzarr.storage import FsspecStorage, ObjectStorage, open_storage
from hubzarr.storage.network.failures import Failure, explained
from hubzarr.storage.network.options import check_options
from hubzarr.storage.objectstores import objects
from tests.storage.scripted import scripted

pytest.importorskip("obstore")

KEYS = {"key": "K", "secret": "S"}


class PanicException(BaseException):
    """As compiled clients raise it."""


def test_no_bucket_precedes_the_address_of_a_host():
    style = {"config_kwargs": {"s3": {"addressing_style": "virtual"}}}
    for host in ("127.0.0.1:1", "[::1]:1"):
        storage = open_storage("s3://lab/x", KEYS | style | {"endpoint_url": f"http://{host}"})
        assert type(storage) is FsspecStorage


def test_a_panic_is_an_error(monkeypatch):
    def panic(*args):
        raise PanicException("called `Result::unwrap()` on an `Err` value")

    monkeypatch.setattr(objects, "open_client", panic)
    with pytest.raises(StorageError, match="transport='fsspec'"):
        ObjectStorage("s3://lab/x", KEYS).get("a")


@pytest.mark.parametrize("endpoint", ["http://x:999999", "http://", "http://a b"])
def test_endpoints_that_make_no_sense(endpoint):
    with pytest.raises(InvalidError, match="makes no sense"):
        open_storage("s3://lab/x", KEYS | {"endpoint_url": endpoint})


@pytest.mark.parametrize("transport", ["obstore", "fsspec"])
def test_a_server_without_tls(transport):
    with scripted(lambda *request: (200, {}, b"")) as (endpoint, _):
        secure = endpoint.replace("http:", "https:")
        options = KEYS | {"endpoint_url": secure, "transport": transport}
        for url, chosen in (("s3://lab/x", options), (f"{secure}/x", {"transport": transport})):
            with pytest.raises(StorageError, match=r"does not speak TLS.*write http://") as caught:
                open_storage(url, chosen).get("a")
            assert caught.value.tries == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://lab/x", ["profile"]),
        ("gs://lab/x", ["gcloud auth", "GOOGLE_APPLICATION_CREDENTIALS"]),
        ("az://lab/x", ["account_key", "az login"]),
        ("https://lab/x", ["headers"]),
    ],
)
def test_advice_is_about_the_store_at_hand(url, words):
    said = str(explained(Failure(fault="credentials"), "read", url))
    assert all(word in said for word in words)
    assert ("profile" in said) == url.startswith("s3")
    refused = str(explained(Failure(status=401), "read", url))
    assert ("secret" in refused) == url.startswith("s3")


def test_clients_of_python_neither_retry_nor_print(caplog):
    pytest.importorskip("gcsfs")
    address = {"endpoint_url": "http://127.0.0.1:1", "token": "anon", "project": "p", "retries": 1}
    storage = FsspecStorage("gs://lab/x", address)
    with pytest.raises(StorageError, match=r"no connection.*tried 2 times"):
        storage.get("a")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("url", "option", "hint"),
    [
        ("s3://lab/x", "endpont", "did you mean 'endpoint_url'"),
        ("S3://lab/x", "retrys", "did you mean 'retries'"),
        ("s3://lab/x", "walrus", r"Known ones are .*'?anon'?, .*secret"),
        ("gs://lab/x", "projct", "did you mean 'project'"),
        ("az://lab/x", "acount_key", "did you mean 'account_key'"),
        ("https://lab/x", "header", "did you mean 'headers'"),
    ],
)
@pytest.mark.parametrize("transport", ["auto", "fsspec"])
def test_misspelled_options(url, option, hint, transport):
    with pytest.raises(InvalidError, match=f"unknown option '{option}' for .*{hint}") as caught:
        open_storage(url, {option: "hunter2", "transport": transport})
    assert "hunter2" not in str(caught.value)


def test_options_that_libraries_pass_on_are_left_to_them():
    check_options("az://lab/x", {"exclude_managed_identity_credential": True})
    check_options("https://lab/x", {"ssl": False, "auth": None, "get_client": None})
    check_options("s3://lab/x", {"version_aware": False, "timeout": 3, "profile": "lab"})
    check_options("sftp://host/x", {"anything": 1})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "hunter2"}, "'key' without 'secret'"),
        ({"secret": "hunter2"}, "'secret' without 'key'"),
        ({"client_kwargs": {"aws_access_key_id": "hunter2"}}, "'key' without 'secret'"),
    ],
)
def test_half_a_pair_of_keys(options, said):
    with pytest.raises(InvalidError, match=said) as caught:
        open_storage("s3://lab/x", options)
    assert "hunter2" not in str(caught.value)
