"""Who asks: keys, profiles, commands that give keys for a while, tokens of Google."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from hubzarr.errors import InvalidError, StorageError
from hubzarr.storage import ObjectStorage
from hubzarr.storage.objectstores import clients
from hubzarr.storage.objectstores.credentials import from_botocore, from_google
from hubzarr.storage.objectstores.objects import FsspecStorage
from tests.storage.scripted import scripted

pytest.importorskip("obstore")
pytest.importorskip("botocore")


@pytest.fixture(autouse=True)
def aws(tmp_path, monkeypatch):
    """Files of AWS that are empty, and no machine to ask for credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "config"
    config.write_text("")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(clients, "_clients", clients._Clients())
    return config


def _seen(log):
    """Keys and regions that requests were signed with."""
    return [
        headers["authorization"].partition("Credential=")[2].split("/")[:3:2]
        for _, _, headers in log
        if "authorization" in headers
    ]


def _missing(*asked):
    return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"


def test_a_profile_gives_keys_region_and_endpoint(aws):
    with scripted(_missing) as (endpoint, log):
        aws.write_text(
            "[profile lab]\naws_access_key_id = FROMFILE\naws_secret_access_key = s\n"
            f"region = eu-west-1\nendpoint_url = {endpoint}\n"
        )
        assert ObjectStorage("s3://lab/hub", {"profile": "lab"}).get("x") is None
        assert _seen(log) == [["FROMFILE", "eu-west-1"]]
        # What is passed wins.
        options = {"profile": "lab", "region": "us-east-2", "endpoint_url": endpoint}
        assert ObjectStorage("s3://lab/hub", options).get("x") is None
        assert _seen(log)[1:] == [["FROMFILE", "us-east-2"]]


def test_keys_that_end_are_renewed(aws, tmp_path):
    counter = tmp_path / "count"
    script = tmp_path / "keys.py"
    script.write_text(f"""
import datetime, json, pathlib
count = pathlib.Path({str(counter)!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
print(json.dumps({{"Version": 1, "AccessKeyId": f"KEY{{number}}", "SecretAccessKey": "s",
                  "SessionToken": "t", "Expiration": ends.isoformat()}}))
""")
    aws.write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")
    with scripted(_missing) as (endpoint, log):
        storage = ObjectStorage("s3://lab/hub", {"endpoint_url": endpoint, "region": "eu"})
        assert storage.get("x") is None
        assert log[0][2]["x-amz-security-token"] == "t"
    first = int(counter.read_text())
    provide = from_botocore(clients.botocore_session(None))
    found = provide()
    assert found["access_key_id"] == f"KEY{counter.read_text()}"
    assert int(counter.read_text()) > first
    # botocore renews what ends within ten minutes, so obstore must ask again before that.
    assert found["expires_at"] - datetime.now(UTC) < timedelta(minutes=10)


def test_no_credentials_at_all():
    storage = ObjectStorage("s3://lab/hub", {"endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StorageError, match=r"no credentials were found.*anon=True") as caught:
        storage.get("x")
    assert caught.value.reason == "EACCES"


def test_a_profile_that_is_missing():
    with pytest.raises(StorageError, match="no AWS profile 'nobody'"):
        ObjectStorage("s3://lab/hub", {"profile": "nobody"}).get("x")


def test_a_profile_that_only_fsspec_knows(aws):
    with scripted(_missing) as (endpoint, log):
        aws.write_text(
            "[profile lab]\naws_access_key_id = FROMFILE\naws_secret_access_key = s\n"
            "region = eu-west-1\ns3 =\n  addressing_style = path\n"
        )
        options = {"profile": "lab", "endpoint_url": endpoint, "retries": 0}
        storage = ObjectStorage("s3://lab/hub", options)
        assert storage.get("x") is None
        assert isinstance(storage.by_fsspec(), FsspecStorage)
        assert "botocore" in log[0][2]["user-agent"].lower()


def test_anonymous_requests_are_not_signed():
    with scripted(_missing) as (endpoint, log):
        storage = ObjectStorage("s3://lab/hub", {"endpoint_url": endpoint, "anon": True})
        assert storage.get("x") is None
        assert "authorization" not in log[0][2]


def test_keys_do_not_mix_with_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody else")
    with scripted(_missing) as (endpoint, log):
        options = {"endpoint_url": endpoint, "key": "MINE", "secret": "s", "region": "eu"}
        assert ObjectStorage("s3://lab/hub", options).get("x") is None
        assert _seen(log) == [["MINE", "eu"]]
        assert "x-amz-security-token" not in log[0][2]


class _Token:
    """Credentials as google-auth has them."""

    def __init__(self):
        self.token, self.valid, self.expiry, self.renewals = None, False, None, 0

    def refresh(self, request):
        self.renewals += 1
        self.token, self.valid = f"token{self.renewals}", True
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)


def test_tokens_of_google_are_renewed():
    pytest.importorskip("google.auth")
    token = _Token()
    provide = from_google("object", token)
    assert provide()["token"] == "token1"
    assert provide()["token"] == "token1"
    token.valid = False
    found = provide()
    assert found["token"] == "token2"
    assert found["expires_at"].tzinfo is UTC


def test_requests_to_google_carry_the_token():
    pytest.importorskip("google.auth")
    with scripted(_missing) as (endpoint, log):
        options = {"endpoint_url": endpoint, "token": _Token()}
        assert ObjectStorage("gs://lab/hub", options).get("x") is None
        assert log[0][2]["authorization"] == "Bearer token1"
    with pytest.raises(InvalidError, match="bad service account of Google"):
        from_google("account", json.dumps({"type": "service_account"}))
