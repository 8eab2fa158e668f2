"""Forked stores, without a cluster: whatever processes store for one, it becomes one commit."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.errors import ClosedError, ConflictError, InvalidError, NotFoundError, ReadOnlyError
from hubzarr.session import create_repository, open_session
from hubzarr.session.forks import keys as fork_keys
from hubzarr.session.forks.gate import Gate
from hubzarr.session.forks.notes import Notes
from hubzarr.session.store import VersionedStore
from hubzarr.storage import FsspecStorage, Storage, open_storage
from tests.store.sample import GROUP, memory_url


def elsewhere(what: Any) -> Any:
    """What another process gets that is sent this."""
    sent = pickle.loads(pickle.dumps(what))
    fork_keys._opened.renew()
    store = getattr(sent, "store", sent)
    assert not store.session.writable  # and so it is opened
    return sent


def repository(storage: Storage) -> VersionedStore:
    """A store with an array of 8 rows, four to a chunk: row i holds i + 1."""
    create_repository(storage, "main", GROUP, author="me")
    session = open_session(storage, "main", author="me")
    store = VersionedStore(session)
    x = zarr.create_array(store, name="x", shape=(8, 3), chunks=(4, 3), dtype="i4")
    x[:] = np.arange(1, 9)[:, None]
    session.commit("x")
    return store


@pytest.fixture(params=["local", "memory", "remote"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "repo"))
    if request.param == "memory":
        return open_storage(memory_url())
    return FsspecStorage(memory_url(), single_writer=True)


@pytest.fixture
def store(storage: Storage) -> Iterator[VersionedStore]:
    made = repository(storage)
    yield made
    made.session.closed = True


@pytest.fixture
def reopened(storage: Storage) -> Callable[[], VersionedStore]:
    return lambda: VersionedStore(open_session(storage, "main", author="other"))


def x_of(store: VersionedStore, path: str = "x") -> Any:
    return zarr.open_array(store, path=path)


def rows(store: VersionedStore, path: str = "x") -> list[int]:
    return x_of(store, path)[:, 0].tolist()


def notes(storage: Storage) -> list[str]:
    return list(storage.list_all("forks"))


def commits(store: VersionedStore) -> int:
    return store.session.manifest.commit.number


def test_one_commit(store: VersionedStore, reopened: Callable[[], VersionedStore]) -> None:
    with store.fork("two tasks") as fork:
        elsewhere(x_of(fork))[:4] = 10
        elsewhere(x_of(fork))[4:] = 20
        assert rows(reopened()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert rows(reopened()) == rows(store) == [10] * 4 + [20] * 4
    assert commits(reopened()) == 2
    assert store.session.manifest.commit.message == "two tasks"
    assert len(store.session.manifest.commit.writes) == 2
    assert notes(store.session.storage) == []


def test_nothing_after_an_exception(store: VersionedStore) -> None:
    def failing() -> None:
        with store.fork("never") as fork:
            elsewhere(x_of(fork))[:4] = 10
            x_of(fork)[4:] = 20
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert rows(store) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert commits(store) == 1
    assert not store.session.dirty
    assert notes(store.session.storage) == []


def test_a_fork_that_is_sent_to_nobody_is_a_transaction(store: VersionedStore) -> None:
    before = store.session.storage.counters.copy()
    with store.fork("alone") as fork:
        x_of(fork).attrs["a"] = 1
    assert commits(store) == 2
    assert (store.session.storage.counters - before).writes == 1


def test_tasks_that_ran_twice(store: VersionedStore) -> None:
    with store.fork() as fork:
        for x in [elsewhere(x_of(fork)) for _ in range(3)]:
            x[:4] = 10
    assert rows(store) == [10] * 4 + [5, 6, 7, 8]
    written = store.session.manifest.commit.writes
    held = [path for path in store.session.storage.list_all("data") if path[5:21] in written]
    assert len(held) == 1  # the copies are gone
    assert commits(store) == 2


def test_elements_of_one_chunk_from_two_processes(store: VersionedStore) -> None:
    with store.fork() as fork:
        one, two = elsewhere(x_of(fork)), elsewhere(x_of(fork))
        one[0], two[1] = 10, 20
        one[2, 1:], two[2, 0] = 11, 40
    assert rows(store) == [10, 20, 40, 4, 5, 6, 7, 8]
    assert x_of(store)[2].tolist() == [40, 11, 11]


def test_conflicts(store: VersionedStore, reopened: Callable[[], VersionedStore]) -> None:
    def conflicting() -> None:
        with store.fork("never") as fork:
            one, two = elsewhere(x_of(fork)), elsewhere(x_of(fork))
            one[:3], two[2:] = 10, 20

    with pytest.raises(ConflictError, match=r"main x: elements \[2, 0:3\] .* from one task only"):
        conflicting()
    assert rows(store) == rows(reopened()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert commits(store) == 1


def test_conflicts_within_a_process(store: VersionedStore) -> None:
    """It must not depend on where tasks run whether they conflict."""

    def conflicting(first: slice, second: slice) -> None:
        with store.fork("never") as fork:
            x = elsewhere(x_of(fork))
            x[first] = 10
            x[second] = 20

    for second in (slice(0, 4), slice(2, 6)):
        with pytest.raises(ConflictError, match=r"main x: elements \[.*, 0:3\] were set"):
            conflicting(slice(0, 3), second)
    assert rows(store) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert commits(store) == 1
    with store.fork() as fork:
        x = elsewhere(x_of(fork))
        x[:2] = x[1:3] = 7
    assert rows(store)[:4] == [7, 7, 7, 4]


def test_a_chunk_written_bit_by_bit(store: VersionedStore) -> None:
    with store.fork() as fork:
        x = elsewhere(x_of(fork))
        for row in range(8):
            x[row] = row * 10
    assert rows(store) == [0, 10, 20, 30, 40, 50, 60, 70]
    assert len(list(store.session.storage.list_all("data"))) == 4  # two before, two now


def test_scalars_and_text(store: VersionedStore) -> None:
    with store.fork() as fork:
        zarr.create_array(fork, name="n", shape=(), dtype="f8", fill_value=1)
        text = zarr.create_array(fork, name="s", shape=(4,), chunks=(4,), dtype="<U5")
        text[0] = "zero"
        copy = elsewhere(fork)
        for value in (np.nan, np.nan):
            x_of(copy, "n")[...] = value
        with pytest.raises(ConflictError, match=r"elements \[\] were"):
            x_of(copy, "n")[...] = 2
        x_of(copy, "s")[1] = "one"
        x_of(copy, "s")[2:] = "many"
    assert np.isnan(x_of(store, "n")[...])
    assert x_of(store, "s")[:].tolist() == ["zero", "one", "many", "many"]


@settings(max_examples=100)
@given(
    order=st.lists(st.integers(0, 3), max_size=24),
    process=st.lists(st.integers(0, 1), min_size=4, max_size=4),
)
def test_any_interleaving_of_tasks(order: list[int], process: list[int]) -> None:
    """Four tasks in two processes, each of which sets the elements of a row one by one.

    Each step of a task is a read of the chunk, or the write after it: others come in between.
    """
    store = repository(open_storage(memory_url()))
    plain = zarr.create_array(
        {}, shape=(4, 3), chunks=(4, 3), dtype="i4", config={"write_empty_chunks": True}
    )
    chunk_of = plain.store._store_dict
    want = x_of(store)[:]
    before = want.copy()
    with store.fork() as fork:
        stores = [elsewhere(fork), elsewhere(fork)]
        done, held = [0] * 4, {}
        for task in order:
            here = stores[process[task]]
            if task in held:
                chunk_of["c/0/0"] = held.pop(task)
                plain[task, done[task]] = want[task, done[task]] = 100 * task + done[task]
                here.set_sync("x/c/0/0", chunk_of["c/0/0"])
                done[task] += 1
            elif done[task] < 3:
                held[task] = here.get_sync("x/c/0/0")
    np.testing.assert_array_equal(x_of(store)[:], want)
    # Tasks that change nothing need no commit.
    assert commits(store) == 2 or (commits(store) == 1 and np.array_equal(want, before))
    store.session.closed = True


def test_threads_of_one_process(store: VersionedStore) -> None:
    with store.fork() as fork:
        wide = zarr.create_array(fork, name="y", shape=(64,), chunks=(16,), dtype="i4")
        sent = pickle.dumps(wide)

        def one(task: int) -> None:
            y = pickle.loads(sent)
            for i in range(task, 64, 4):
                y[i] = i + 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(4)))
    assert x_of(store, "y")[:].tolist() == list(range(1, 65))


def test_what_comes_too_late_is_refused(store: VersionedStore) -> None:
    with store.fork() as fork:
        one, two = elsewhere(x_of(fork)), elsewhere(x_of(fork))
        one[:4] = 10
    for late in (one, two):
        with pytest.raises(ClosedError, match="Wait for all tasks"):
            late[4:] = 20
    with pytest.raises(ClosedError):
        x_of(fork)[4:] = 20
    with pytest.raises(ClosedError):
        pickle.dumps(fork)
    assert rows(store) == [10] * 4 + [5, 6, 7, 8]
    with store.fork() as fork:
        sent = pickle.dumps(fork)
    fork_keys._opened.renew()
    late = pickle.loads(sent)
    assert repr(late) == repr(fork)
    with pytest.raises(ClosedError):
        rows(late)


def test_a_write_that_is_under_way_at_the_end(
    store: VersionedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored, but not looked for any more: the task must know that it does not count."""
    with store.fork() as fork:
        x = elsewhere(x_of(fork))
        x[:4] = 10
        original = Gate.passes

        def ending(gate: Gate) -> bool:
            fork._gathering.end()
            return original(gate)

        monkeypatch.setattr(Gate, "passes", ending)
        with pytest.raises(ClosedError):
            x[4:] = 20
        monkeypatch.undo()
        fork._gathering._ended = False  # once more, as at the end of the block
    # It is in the store, but it came before the look: then it counts, although it was refused.
    assert rows(store) == [10] * 4 + [20] * 4


