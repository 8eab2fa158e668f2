"""Repositories that are deleted, and perhaps made anew, while others look or write."""

from __future__ import annotations

import time

import pytest

from hubzarr.errors import ExistsError, NotFoundError
from hubzarr.history import hints
from hubzarr.history.heads import head
from hubzarr.history.hints import parse_hint
from hubzarr.session.opening import create_repository, create_version, open_session
from hubzarr.storage import MemoryStorage
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.rounds.far import Far, Network

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}
HINT = "versions/main/latest"


@pytest.fixture
def far():
    store = MemoryStorage("lives")
    yield Far(store, Network())
    store.delete_dir("")


def settled():
    """Wait until no hint is due any more."""
    until = time.monotonic() + 30
    while hints._writer._running:
        assert time.monotonic() < until
        time.sleep(0.01)


def commits(storage, messages):
    """Make a repository with so many commits, and return a session of it."""
    create_repository(storage, "main", GROUP, author="me")
    session = open_session(storage, "main", author="me")
    for message in messages:
        session.set_group("", {**GROUP, "attributes": {"message": message}})
        session.commit(message)
    return session


@pytest.mark.parametrize("many", [1, 40])
def test_a_hint_that_comes_after_the_repository_was_made_anew(far, monkeypatch, many):
    old, new = ([f"{life} {i}" for i in range(many)] for life in ("old", "new"))
    monkeypatch.setattr(hints, "PAUSE", 0.0)
    late = []
    with monkeypatch.context() as patch:
        patch.setattr(hints._writer, "add", lambda *due: late.append(due))
        commits(far, old)
    settled()
    far.inner.delete_dir("")  # by another process, which knows of no hints here
    commits(far, new)
    settled()
    hints._writer.add(*late[-1])
    settled()
    assert parse_hint(far.get(HINT), "main").number == many
    assert head(far, "main").commit.message == new[-1]


def test_a_listing_that_is_behind_hides_no_commit_that_a_hint_tells_of(far):
    commits(far, ["one", "two"])
    settled()
    listed = far.inner.list_dir
    far.inner.list_dir = lambda *args: [name for name in listed(*args) if "2" not in name]
    assert head(far, "main").commit.message == "two"


def test_a_listing_that_is_empty(far):
    commits(far, ["one", "two"])
    settled()
    far.inner.list_dir = lambda *args: []
    assert head(far, "main").commit.message == "two"
    far.delete([HINT])
    assert head(far, "main").commit.message == "two"


def test_a_version_whose_creation_was_not_heard_of_is_no_rival():
    class Distant(FaultyStorage):
        is_local = False

    store = MemoryStorage("lives")
    faulty = Distant(store)
    faulty.schedule(Fault(verb="create", kind="lost"))
    made = create_repository(faulty, "main", GROUP, author="me")
    assert head(store, "main").commit.id == made.commit.id
    with pytest.raises(ExistsError):
        create_version(faulty, "main", None, author="me", nodes={})
    store.delete_dir("")


def test_no_lone_commit_brings_a_deleted_repository_to_life(far):
    session = commits(far, ["one"])
    settled()
    far.inner.delete_dir("")  # by another process
    session.set_group("", {**GROUP, "attributes": {"message": "two"}})
    with pytest.raises(NotFoundError, match="deleted or renamed"):
        session.commit("two")
    settled()
    assert list(far.list_all("versions")) == []
    assert session.document("")["attributes"] == {"message": "two"}


def test_a_commit_does_not_need_to_know_whether_the_last_one_is_there():
    class Distant(FaultyStorage):
        is_local = False

    faulty = Distant(MemoryStorage("lives"))
    session = commits(faulty, ["one"])
    settled()
    faulty.schedule(Fault(verb="get_range"))
    session.set_group("", {**GROUP, "attributes": {"message": "two"}})
    assert session.commit("two").number == 2
    assert head(faulty.inner, "main").commit.message == "two"
    faulty.inner.delete_dir("")


@pytest.mark.parametrize("near", [False, True])
def test_a_handle_of_an_earlier_life_does_not_write_to_the_next(far, near):
    storage = far.inner if near else far
    old = commits(storage, ["one", "two"])
    settled()
    far.inner.delete_dir("")  # by another process
    commits(storage, ["three", "four"])
    settled()
    old.set_group("", {**GROUP, "attributes": {"message": "five"}})
    with pytest.raises(NotFoundError, match="deleted or renamed"):
        old.commit("five")
    assert head(storage, "main").commit.message == "four"
