"""Arrays and datasets over a cached store: requests, offline work, repositories that come anew."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.engine import shared_cache
from hubzarr.errors import InvalidError, NotFoundError, OfflineError, StorageError
from hubzarr.history import hints
from hubzarr.storage.cache.cached import CachedStorage

X = np.arange(60_000, dtype="int32").reshape(60, 1000)


@pytest.fixture
def server(s3, proxy, cache_dir, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")  # keys don't travel with pickles
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return proxy(s3)


def quiet(server):
    """Wait until no hint is due any more, then forget what went through the proxy."""
    while hints._writer._running:
        time.sleep(0.01)
    server.clear()


@pytest.fixture
def url(server):
    """An array of 15 chunks in some commits."""
    url = server.url("team/x")
    a = hub.from_numpy(X, url, chunks=(4, 1000), storage_options=server.options)
    for number in (1, 2):
        a[number, 0] = -number
        a.commit(f"commit {number}")
    a.close()
    return url


def expected():
    found = X.copy()
    found[1, 0], found[2, 0] = -1, -2
    return found


def load(url, server, mode="r"):
    shared_cache.clear()
    return hub.load(url, mode, storage_options=server.options)


def asked(server):
    """Paths of the requests so far, below the bucket."""
    return [entry["path"] for entry in server.log()]


def test_a_warm_reader_asks_for_the_head_only(url, server):
    assert np.array_equal(load(url, server), expected())
    quiet(server)
    a = load(url, server)
    assert np.array_equal(a, expected())
    assert a[3:7, 5:].sum() == expected()[3:7, 5:].sum()
    assert a.io.reads <= 3
    paths = asked(server)
    assert 1 <= len(paths) <= 3
    assert not [path for path in paths if "/data/" in path or "/pages/" in path]


def test_a_cold_reader_fills_the_cache_and_another_process_would_find_it(url, server, cache_dir):
    load(url, server).compute()
    copy = pickle.loads(pickle.dumps(load(url, server)))
    storage = copy._session.storage
    assert isinstance(storage, CachedStorage)
    assert str(cache_dir) in storage.cache.folder
    quiet(server)
    shared_cache.clear()
    assert np.array_equal(copy, expected())
    assert not [path for path in asked(server) if "/data/" in path]


def test_a_pickled_handle_takes_the_cache_of_the_process_that_opens_it(url, server, tmp_path):
    data = pickle.dumps(load(url, server))
    hub.configure(cache_dir=str(tmp_path / "other"), cache_size="1MiB")
    storage = pickle.loads(data)._session.storage
    assert str(tmp_path / "other") in storage.cache.folder
    assert storage.cache.limit == 1 << 20
    hub.configure(cache_dir=None, cache_size=None)
    assert str(tmp_path / "cache") in pickle.loads(data)._session.storage.cache.folder


def test_a_pickled_handle_obeys_a_process_that_is_offline(url, server, offline):
    a = load(url, server)
    wanted, data = a[0:4].compute(), pickle.dumps(a)
    quiet(server)
    offline()
    found = pickle.loads(data)
    assert np.array_equal(found[0:4], wanted)
    with pytest.raises(OfflineError):
        found.compute()
    assert not asked(server)


def test_a_writer_sees_its_own_and_others_commits(url, server):
    a, b = load(url, server, "r+"), load(url, server, "r+")
    a[0] = 7
    a.commit("seven")
    b.refresh()
    assert (b[0].compute() == 7).all()
    b[1] = 8
    b.commit("eight")
    a.refresh()
    assert (a[1].compute() == 8).all()
    assert load(url, server)[0:2].mean() == 7.5


def test_a_commit_id_finds_its_manifest_without_a_request(url, server):
    a = load(url, server)
    quiet(server)
    storage = a._session.storage
    assert storage.manifest_of(a.commit_id) is not None
    assert storage.manifest_of("0" * 16) is None
    assert storage.known_head("main") == 3
    assert storage.known_head("dev") is None
    assert not asked(server)


def test_deleted_and_made_anew_under_the_same_url(url, server, offline):
    old = load(url, server)
    old.compute()
    old_id = old.commit_id
    hub.delete(url, storage_options=server.options)
    hub.from_numpy(X + 1, url, chunks=(4, 1000), storage_options=server.options).close()
    new = load(url, server)
    assert np.array_equal(new, X + 1)
    assert new._session.storage.known_head("main") == 1
    assert new.commit_id != old_id
    offline()
    assert np.array_equal(load(url, server), X + 1)


def test_offline_reads_what_was_read_before(url, server, offline):
    a = load(url, server)
    wanted = a[8:20].compute(), a.mean(), a.commit_id, [c.message for c in a.log()]
    quiet(server)
    offline()
    b = load(url, server, "r+")
    found = b[8:20].compute(), b.mean(), b.commit_id, [c.message for c in b.log()]
    assert np.array_equal(found[0], wanted[0])
    assert found[1:] == wanted[1:]
    assert [v.name for v in hub.versions(url, storage_options=server.options)] == ["main"]
    with pytest.raises(
        OfflineError, match=r"offline=True, and the disk cache does not hold.*/data/"
    ):
        b.compute()
    with pytest.raises(OfflineError):
        load(url + "-other", server)
    b[8] = 3
    with pytest.raises(OfflineError, match="nothing can be written"):
        b.commit("no")
    b.discard()
    assert not asked(server)
    assert issubclass(OfflineError, StorageError)


def test_offline_without_a_cache_says_what_to_do(url, server):
    hub.configure(cache_dir=None, offline=True)
    with pytest.raises(OfflineError, match="set cache_dir"):
        load(url, server)


def test_local_stores_need_no_network(offline):
    offline()
    a = hub.from_numpy(X, "plain/x")
    assert np.array_equal(hub.load("plain/x"), X)
    report = hub.prefetch(a)
    assert (report.cached, report.objects) == (False, 0)


# -- prefetch --------------------------------------------------------------------


def test_prefetch_by_name_then_work_offline(url, server, offline):
    report = hub.prefetch(url, storage_options=server.options)
    assert report.objects == 15
    assert report.fetched >= report.nbytes > 0
    assert "came over the network" in str(report)
    again = hub.prefetch(url, storage_options=server.options)
    assert again.nbytes == report.nbytes
    assert again.fetched < 20_000  # the head
    quiet(server)
    offline()
    a = load(url, server)
    assert np.array_equal(a, expected())
    assert a.std() == pytest.approx(expected().std())
    assert a[5:41].mean(axis=0)[7] == pytest.approx(expected()[5:41].mean(axis=0)[7])
    assert not asked(server)


def test_prefetch_of_a_view_fetches_what_it_touches(url, server, offline):
    report = hub.prefetch(load(url, server)[10:14, ::2])
    assert report.objects == 2
    quiet(server)
    offline()
    a = load(url, server)
    assert np.array_equal(a[8:16], expected()[8:16])
    with pytest.raises(OfflineError):
        a[16].compute()
    assert not asked(server)


def test_prefetch_of_shards_takes_inner_chunks(server, offline):
    url = server.url("sharded")
    x = np.random.default_rng(0).integers(0, 1 << 30, (512, 1024))
    hub.from_numpy(
        x, url, chunks=(8, 1024), shards=(256, 1024), codec="none", storage_options=server.options
    ).close()
    report = hub.prefetch(load(url, server)[16:24])
    assert report.objects == 1
    assert report.fetched < x.nbytes / 4
    offline()
    assert np.array_equal(load(url, server)[16:24], x[16:24])
    with pytest.raises(OfflineError):
        load(url, server)[160].compute()
    offline(False)
    assert hub.prefetch(load(url, server)[256:]).objects == 1
    offline()
    assert np.array_equal(load(url, server)[256:], x[256:])
    assert np.array_equal(load(url, server)[300], x[300])


def make_dataset(server):
    url = server.url("ds")
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 255, (100 + i % 7, 90, 3), dtype="uint8") for i in range(120)]
    ds = hub.dataset(url, storage_options=server.options)
    ds.create_tensor("photos", htype="image", sample_compression=None, dtype="uint8")
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    ds.create_tensor("boxes/x", dtype="float32")
    with ds.transaction("rows"):
        ds.extend(
            {
                "photos": photos,
                "labels": [i % 2 for i in range(120)],
                "boxes/x": [np.full((i % 3, 2), i, "float32") for i in range(120)],
            }
        )
    ds.close()
    return url, photos


def test_prefetch_of_some_rows_of_a_dataset(server, offline):
    url, photos = make_dataset(server)
    ds = load(url, server)
    report = hub.prefetch(ds[[3, 4, 100]])
    assert report.fetched < sum(photo.nbytes for photo in photos) / 2
    quiet(server)
    offline()
    ds = load(url, server)
    for rows in ([3, 4, 100], [3, 100], [100]):
        found = ds[rows]
        for row, sample in zip(rows, found.photos.numpy(aslist=True), strict=True):
            assert np.array_equal(sample, photos[row])
        assert found.labels.numpy().ravel().tolist() == [row % 2 for row in rows]
    assert np.array_equal(ds["boxes/x"][4].numpy(), np.full((1, 2), 4))
    with pytest.raises(OfflineError):
        ds.photos[60].numpy()
    assert not asked(server)
    offline(False)
    hub.prefetch(load(url, server).query("SELECT * WHERE labels = 'dog'"))
    hub.prefetch(load(url, server).labels)
    offline()
    found = load(url, server).query("SELECT * WHERE labels = 'dog'")
    assert len(found) == 60
    assert np.array_equal(found.photos[7].numpy(), photos[15])


def test_prefetch_of_a_group_and_of_everything(server, offline):
    url, photos = make_dataset(server)
    hub.prefetch(load(url, server)["boxes"])
    offline()
    ds = load(url, server)
    assert np.array_equal(ds["boxes/x"][119].numpy(), np.full((2, 2), 119))
    with pytest.raises(OfflineError):
        ds.photos[0].numpy()
    offline(False)
    hub.prefetch(url, storage_options=server.options)
    offline()
    ds = load(url, server)
    assert all(np.array_equal(a.photos.numpy(), b) for a, b in zip(ds, photos, strict=True))


def test_prefetch_says_what_is_in_its_way(url, server, offline, tmp_path):
    a = load(url, server)
    hub.configure(cache_size="64KiB")
    with pytest.raises(StorageError, match="raise cache_size"):
        hub.prefetch(load(url, server))
    offline()
    with pytest.raises(OfflineError, match="go online"):
        hub.prefetch(a)
    hub.configure(offline=None, cache_dir=None, cache_size=None)
    plain = load(url, server)
    with pytest.raises(InvalidError, match="no disk cache is configured"):
        hub.prefetch(plain)
    hub.configure(cache_dir=str(tmp_path / "elsewhere"))
    with pytest.raises(InvalidError, match="load it again"):
        hub.prefetch(plain)
    with pytest.raises(TypeError, match="can't prefetch"):
        hub.prefetch(3)
    with pytest.raises(NotFoundError):
        hub.prefetch(url + "-nothing", storage_options=server.options)


def test_a_pinned_commit_needs_no_request_at_all(url, server):
    commit = load(url, server).commit_id
    assert np.array_equal(load(f"{url}@{commit}", server), expected())
    quiet(server)
    a = load(f"{url}@{commit}", server)
    assert np.array_equal(a[3:30], expected()[3:30])
    assert a.mean() == expected().mean()
    assert a.io.reads == 0
    assert not asked(server)


def test_prefetch_of_a_pinned_commit_that_is_here_asks_for_nothing(url, server, offline):
    name = f"{url}@{load(url, server).commit_id}"
    first = hub.prefetch(name, storage_options=server.options)
    assert first.fetched > 0
    quiet(server)
    again = hub.prefetch(name, storage_options=server.options)
    assert (again.objects, again.nbytes, again.fetched) == (first.objects, first.nbytes, 0)
    assert asked(server) == []
    offline()
    assert load(name, server, "r").sum() == expected().sum()


@pytest.mark.parametrize(("kind", "transport"), [("s3", "fsspec"), ("gcs", "auto")])
def test_other_stores_and_transports(request, kind, transport, offline):
    store = request.getfixturevalue(kind)
    url = store.url("x")
    options = {**store.options, "transport": transport}
    hub.from_numpy(X, url, chunks=(20, 1000), storage_options=options).close()
    assert hub.prefetch(url, storage_options=options).objects == 3
    offline()
    assert np.array_equal(hub.load(url, storage_options=options), X)
    # What one transport fetched serves the others.
    shared_cache.clear()
    assert np.array_equal(hub.load(url, storage_options=store.options), X)
