"""What fsspec's options mean to obstore."""

from __future__ import annotations

import json

import pytest

from hubzarr.errors import InvalidError, UnsupportedError
from hubzarr.storage import FsspecStorage, HttpStorage, ObjectStorage, open_storage
from hubzarr.storage.objectstores.plans import Credentials, Plan, plan_for

pytest.importorskip("obstore")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in (
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"),
        *("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"),
        *("AZURE_STORAGE_CONNECTION_STRING", "STORAGE_EMULATOR_HOST"),
    ):
        monkeypatch.delenv(name, raising=False)


KEYS = {"key": "K", "secret": "S"}
OWN = {"endpoint": "http://x:1", "virtual_hosted_style_request": False}
AWS = {"virtual_hosted_style_request": True}


@pytest.mark.parametrize(
    ("options", "config", "client", "credentials"),
    [
        ({}, AWS, {}, ("botocore", (None,))),
        ({"profile": "lab"}, AWS, {}, ("botocore", ("lab",))),
        ({"anon": True}, AWS, {}, ("anonymous", ())),
        (KEYS, AWS, {}, ("keys", ("K", "S", None))),
        (KEYS | {"token": "T"}, AWS, {}, ("keys", ("K", "S", "T"))),
        (KEYS | {"region": "eu"}, {"region": "eu"} | AWS, {}, None),
        (KEYS | {"client_kwargs": {"region_name": "eu"}}, {"region": "eu"} | AWS, {}, None),
        (KEYS | {"endpoint_url": "http://x:1/"}, OWN, {"allow_http": True}, None),
        (KEYS | {"client_kwargs": {"endpoint_url": "http://x:1"}}, OWN, {"allow_http": True}, None),
        (
            KEYS
            | {
                "endpoint_url": "https://x",
                "config_kwargs": {
                    "s3": {"addressing_style": "virtual"},
                    "max_pool_connections": 9,
                },
            },
            {"endpoint": "https://lab.x", "virtual_hosted_style_request": True},
            {"allow_http": False},
            None,
        ),
        (KEYS | {"config_kwargs": {"s3": {"addressing_style": "path"}}}, {}, {}, None),
        (KEYS | {"client_kwargs": {"verify": False}}, AWS, {"allow_invalid_certificates": True}, 0),
        (KEYS | {"requester_pays": True}, {"request_payer": True} | AWS, {}, None),
        (KEYS | {"use_listings_cache": False, "max_concurrency": 1}, AWS, {}, None),
    ],
)
def test_options_of_s3(options, config, client, credentials):
    plan = plan_for("s3://lab/team/hub/", options)
    assert (plan.kind, plan.bucket, plan.base) == ("s3", "lab", "team/hub")
    assert dict(plan.config) == config
    assert dict(plan.client) == client
    if credentials:
        assert plan.credentials == Credentials(*credentials)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://lab/x", {"session": object()}),
        ("s3://lab/x", {"key": "K"}),
        ("s3://lab/x", {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}}),
        ("s3://lab/x", {"config_kwargs": {"signature_version": "s3"}}),
        ("s3://lab/x", {"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}}),
        ("s3://lab/x", {"client_kwargs": {"verify": "/no/such/file"}}),
        ("s3://lab/x", {"use_ssl": False}),
        ("gs://lab/x", {"token": "browser"}),
        ("gs://lab/x", {"requester_pays": True}),
        ("az://lab/x", {"account_name": "a"}),
        ("az://lab@host.example.org/x", {"account_name": "a", "account_key": "K"}),
        ("https://host/x", {"client_kwargs": {"auth": object()}}),
        ("ftp://host/x", {}),
    ],
)
def test_what_obstore_does_not_know(url, options):
    assert plan_for(url, options) is None


def test_variables_of_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "K")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "T")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://minio:9000")
    plan = plan_for("s3://lab/x", {})
    assert plan.credentials == Credentials("keys", ("K", "S", "T"))
    assert (plan.get("region"), plan.get("endpoint")) == ("eu-west-1", "http://minio:9000")
    # What is passed wins, and does not mix with what lies about.
    plan = plan_for("s3://lab/x", {"endpoint_url": "http://x:1", "key": "k", "secret": "s"})
    assert plan.credentials == Credentials("keys", ("k", "s", None))
    assert plan.get("endpoint") == plan.get("aws_endpoint_url_s3") == "http://x:1"
    assert plan_for("s3://lab/x", {"profile": "p"}).credentials.how == "botocore"


def test_buckets_with_dots_are_paths():
    assert plan_for("s3://data.example.org/x", KEYS).get("virtual_hosted_style_request") is None


