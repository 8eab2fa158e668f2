"""Requests that fail, break, stall or lose their answer: all ends right, or says what is wrong."""

from __future__ import annotations

import pytest

from hubzarr.errors import StorageError
from hubzarr.storage import FsspecStorage, ObjectStorage
from hubzarr.threads import map_all

pytest.importorskip("obstore")

# (server, transport)
STORES = {
    "s3-obstore": ("s3", ObjectStorage),
    "s3-fsspec": ("s3", FsspecStorage),
    "gcs-fsspec": ("gcs", FsspecStorage),
}
# Nobody waits long: what is tested is that it goes on.
QUICK = {"timeout": 1.0, "retries": 6}
FAULTS = {
    "overloaded": {"error_rate": 0.2},
    "failing": {"error_rate": 0.2, "error_status": 500, "error_code": "InternalError"},
    "throttled": {"error_rate": 0.2, "error_status": 429, "error_code": "TooManyRequests"},
    "reset": {"reset_rate": 0.2},
    "answers lost": {"lost_rate": 0.2},
    "late errors": {"late_error_rate": 0.2},
    "truncated": {"truncate_rate": 0.2},
    "cut": {"cut_rate": 0.2},
    "stalled": {"stall_rate": 0.1},
}


# The clients of Python pause for a second and more, so few of these are asked of them.
CASES = [
    *(("s3-obstore", fault) for fault in FAULTS),
    *(("s3-fsspec", fault) for fault in ("throttled", "answers lost", "truncated", "stalled")),
    ("gcs-fsspec", "stalled"),
]


@pytest.mark.parametrize(("store", "fault"), CASES)
def test_every_verb_ends_right(request, proxy, store, fault):
    server, kind = STORES[store]
    between = proxy(request.getfixturevalue(server))
    storage = kind(between.url(), between.options | QUICK)
    storage.put("warm", b"up")
    # Fewer than a verb is tried: were all of them to hit one verb, it would give up.
    between.set(**FAULTS[fault], max_faults=4)
    contents = {f"data/{i}": bytes([i]) * (1 + 3000 * i) for i in range(6)}

    def check(item):
        path, content = item
        storage.put(path, content)
        assert storage.get(path) == content
        assert storage.get_range(path, 1, 4) == content[1:4]
        assert storage.size(path) == len(content)
        assert storage.create(f"made/{path}", content) is True
        assert storage.create(f"made/{path}", content + b"other") is False
        assert storage.get(f"made/{path}") == content
        return path

    assert map_all(check, list(contents.items()), 12) == list(contents)
    assert storage.get_many(list(contents)) == list(contents.values())
    assert storage.list_dir("data") == sorted(path[5:] for path in contents)
    assert sorted(storage.list_all("data")) == sorted(contents)
    storage.delete(contents)
    assert storage.list_dir("data") == []
    assert between.record()["faults"]


@pytest.mark.parametrize("store", ["s3-obstore", "s3-fsspec"])
def test_lists_and_deletions_go_on(request, proxy, store):
    """Where clients leave gaps: bodies of lists that break, deletions that meet a reset."""
    server, kind = STORES[store]
    between = proxy(request.getfixturevalue(server))
    storage = kind(between.url(), between.options | QUICK)
    for fault in ("reset_rate", "cut_rate", "lost_rate"):
        storage.put("a/x", b"1")
        between.set(**{fault: 1}, max_faults=1)
        assert storage.list_dir("a") == ["x"]
        between.reset()
        between.set(**{fault: 1}, max_faults=1)
        storage.delete(["a/x"])
        between.reset()
        assert storage.list_dir("a") == []


def test_a_list_that_breaks_goes_on_where_it_stood(s3, proxy):
    between = proxy(s3)
    storage = ObjectStorage(between.url(), between.options | QUICK)
    names = [f"a/{number:05d}" for number in range(1100)]
    map_all(lambda name: storage.put(name, b""), names, 64)
    for fault in ("cut_rate", "reset_rate"):
        for sound in (0, 1):  # pages before the one that breaks
            between.reset()
            found = storage.list_all("a")
            first = [next(found) for _ in range(1000 * sound)]
            between.set(**{fault: 1}, max_faults=2)
            assert [*first, *found] == names


@pytest.mark.parametrize("kind", [ObjectStorage, FsspecStorage])
def test_a_store_that_stalls_for_ever_ends_in_an_error(s3, proxy, kind):
    between = proxy(s3)
    storage = kind(between.url(), between.options | {"timeout": 0.5, "retries": 1})
    storage.put("x", b"1" * 1000)
    between.set(stall_rate=1)
    with pytest.raises(StorageError, match=r"(does not answer|connection broke)"):
        storage.get("x")


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        *((ObjectStorage, verb) for verb in ("get", "list", "create")),
        *((FsspecStorage, verb) for verb in ("get", "create")),
    ],
)
def test_retries_of_clients_do_not_multiply_ours(s3, proxy, kind, verb):
    between = proxy(s3)
    storage = kind(between.url(), between.options | {"timeout": 0.3, "retries": 2})
    storage.put("x", b"1" * 1000)
    asks = {
        "get": lambda: storage.get("x"),
        "list": lambda: storage.list_dir(""),
        "create": lambda: storage.create("y", b"1"),
    }
    between.clear()
    between.set(stall_rate=1)
    with pytest.raises(StorageError, match="tried 3 times") as caught:
        asks[verb]()
    assert caught.value.tries == 3
    # A create in doubt is read back; whoever sees a connection end may ask once more.
    assert 3 <= between.record()["requests"] <= (5 if verb == "create" else 4)
