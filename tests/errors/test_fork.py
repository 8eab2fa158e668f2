"""Forked children: the parent's writes stay the parent's, and everything works in the child."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from functools import partial

import numpy as np
import pytest

from hubzarr.codecs import array_document
from hubzarr.errors import StorageError
from hubzarr.session import autosync, create_repository, open_session
from hubzarr.storage import LocalStorage
from tests.crash.mortal import values, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def storage(tmp_path):
    made = LocalStorage(str(tmp_path / "repository"))
    create_repository(made, "main", array_document((64, 8), "i4", (1, 8)), author="a")
    return made


def in_child(work):
    """Run `work` in a fork, within a time limit; its assertions count."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            autosync.drain()
            code = 0
        finally:
            os._exit(code)
    for _ in range(3000):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    pytest.fail("the child hangs")


def newest(storage):
    return open_session(storage, "main").manifest.commit.number


def test_child_leaves_the_writes_of_its_parent_alone(storage):
    session = open_session(storage, "main", sync_interval=600)
    write(session, (slice(0, 8),), 1)
    write(session, (9, 0), 1)
    session.touch()

    def work():
        assert not session.dirty
        assert values(session).sum() == 0
        session.sync()
        assert newest(storage) == 0

    in_child(work)
    assert newest(storage) == 0
    session.commit("mine")
    assert values(open_session(storage, "main")).sum() == 65


def test_child_writes_through_inherited_and_own_sessions(storage):
    session = open_session(storage, "main", sync_interval=600)
    write(session, (0,), 1)

    def work():
        write(session, (slice(1, 40),), 2)  # many cells: the pool works
        session.commit("inherited")
        own = open_session(storage, "main", sync_interval=0.05)
        write(own, (40, 0), 3)
        own.touch()
        deadline = time.monotonic() + 20
        while newest(storage) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert newest(storage) == 2

    in_child(work)
    session.commit("parent")
    found = values(open_session(storage, "main"))
    assert (found[0] == 1).all()
    assert (found[1:40] == 2).all()
    assert found[40, 0] == 3


def test_fork_while_others_hold_locks_and_commit(storage):
    """Children work, whatever another thread of the parent was doing at the time."""
    session = open_session(storage, "main", sync_interval=0.001)
    stop = threading.Event()
    i = 0

    def busy():
        nonlocal i
        while not stop.is_set():
            write(session, (slice(0, 32),), i)
            session.touch()
            i += 1

    thread = threading.Thread(target=busy)
    thread.start()

    def work(number):
        found = values(session)[:32]
        assert (found == found[0, 0]).all()  # one commit, not a mix
        write(session, (40 + number, 0), 1)
        session.commit("child")

    try:
        for number in range(8):
            in_child(partial(work, number))
    finally:
        stop.set()
        thread.join()
    session.commit("end")
    assert (values(open_session(storage, "main"))[40:48, 0] == 1).all()
    assert (values(session)[:32] == i - 1).all()


def test_transaction_in_the_parent(storage):
    session = open_session(storage, "main")
    with session.transaction("both"):
        write(session, (0,), 1)

        def work():
            write(session, (2,), 3)
            session.commit("child")

        in_child(work)
        write(session, (1,), 2)
    found = values(open_session(storage, "main"))
    assert found[:3, 0].tolist() == [1, 2, 3]
    assert newest(storage) == 2


def test_child_that_leaves_the_block_of_a_transaction_commits_nothing(storage):
    session = open_session(storage, "main")
    pid = None
    try:
        with session.transaction("both"):
            write(session, (0,), 1)
            pid = os.fork()
            if pid:
                raise StorageError("the parent gives up")
    except StorageError:
        pass
    finally:
        if pid == 0:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert newest(storage) == 0


def _append_in_pool(job):
    url, me = job
    session = open_session(LocalStorage(url), "main", sync_interval=600)
    write(session, (me,), me + 1)
    session.touch()
    return me


def test_what_children_of_multiprocessing_wrote_is_committed_when_they_end(storage):
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=_append_in_pool, args=((storage.root, me),)) for me in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert values(open_session(storage, "main"))[:4, 0].tolist() == [1, 2, 3, 0]
    assert np.count_nonzero(values(open_session(storage, "main"))) == 24