def test_rounds_in_one_fork(store: VersionedStore) -> None:
    """The owner sees what tasks stored, and so do the tasks of the next round."""
    with store.fork() as fork:
        elsewhere(x_of(fork))[:2] = 10
        assert rows(fork) == [10, 10, 3, 4, 5, 6, 7, 8]
        x_of(fork)[1] = 11
        second = elsewhere(x_of(fork))
        assert second[:, 0].tolist() == [10, 11, 3, 4, 5, 6, 7, 8]
        second[0] = 12
        third = elsewhere(x_of(fork))
        third[2] = 13
        assert rows(fork) == [12, 11, 13, 4, 5, 6, 7, 8]
    assert rows(store) == [12, 11, 13, 4, 5, 6, 7, 8]
    assert commits(store) == 2


def test_rounds_that_overlap(store: VersionedStore) -> None:
    """The owner looks while the tasks of the first round go on."""
    with store.fork() as fork:
        first = elsewhere(x_of(fork))
        first[0] = 10
        assert rows(fork)[:2] == [10, 2]
        first[1] = 11
        x_of(fork)[2] = 12
        second = elsewhere(x_of(fork))
        first[3] = 13
        second[4] = 14
        first[5] = 15
    assert rows(store) == [10, 11, 12, 13, 14, 15, 7, 8]
    assert commits(store) == 2


