"""The invariants of the storage format, as far as the history rests on them."""

from __future__ import annotations

import itertools
import json
import secrets

import numpy as np
import pytest

from hubzarr.codecs import array_document
from hubzarr.errors import DamagedError, NotFoundError, SealedError, UnsupportedError
from hubzarr.history.compare import history
from hubzarr.history.heads import head
from hubzarr.history.log import ancestors
from hubzarr.history.versions import manifest_path, read_manifest
from hubzarr.session import create_repository, open_session
from hubzarr.session.blame import blame
from hubzarr.session.branching import branch, delete_version, merge, revert, seal
from hubzarr.storage import open_storage
from tests.session.support import WriteOnce, append, content, read, repository, write


@pytest.fixture
def storage():
    return WriteOnce(repository())


@pytest.fixture
def session(storage):
    return open_session(storage, "main", author="ann")


def test_nothing_is_stored_twice_under_one_name(storage):
    """Invariant 1: `WriteOnce` refuses it."""
    sessions = [open_session(storage, "main") for _ in range(3)]
    for i in range(9):
        for j, session in enumerate(sessions):
            write(session, (i, j), 1 + i)
            append(session, np.full((1, 6), j, "i4"))
        for session in sessions:
            session.commit(None)
    with pytest.raises(AssertionError, match="twice"):
        storage.put(manifest_path("main", 3), b"")
    final = content(storage, "main")
    assert final.shape == (47, 6)
    assert (final[:9, :3] == np.arange(1, 10)[:, None]).all()


def test_a_snapshot_stays_while_others_write(session):
    reader = open_session(session.storage, "main", mode="r")
    write(session, ..., 1)
    session.commit("one")
    assert not read(reader).any()
    assert reader.refresh()
    assert (read(reader) == 1).all()


def test_one_of_two_racing_commits_wins_and_both_count(session):
    """Invariant 2."""
    other = open_session(session.storage, "main")
    write(session, 0, 1)
    write(other, 1, 1)
    assert [session.commit("a").number, other.commit("b").number] == [1, 2]
    assert (content(session.storage, "main")[:2] == 1).all()


def test_a_lost_chunk_is_an_error_in_every_version(session):
    """Invariant 4."""
    write(session, 0, 1)
    session.commit("one")
    branch(session, "dev")
    inner = session.storage.inner
    inner.delete(list(inner.list_all("data")))
    dev = open_session(session.storage, "dev")
    dev.array().engine.cells.cache.clear()
    with pytest.raises(DamagedError, match="missing"):
        read(dev)


def test_sealed_and_deleted_versions_refuse_slow_writers(session):
    """Invariant 7."""
    for end, error in ((seal, SealedError), (None, NotFoundError)):
        name = f"v{secrets.token_hex(2)}"
        branch(session, name)
        slow = open_session(session.storage, name)
        write(slow, 0, 1)
        if end is None:
            delete_version(session.storage, name, "me")
        else:
            end(open_session(session.storage, name))
        with pytest.raises(error, match="kept in this handle"):
            slow.commit("late")
        assert (read(slow)[0] == 1).all()
        assert slow.dirty


def test_a_version_made_anew_refuses_writers_of_the_old_one(session):
    branch(session, "dev")
    slow = open_session(session.storage, "dev")
    delete_version(session.storage, "dev", "me")
    assert branch(session, "dev").commit.number == 2
    write(slow, 0, 1)
    with pytest.raises(NotFoundError):
        slow.commit("late")
    with pytest.raises(NotFoundError):
        slow.refresh()
    assert not content(session.storage, "dev").any()


def test_numbers_never_start_over(session):
    numbers = []
    for _ in range(3):
        branch(session, "dev")
        dev = open_session(session.storage, "dev")
        write(dev, 0, 1)
        dev.commit("one")
        numbers.append(dev.manifest.commit.number)
        delete_version(session.storage, "dev", "me")
    assert numbers == [1, 4, 7]
    deleted = head(session.storage, "dev")
    assert (deleted.commit.number, deleted.commit.state) == (8, "deleted")


