"""`a.store(x)`: dask arrays stored by their tasks, as one commit or not at all."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.arrays.parallel_graph import aligned, region_of
from hubzarr.errors import (
    ConflictError,
    InvalidError,
    InvalidTypeError,
    NotFoundError,
    OutOfBoundsError,
    ReadOnlyError,
)

da = pytest.importorskip("dask.array")
pytest.importorskip("distributed")


def numbers(shape):
    return np.random.default_rng(7).integers(0, 100, shape).astype("i4")


@pytest.fixture
def a(tmp_path):
    made = hub.array((20, 20), str(tmp_path / "a"), chunks=(8, 8), dtype="i4")
    yield made
    if not made._session.closed:
        made.discard()
        made.close()


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_local_schedulers(a, scheduler):
    x = numbers((20, 20))
    commit = a.store(da.from_array(x, chunks=8), message="all", scheduler=scheduler)
    assert (commit.number, commit.message) == (1, "all")
    seen = hub.load(a.name)
    np.testing.assert_array_equal(seen, x)
    assert (seen.sum(), seen.max()) == (x.sum(), x.max())
    assert a.commit_id == seen.commit_id
    a[0, 0] = 1  # the handle goes on
    assert a[0, 0] == 1


def test_cluster(a, client):
    x = numbers((20, 20))
    lazy = da.from_array(x, chunks=(7, 5)) + 1
    a.store(lazy, message="all")
    seen = hub.load(a.name)
    np.testing.assert_array_equal(seen, x + 1)
    before = seen.io.copy()
    assert seen.mean() == (x + 1).mean()
    assert (seen.io - before).reads == 0
    assert len(a.log()) == 2


def test_a_client_that_is_not_the_current_one(a, client):
    import dask

    with dask.config.set(scheduler="sync"):
        a.store(da.ones((20, 20), chunks=10), scheduler=client)
    assert a.sum() == 400


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_any_chunks_and_regions(seed):
    rng = np.random.default_rng(seed)
    nd = int(rng.integers(1, 4))
    shape = tuple(rng.integers(1, 20, nd).tolist())
    chunks = tuple(rng.integers(1, 9, nd).tolist())
    a = hub.array(shape, f"memory://store/{seed}-{rng.bytes(4).hex()}", chunks=chunks, dtype="i4")
    want = rng.integers(0, 9, shape).astype("i4")
    if rng.random() < 0.5:
        a[...] = want
    else:
        want[...] = 0
    low = [int(rng.integers(0, n)) for n in shape]
    region = tuple(slice(b, int(rng.integers(b, n)) + 1) for b, n in zip(low, shape, strict=True))
    x = rng.integers(0, 9, want[region].shape).astype("i4")
    want[region] = x
    cut = tuple(int(rng.integers(1, n + 1)) for n in x.shape)
    a.store(da.from_array(x, chunks=cut), region, scheduler="sync")
    np.testing.assert_array_equal(a, want)
    assert a.sum() == want.sum()
    a.close()


def test_axes_held_at_an_index_and_broadcasting(a):
    a.store(da.arange(20, chunks=6), (3, ...), scheduler="sync")
    a.store(da.arange(4, chunks=3), (slice(16, 20), -1), scheduler="sync")
    a.store(da.full((1, 20), 9, chunks=5), slice(10, 12), scheduler="sync")
    want = np.zeros((20, 20), "i4")
    want[3], want[16:20, -1], want[10:12] = range(20), range(4), 9
    np.testing.assert_array_equal(a, want)


@pytest.mark.parametrize(
    "x",
    [
        np.array(["a", "bcd", "ef", "g"]),
        np.array([b"ab", b"c", b"d", b"e"]),
        np.arange(4).astype("M8[s]"),
        np.arange(4) + 1j,
        np.array([(1, 2.0), (3, 4.0)] * 2, [("a", "i4"), ("b", "f8")]),
    ],
    ids=str,
)
def test_dtypes(tmp_path, x):
    a = hub.array(4, str(tmp_path / "a"), dtype=str if x.dtype.kind == "U" else x.dtype, chunks=2)
    a.store(da.from_array(x, chunks=3), scheduler="sync")
    assert np.asarray(a).tolist() == a.to_dask().compute(scheduler="sync").tolist() == x.tolist()
    assert len(pickle.dumps(pickle.loads(pickle.dumps(a.fork())).write(0, x[0]))) < 2000


def test_shards(tmp_path):
    shape = (20, 20)
    a = hub.array(shape, str(tmp_path / "a"), dtype="i4", chunks=(2, 2), shards=(8, 8))
    x = numbers(shape)
    commit = a.store(da.from_array(x, chunks=(8, 20)), scheduler="threads")
    assert commit.changes[""] == {"cells": 9}
    a.store(da.zeros((10, 10), chunks=4, dtype="i4"), (slice(5, 15), slice(5, 15)))
    x[5:15, 5:15] = 0
    np.testing.assert_array_equal(hub.load(a.name), x)
    assert a.sum() == x.sum()


def test_array_without_axes(tmp_path):
    a = hub.array((), str(tmp_path / "one"), dtype="f8")
    a.store(da.asarray(3.5), scheduler="sync")
    assert a[()] == 3.5


def test_nothing_to_store(a):
    assert a.store(da.zeros((0, 20)), slice(4, 4), scheduler="sync").number <= 1
    assert a.sum() == 0


def test_what_is_no_dask_array(a, tmp_path):
    x = numbers((20, 20))
    assert a.store(x, message="numpy").message == "numpy"
    np.testing.assert_array_equal(hub.load(a.name), x)
    a.store(7, slice(0, 2))
    b = hub.array((20, 20), str(tmp_path / "b"), chunks=5, dtype="i4")
    b.store(a, message="another array", scheduler="sync")
    b.store(b[:10], slice(10, 20), scheduler="sync")
    assert b[0, 0] == b[10, 0] == 7
    import zarr

    z = zarr.array(x, chunks=(6, 6))
    b.store(z)
    np.testing.assert_array_equal(b, x)


def test_regions_past_the_end_are_refused(a):
    for region in (slice(0, 21), slice(21, 22), 20, -21, (0, slice(0, 30))):
        with pytest.raises(OutOfBoundsError, match="does not lie inside"):
            a.store(da.ones(1), region)
    for region in (slice(0, 10, 2), (0, 0, 0), (..., ...)):
        with pytest.raises(InvalidError):
            a.store(da.ones(1), region)
    with pytest.raises(InvalidTypeError):
        a.store(da.ones(1), [[1, 2]])
    with pytest.raises(InvalidError, match="don't broadcast"):
        a.store(da.ones(3), slice(0, 5))
    x = da.arange(20, chunks=5)
    with pytest.raises(InvalidError, match="unknown shape"):
        a.store(x[x > 3])
    assert len(a.log()) == 1


def test_not_a_handle_for_writing(a):
    with pytest.raises(ReadOnlyError):
        hub.load(a.name, mode="r").store(da.ones((20, 20)))


def failing(block, block_info=None):
    if block_info and block_info[0]["chunk-location"] == (1, 1):
        raise ValueError("no luck")
    return block + 1


def test_an_error_in_a_task_changes_nothing(a, client):
    a[0, 0] = 5
    a.commit("before")
    x = da.zeros((20, 20), chunks=8, dtype="i4").map_blocks(failing, dtype="i4")
    with pytest.raises(ValueError, match="no luck"):
        a.store(x)
    assert len(a.log()) == 2
    assert a.sum() == 5
    with pytest.raises(ValueError, match="no luck"), a.transaction("with it"):  # noqa: PT012
        a[1, 1] = 3
        a.store(x)
    assert a.sum() == hub.load(a.name).sum() == 5


def slow(block):
    time.sleep(0.2)
    return block + 1


@pytest.mark.parametrize("scheduler", [None, "threads"])
def test_ctrl_c_changes_nothing(a, client, scheduler):
    x = da.zeros((20, 20), chunks=2, dtype="i4").map_blocks(slow, dtype="i4")
    interrupt = [threading.main_thread().ident, signal.SIGINT]
    timer = threading.Timer(0.7, signal.pthread_kill, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        a.store(x, scheduler=scheduler)
    timer.join()
    assert len(a.log()) == 1
    assert a.sum() == 0
    a.store(da.ones((20, 20), chunks=10))
    assert hub.load(a.name).sum() == 400


def dying(block, mark, block_info=None):
    """The first time around, the worker dies in the middle of its work."""
    if block_info and block_info[0]["chunk-location"] == (2, 1):
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return block + 1
        time.sleep(0.2)  # others have stored something by now
        os._exit(1)
    return block + 1


def test_a_worker_that_dies(a, client, tmp_path):
    mark = str(tmp_path / "died")
    x = numbers((20, 20))
    lazy = da.from_array(x, chunks=4).map_blocks(dying, mark, dtype="i4")
    a.store(lazy, message="all the same")
    assert os.path.exists(mark)
    seen = hub.load(a.name)
    np.testing.assert_array_equal(seen, x + 1)
    assert seen.sum() == (x + 1).sum()
    assert [c.message for c in a.log()] == ["all the same", "created"]


def test_in_a_transaction(a, client):
    with a.transaction("both"):
        a[19, 19] = 1000
        assert a.store(da.ones((16, 20), chunks=8, dtype="i4"), slice(0, 16)) is None
        assert a.sum() == 1320
        assert hub.load(a.name).sum() == 0
    assert len(a.log()) == 2
    assert hub.load(a.name).sum() == 1320


def test_what_the_handle_holds_is_kept(a):
    a[19, 19] = 1000
    a.store(da.ones((8, 20), chunks=8, dtype="i4"), slice(0, 8), scheduler="sync")
    assert hub.load(a.name).sum() == 1160


def test_others_append_meanwhile(a):
    other = hub.load(a.name)

    def meanwhile(block, block_info=None):
        if block_info and block_info[0]["chunk-location"] == (0, 0):
            other.append(np.full((5, 20), 2, "i4"))
            other.flush()
        return block + 1

    a.store(da.zeros((20, 20), chunks=8).map_blocks(meanwhile, dtype="i4"), scheduler="sync")
    assert a.shape == (25, 20)
    assert hub.load(a.name).sum() == 400 + 200


def test_the_handle_changes_the_same_meanwhile(a):
    """The commit is made; what clashes with it is for the handle's own next sync to say."""

    def meanwhile(block, block_info=None):
        if block_info and block_info[0]["chunk-location"] == (0, 0):
            a[0, 0] = 77
        return block + 1

    x = da.zeros((20, 20), chunks=8).map_blocks(meanwhile, dtype="i4")
    assert a.store(x, message="ones", scheduler="sync").message == "ones"
    assert hub.load(a.name, mode="r").sum() == 400
    with pytest.raises(ConflictError, match="elements"):
        a.flush()


