"""What users do with arrays and datasets, from end to end, on every object store."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import ConflictError
from tests.servers import racer

STORES = [
    "s3-obstore",
    "s3-fsspec",
    pytest.param("s3_moto-obstore", marks=pytest.mark.slow),
    "gcs-fsspec",
]
RACES = [
    "s3-obstore",
    pytest.param("gcs-fsspec", marks=pytest.mark.slow),
]  # enough: what differs is tested below arrays
PROCESSES, COMMITS = 4, 10


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch):
    """On a slow machine they would come in between, and take numbers of commits."""
    monkeypatch.setenv("HUBZARR_SYNC_INTERVAL", "3600")


@pytest.fixture(params=STORES)
def store(request):
    """The URL of a root, and the options that reach it."""
    name, _, transport = request.param.partition("-")
    server = request.getfixturevalue(name)
    return server.url("root"), server.options | {"transport": transport}


def test_arrays(store):
    root, options = store
    name = f"{root}/lab/grid"
    values = np.arange(1200, dtype="int32").reshape(60, 20)
    with hub.array(
        (60, 20), name, dtype="int32", chunks=(16, 8), attributes={"by": "me"},
        storage_options=options,
    ) as grid:  # fmt: skip
        grid[:] = values
        grid.commit("filled")
        grid.append(values[:5])
        grid.commit("appended")
        dev = grid.branch("dev")
        dev[0] = -1
        dev.commit("first row")
        grid[59] = -2
        grid.commit("last row")
        assert grid.merge("dev").message == "Merge dev@1 into main"
        expected = np.concatenate([values, values[:5]])
        expected[0], expected[59] = -1, -2
        assert (np.asarray(grid) == expected).all()

    again = hub.load(name, storage_options=options)
    assert (again[:] == expected).all()
    assert dict(again.attributes) == {"by": "me"}
    assert [commit.message for commit in again.log()][:2] == ["Merge dev@1 into main", "last row"]
    assert (again.at(1)[:] == values).all()
    assert again.at(0).sum() == 0
    assert again.mean() == expected.mean()
    assert again.max(0).tolist() == expected.max(0).tolist()
    assert "first row" in {entry.commit.message for entry in again.blame()}
    assert not again.diff("main", "main")
    assert (again.revert(1), again.shape)[1] == (60, 20)
    assert (np.asarray(again.to_dask()[10:20]) == values[10:20]).all()
    again.seal("done")

    other = hub.load(f"{name}:dev", storage_options=options)
    third = hub.load(f"{name}:dev", storage_options=options)
    other[1, 0], third[1, 0] = 5, 6
    other.commit("five")
    with pytest.raises(ConflictError):
        third.commit("six")
    third.discard()
    assert (third.refresh(), third[1, 0])[1] == 5


def test_names(store):
    root, options = store
    source = hub.from_numpy(np.arange(10), f"{root}/a/x:v1", chunks=3, storage_options=options)
    source.close()
    hub.copy(f"{root}/a/x:v1", f"{root}/a/x:v2", storage_options=options)
    hub.copy(f"{root}/a/x:v1", f"{root}/b/y:v1", storage_options=options)
    found = hub.versions(f"{root}/a/x", storage_options=options)
    assert [version.name for version in found] == ["v1", "v2"]
    hub.rename(f"{root}/a/x:v2", f"{root}/a/x:v3", storage_options=options)
    hub.rename(f"{root}/b/y", f"{root}/b/z", storage_options=options)
    assert hub.list(f"{root}/b", storage_options=options) == [f"{root}/b/z"]
    assert hub.load(f"{root}/b/z:v1", storage_options=options).sum() == 45
    hub.delete(f"{root}/a/x:v3", storage_options=options)
    hub.delete(f"{root}/b/z", storage_options=options)
    assert not hub.exists(f"{root}/b/z", storage_options=options)
    assert not hub.exists(f"{root}/a/x:v3", storage_options=options)
    assert hub.exists(f"{root}/a/x:v1", storage_options=options)


def test_datasets(store):
    root, options = store
    name = f"{root}/pets"
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (20 + i % 7, 16, 3), "uint8") for i in range(30)]
    ds = hub.dataset(name, storage_options=options)
    with ds:
        ds.create_tensor("images", htype="image", sample_compression="png")
        ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
        ds.create_tensor("score", dtype="float32")
        ds.extend({"images": images, "labels": [i % 2 for i in range(30)], "score": range(30)})
        ds.append({"images": images[0], "labels": "dog", "score": 0.5})
        ds.info.source = "street"
    ds.commit("thirty one")
    ds.checkout("dev", create=True)
    ds.labels[0] = "dog"
    ds.pop(30)
    ds.commit("thirty")
    ds.checkout("main")
    assert len(ds) == 31

    again = hub.load(name, storage_options=options)
    assert all((again.images[i].numpy() == images[i]).all() for i in range(30))
    assert again.info.source == "street"
    found = again.query("SELECT * WHERE labels = 'dog' AND score < 6")
    assert found.sample_indices == [1, 3, 5, 30]
    assert found.save_view("few", id="few") == "few"
    again.merge("dev")
    assert len(again) == 30
    assert again.labels.text()[:3] == ["dog", "dog", "cat"]
    assert again.score.mean() == np.arange(30).mean()
    assert len(again.at(1)) == 31 or len(again.load_view("few")) == 4
    copy = hub.deepcopy(again.load_view("few"), f"{root}/few", storage_options=options)
    assert (copy.images[1].numpy() == images[3]).all()


def test_xarray(store):
    xr = pytest.importorskip("xarray")
    root, options = store
    days = xr.Dataset(
        {"t": (("day", "hour"), np.arange(240.0).reshape(10, 24))}, {"day": np.arange(10)}
    )
    store = hub.store(f"{root}/weather:v0", storage_options=options)
    days.to_zarr(store, mode="w", consolidated=False)
    store.session.commit("ten days")
    days.t[:5].drop_vars("day").to_dataset().to_zarr(
        store, region={"day": slice(5, 10)}, consolidated=False
    )
    store.session.commit("five of them again")
    read = hub.store(f"{root}/weather:v0", mode="r", storage_options=options)
    opened = xr.open_zarr(read, consolidated=False)
    expected = np.concatenate([days.t.values[:5]] * 2)
    assert (opened.t.values == expected).all()
    assert opened.day.values.tolist() == list(range(10))


@pytest.mark.parametrize("store", RACES, indirect=True)
def test_processes_race(store):
    root, options = store
    name = f"{root}/rows"
    hub.array((0, 2), name, dtype="int64", chunks=(8, 2), storage_options=options).close()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context) as pool:
        names = [f"{root}/new/{i}" for i in range(2)]
        winners = [
            [pool.submit(racer.create, new, options, me) for me in range(2 * PROCESSES)]
            for new in names
        ]
        works = [
            pool.submit(racer.commit_often, name, options, me, COMMITS) for me in range(PROCESSES)
        ]
        for work in works:
            work.result(90)
        for new, tries in zip(names, winners, strict=True):
            won = [me for me, tried in enumerate(tries) if tried.result(90)]
            assert len(won) == 1
            assert hub.load(new, storage_options=options)[:].tolist() == won * 4
    rows = hub.load(name, storage_options=options)
    expected = [[me, i] for me in range(PROCESSES) for i in range(COMMITS)]
    assert sorted(rows[:].tolist()) == expected
    messages = [commit.message for commit in rows.log()]
    assert len(messages) == 1 + PROCESSES * COMMITS
    assert set(messages) >= {f"{me}-{i}" for me, i in expected}
    for me in range(PROCESSES):
        mine = [i for who, i in rows[:].tolist() if who == me]
        assert mine == list(range(COMMITS))
