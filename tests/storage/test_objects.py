"""What the storage on obstore does about stores, clients and processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

from hubzarr.errors import StorageError, UnsupportedError
from hubzarr.storage import FsspecStorage, ObjectStorage, open_storage
from hubzarr.storage.objectstores.objects import _IN_PARTS
from hubzarr.threads import map_all
from tests.storage.scripted import scripted

pytest.importorskip("obstore")

KEYS = {"key": "testing", "secret": "testing"}
BOTH = pytest.mark.parametrize("kind", [ObjectStorage, FsspecStorage])


def xml(status, code, message="said the store"):
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, {"Content-Type": "application/xml"}, body.encode()


# Errors


@BOTH
def test_a_bucket_that_is_missing(s3, kind):
    storage = kind("s3://no-such-bucket-here/hub", s3.options)
    for ask in (
        lambda: storage.get("x"),
        lambda: storage.put("x", b"1"),
        lambda: storage.create("x", b"1"),
        lambda: storage.list_dir("", "a"),
    ):
        with pytest.raises(StorageError, match="the bucket 'no-such-bucket-here' does not exist"):
            ask()


REFUSALS = [
    (403, "AccessDenied", "EACCES", "access is denied"),
    (403, "InvalidAccessKeyId", "EACCES", "refuses the credentials"),
    (403, "SignatureDoesNotMatch", "EACCES", "refuses the credentials"),
    (403, "RequestTimeTooSkewed", "clock", "set the clock right"),
    (400, "ExpiredToken", "EACCES", "have expired.*renew them"),
    (400, "InvalidArgument", "InvalidArgument", "400 InvalidArgument: said the store"),
]


@BOTH
@pytest.mark.parametrize(("status", "code", "reason", "words"), REFUSALS)
def test_refusals_in_plain_words(kind, status, code, reason, words):
    with scripted(lambda *asked: xml(status, code)) as (endpoint, log):
        storage = kind("s3://lab/hub", KEYS | {"endpoint_url": endpoint, "retries": 1})
        with pytest.raises(StorageError, match=words) as caught:
            storage.get("x")
        assert (caught.value.reason, caught.value.status) == (reason, status)
        assert len(log) == 1  # nothing of this passes by waiting
        with pytest.raises(StorageError, match=words):
            storage.put("x", b"1")


@BOTH
def test_an_overloaded_store_is_asked_so_often(kind):
    with scripted(lambda *asked: xml(503, "SlowDown")) as (endpoint, log):
        storage = kind("s3://lab/hub", KEYS | {"endpoint_url": endpoint, "retries": 1})
        with pytest.raises(StorageError, match=r"overloaded \(503 SlowDown.*less at once"):
            storage.get("x")
    assert 2 <= len(log) <= 9


@BOTH
def test_nobody_listens(kind):
    storage = kind("s3://lab/hub", KEYS | {"endpoint_url": "http://127.0.0.1:9", "retries": 1})
    with pytest.raises(StorageError, match=r"no connection to its host.*check the endpoint"):
        storage.get("x")


@BOTH
def test_who_may_not_list_is_told_of_missing_objects(kind):
    def script(method, path, headers):
        if path.startswith("/lab/hub/there"):
            return 200, {"Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT", "ETag": '"1"'}, b"1"
        return xml(403, "AccessDenied")

    with scripted(script) as (endpoint, _):
        storage = kind("s3://lab/hub", KEYS | {"endpoint_url": endpoint, "retries": 0})
        with pytest.raises(StorageError, match="access is denied"):
            storage.get("missing")  # or everything is closed to us
        assert storage.get("there") == b"1"
        assert storage.get("missing") is None
        assert storage.exists("missing") is False
        # A repository can be read without lists, so callers must be able to tell.
        with pytest.raises(UnsupportedError, match="access is denied"):
            storage.list_dir("")
        with pytest.raises(StorageError, match="access is denied"):
            storage.put("new", b"1")


@BOTH
def test_credentials_that_are_revoked_make_nothing_missing(kind):
    valid = [True]

    def script(method, path, headers):
        if valid:
            return 200, {"Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT", "ETag": '"1"'}, b"1"
        return xml(403, "InvalidAccessKeyId")

    with scripted(script) as (endpoint, _):
        storage = kind("s3://lab/hub", KEYS | {"endpoint_url": endpoint, "retries": 0})
        assert storage.get("x") == b"1"
        valid.clear()
        for ask in (storage.get, storage.exists, storage.size):
            with pytest.raises(StorageError, match="refuses the credentials"):
                ask("x")


def test_a_bucket_in_another_region_is_found_there():
    def script(method, path, headers):
        here = {"x-amz-bucket-region": "eu-west-1", "ETag": '"1"'}
        if "/eu-west-1/s3/" in headers.get("authorization", ""):
            return 200, here | {"Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}, b"1"
        return 301, here, b""

    with scripted(script) as (endpoint, log):
        options = KEYS | {"endpoint_url": endpoint, "region": "us-east-1", "retries": 1}
        storage = ObjectStorage("s3://lab/hub", options)
        assert storage.get("x") == b"1"
        assert storage.get("y") == b"1"
        assert [method for method, _, _ in log] == ["GET", "HEAD", "GET", "GET"]
        storage.put("z", b"1")
        several = ObjectStorage("s3://lab/hub", options)
        assert map_all(several.get, ["x"] * 20, 20) == [b"1"] * 20


# Creating


@BOTH
def test_a_create_whose_answer_was_lost_was_ours(s3, proxy, kind):
    between = proxy(s3)
    storage = kind(between.url(), between.options | {"retries": 2, "timeout": 5})
    for faults in ({"lost_rate": 1}, {"late_error_rate": 1}):
        between.set(**faults, max_faults=1, match="PUT")
        name = next(iter(faults))
        assert storage.create(name, b"mine") is True
        assert storage.create(name, b"theirs") is False
        assert storage.get(name) == b"mine"
        between.reset()


@BOTH
def test_a_large_create_is_one_request(s3, proxy, kind):
    between = proxy(s3)
    storage = kind(between.url(), between.options)
    content = os.urandom(1 << 20) * 60  # above what clients send in parts by themselves
    assert storage.create("large", content) is True
    assert [asked["method"] for asked in between.log()] == ["PUT"]
    assert storage.create("large", b"other") is False
    assert storage.size("large") == len(content)


@BOTH
def test_an_empty_create_overwrites_nothing(s3, kind):
    storage = kind(s3.url(), s3.options)
    assert storage.create("x", b"1") is True
    assert storage.create("x", b"") is False
    assert storage.get("x") == b"1"


@BOTH
def test_a_store_that_refuses_conditions(kind):
    held = {}

    def script(method, path, headers):
        if method == "PUT":
            held[path] = True
            return 200, {"ETag": '"1"'}, b""
        return (404, {}, b"") if path not in held else (
            200, {"Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT", "ETag": '"1"'}, b"old"
        )  # fmt: skip

    with scripted(script) as (endpoint, _):
        options = KEYS | {"endpoint_url": endpoint, "retries": 0}
        storage = kind("s3://lab/hub", options, single_writer=True)
        assert storage.create("x", b"new") is True
        assert storage.create("x", b"newer") is False  # though the store would overwrite


def test_large_objects_go_in_parts(s3, proxy):
    between = proxy(s3)
    storage = ObjectStorage(between.url(), between.options)
    content = os.urandom(1 << 20) * ((_IN_PARTS >> 20) + 3)
    storage.put("large", content)
    assert len(between.log()) > 3
    assert storage.get("large") == content


# Requests


def test_a_read_is_one_request(s3, proxy):
    between = proxy(s3)
    storage = open_storage(between.url(), between.options)
    storage.put("x", b"0123456789")
    for ask, expected in [
        (lambda: storage.get("x"), b"0123456789"),
        (lambda: storage.get("missing"), None),
        (lambda: storage.get_range("x", 2, 5), b"234"),
        (lambda: storage.get_range("x", -3, None), b"789"),
        (lambda: storage.get_range("x", 7, 99), b"789"),
        (lambda: storage.size("x"), 10),
        (lambda: storage.exists("missing"), False),
        (lambda: storage.list_dir(""), ["x"]),
        (lambda: storage.list_dir("", "w"), ["x"]),
        (lambda: storage.delete(["x", "y"]), None),
    ]:
        between.clear()
        assert ask() == expected
        assert len(between.log()) == 1


@BOTH
def test_a_listing_starts_at_a_name(s3, proxy, kind):
    between = proxy(s3)
    storage = kind(between.url(), between.options)
    names = [f"{number:05d}.json" for number in range(1100)]
    direct = ObjectStorage(storage.url, s3.options)
    map_all(lambda name: direct.put(f"v/{name}", b"1"), names, 32)
    between.clear()
    assert storage.list_dir("v", "01095.json") == names[1096:]
    assert len(between.log()) == 1
    assert storage.list_dir("v", "00003.json", 2)[:2] == names[4:6]
    assert storage.list_dir("v") == names
    storage.put("v/01096.json.d/x", b"1")
    assert storage.list_dir("v", "01095.json") == [names[1096], "01096.json.d/", *names[1097:]]


def test_many_requests_are_in_flight(s3, proxy):
    between = proxy(s3, latency_ms=30)
    storage = open_storage(between.url(), between.options)
    storage.put("x", b"1")
    assert storage.get_many(["x"] * 200) == [b"1"] * 200
    assert between.record()["max_in_flight"] > 32


# Processes


def _run(code, **environment):
    found = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "fork",
    [
        "pid = os.fork()\nif pid == 0:\n    child()\n    os._exit(0)\nos.waitpid(pid, 0)",
        "context = multiprocessing.get_context('fork')\n"
        "process = context.Process(target=child)\nprocess.start()\nprocess.join()",
    ],
    ids=["os.fork", "multiprocessing"],
)
def test_a_fork_goes_on_through_fsspec(s3, fork):
    code = f"""