def test_others_change_the_same_meanwhile(a):
    other = hub.load(a.name)

    def meanwhile(block, block_info=None):
        if block_info and block_info[0]["chunk-location"] == (0, 0):
            other[0, 0] = 77
            other.flush()
        return block + 1

    with pytest.raises(ConflictError, match="elements"):
        a.store(da.zeros((20, 20), chunks=8).map_blocks(meanwhile, dtype="i4"), scheduler="sync")
    assert hub.load(a.name).sum() == 77
    a.refresh()
    assert a.sum() == 77


def test_appends(a, client):
    x = numbers((13, 20))
    assert a.append(da.from_array(x, chunks=(5, 20))) == (33, 20)
    np.testing.assert_array_equal(hub.load(a.name)[20:], x)
    assert a.info["number"] == 1
    with pytest.raises(InvalidError, match="can't append"):
        a.append(da.ones((3, 3)))


def test_appends_of_two_all_survive(a):
    other = hub.load(a.name)

    def meanwhile(block, block_info=None):
        if block_info and block_info[0]["chunk-location"] == (0, 0):
            other.append(np.full((3, 20), 2, "i4"))
            other.flush()
        return block + 1

    a.append(da.zeros((10, 20), chunks=(4, 20)).map_blocks(meanwhile, dtype="i4"))
    seen = np.asarray(hub.load(a.name))
    assert seen.shape == (33, 20)
    assert seen[20:23].sum() == 3 * 20 * 2
    assert seen[23:].sum() == 10 * 20