def test_options_of_google(tmp_path):
    account = {"type": "service_account", "client_email": "a@b"}
    file = tmp_path / "key.json"
    file.write_text(json.dumps(account))
    cases = {
        None: ("google", ("default", None)),
        "google_default": ("google", ("default", None)),
        "anon": ("anonymous", ()),
        str(file): ("google", ("account", json.dumps(account, sort_keys=True))),
    }
    for token, expected in cases.items():
        plan = plan_for("gs://lab/hub", {"token": token, "project": "p", "access": "read_write"})
        assert (plan.kind, plan.bucket, plan.base) == ("gcs", "lab", "hub")
        assert plan.credentials == Credentials(*expected)
    plan = plan_for("gcs://lab/hub", {"token": account})
    assert json.loads(plan.credentials.what[1]) == account


def test_options_of_azure():
    plan = plan_for("az://lab/hub", {"account_name": "a", "account_key": "K"})
    assert (plan.kind, plan.bucket, plan.base) == ("azure", "lab", "hub")
    assert dict(plan.config) == {"account_name": "a", "account_key": "K"}
    plan = plan_for("abfss://lab@a.dfs.core.windows.net/hub", {"sas_token": "?sv=1"})
    assert dict(plan.config) == {"account_name": "a", "sas_key": "sv=1"}
    text = "AccountName=a;AccountKey=K==;BlobEndpoint=http://127.0.0.1:1/a;"
    plan = plan_for("az://lab/hub", {"connection_string": text})
    assert plan.get("account_key") == "K=="
    assert dict(plan.client) == {"allow_http": True}
    who = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
    assert dict(plan_for("az://lab/x", {"account_name": "a"} | who).config) == (
        {"account_name": "a"} | who
    )
    assert plan_for("az://lab/x", {"account_name": "a", "anon": True}).get("skip_signature")


def test_options_of_http():
    plan = plan_for("https://host:8/data/hub", {"headers": {"X-A": "1"}})
    assert (plan.kind, plan.bucket, plan.base) == ("http", "https://host:8", "data/hub")
    assert dict(plan.client) == {"allow_http": False, "default_headers": (("X-A", "1"),)}


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://x", "http://me:hunter2@x"])
def test_bad_endpoints(endpoint):
    with pytest.raises(InvalidError) as caught:
        plan_for("s3://lab/x", KEYS | {"endpoint_url": endpoint})
    assert "hunter2" not in str(caught.value)


def test_plans_show_no_secrets():
    plan = plan_for("s3://lab/x", {"key": "AKIA", "secret": "hunter2", "token": "hunter3"})
    azure = plan_for("az://lab/x", {"account_name": "a", "account_key": "hunter2"})
    assert "AKIA" not in repr(plan)
    assert "hunter" not in repr(plan) + repr(azure)
    assert isinstance(plan, Plan)


def test_the_transport_is_chosen(monkeypatch):
    assert type(open_storage("s3://lab/x", KEYS)) is ObjectStorage
    assert type(open_storage("S3://lab/x", KEYS)) is ObjectStorage
    assert type(open_storage("https://host/x")) is HttpStorage
    assert type(open_storage("s3://lab/x", KEYS | {"transport": "fsspec"})) is FsspecStorage
    assert type(open_storage("s3://lab/x", KEYS | {"use_ssl": False})) is FsspecStorage
    emulator = {"endpoint_url": "http://127.0.0.1:1", "token": "anon", "project": "p"}
    assert type(open_storage("gs://lab/x", emulator)) is FsspecStorage
    monkeypatch.setenv("HUBZARR_TRANSPORT", "fsspec")
    assert type(open_storage("s3://lab/x", KEYS)) is FsspecStorage
    assert type(open_storage("s3://lab/x", KEYS | {"transport": "obstore"})) is ObjectStorage


def test_a_forced_transport_that_can_not():
    with pytest.raises(UnsupportedError, match=r"options .*'use_ssl'.*transport='fsspec'"):
        open_storage("s3://lab/x", KEYS | {"use_ssl": False, "transport": "obstore"})
    with pytest.raises(InvalidError, match="expected one of auto, obstore, fsspec"):
        open_storage("s3://lab/x", {"transport": "carrier pigeon"})


def test_without_obstore(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    assert type(open_storage("s3://lab/x", KEYS)) is FsspecStorage
    with pytest.raises(UnsupportedError, match=r"pip install 'hubzarr\[obstore\]'"):
        open_storage("s3://lab/x", KEYS | {"transport": "obstore"})


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": "1"}, {"retries": -1}])
def test_bad_patience(options):
    for transport in ("obstore", "fsspec"):
        with pytest.raises(InvalidError, match="expected a"):
            open_storage("s3://lab/x", KEYS | options | {"transport": transport})


@pytest.mark.parametrize("url", ["s3://", "s3:///x"])
def test_urls_without_a_bucket(url):
    with pytest.raises(InvalidError, match="names no bucket"):
        open_storage(url, KEYS)