def test_copies_for_many_tasks_share_one_look(
    store: VersionedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Notes] = []
    original = Notes.signatures
    monkeypatch.setattr(Notes, "signatures", lambda one: looks.append(one) or original(one))
    with store.fork() as fork:
        x = x_of(fork)
        sent = [pickle.dumps(x) for _ in range(20)]
        assert looks == []
        for row, one in enumerate(sent[:8]):
            pickle.loads(one)[row] = row * 10
        again = [pickle.dumps(x) for _ in range(20)]
        assert looks == []
        assert set(again) == set(sent)
        x_of(fork)  # as xarray does when it begins to write once more
        second = [pickle.dumps(x) for _ in range(20)]
        assert len(looks) == 1
        assert set(second).isdisjoint(sent)
        pickle.loads(second[0])[0] = 7
    assert rows(store) == [7, 10, 20, 30, 40, 50, 60, 70]


def test_growing_and_replacing_between_rounds(store: VersionedStore) -> None:
    with store.fork() as fork:
        elsewhere(x_of(fork))[:4] = 10
        x_of(fork).resize((12, 3))
        elsewhere(x_of(fork))[8:] = 30
        first = zarr.create_array(fork, name="y", shape=(4,), chunks=(2,), dtype="i2")
        elsewhere(first)[:] = 1
        again = zarr.create_array(
            fork, name="y", shape=(4,), chunks=(2,), dtype="i2", overwrite=True
        )
        elsewhere(again)[2:] = 2
    assert rows(store) == [10] * 4 + [5, 6, 7, 8] + [30] * 4
    assert x_of(store, "y")[:].tolist() == [0, 0, 2, 2]
    assert commits(store) == 2


