"""Threads that share one session, or one repository: no lost writes, no torn chunks."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hubzarr.codecs import array_document
from hubzarr.indexing import apply, identity
from hubzarr.session import create_repository, open_session
from hubzarr.storage import LocalStorage, MemoryStorage
from tests.races.worker import write

SHAPE, CHUNKS = (16, 4096), (1, 4096)


@pytest.fixture(params=["local", "memory"])
def storage(request, tmp_path):
    if request.param == "local":
        made = LocalStorage(str(tmp_path / "repository"))
    else:
        made = MemoryStorage(f"threads-{tmp_path.name}-{id(request)}")
    create_repository(made, "main", array_document(SHAPE, "i4", CHUNKS), author="a")
    yield made
    made.delete_dir("")


def read(session, key=()):
    engine = session.array().engine
    return engine.read(apply(identity(engine.shape), key))


def together(*works):
    """Run all at once; raises what any of them raised."""
    failures = []

    def run(work):
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


def test_two_writers_of_one_session(storage):
    session = open_session(storage, "main", sync_interval=0.01)

    def writer(first):
        def work():
            for i in range(150):
                write(session, (slice(None), slice(first, None, 2)), i)
                session.touch()
                if i % 10 == first:
                    session.sync()

        return work

    together(writer(0), writer(1))
    session.commit("end")
    assert (read(open_session(storage, "main")) == 149).all()


def test_readers_see_whole_chunks(storage):
    """Every chunk is written whole, with one value: a reader never sees two."""
    session = open_session(storage, "main")
    stop = threading.Event()
    seen = set()

    def writer():
        try:
            for i in range(1, 200):
                write(session, (i % 16,), i)
                if i % 3 == 0:
                    write(session, (slice(0, 8),), i)
                if i % 7 == 0:
                    session.commit("c")
        finally:
            stop.set()

    def reader(own):
        def work():
            while not stop.is_set():
                reading = open_session(storage, "main") if own else session
                found = read(reading)
                assert (found == found[:, :1]).all()
                seen.update(found[:, 0].tolist())

        return work

    together(writer, reader(False), reader(False), reader(True))
    assert len(seen) > 2


def test_sessions_of_one_process_race(storage):
    def writer(me):
        def work():
            session = open_session(storage, "main", author=str(me))
            for i in range(20):
                write(session, (i % 16, slice(me * 20 + i, None, 80)), me * 100 + i + 1)
                session.commit(f"{me}-{i}")

        return work

    expected = np.zeros(SHAPE, "i4")
    for me in range(4):
        for i in range(20):
            expected[i % 16, me * 20 + i :: 80] = me * 100 + i + 1
    together(*(writer(me) for me in range(4)))
    session = open_session(storage, "main")
    assert session.manifest.commit.number == 80
    assert (read(session) == expected).all()