def test_later(a, client):
    x = numbers((20, 20))
    later = a.store(da.from_array(x, chunks=8), message="later", compute=False)
    assert a.sum() == 0
    commit = later.compute()
    assert commit.message == "later"
    assert a.refresh()
    np.testing.assert_array_equal(a, x)
    assert len(a.log()) == 2
    with pytest.raises(InvalidError, match="transaction"), a.transaction():
        a.store(da.ones((20, 20)), compute=False)


def test_several_later_in_one_computation(a, tmp_path, client):
    import dask

    b = hub.array((20,), str(tmp_path / "b"), dtype="i8", chunks=5)
    x = da.arange(400, chunks=100).reshape(20, 20)
    one = a.store(x, compute=False)
    two = b.store(x.sum(axis=1), compute=False)
    dask.compute(one, two)
    assert hub.load(b.name).sum() == hub.load(a.name).sum() == np.arange(400).sum()


def test_two_at_once_share_chunks(a, client):
    """Each of two writes commits by itself; the later one is merged with the earlier."""
    import dask

    x = numbers((20, 20))
    regions = slice(0, 10), slice(10, 20)
    dask.compute(*(a.store(da.from_array(x[r], chunks=5), r, compute=False) for r in regions))
    seen = hub.load(a.name)
    np.testing.assert_array_equal(seen, x)
    assert seen.info["number"] == 2
    a.refresh()
    clash = [a.store(da.full((20, 20), n, chunks=10), compute=False) for n in (1, 2)]
    with pytest.raises(ConflictError):
        dask.compute(*clash)
    assert hub.load(a.name).sum() in (400, 800)