def test_emptied_chunks(store: VersionedStore) -> None:
    with store.fork() as fork:
        elsewhere(x_of(fork))[:4] = 0
        x = elsewhere(x_of(fork))
        x[4:] = 5
        assert x[4, 0] == 5
    assert rows(store) == [0] * 4 + [5] * 4
    with store.fork() as fork:
        y = zarr.create_array(fork, name="y", shape=(4,), chunks=(2,), dtype="i2")
        elsewhere(y)[:] = 0
    assert store.session.array("y").engine.id_of((0,)) == 0


def test_workers_only_store_chunks(store: VersionedStore) -> None:
    with store.fork() as fork:
        copy = elsewhere(fork)
        document = copy.get_sync("x/zarr.json")
        copy.set_sync("x/zarr.json", document)  # xarray writes what is there
        refused: list[Callable[[], Any]] = [
            lambda: x_of(copy).attrs.update(a=1),
            lambda: x_of(copy).resize((9, 3)),
            lambda: zarr.create_array(copy, name="y", shape=(2,), dtype="i2"),
            lambda: copy.delete_sync("x/zarr.json"),
            lambda: zarr.open_group(copy).__delitem__("x"),
        ]
        for action in refused:
            with pytest.raises(ReadOnlyError, match="in the process that made the fork"):
                action()
        for key in ("x/c/7/0", "y/c/0", "note"):
            with pytest.raises(InvalidError, match="no chunk of an array"):
                copy.set_sync(key, document)
        copy.delete_sync("note")
        assert not copy.with_read_only(True)._space.exists("note")
        with pytest.raises(ReadOnlyError), copy.fork():
            pass
    assert rows(store) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_two_owners(store: VersionedStore, reopened: Callable[[], VersionedStore]) -> None:
    other = reopened()
    with store.fork("one") as fork, other.fork("two") as fork_two:
        elsewhere(x_of(fork))[:3] = 10
        elsewhere(x_of(fork_two))[3:] = 20
    assert rows(reopened()) == [10] * 3 + [20] * 5
    assert commits(reopened()) == 3

    def conflicting() -> None:
        with store.fork("three"):
            other.session.refresh()
            with other.fork("four") as inner:
                elsewhere(x_of(inner))[0] = 30
            with_fork = store.session
            x_of(VersionedStore(with_fork))[0] = 40

    store.session.refresh()
    with pytest.raises(ConflictError):
        conflicting()
    assert rows(reopened())[0] == 30
    store.session.discard()


def test_arrays_with_the_same_home(tmp_path: Path) -> None:
    """A renamed array keeps its chunks where they are, and a new one may get its old name."""
    store = repository(open_storage(str(tmp_path / "repo")))
    session = store.session
    session.move_array("x", "y")
    session.remove("x")
    zarr.create_array(store, name="x", shape=(8, 3), chunks=(4, 3), dtype="i4")
    session.commit("renamed")
    with store.fork() as fork:
        copy = elsewhere(fork)
        x_of(copy)[:4] = 1
        x_of(copy, "y")[:4] = 2
    assert (rows(store), rows(store, "y")) == ([1] * 4 + [0] * 4, [2] * 4 + [5, 6, 7, 8])


def test_the_array_of_a_handle(tmp_path: Path) -> None:
    a = hub.array((6, 4), str(tmp_path / "a"), chunks=(2, 4), shards=(4, 4), dtype="f8")
    with a.store.fork("rows") as fork:
        elsewhere(zarr.open_array(fork))[:4] = 1
        elsewhere(zarr.open_array(fork))[4:, 2:] = 2
    assert np.asarray(a).sum() == 16 + 8
    assert a.mean() == 1
    assert a.log()[0].message == "rows"


