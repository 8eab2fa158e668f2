"""The store with xarray and dask, with other sessions, threads and processes."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import zarr

from hubzarr.errors import ConflictError, InvalidError, ReadOnlyError, StorageError
from hubzarr.session import Session, create_repository, open_session
from hubzarr.session.store import VersionedStore
from hubzarr.storage import Storage, open_storage
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.store.sample import GROUP, buffer, memory_url
from tests.store.test_arrays import read, write


def array_of(session: Session, path: str = "x") -> zarr.Array:
    return zarr.open_array(VersionedStore(session), path=path)


@pytest.fixture
def shared(opened: Callable[..., Session]) -> Callable[..., Session]:
    """Sessions on a repository with an array of 6 rows, two to a chunk."""
    session = opened()
    zarr.create_array(VersionedStore(session), name="x", shape=(6, 4), chunks=(2, 4), dtype="i4")
    session.commit("x")
    return opened


def test_disjoint_chunks_of_two_sessions(shared: Callable[..., Session]) -> None:
    a, b = shared(), shared()
    array_of(a)[:2] = 1
    array_of(b)[2:4] = 2
    array_of(a).attrs["a"] = 1
    array_of(b).attrs["b"] = 2
    VersionedStore(a).set_sync("note/a", buffer(b"a"))
    VersionedStore(b).set_sync("note/b", buffer(b"b"))
    a.commit("a")
    b.commit("b")
    last = shared()
    assert read(last, "x")[:, 0].tolist() == [1, 1, 2, 2, 0, 0]
    assert dict(array_of(last).attrs) == {"a": 1, "b": 2}
    assert VersionedStore(last).get_sync("note/a").to_bytes() == b"a"


def test_foreign_chunks_merge_by_element(shared: Callable[..., Session]) -> None:
    a, b, c = shared(), shared(), shared()
    array_of(a)[0] = 1
    array_of(b)[1] = 2
    write(c, "x", (1, 0), 3)
    a.commit("row 0")
    b.commit("row 1 of the same chunk")
    assert read(shared(), "x")[:2, 0].tolist() == [1, 2]
    with pytest.raises(ConflictError):
        c.commit("an element of row 1")
    c.commit("ours", conflict="ours")
    assert read(shared(), "x")[:2, :2].tolist() == [[1, 1], [3, 2]]


def test_a_rebase_onto_other_channels(opened: Callable[..., Session]) -> None:
    session = opened()
    zarr.create_array(VersionedStore(session), name="x", shape=(6, 3), chunks=(2, 8), dtype="i4")
    write(session, "x", ..., 1)
    session.commit("three channels")
    a, b = opened(), opened()
    array_of(a).resize((6, 7))
    write(a, "x", slice(0, 3), 2)
    write(b, "x", slice(4, 6), 3)
    write(b, "x", 3, 4)
    a.commit("seven columns")
    b.commit("by three channels")
    want = np.zeros((6, 7), int)
    want[:, :3] = 1
    want[:3] = 2
    want[3, :3], want[4:, :3] = 4, 3
    np.testing.assert_array_equal(read(opened(), "x"), want)


def test_statistics_of_foreign_chunks_are_unknown(shared: Callable[..., Session]) -> None:
    session = shared()
    write(session, "x", slice(0, 2), 1)
    array_of(session)[2:4] = 2
    session.commit("one of each")
    table = shared().array("x").engine.table.base
    assert list(table.stats.unknown_cells((0, 0), (3, 1))) == [(1, 0)]


class Interrupted:
    """A storage on which something else happens before the next object is stored."""

    def __init__(self, storage: Storage, event: Callable[[], object]) -> None:
        self.storage = storage
        self.events = [event]

    def put(self, path: str, data: Any) -> None:
        if self.events:
            self.events.pop()()
        self.storage.put(path, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)


def test_a_commit_while_an_object_is_stored(shared: Callable[..., Session]) -> None:
    session = shared()
    storage, store = session.storage, VersionedStore(session)
    chunk = zarr.create_array({}, shape=(6, 4), chunks=(2, 4), dtype="i4", fill_value=1).store
    zarr.open_array(chunk)[...] = 5
    data = chunk._store_dict["c/0/0"]
    for key in ("note", "x/c/0/0"):
        session.storage = Interrupted(storage, lambda: session.commit("in between"))
        write(session, "x", slice(4, 6), 1)
        store.set_sync(key, data)
        assert not session.storage.events
        session.storage = storage
        first = session.manifest.commit
        session.commit(key)
        last = shared().manifest.commit
        assert len(last.writes) == 1
        assert not set(last.writes) & set(first.writes)
    assert read(shared(), "x")[:2].tolist() == [[5] * 4] * 2
    assert VersionedStore(shared()).get_sync("note").to_bytes() == data.to_bytes()


def test_a_rebase_while_a_chunk_of_a_new_array_is_stored(shared: Callable[..., Session]) -> None:
    session, other = shared(), shared()
    storage, store = session.storage, VersionedStore(session)
    zarr.create_array(store, name="y", shape=(4,), chunks=(2,), dtype="u1", compressors=())
    write(other, "x", 0, 1)
    other.commit("theirs")
    session.storage = Interrupted(storage, session.refresh)
    store.set_sync("y/c/0", buffer(b"\x05\x06"))
    session.storage = storage
    assert read(session, "y").tolist() == [5, 6, 0, 0]
    session.commit("ours")
    assert read(shared(), "y").tolist() == [5, 6, 0, 0]


def test_failures_lose_nothing() -> None:
    storage = FaultyStorage(open_storage(memory_url()))
    create_repository(storage, "main", GROUP, author="me")
    session = open_session(storage, "main", author="me")
    store = VersionedStore(session)
    array = zarr.create_array(store, name="x", shape=(4,), chunks=(2,), dtype="i4")
    array[:] = 1
    storage.schedule(Fault(verb="put"))
    with pytest.raises(StorageError):
        store.set_sync("x/c/0", buffer(b"new"))
    assert not session.writes.busy
    assert array[:].tolist() == [1] * 4
    array[:] = 2
    session.commit("two")
    assert read(open_session(storage, "main"), "x").tolist() == [2] * 4


def test_many_threads_write_and_one_commits(shared: Callable[..., Session]) -> None:
    session = shared()
    store = VersionedStore(session)
    zarr.create_array(store, name="y", shape=(200, 3), chunks=(1, 3), dtype="i4")
    ended = threading.Event()

    def committing() -> None:
        while not ended.is_set():
            session.commit(None)
            time.sleep(0.002)

    thread = threading.Thread(target=committing)
    thread.start()

    def one(row: int) -> None:
        for value in (row, row + 1):
            array_of(session, "y")[row] = value

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(200)))
    ended.set()
    thread.join()
    session.commit("all")
    np.testing.assert_array_equal(read(shared(), "y")[:, 0], np.arange(1, 201))


def test_threads_that_write_one_chunk(shared: Callable[..., Session]) -> None:
    session = shared()
    store = VersionedStore(session)
    zarr.create_array(store, name="y", shape=(4,), chunks=(4,), dtype="u1", compressors=())

    def one(value: int) -> None:
        store.set_sync("y/c/0", buffer(bytes([value] * 4)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(1, 100)))
    values = set(read(session, "y").tolist())
    assert len(values) == 1
    assert values < set(range(1, 100))


def test_pickles(shared: Callable[..., Session]) -> None:
    session = shared()
    array_of(session)[:] = 1
    copy = pickle.loads(pickle.dumps(VersionedStore(session)))
    assert not session.dirty
    assert copy == VersionedStore(session)
    pinned = pickle.loads(pickle.dumps(VersionedStore(shared(mode="r"), "x")))
    assert pinned.read_only
    with pytest.raises(ReadOnlyError, match=r"store\.fork"):
        zarr.open_array(copy, path="x")[0] = 2
    array_of(session)[0] = 2
    session.commit("two")
    assert copy != VersionedStore(session)
    assert zarr.open_array(copy, path="x")[0, 0] == 1
    again = pickle.loads(pickle.dumps(pinned))
    for store in (pinned, again):
        assert zarr.open_array(store, mode="r")[:, 0].tolist() == [1] * 6
    session.refresh()
    with session.transaction("open"):
        pickle.dumps(VersionedStore(session))
        array_of(session)[0] = 7
        with pytest.raises(InvalidError, match="transaction"):
            pickle.dumps(VersionedStore(session))


# zarr warns that consolidated metadata is not in the specification yet.
@pytest.mark.filterwarnings("ignore:Consolidated metadata:zarr.errors.ZarrUserWarning")
def test_consolidated_metadata_is_of_now(opened: Callable[..., Session]) -> None:
    session = opened()
    store = VersionedStore(session)
    root = zarr.open_group(store)
    root.create_array("a/b/x", shape=(4,), dtype="i4")
    root.create_group("c")
    want = zarr.consolidate_metadata(store).metadata.consolidated_metadata
    session.commit("consolidated")
    again = VersionedStore(opened())
    group = zarr.open_consolidated(again)
    assert group.metadata.consolidated_metadata == want
    zarr.open_array(again, path="a/b/x").resize((9,))
    zarr.open_group(again).create_group("d")
    group = zarr.open_consolidated(again)
    assert group["a/b/x"].shape == (9,)
    assert sorted(group.group_keys()) == ["a", "c", "d"]


@pytest.fixture
def dataset() -> Any:
    xarray = pytest.importorskip("xarray")
    return xarray.Dataset(
        {
            "t": (("time", "x"), np.arange(12.0).reshape(4, 3)),
            "name": (("x",), np.array([1, 2, 3])),
        },
        coords={"time": np.arange(4), "x": [10, 20, 30]},
        attrs={"title": "weather"},
    )


# zarr warns that consolidated metadata is not in the specification yet.
@pytest.mark.filterwarnings("ignore:Consolidated metadata:zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("consolidated", [False, True])
def test_xarray(opened: Callable[..., Session], dataset: Any, consolidated: bool) -> None:
    xarray = pytest.importorskip("xarray")
    session = opened()
    options = {"consolidated": consolidated, "zarr_format": 3}
    store = VersionedStore(session)
    dataset.to_zarr(store, encoding={"t": {"chunks": (2, 3)}}, mode="w", **options)
    session.commit("all")
    got = xarray.open_zarr(VersionedStore(opened()), consolidated=consolidated)
    xarray.testing.assert_identical(got.compute(), dataset)
    more = dataset.assign_coords(time=np.arange(4, 8)) + 100
    more["name"] = dataset["name"]
    more.drop_vars("name").to_zarr(store, append_dim="time", **options)
    patch = dataset[["t"]].isel(time=slice(0, 2)).drop_vars(["x", "time"]) * 0 - 5
    patch.to_zarr(store, region={"time": slice(2, 4), "x": slice(None)}, **options)
    session.commit("appended and patched")
    got = xarray.open_zarr(VersionedStore(opened()), consolidated=consolidated).compute()
    want = np.concatenate([dataset.t.values, dataset.t.values + 100])
    want[2:4] = -5
    np.testing.assert_array_equal(got.t.values, want)
    np.testing.assert_array_equal(got.time.values, np.arange(8))
    np.testing.assert_array_equal(read(opened(), "t"), want)
    dataset.to_zarr(store, group="old", mode="w", **options)
    dataset.isel(x=[0]).to_zarr(store, mode="w", **options)
    session.commit("overwritten")
    got = xarray.open_zarr(VersionedStore(opened()), consolidated=consolidated)
    xarray.testing.assert_identical(got.compute(), dataset.isel(x=[0]))


def test_xarray_by_dask(opened: Callable[..., Session], dataset: Any) -> None:
    xarray = pytest.importorskip("xarray")
    session = opened()
    dataset.chunk(time=2).to_zarr(
        VersionedStore(session), mode="a", zarr_format=3, consolidated=False
    )
    session.commit("by dask")
    got = xarray.open_zarr(VersionedStore(opened()), consolidated=False, chunks={"time": 2})
    assert float(got.t.sum()) == float(dataset.t.sum())


def test_listing_while_deleting(store: VersionedStore, storage: Storage) -> None:
    zarr.create_array(store, name="x", shape=(50,), chunks=(1,), dtype="i4")[:] = 1

    async def run() -> None:
        async for key in store.list_prefix("x/c"):
            await store.delete(key)
        assert await store.is_empty("x/c")

    asyncio.run(run())
    store.session.commit("empty")
    assert not read(open_session(storage, "main"), "x").any()