def test_from_dask(client, tmp_path):
    x = da.random.default_rng(1).random((100, 100), chunks=(30, 100))
    a = hub.from_dask(x, str(tmp_path / "x"))
    assert a.chunks == (30, 100)
    np.testing.assert_array_equal(a, x.compute())
    assert [c.message for c in a.log()] == ["values from dask", "created"]


def test_memory_of_this_process_only(client):
    a = hub.array((4,), "memory://cluster/a", dtype="i4")
    with pytest.raises(NotFoundError, match="the place must be one that all workers share"):
        a.store(da.ones(4, chunks=2))
    a.store(da.ones(4, chunks=2), scheduler="threads")
    assert a.sum() == 4


def write_row(fork, row):
    return fork.write(row, np.arange(20) + row)


def test_own_futures(a, client):
    fork = a.fork()
    assert (fork.name, fork.shape, fork.dtype) == (a.name, (20, 20), np.dtype("i4"))
    results = client.gather(client.map(write_row, [fork] * 20, range(20), pure=False))
    assert a.sum() == 0
    assert a.join(results, "rows of one chunk from many tasks").number == 1
    want = np.arange(20) + np.arange(20)[:, None]
    np.testing.assert_array_equal(hub.load(a.name), want)
    assert a.sum() == want.sum()
    overlap = client.gather(client.map(write_row, [a.fork()] * 2, [3, 3], pure=False))
    with pytest.raises(ConflictError, match=r"two tasks wrote \[3:4, "):
        a.join(overlap)
    assert len(a.log()) == 2


