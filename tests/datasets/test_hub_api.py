"""What users of Hub 2 and Deep Lake 3 type, and what they expect of it."""

from __future__ import annotations

import pytest

import hubzarr as hub
from hubzarr.errors import NotFoundError


def numbers(name: str, count: int = 4) -> hub.Dataset:
    ds = hub.empty(name)
    ds.create_tensor("x", dtype="int64")
    ds.create_tensor("text", htype="text")
    ds.extend({"x": list(range(count)), "text": [str(i) for i in range(count)]})
    return ds


def test_checkout_of_commits() -> None:
    ds = numbers("hub-api/checkout")
    first = ds.commit("first")
    ds.checkout("dev", create=True)
    ds.x[0] = 100
    second = ds.commit("second")
    ds.checkout("main")
    for address in (second, second.id, second.address):
        assert ds.checkout(address).x[0].numpy() == 100
        assert ds.read_only
        assert ds.version == "dev"
    assert ds.checkout(first.id).x[0].numpy() == 0
    ds.checkout("again", True)
    ds.x[0] = 7
    assert not ds.read_only
    with pytest.raises(NotFoundError, match="no commit of that id"):
        ds.checkout("0123456789abcdef")
    with pytest.raises(NotFoundError, match="versions there"):
        ds.checkout("nowhere")
    assert ds.get_commit_details(first) == ds.get_commit_details(first.id)


def test_log_prints_as_a_table() -> None:
    ds = numbers("hub-api/log")
    commit = ds.commit("numbers")
    lines = repr(ds.log()).splitlines()
    assert len(lines) == len(ds.log()) == 2
    assert lines[0].startswith(f"{commit.address}  {commit.id}")
    assert lines[0].endswith("numbers")


@pytest.mark.parametrize("flushed", [False, True])
def test_reset_drops_what_was_stored_by_itself_too(flushed: bool) -> None:
    ds = numbers("hub-api/reset")
    ds.commit("numbers")
    ds.x[1] = 50
    ds.append({"x": 9, "text": "nine"})
    if flushed:
        ds.flush()
    assert ds.has_head_changes
    ds.reset()
    assert not ds.has_head_changes
    assert ds.x.numpy().tolist() == [0, 1, 2, 3]
    assert ds.text.text() == ["0", "1", "2", "3"]
    assert hub.load("hub-api/reset").x.numpy().tolist() == [0, 1, 2, 3]
    ds.reset()
