"""Bytes that are damaged on their way do not stay in the cache."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.engine import shared_cache
from hubzarr.errors import HubzarrError

X = np.random.default_rng(0).integers(0, 1 << 40, (512, 512))


@pytest.mark.parametrize("fault", ["corrupt_rate", "short_rate"])
@pytest.mark.parametrize("shards", [None, (256, 512)])
def test_damaged_answers_are_asked_for_again(s3, proxy, offline, fault, shards):
    server = proxy(s3)
    url = server.url("x")
    made = hub.from_numpy(
        X, url, chunks=(16, 512), shards=shards, codec="none", storage_options=server.options
    )
    made.close()
    server.set(match="GET .*/data/", seed=1, **{fault: 0.4})
    damaged = 0
    for start in range(0, 512, 32):
        shared_cache.clear()
        try:
            a = hub.load(url, "r", storage_options=server.options)
            assert np.array_equal(a[start : start + 20], X[start : start + 20])
        except HubzarrError:
            damaged += 1
    assert server.record()["faults"]
    assert damaged < 10
    server.reset()
    assert np.array_equal(hub.load(url, "r", storage_options=server.options), X)
    hub.prefetch(url, storage_options=server.options)
    offline()
    assert np.array_equal(hub.load(url, "r", storage_options=server.options), X)


def test_a_prefetch_that_fails_goes_on_later(s3, proxy, offline):
    server = proxy(s3)
    url = server.url("x")
    hub.from_numpy(X, url, chunks=(8, 512), storage_options=server.options).close()
    options = {**server.options, "transport": "fsspec"}
    server.set(match="GET .*/data/", seed=3, corrupt_rate=0.6)
    with pytest.raises(HubzarrError):
        hub.prefetch(url, storage_options=options)
    server.reset()
    report = hub.prefetch(url, storage_options=options)
    assert report.objects == 64
    assert 0 < report.fetched < report.nbytes
    offline()
    assert np.array_equal(hub.load(url, "r", storage_options=options), X)
