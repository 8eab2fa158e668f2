"""The storage that fails on purpose."""

from __future__ import annotations

import pickle
import uuid

import pytest

from hubzarr.errors import StorageError
from hubzarr.storage import MemoryStorage
from hubzarr.storage.faulty import Fault, FaultyStorage


@pytest.fixture
def inner():
    return MemoryStorage(uuid.uuid4().hex)


def test_without_a_plan_it_only_logs(inner):
    faulty = FaultyStorage(inner)
    faulty.put("a", [b"12", b"3"])
    assert faulty.create("b", b"1") is True
    assert faulty.get_many(["a", "c"]) == [b"123", None]
    assert faulty.get_into("a", memoryview(bytearray(3))) == 3
    faulty.put_atomic("c", b"")
    assert faulty.get_range("a", 0, 2) == b"12"
    assert (faulty.exists("a"), faulty.size("a"), faulty.list_dir("")) == (True, 3, ["a", "b", "c"])
    assert sorted(faulty.list_all("")) == ["a", "b", "c"]
    faulty.delete(["a", "b"])
    faulty.delete_dir("")
    assert faulty.log[:4] == [("put", "a", 3), ("create", "b", 1), ("get", "a", 3), ("get", "c", 0)]
    assert faulty.count() == 14
    assert faulty.count("delete", "create") == 3
    assert faulty.counters is inner.counters
    assert faulty.url == inner.url
    assert (faulty.is_local, faulty.concurrency, faulty.atomic_create) == (True, 1, True)


def test_before_does_nothing(inner):
    faulty = FaultyStorage(inner, [Fault(at=2, verb="put")])
    faulty.put("a", b"1")
    faulty.get("a")
    with pytest.raises(StorageError, match="out of reach"):
        faulty.put("b", b"1")
    faulty.put("b", b"2")
    assert inner.get("b") == b"2"


def test_after_does_it(inner):
    faulty = FaultyStorage(inner, [Fault(verb="create", kind="after", error=TimeoutError)])
    with pytest.raises(TimeoutError):
        faulty.create("a", b"1")
    assert inner.get("a") == b"1"


def test_torn_leaves_a_part(inner):
    faulty = FaultyStorage(inner, [Fault(verb="write", kind="torn", times=2)])
    with pytest.raises(StorageError):
        faulty.put("a", b"1234")
    with pytest.raises(StorageError):
        faulty.put_atomic("b", b"1234")
    assert (inner.get("a"), inner.get("b")) == (b"12", None)


def test_dead_until_revived(inner):
    faulty = FaultyStorage(inner, [Fault(at=2, dead=True, delay=0.001)])
    faulty.put("a", b"1")
    for _ in range(3):
        with pytest.raises(StorageError):
            faulty.get("a")
    faulty.revive()
    assert faulty.get("a") == b"1"


def test_a_delay_only_waits(inner):
    faulty = FaultyStorage(inner, [Fault(kind="delay", delay=0.001)])
    faulty.put("a", b"1")
    faulty.schedule(Fault(verb="get"))
    with pytest.raises(StorageError):
        faulty.get("a")
    assert pickle.loads(pickle.dumps(faulty)).plan == faulty.plan