import multiprocessing, os, pickle, sys
from hubzarr.storage import open_storage
storage = open_storage({s3.url()!r}, {s3.options!r})
storage.put("a", b"1")
def child():
    assert storage.get("a") == b"1"
    storage.put("from-child", b"2")
    assert storage.create("a", b"3") is False
    assert storage.list_dir("") == ["a", "from-child"]
    assert list(storage.get_many(["a", "x"])) == [b"1", None]
    again = open_storage(storage.url, {s3.options!r})
    print(type(storage).__name__, type(again).__name__, again.get("a"))
    sys.stdout.flush()
{fork}
print(storage.get("from-child"))
"""
    assert _run(code) == ["ObjectStorage", "FsspecStorage", "b'1'", "b'2'"]


def test_pickles_carry_no_secrets_and_find_their_own(s3, monkeypatch):
    storage = open_storage(s3.url(), s3.options | {"key": "AKIA", "secret": "hunter2"})
    storage.put("a", b"1")
    data = pickle.dumps(storage)
    assert b"AKIA" not in data
    assert b"hunter2" not in data
    assert "hunter2" not in repr(storage) + repr(storage.__dict__["_plan"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    again = pickle.loads(data)
    assert type(again) is ObjectStorage
    assert again.get("a") == b"1"


def test_a_pickle_opens_where_obstore_is_missing(s3, monkeypatch):
    data = pickle.dumps(open_storage(s3.url(), s3.options))
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert type(pickle.loads(data)) is FsspecStorage


def test_errors_show_no_signatures():
    def script(method, path, headers):
        return 403, {}, b"<Error><Code>AuthenticationFailed</Code></Error>"

    with scripted(script) as (endpoint, _):
        text = f"AccountName=a;SharedAccessSignature=sv=1&sig=hunter2;BlobEndpoint={endpoint}"
        options = {"connection_string": text, "transport": "obstore", "retries": 0}
        storage = open_storage("az://lab/hub", options)
        with pytest.raises(StorageError, match="refuses the credentials") as caught:
            storage.get("x")
    error = caught.value
    shown = f"{error!r} {error} {error.__cause__!r} {error.fields}"
    assert "hunter2" not in shown


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_ctrl_c_ends_waiting():
    asked, go_on = threading.Event(), threading.Event()

    def script(method, path, headers):
        asked.set()
        go_on.wait(20)
        return xml(404, "NoSuchKey")

    with scripted(script) as (endpoint, _):
        storage = ObjectStorage("s3://lab/hub", KEYS | {"endpoint_url": endpoint, "retries": 0})

        def interrupt():
            asked.wait(20)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            storage.get("x")
        assert time.monotonic() - begin < 20  # else it waited for the answer
        thread.join()
        go_on.set()
        assert storage.get("x") is None  # and goes on to work