def test_unfinished_files_of_a_killed_process_are_not_taken(tmp_path: Path) -> None:
    store = repository(open_storage(str(tmp_path / "repo")))
    with store.fork() as fork:
        elsewhere(x_of(fork))[:4] = 10
        (folder,) = (tmp_path / "repo" / "forks").iterdir()
        (signature,) = [name for name in os.listdir(folder) if name.count("-") == 4]
        torn = tmp_path / "repo" / "data" / signature[-16:] / "x" / "c" / "1" / ".tmp-0123"
        torn.parent.mkdir(parents=True)
        torn.write_bytes(b"half a ch")
    assert rows(store) == [10] * 4 + [5, 6, 7, 8]


def in_a_child(action: Callable[[], Any]) -> int:
    """What an action does in a process that os.fork makes: 0 if it returns."""
    child = os.fork()
    if not child:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_os_fork(tmp_path: Path) -> None:
    store = repository(open_storage(str(tmp_path / "repo")))
    with store.fork() as fork:
        copy = elsewhere(x_of(fork))
        copy[:2] = 10

        def owner_in_a_child() -> None:
            with pytest.raises(InvalidError, match="as an argument"):
                fork.delete_sync("x/c/0/0")

        def worker_in_a_child() -> None:
            copy.store.set_sync("x/c/1/0", copy.store.get_sync("x/c/0/0"))

        assert in_a_child(owner_in_a_child) == 0
        assert in_a_child(worker_in_a_child) == 0
        assert list((tmp_path / "repo" / "forks").iterdir()) != []
    # The child knew nothing of the parent's rows 0 and 1, so it copied those of the commit.
    assert rows(store) == [10, 10, 3, 4, 1, 2, 3, 4]
    assert commits(store) == 2


def test_copies_of_a_store_read_one_commit(storage: Storage, store: VersionedStore) -> None:
    pinned = pickle.loads(pickle.dumps(x_of(store)))
    token = store.__dask_tokenize__()
    assert token == store.__dask_tokenize__()
    x_of(store)[0] = 10
    assert store.__dask_tokenize__() != token
    newer = pickle.loads(pickle.dumps(x_of(store)))  # this commits
    assert (pinned[0, 0], newer[0, 0]) == (1, 10)
    assert pinned.store.session is pickle.loads(pickle.dumps(pinned)).store.session
    with pytest.raises(ReadOnlyError, match=r"store\.fork"):
        pinned[0] = 3
    with pytest.raises(ReadOnlyError, match=r"store\.fork"):
        x_of(pinned.store.with_read_only(False))[0] = 3
    with store.session.transaction("open"):
        x_of(store)[0] = 11
        with pytest.raises(InvalidError, match=r"store\.fork"):
            pickle.dumps(store)


def test_a_commit_that_a_process_does_not_find(tmp_path: Path) -> None:
    """A store may pass through processes that can't use it: a scheduler, for one."""
    store = repository(open_storage(str(tmp_path / "here")))
    sent = pickle.dumps(store)
    os.rename(tmp_path / "here", tmp_path / "elsewhere")
    copy = pickle.loads(pickle.dumps(pickle.loads(sent)))
    assert repr(copy) == repr(store)
    with pytest.raises(NotFoundError, match="use a place that all"):
        rows(copy)


def test_faults(s3: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that fail, answers that get lost: every element is there, in one commit."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    faulty = proxy(s3)
    name, options = faulty.url("x"), faulty.options
    want = np.arange(24 * 5).reshape(24, 5)
    store = hub.store(name, storage_options=options)
    with store.fork("in spite of it") as fork:
        y = zarr.create_array(fork, name="y", shape=(24, 5), chunks=(4, 5), dtype="i4")
        copies = [elsewhere(y) for _ in range(2)]
        faulty.set(error_rate=0.06, reset_rate=0.06, lost_rate=0.06, late_error_rate=0.06, seed=3)
        for i in range(0, 24, 3):
            copies[i % 2][i : i + 3] = want[i : i + 3]
    assert faulty.record()["faults"]
    faulty.reset()
    read = hub.store(name, mode="r", storage_options=options)
    np.testing.assert_array_equal(zarr.open_array(read, path="y")[:], want)
    assert commits(read) == 1
    assert list(read.session.storage.list_all("forks")) == []
