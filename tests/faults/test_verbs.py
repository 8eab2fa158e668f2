"""Verbs of a storage behind a faulty proxy end right, or say what failed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from hubzarr.errors import StorageError
from hubzarr.storage import open_storage
from tests.faults.conftest import BROKEN
from tests.servers.proxy import FAULTS

STEPS = 6


def test_every_verb_ends_right(behind):
    server, root, options = behind()
    storage = open_storage(root, options)
    server.set(**BROKEN, jitter_ms=3, seed=7)

    def work(me):
        for step in range(STEPS):
            data = f"{me}-{step}".encode() * 500
            storage.put(f"put/{me}/{step}", data)
            assert storage.get(f"put/{me}/{step}") == data
            assert storage.get_range(f"put/{me}/{step}", 10, 20) == data[10:20]
            assert storage.size(f"put/{me}/{step}") == len(data)
            assert storage.create(f"new/{me}/{step}", data)
            assert not storage.create(f"new/{me}/{step}", b"other")
            assert storage.list_dir(f"new/{me}", f"{step - 1}" if step in (1, 5) else "")
            assert not storage.exists(f"no/{step}")
        storage.delete([f"put/{me}/{step}" for step in range(STEPS)])
        assert storage.list_dir(f"put/{me}") == []

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    faults = server.record()["faults"]
    assert set(faults) == {name.removesuffix("_rate") for name in BROKEN}
    server.reset()
    names = [f"new/{me}/{step}" for me in range(4) for step in range(STEPS)]
    assert sorted(storage.list_all("")) == sorted(names)
    for name, data in zip(names, storage.get_many(names), strict=True):
        assert data == name.removeprefix("new/").replace("/", "-").encode() * 500


def test_listings_are_whole(behind):
    server, root, options = behind()
    storage = open_storage(root, options | {"timeout": 0.5})
    names = [f"{number:03}" for number in range(20)]
    for name in names:
        storage.put(f"v/{name}", b"1")
    for number, fault in enumerate(FAULTS):
        after = ("", "004")[number % 2]
        server.reset()
        server.set(max_faults=1, **{f"{fault}_rate": 1})
        assert storage.list_dir("v", after) == [name for name in names if name > after]
        assert server.record()["faults"] == {fault: 1}
        server.clear()
        server.set(max_faults=1, **{f"{fault}_rate": 1})
        assert sorted(storage.list_all("v")) == [f"v/{name}" for name in names]
        assert server.record()["faults"] == {fault: 1}


def test_racing_creates_under_faults_have_one_winner(behind):
    server, root, options = behind()
    storages = [open_storage(root, options) for _ in range(2)]
    server.set(**BROKEN, seed=3)

    def race(me):
        return [
            name
            for name in range(10)
            if storages[me % 2].create(f"v/{name}", f"writer {me}".encode())
        ]

    with ThreadPoolExecutor(4) as pool:
        wins = list(pool.map(race, range(4)))
    server.reset()
    assert sorted(name for found in wins for name in found) == list(range(10))
    for me, found in enumerate(wins):
        for name in found:
            assert storages[0].get(f"v/{name}") == f"writer {me}".encode()


@pytest.mark.parametrize("fault", ["lost_rate", "late_error_rate"])
def test_a_create_whose_answer_is_lost_is_ours(behind, fault):
    server, root, options = behind()
    storage = open_storage(root, options)
    server.set(match="PUT ", max_faults=1, **{fault: 1})
    assert storage.create("v/0", b"mine") is True
    server.set(max_faults=2)
    assert storage.create("v/0", b"theirs") is False
    assert storage.get("v/0") == b"mine"
    assert server.record()["faults"] == {fault.removesuffix("_rate"): 2}


def test_stalls_are_not_waited_for(behind):
    server, root, options = behind()
    storage = open_storage(root, options)
    storage.put("x", bytes(100_000))
    server.set(stall_rate=1, stall_s=600, max_faults=1)
    assert storage.get("x") == bytes(100_000)
    server.clear()
    storage.put("y", b"1")
    assert storage.get("y") == b"1"


PERMANENT = {
    "refused": {"error_rate": 1, "error_status": 500, "error_code": "InternalError"},
    "slow down": {"error_rate": 1},
    "reset": {"reset_rate": 1},
    "truncated": {"truncate_rate": 1},
    "stalled": {"stall_rate": 1},
}


@pytest.mark.parametrize("faults", PERMANENT.values(), ids=PERMANENT)
def test_what_never_works_is_an_error_that_says_so(behind, transport, faults):
    if transport == "fsspec" and faults is not PERMANENT["slow down"]:
        pytest.skip("slow, and much the same")
    server, root, all_options = behind()
    storage = open_storage(root, all_options | {"retries": 2, "timeout": 0.5})
    storage.put("x", b"0123456789")
    server.set(**faults)
    with pytest.raises(StorageError, match=r"can't read '.*/x'") as caught:
        storage.get("x")
    assert server.record()["requests"] < 40  # not every try of ours a round of the client's
    assert "testing" not in str(caught.value)
    server.reset()
    assert storage.get("x") == b"0123456789"
