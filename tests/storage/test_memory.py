"""The tree of objects in memory."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from hubzarr.storage import MemoryStorage, open_storage

SEGMENT = st.sampled_from("abc")
PATH = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)


def test_roots_share_one_tree():
    name = uuid.uuid4().hex
    open_storage(f"memory://{name}").put("team/mnist/x", b"1")
    below = open_storage(f"memory://{name}/team/mnist/")
    assert below.url == f"memory://{name}/team/mnist"
    assert below.get("x") == b"1"
    assert list(below.list_all("")) == ["x"]
    open_storage(f"memory://{name}").delete_dir("")
    assert below.get("x") is None


def test_what_is_stored_does_not_change_with_the_buffer():
    storage = MemoryStorage(uuid.uuid4().hex)
    buffer = bytearray(b"before")
    storage.put("x", buffer)
    buffer[:] = b"after!"
    assert storage.get("x") == b"before"


@given(st.lists(st.tuples(st.sampled_from(["put", "delete", "delete_dir"]), PATH)))
def test_listings_follow_the_objects(steps):
    storage = MemoryStorage(uuid.uuid4().hex)
    model = set()
    for verb, path in steps:
        if verb == "put":
            storage.put(path, b"1")
            model.add(path)
        elif verb == "delete":
            storage.delete([path])
            model.discard(path)
        else:
            storage.delete_dir(path)
            model = {name for name in model if not name.startswith(path + "/")}
    assert sorted(storage.list_all("")) == sorted(model)
    for directory in ["", *model, *(name.rpartition("/")[0] for name in model)]:
        start = directory + "/" if directory else ""
        tails = [name[len(start) :] for name in model if name.startswith(start)]
        expected = {head + slash for head, slash, _ in (tail.partition("/") for tail in tails)}
        assert storage.list_dir(directory) == sorted(expected)
    storage.delete_dir("")
