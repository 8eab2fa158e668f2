"""Faults short of death: full disks, failing devices, lost answers. What was written stays."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from hubzarr.codecs import array_document
from hubzarr.errors import StorageError
from hubzarr.history.heads import head
from hubzarr.session import create_repository, open_session
from hubzarr.storage import LocalStorage
from hubzarr.storage.base import storage_error
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.crash.mortal import append, values, write

SHAPE, CHUNKS = (200, 4), (2, 2)
ALWAYS = 1 << 30


def failing(code):
    return lambda: storage_error(OSError(code, os.strerror(code)), "write", "/disk/object")


@pytest.fixture
def storage(tmp_path):
    made = FaultyStorage(LocalStorage(str(tmp_path / "repository")))
    create_repository(made, "main", array_document(SHAPE, "i4", CHUNKS), author="a")
    return made


def change(session, expected):
    """Buffered elements, whole cells, appended rows and an attribute."""
    write(session, (0, 0), 5)
    expected[0, 0] = 5
    write(session, (slice(20, 30),), 6)
    expected[20:30] = 6
    append(session, 3, 7)
    session.array().document.setdefault("attributes", {})["k"] = 1
    return np.concatenate([expected, np.full((3, 4), 7, "i4")])


def writes_of_a_change(tmp_path):
    storage = FaultyStorage(LocalStorage(str(tmp_path / "counted")))
    create_repository(storage, "main", array_document(SHAPE, "i4", CHUNKS), author="a")
    before = storage.count("put", "put_atomic", "create")
    session = open_session(storage, "main")
    change(session, np.zeros(SHAPE, "i4"))
    session.commit("counted")
    return storage.count("put", "put_atomic", "create") - before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("kind", ["before", "torn", "after"])
def test_every_write_may_fail_and_be_done_later(tmp_path, code, kind):
    count = writes_of_a_change(tmp_path)
    assert count > 10
    for at in range(1, count + 1):
        storage = FaultyStorage(LocalStorage(str(tmp_path / str(at))))
        create_repository(storage, "main", array_document(SHAPE, "i4", CHUNKS), author="a")
        session = open_session(storage, "main")
        storage.schedule(
            Fault(verb="write", at=at, times=ALWAYS, kind=kind, error=failing(code)),
        )
        expected = np.zeros(SHAPE, "i4")
        try:
            # A large write that fails has not been made; it is for the caller to repeat.
            expected = change(session, expected)
        except StorageError:
            storage.schedule()
            session.discard()
            expected = change(session, expected)
            storage.schedule(Fault(verb="write", times=ALWAYS, kind=kind, error=failing(code)))
        if kind != "after" or at < count:  # else the commit is found to have been made
            with pytest.raises(StorageError, match=r"/disk/object.*(free some|check the disk)"):
                session.commit("full")
            assert head(storage, "main").commit.number == 0
            assert (values(session) == expected).all()
        storage.schedule()
        session.commit("space is back")
        later = open_session(storage, "main")
        assert (values(later) == expected).all()
        assert later.document("")["attributes"] == {"k": 1}


def test_failed_large_write_keeps_what_was_buffered(storage):
    session = open_session(storage, "main")
    write(session, (0, 0), 5)
    storage.schedule(Fault(verb="put", times=ALWAYS, error=failing(errno.ENOSPC)))
    with pytest.raises(StorageError):
        write(session, (slice(0, 20),), 9)
    storage.schedule()
    assert values(session)[0].tolist() == [5, 0, 0, 0]
    session.commit("kept")
    assert values(open_session(storage, "main"))[:20].sum() == 5


def test_lost_answer_of_a_commit_is_found(storage):
    session = open_session(storage, "main")
    append(session, 2, 3)
    storage.schedule(Fault(verb="create", kind="after"))
    assert session.commit("made").number == 1
    assert head(storage, "main").commit.message == "made"


@pytest.mark.parametrize("write_more", [False, True])
@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("attempts", [1, 3])
def test_commit_in_doubt_appends_once(storage, write_more, others, attempts):
    """The commit is made, but neither the answer nor a look at it comes through."""
    session = open_session(storage, "main")
    append(session, 2, 3)
    for _ in range(attempts - 1):
        storage.schedule(Fault(verb="create", times=ALWAYS))
        with pytest.raises(StorageError):
            session.commit("in vain")
    storage.schedule(Fault(verb="create", kind="after", dead=True))
    with pytest.raises(StorageError):
        session.commit("in doubt")
    storage.revive()
    storage.schedule()
    if others:
        other = open_session(storage, "main")
        append(other, 1, 8)
        other.commit("other")
    if write_more:
        append(session, 1, 4)
        write(session, (0, 0), 1)
    session.commit("again")
    found = values(open_session(storage, "main"))
    expected = [3, 3] + [8] * others + [4] * write_more
    assert found[len(found) - len(expected) :, 0].tolist() == expected
    assert len(found) == SHAPE[0] + len(expected)
    assert found[0, 0] == write_more
    assert head(storage, "main").commit.number == 1 + others + write_more
    session.refresh()
    assert (values(session) == found).all()


def test_rebase_that_breaks_off_keeps_the_rows(storage):
    """The disk is full just when appended rows are to be written again behind others'."""
    session, other = open_session(storage, "main"), open_session(storage, "main")
    append(session, 5, 3)
    write(session, (0, 0), 1)
    session.flush()
    append(other, 2, 8)
    write(other, (0, 1), 2)
    other.commit("other")
    storage.schedule()
    for at in range(1, 20):
        storage.schedule(Fault(verb="write", at=at, times=ALWAYS, error=failing(errno.ENOSPC)))
        mine = values(session)
        try:
            session.commit("mine")
            break
        except StorageError:
            storage.schedule()
            if head(storage, "main").commit.number == session.manifest.commit.number:
                break  # the rebase went through; what failed is the commit
            assert (values(session) == mine).all()
    assert at > 2
    storage.schedule()
    session.commit("mine")
    found = values(open_session(storage, "main"))
    assert found[200:, 0].tolist() == [8] * 2 + [3] * 5
    assert found[0, :2].tolist() == [1, 2]


def test_hint_that_cannot_be_written_is_no_failure(tmp_path):
    storage = FaultyStorage(LocalStorage(str(tmp_path / "r")))
    create_repository(storage, "main", array_document((4,), "i4", (4,)), author="a")
    session = open_session(storage, "main")
    # So small a table has no pages: only the hint goes through put_atomic.
    storage.schedule(Fault(verb="put_atomic", times=ALWAYS, error=failing(errno.ENOSPC)))
    for i in range(10):
        write(session, (0,), i + 1)
        session.commit("c")
    assert storage.count("put_atomic") == 1
    assert head(storage, "main").commit.number == 10