def chain(session):
    """A history with a branch, a merge and a revert; all states that led to the newest."""
    write(session, 0, 1)
    session.commit("one")
    branch(session, "dev")
    dev = open_session(session.storage, "dev")
    write(dev, 1, 2)
    dev.commit("two")
    write(session, 2, 3)
    session.commit("three")
    merge(session, "dev")
    revert(session, 1)
    return [
        read_manifest(session.storage, c.version, c.number)
        for c in ancestors(session.manifest, session.reader)
    ]


def test_digests_chain(session):
    states = chain(session)
    assert len(states) == 5
    for child, parent in itertools.pairwise(states):
        assert child.parent_digest == parent.digest
        assert child.commit.parent == parent.commit.address
    assert states[-1].parent_digest is None
    addresses = [c.address for c in history(session.manifest, session.storage, session.reader)]
    assert addresses == ["main@4", "main@3", "dev@1", "main@2", "dev@0", "main@1", "main@0"]


@pytest.mark.parametrize("what", ["message", "author", "time"])
def test_a_manifest_that_was_tampered_with_is_damaged(session, what):
    session.commit("honest")
    path = manifest_path("main", 1)
    inner = session.storage.inner
    value = json.loads(inner.get(path))
    value[what] = "forged"
    inner.put(path, json.dumps(value, separators=(",", ":")).encode())
    with pytest.raises(DamagedError, match="digest"):
        open_session(session.storage, "main")


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_manifest_that_was_cut_short_is_damaged(session, cut):
    session.commit("whole")
    path = manifest_path("main", 1)
    inner = session.storage.inner
    inner.put(path, inner.get(path)[:cut])
    with pytest.raises(DamagedError, match="damaged"):
        open_session(session.storage, "main")


def test_a_manifest_in_the_wrong_place_is_damaged(session):
    inner = session.storage.inner
    inner.put(manifest_path("dev", 0), inner.get(manifest_path("main", 0)))
    with pytest.raises(DamagedError, match="moved by hand"):
        open_session(session.storage, "dev")


def test_unknown_formats_are_refused(session):
    session.commit("one")
    path = manifest_path("main", 1)
    inner = session.storage.inner
    inner.put(path, inner.get(path).replace(b'"hubzarr":1', b'"hubzarr":99'))
    with pytest.raises(UnsupportedError, match="format 99") as caught:
        open_session(session.storage, "main")
    assert caught.value.format == 99


def test_write_ids_say_who_brought_each_object_in(storage):
    """Invariant 3: every stored chunk has its write id in exactly one commit."""
    session = open_session(storage, "main")
    chain(session)
    seen = {}
    for version in ("main", "dev"):
        for number in range(head(storage, version).commit.number + 1):
            for write_id in read_manifest(storage, version, number).commit.writes:
                assert seen.setdefault(write_id, (version, number)) == (version, number)
    stored = {path.split("/")[1] for path in storage.inner.list_all("data")}
    assert stored <= {*seen}
    assert [e.commit.address for e in blame(session)] == ["main@1"]


def test_work_of_a_commit_does_not_grow_with_the_array():
    """Invariant 5."""
    sizes = []
    for cells in (1_000, 300_000):
        storage = open_storage("memory://" + secrets.token_hex(6))
        create_repository(storage, "main", array_document((cells,), "u1", (1,)), author="me")
        session = open_session(storage, "main")
        for row in (5, 700):
            write(session, slice(row, row + 1), 1)
            session.commit("one")
        before = storage.counters.copy()
        write(session, slice(9, 10), 1)
        session.commit("another")
        used = storage.counters - before
        assert used.writes <= 4
        sizes.append(used.write_bytes)
    assert sizes[1] < 2 * sizes[0]
