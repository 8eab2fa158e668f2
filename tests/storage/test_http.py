"""Reading from web servers, which differ."""

from __future__ import annotations

import re

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import ReadOnlyError, StorageError, UnsupportedError
from hubzarr.storage import FsspecStorage, HttpStorage, open_storage
from tests.storage.scripted import scripted

pytest.importorskip("obstore")

BOTH = pytest.mark.parametrize("transport", ["obstore", "fsspec"])
OBJECTS = {"/hub/d/x": b"0123456789", "/hub/d/empty": b""}


def _exact(method, path, headers):
    """A server as they should be."""
    data = OBJECTS.get(path)
    if data is None:
        return 404, {}, b"nothing here"
    wanted = headers.get("range")
    if not wanted:
        return 200, {}, data
    first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted).groups()
    start = int(first) if first else max(0, len(data) - int(last))
    stop = min(len(data), int(last) + 1) if first and last else len(data)
    if start >= len(data):
        return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
    return 206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop]


def _without_ranges(method, path, headers):
    """Python's own server, for one, sends everything instead."""
    data = OBJECTS.get(path)
    return (404, {}, b"nothing here") if data is None else (200, {}, data)


def _without_lengths(method, path, headers):
    """Made on the fly: nobody knows how long it will be, and only GET is understood."""
    if method == "HEAD":
        return 405, {}, b""
    data = OBJECTS.get(path)
    if data is None:
        return 404, {}, b"nothing here"
    chunked = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return 200, {"Transfer-Encoding": "chunked"}, chunked + b"0\r\n\r\n"


@BOTH
@pytest.mark.parametrize("script", [_exact, _without_ranges, _without_lengths])
def test_all_kinds_of_servers_are_read(script, transport):
    with scripted(script) as (endpoint, _):
        storage = open_storage(f"{endpoint}/hub", {"transport": transport, "retries": 0})
        assert storage.get("d/x") == b"0123456789"
        assert storage.get("d/none") is None
        assert storage.get_range("d/none", 0, 3) is None
        assert storage.get_range("d/empty", 0, 3) == b""
        assert storage.get_range("d/x", 2, 5) == b"234"
        assert storage.get_range("d/x", 5, 5) == b""
        assert storage.get_range("d/x", -3, None) == b"789"
        assert storage.get_range("d/x", 8, 99) == b"89"
        assert storage.get_range("d/x", 20, 30) == b""
        assert storage.size("d/x") == 10
        assert storage.exists("d/x")
        assert not storage.exists("d/none")
        out = bytearray(10)
        assert storage.get_into("d/x", memoryview(out)) == 10
        assert out == b"0123456789"
        assert storage.get_many(["d/x", "d/none"]) == [b"0123456789", None]


@BOTH
def test_nothing_is_written(transport):
    with scripted(_exact) as (endpoint, log):
        storage = open_storage(f"{endpoint}/hub", {"transport": transport})
        assert storage.atomic_create is False
        for write in (storage.put, storage.put_atomic, storage.create):
            with pytest.raises(ReadOnlyError, match="read-only"):
                write("d/y", b"1")
        with pytest.raises(ReadOnlyError, match="read-only"):
            storage.delete(["d/x"])
        with pytest.raises(ReadOnlyError, match="read-only"):
            storage.delete_dir("d")
        assert log == []


@BOTH
def test_a_server_that_fails_misses_nothing(transport):
    """Taken for missing, a failure would make a version look shorter than it is."""
    with scripted(lambda *asked: (500, {}, b"")) as (endpoint, _):
        storage = open_storage(f"{endpoint}/hub", {"transport": transport, "retries": 1})
        for ask in (storage.exists, storage.size, storage.get):
            with pytest.raises(StorageError, match="the store failed"):
                ask("d/x")
    storage = open_storage("http://127.0.0.1:9", {"transport": transport, "retries": 0})
    for ask in (storage.exists, storage.get):
        with pytest.raises(StorageError, match=r"can't read 'http://127\.0\.0\.1:9/x'"):
            ask("x")


@BOTH
def test_a_failure_that_passes(transport):
    failures = [500, 503, 429]

    def script(*asked):
        return (failures.pop(), {}, b"") if failures else _exact(*asked)

    with scripted(script) as (endpoint, _):
        storage = open_storage(f"{endpoint}/hub", {"transport": transport, "retries": 5})
        assert storage.get("d/x") == b"0123456789"
    assert failures == []


@BOTH
def test_lists_are_refused_where_all_must_be_there(transport):
    with scripted(_exact) as (endpoint, _):
        storage = open_storage(f"{endpoint}/hub", {"transport": transport})
        with pytest.raises(UnsupportedError, match="does not tell all that it holds"):
            storage.list_dir("d", "a")
        with pytest.raises(UnsupportedError, match="does not tell all that it holds"):
            list(storage.list_all("d"))


@BOTH
def test_a_server_that_lists_nothing_says_so(transport):
    with scripted(_exact) as (endpoint, _):
        options = {"transport": transport}
        for look in (hub.list, hub.catalog):
            with pytest.raises(UnsupportedError, match=r"lists nothing.*hub\.load\('http"):
                look(f"{endpoint}/hub", storage_options=options)
        hub.configure(roots={"web": {"url": f"{endpoint}/hub"} | options})
        for prefix in ("web", "web/lab"):
            with pytest.raises(UnsupportedError, match="lists nothing"):
                hub.list(prefix)
        with pytest.raises(UnsupportedError, match="load a version by its name"):
            hub.versions(f"{endpoint}/hub/lab/x", storage_options=options)
        report = hub.doctor(f"{endpoint}/hub", storage_options=options)
        assert report.verdict == "read-only"
        found = {check.name: check for check in report.checks}
        assert found["list"].ok is None
        assert "no listing" in found["list"].detail


def test_headers_are_sent():
    with scripted(_exact) as (endpoint, log):
        storage = HttpStorage(f"{endpoint}/hub", {"headers": {"X-Lab": "7"}})
        assert storage.get("d/x") == b"0123456789"
        assert storage.by_fsspec().get("d/x") == b"0123456789"
        assert [headers.get("x-lab") for _, _, headers in log] == ["7", "7"]


@BOTH
def test_an_array_is_read_over_http(tmp_path, transport):
    source = hub.array((10, 100), f"{tmp_path}/lab/x", dtype="int64")
    source[:] = np.arange(1000).reshape(10, 100)
    source.commit("first")
    source[0] = 7
    source.commit("second")
    source.close()

    def script(method, path, headers):
        file = tmp_path / path.lstrip("/")
        return (200, {}, file.read_bytes()) if file.is_file() else (404, {}, b"")

    with scripted(script) as (endpoint, _):
        options = {"transport": transport}
        array = hub.load(f"{endpoint}/lab/x", storage_options=options)
        assert np.array_equal(array[5:7], np.arange(500, 700).reshape(2, 100))
        assert np.asarray(array[0]).tolist() == [7] * 100
        assert [entry.message for entry in array.log()][:2] == ["second", "first"]
        with pytest.raises((ReadOnlyError, UnsupportedError)):
            array[0] = 1


def test_fsspec_is_told_the_headers_too():
    storage = FsspecStorage("https://host/x", {"headers": {"A": "1"}})
    assert storage._fs.kwargs["headers"] == {"A": "1"}
