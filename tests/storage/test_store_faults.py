"""Requests that fail, break, stall or lose their answer: all ends right, or says what is wrong."""

from __future__ import annotations

import pytest

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


@pytest.fixture(params=list(STORES))
def served(request, proxy):
    """A storage behind a proxy, and the proxy."""
    server, kind = STORES[request.param]
    between = proxy(request.getfixturevalue(server))
    return kind(between.url(), between.options | QUICK), between


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_verb_ends_right(served, fault):
    storage, between = served
    storage.put("warm", b"up")
    between.set(**FAULTS[fault])
    contents = {f"data/{i}": bytes([i]) * (1 + 3000 * i) for i in range(12)}

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
