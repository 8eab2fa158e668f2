"""Lazy arrays and statistics whose tasks run in worker processes."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.arrays import handle
from hubzarr.arrays.handle import open_engine, source_of
from hubzarr.errors import InvalidError, NotFoundError, StorageError
from hubzarr.session.forks.forking import without_secrets_here

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
pytest.importorskip("distributed")


@pytest.fixture
def a(tmp_path):
    made = hub.array((64, 50), str(tmp_path / "a"), chunks=(8, 16), dtype="f8")
    made[:] = np.random.default_rng(3).random((64, 50))
    made.commit("values")
    with made:
        yield made


def test_elements_and_statistics(a, client):
    x = np.asarray(a)
    np.testing.assert_array_equal(a.to_dask().compute(), x)
    np.testing.assert_array_equal(a[5:, ::-2].to_dask().compute(), x[5:, ::-2])
    np.testing.assert_allclose((a[3:60].to_dask() * 2).sum().compute(), x[3:60].sum() * 2)
    lazy = a[3:60, 5:]
    np.testing.assert_allclose(lazy.std(compute=False).compute(), x[3:60, 5:].std())
    np.testing.assert_allclose(lazy.mean(axis=0, compute=False).compute(), x[3:60, 5:].mean(axis=0))


def opened_here():
    return len(handle._opened.sessions)


def forget_here():
    handle._opened.sessions.clear()


def test_a_commit_is_opened_once_per_process(a, client, monkeypatch):
    client.run(forget_here)
    monkeypatch.setattr("hubzarr.arrays.lazy.TASK_BYTES", 256)
    lazy = a.to_dask((8, 8))
    assert lazy.npartitions > 30
    lazy.sum().compute()
    a[1:, 1:].std(compute=False).compute()
    assert all(n <= 1 for n in client.run(opened_here).values())


def test_threads_open_once(a, monkeypatch):
    forget_here()
    opened = []
    real = handle.open_source
    monkeypatch.setattr(handle, "open_source", lambda *x, **y: opened.append(1) or real(*x, **y))
    source = pickle.loads(pickle.dumps(source_of(a._session, "")))
    with ThreadPoolExecutor(16) as pool:
        engines = list(pool.map(lambda _: open_engine(source), range(64)))
    assert len(opened) == 1
    assert all(engine is engines[0] for engine in engines)


def test_what_others_commit_does_not_change_a_graph(a, client):
    lazy, before = a.to_dask(), np.asarray(a).sum()
    a[:] = 0
    a.commit("zero")
    np.testing.assert_allclose(lazy.sum().compute(), before)


def test_small_pickles(a):
    assert len(pickle.dumps(a)) < 1000
    assert len(pickle.dumps(a[2:, ::3])) < 2000
    lazy = a.to_dask((8, 8))
    # What the scheduler gets does not grow with the number of tasks.
    assert len(pickle.dumps(lazy.__dask_graph__())) < 4000
    tasks = dict(lazy.__dask_graph__())
    assert len(tasks) > 30
    assert max(len(pickle.dumps(task)) for task in tasks.values()) < 2000


def test_index_arrays_are_cut_for_tasks(tmp_path):
    a = hub.array((100_000,), str(tmp_path / "flat"), chunks=(1000,), dtype="i4")
    a[:] = np.arange(100_000)
    at = np.random.default_rng(5).permutation(100_000)
    lazy = a[at].to_dask(1000)
    tasks = dict(lazy.__dask_graph__())
    assert len(tasks) == 100
    assert max(len(pickle.dumps(task)) for task in tasks.values()) < 10_000
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), at)


def test_blocks_keep_all_processors_busy_and_cut_no_chunk(tmp_path, monkeypatch):
    a = hub.array((64, 1000, 100), str(tmp_path / "a"), chunks=(1, 1000, 100), dtype="f4")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for lazy in (a.to_dask(), a.to_dask(None)):
        assert lazy.chunks == ((4,) * 16, (1000,), (100,))
    with dask.config.set({"array.chunk-size": "800kB"}):
        assert a.to_dask().chunks[0] == (2,) * 32
    assert a[:1].to_dask().npartitions == 1
    # Tiny blocks would take longer to start than to read.
    assert hub.array((100,), str(tmp_path / "b"), chunks=(1,)).to_dask().npartitions == 1


@pytest.mark.parametrize("key", [..., np.s_[5:, ::-2], np.s_[[3, 1, 60], 2:]])
@pytest.mark.parametrize("chunks", [7, (5, -1), {0: 9}, "2kB", (-1, (10, -1))])
def test_chunks_as_dask_takes_them(a, key, chunks):
    x = np.asarray(a)[key]
    if chunks == (-1, (10, -1)):
        chunks = (-1, (10, x.shape[1] - 10))
    lazy = a[key].to_dask(chunks)
    expected = da.from_array(x, chunks=chunks)
    assert lazy.chunks == expected.chunks
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), x)


def test_chunks_of_the_array_and_bad_ones(a):
    assert a.to_dask(a.chunks).chunks == da.zeros(a.shape, chunks=a.chunks).chunks
    for bad in ((5,), (5, 5, 5), (60, (10, 10)), "much", 2.5, object()):
        with pytest.raises(InvalidError, match="expected 'auto', a length"):
            a.to_dask(bad)
    empty = a[:0].to_dask(3)
    assert empty.compute(scheduler="sync").shape == (0, 50)


def test_reading_is_fused_with_what_follows(a):
    lazy = (a.to_dask() + 1) * 2
    tasks = dict(lazy.__dask_optimize__(lazy.__dask_graph__(), lazy.__dask_keys__()))
    assert len(tasks) == lazy.npartitions


def test_whole_arrays_need_no_tasks_for_chunks(tmp_path, client):
    a = hub.array((1_000_000, 1000), str(tmp_path / "big"), chunks=(10, 1000), dtype="f4")
    a[5:25] = 7
    a.flush()
    for name in ("mean", "std", "max"):
        lazy = getattr(a, name)(compute=False)
        assert len(dict(lazy.__dask_graph__())) <= 3
    assert a.sum(compute=False).compute() == 7 * 20_000


def peak():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def test_statistics_of_cut_slices_stream(tmp_path, client):
    """600 MB go through two workers, none of which holds 150 MB of them at a time."""
    shape = (150, 1000, 1000)
    a = hub.array(shape, str(tmp_path / "large"), chunks=(1, 1000, 1000), dtype="f4")
    a.store(da.ones(shape, chunks=(1, 1000, 1000), dtype="f4"))
    client.run(hub.configure, cache_bytes=16 << 20)  # what it may keep besides
    before = client.run(peak)
    assert a[:, 1:, 1:].sum(compute=False).compute() == 150 * 999 * 999
    assert a[1:, :, 1:].max(axis=(1, 2), compute=False).compute().tolist() == [1] * 149
    after = client.run(peak)
    client.run(hub.configure, cache_bytes=None)
    assert all(after[worker] - before[worker] < 150 << 20 for worker in before)


def test_another_place_under_the_same_name(tmp_path):
    """A repository that took another's place is not mistaken for it."""
    a = hub.array((4,), str(tmp_path / "a"), dtype="i4")
    lazy = a.to_dask()
    a.close()
    (tmp_path / "a").rename(tmp_path / "b")
    b = hub.array((4,), str(tmp_path / "a"), dtype="i4", fill_value=3)
    assert b.to_dask().sum().compute(scheduler="sync") == 12
    with pytest.raises(NotFoundError, match="is gone, or this process sees another place"):
        lazy.compute(scheduler="sync")
    b.close()


class Refusing:
    is_local = False
    url = "s3://secret/place"


def test_who_is_refused_hears_of_secrets():
    error = StorageError("no access", path="x")
    with (
        pytest.raises(StorageError, match=r"no access \(passwords and keys don't travel") as info,
        without_secrets_here(Refusing()),
    ):
        raise error
    assert info.value.path == "x"
    local = Refusing()
    local.is_local = True
    with pytest.raises(StorageError, match=r"no access$"), without_secrets_here(local):
        raise error
