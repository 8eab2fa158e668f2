"""Threads of one process: the user's, the background sync's and the pool's, all at once."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.engine.cache import SLAB, ChunkCache
from hubzarr.engine.statistics import box_rows
from hubzarr.session import autosync, open_session
from hubzarr.storage.faulty import Fault, FaultyStorage
from hubzarr.threads import pool
from tests.session.support import content, read, repository, write


def made(shape, chunks, dtype="i4", interval=0.001):
    a = hub.array(shape, f"memory://{secrets.token_hex(6)}/a", dtype=dtype, chunks=chunks)
    a._session.sync_interval = interval
    return a


def until(condition, seconds=10.0):
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.002)
    assert condition()


def test_every_write_is_synced_without_another_call():
    a = made((100,), (10,))
    for value in range(1, 60):
        a[value % 100] = value
        if value % 7 == 0:
            time.sleep(0.003)
        if value % 20 == 0:
            until(lambda: not a._session.dirty)
            shown = np.asarray(hub.load(a.name, mode="r")[...])
            assert shown[value % 100] == value
    until(lambda: not a._session.dirty)
    a.close()


def test_writers_of_one_handle_while_it_syncs():
    a = made((400, 8), (16, 8))

    def fill(part):
        for row in range(part, 400, 4):
            a[row] = row + 1
            if row % 50 == part:
                assert a[row].sum() == 8 * (row + 1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(fill, range(4)))
    until(lambda: not a._session.dirty)
    expected = np.repeat(np.arange(1, 401, dtype="i4")[:, None], 8, axis=1)
    assert np.array_equal(np.asarray(hub.load(a.name, mode="r")[...]), expected)
    assert a.sum() == expected.sum()
    a.close()


def test_statistics_while_others_write():
    # All of a row is set at once, so each state has a sum that 500 divides.
    storage = repository((40, 500), "i4", (1, 500))
    session = open_session(storage, "main")
    engine = session.array().engine
    stop = threading.Event()

    def scribble():
        value = 0
        while not stop.is_set():
            value += 1
            write(session, slice(value % 40, value % 40 + 1), value)
            if value % 16 == 0:
                session.flush()
            if value % 64 == 0:
                session.commit(None)

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for low in range(60):
            rows = box_rows(engine, ((low % 20, 40), (0, 500)))
            assert int(rows["n"].sum()) == (40 - low % 20) * 500
            assert int(rows["sum"].sum()) % 500 == 0
            assert int(rows["min"].min()) >= 0
    finally:
        stop.set()
        thread.join()


def test_appends_and_reads_of_threads_while_syncing():
    a = made((0, 3), (7, 3))

    def grow(k):
        for i in range(25):
            a.append(np.full((1 + i % 3, 3), k * 100 + i))

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(grow, k) for k in range(1, 4)]
        while not all(w.done() for w in work):
            n = len(a)
            rows = np.asarray(a[:n])
            assert (rows == rows[:, :1]).all()
        for w in work:
            w.result()
    out = np.asarray(a[...])
    values, counts = np.unique(out[:, 0], return_counts=True)
    assert len(values) == 75
    assert all(c == 1 + (v % 100) % 3 for v, c in zip(values, counts, strict=True))
    a.close()
    assert np.array_equal(np.asarray(hub.load(a.name, mode="r")[...]), out)


def test_sync_that_failed_is_tried_again_and_later_writes_too():
    storage = FaultyStorage(repository((8,), "i4", (2,)))
    session = open_session(storage, "main", sync_interval=0.01)
    storage.schedule(Fault(verb="create", times=2))
    write(session, 0, 1)
    until(lambda: not session.dirty)
    assert session.failure is None
    write(session, 1, 2)
    until(lambda: not session.dirty)
    assert content(storage, "main").tolist()[:2] == [1, 2]
    assert not session.sync_due
    until(lambda: id(session) not in autosync._scheduler.vain)


def test_sessions_that_commit_against_each_other_from_threads():
    storage = repository((64,), "i4", (4,))
    sessions = [open_session(storage, "main", sync_interval=0.002) for _ in range(4)]

    def work(k):
        for i in range(k, 64, 4):
            write(sessions[k], i, i + 1)
            if i % 3 == 0:
                sessions[k].commit(str(i))
        sessions[k].sync()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    until(lambda: not any(s.dirty for s in sessions))
    assert content(storage, "main").tolist() == list(range(1, 65))
    for session in sessions:
        session.refresh()
        assert read(session).tolist() == list(range(1, 65))
        session.close()


def test_work_has_ended_when_an_interrupted_wait_raises(monkeypatch):
    running, most = [0], []
    lock = threading.Lock()

    def work(item):
        with lock:
            running[0] += 1
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return item

    original = pool._begun

    class Interrupted:
        """A future whose wait is interrupted, as Ctrl-C does."""

        def __init__(self, future):
            self.future = future

        def __getattr__(self, name):
            return getattr(self.future, name)

        def result(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(pool, "_begun", lambda *a: Interrupted(original(*a)))
    with pytest.raises(KeyboardInterrupt):
        pool.map_all(work, range(4), 4)
    most.append(running[0])
    assert most == [0]


def test_cache_of_threads_is_bounded_and_never_mixes_arrays():
    cache = ChunkCache(limit=6 * SLAB)
    shapes = [(64 << 10,), (200_000,), (SLAB // 8,), (SLAB // 4,)]

    def use(seed):
        generator = np.random.default_rng(seed)
        for _ in range(150):
            key = int(generator.integers(60))
            found = cache.get(key)
            if found is None:
                found = cache.new(shapes[key % 4], np.dtype("u1"))
                found[...] = key
                cache.put(key, found)
            assert found[0] == found[-1] == found[len(found) // 2] == key
            assert cache.nbytes <= 6 * SLAB

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(4)))
    held = [cache.get(key) for key in range(60)]
    for key, value in enumerate(held):
        assert value is None or (value == key).all()
    assert cache.nbytes == sum(slab.nbytes for slab in cache._slabs.values())
    assert {k for slab in cache._slabs.values() for k in slab.keys} == set(cache._items)
