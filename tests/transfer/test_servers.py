"""A repository goes round: disk to S3 to Google Cloud Storage to disk, and is what it was."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.session.copying import all_goals
from hubzarr.session.transferring import past_cache, transfer
from hubzarr.storage import open_storage
from tests.datasets.support import columns, create, numbers, url_of
from tests.transfer.support import check_same, check_whole, heads


@pytest.fixture
def ds(tmp_path):
    """A dataset with a branch, a merge and a sealed version."""
    ds = create(str(tmp_path / "first"), range(10))
    ds.branch("dev")
    dev = hub.load(f"{url_of(ds)}:dev")
    dev.extend(columns(range(20, 25)))
    dev.commit("five rows")
    ds.extend(columns(range(10, 12)))
    ds.commit("two rows")
    ds.merge("dev")
    ds.branch("v1")
    hub.load(f"{url_of(ds)}:v1").seal("as published")
    return ds


def test_round_trip(ds, s3, gcs, tmp_path):
    start = url_of(ds)
    bucket, other, end = s3.url("x"), gcs.url("x"), str(tmp_path / "last")
    first = hub.push(start, bucket, storage_options=s3.options)
    hub.clone(bucket, other, storage_options=s3.options, target_options=gcs.options)
    last = hub.pull(end, other, storage_options=gcs.options)
    assert (first.commits, first.objects, first.nbytes) == (last.commits, last.objects, last.nbytes)
    source, target = open_storage(start), open_storage(end)
    assert heads(source) == heads(target)
    check_same(source, target)
    check_whole(target)
    assert numbers(hub.load(end)) == numbers(ds)
    there = hub.load(bucket, storage_options=s3.options)
    assert [c.id for c in there.log(syncs=True)] == [c.id for c in ds.log(syncs=True)]
    there.extend(columns(range(30, 33)))
    there.commit("on S3")
    assert hub.pull(start, bucket, storage_options=s3.options).commits == 1
    assert numbers(hub.load(start)) == numbers(there)
    there.close()


def test_both_sides_may_need_options(s3, gcs):
    here, there = s3.url("x"), gcs.url("x")
    a = hub.from_numpy(np.arange(4), here, storage_options=s3.options)
    options = {"storage_options": s3.options, "target_options": gcs.options}
    assert hub.push(here, there, **options).commits == 2
    b = hub.load(there, storage_options=gcs.options)
    b[0] = 7
    b.commit("on the other side")
    options = {"storage_options": gcs.options, "target_options": s3.options}
    assert hub.pull(here, there, **options).commits == 1
    assert hub.load(here, storage_options=s3.options).commit_id == b.commit_id != a.commit_id


def test_a_copy_without_history_goes_to_a_bucket_and_is_moved(ds, s3):
    here, there = s3.url("copy"), s3.url("moved")
    hub.copy(url_of(ds), here, storage_options=s3.options)
    hub.rename(here, there, storage_options=s3.options)
    assert not hub.exists(here, storage_options=s3.options)
    assert numbers(hub.load(there, storage_options=s3.options)) == numbers(ds)


def test_a_push_through_a_bad_network_ends_right(s3, proxy, tmp_path):
    a = hub.array((400, 8), str(tmp_path / "a"), "int32", chunks=(4, 8), shards=None)
    for number in range(5):
        a[number * 80 : (number + 1) * 80] = np.arange(640).reshape(80, 8) + number
        a.commit(f"{number}")
    bad = proxy(s3)
    url = bad.url("x")
    bad.set(lost_rate=0.05, error_rate=0.05, error_status=503, corrupt_rate=0.02, seed=1)
    source = open_storage(str(tmp_path / "a"))
    target = open_storage(url, bad.options)
    for _ in range(5):
        try:
            transfer(source, target, all_goals(source))
        except hub.errors.StorageError:
            continue
        break
    bad.reset()
    clean = open_storage(url, bad.options)
    check_same(source, clean)
    assert heads(clean) == heads(source)
    check_whole(clean)


def test_the_disk_cache_does_not_tell_what_a_bucket_has(s3, tmp_path):
    """A bucket that was emptied gets everything again, though it is in the cache."""
    start = str(tmp_path / "first")
    ds = create(start, range(10))
    url = s3.url("x")
    try:
        hub.configure(cache_dir=str(tmp_path / "cache"))
        hub.push(start, url, storage_options=s3.options)
        there = hub.load(url, storage_options=s3.options)
        assert numbers(there) == list(range(10))
        there.close()
        bare = past_cache(open_storage(url, s3.options))
        bare.delete(list(bare.list_all("")))
        assert hub.push(start, url, storage_options=s3.options).skipped == 0
        check_whole(bare)
        check_same(open_storage(start), bare)
        assert numbers(hub.load(url, storage_options=s3.options)) == numbers(ds)
    finally:
        hub.configure(cache_dir=None)