def test_own_futures_in_a_transaction(a):
    with a.transaction("both"):
        a[0, 0] = 50
        fork = pickle.loads(pickle.dumps(a.fork()))
        a.join([fork.write((0, slice(1, 3)), 7)])
    assert np.asarray(hub.load(a.name))[0, :4].tolist() == [50, 7, 7, 0]


def test_blocks_follow_cells():
    x = da.zeros((100, 90), chunks=(30, 90))
    found = aligned(x, ((5, 105), (0, 90)), (8, 200))
    assert found.chunks == ((27, 32, 32, 9), (90,))  # borders at 32, 64, 96
    same = da.zeros((96, 90), chunks=(32, 90))
    assert aligned(same, ((0, 96), (0, 90)), (8, 200)) is same
    small = da.zeros((100,), chunks=3)
    assert aligned(small, ((0, 100),), (50,)).chunks == ((50, 50),)


def test_blocks_stay_bounded_and_costs_are_told():
    x = da.zeros((1 << 20, 256), chunks=(1 << 20, 1), dtype="f8")  # columns, cells are rows
    with pytest.warns(da.PerformanceWarning, match="pieces that move between workers"):
        found = aligned(x, ((0, 1 << 20), (0, 256)), (1 << 10, 256))
    assert max(found.chunks[0]) * max(found.chunks[1]) * 8 <= 128 << 20
    assert all(n % 1024 == 0 for n in found.chunks[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aligned(da.zeros((1 << 13, 1 << 13), chunks=1000), ((0, 1 << 13),) * 2, (512, 512))


def test_regions():
    assert region_of(None, (3, 4), "a").box == ((0, 3), (0, 4))
    assert region_of(slice(-2, None), (3, 4), "a").box == ((1, 3), (0, 4))
    assert region_of((1, ..., slice(2)), (3, 9, 4), "a").box == ((1, 2), (0, 9), (0, 2))
    assert region_of((1, ...), (3, 9, 4), "a").shape == (9, 4)


def broken(block):
    raise ZeroDivisionError("this block")


def test_from_dask_that_fails_leaves_nothing(tmp_path):
    name = str(tmp_path / "a")
    bad = da.ones((8,), chunks=4).map_blocks(broken, dtype="f8")
    for _ in range(2):  # not "exists already"
        with pytest.raises(ZeroDivisionError):
            hub.from_dask(bad, name, scheduler="sync")
        assert not hub.exists(name)
    assert hub.from_dask(da.ones((8,), chunks=4), name).sum() == 8
    with pytest.raises(ZeroDivisionError):  # one more version, beside what was there
        hub.from_dask(bad, name + ":v2", scheduler="sync")
    assert [v.name for v in hub.load(name).versions()] == ["main"]
    with pytest.raises(ZeroDivisionError):
        hub.from_dask(bad, name, overwrite=True, scheduler="sync")
    with pytest.raises(ZeroDivisionError):
        hub.from_dask(bad, name, exist_ok=True, scheduler="sync")
    assert hub.load(name).sum() == 8


def test_a_dask_array_computed_from_ours_keeps_the_stored_chunks(tmp_path):
    a = hub.array((64, 100), str(tmp_path / "a"), chunks=(4, 50), dtype="f8")
    lazy = a.to_dask() + 1
    assert lazy.chunksize == (64, 100)
    assert hub.from_dask(lazy, str(tmp_path / "b")).chunks == (4, 50)
    assert hub.from_dask(a[:, ::3].to_dask((3, -1)), str(tmp_path / "c")).chunks == (3, 34)
    assert hub.from_dask(lazy, str(tmp_path / "d"), chunks=(64, 100)).chunks == (64, 100)
