"""Loaders on an object store: each chunk is asked for once, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub

#: Chunks of the raw tensor, and rows of a chunk.
CHUNKS, ROWS = 24, 4


@pytest.fixture
def small_cache():
    """Not enough for chunks of images; what is small and asked for often stays."""
    hub.configure(cache_bytes=4 << 20)
    yield
    hub.configure(cache_bytes=None)


def test_an_epoch_takes_few_requests(small_cache, proxy, s3):
    server = proxy(s3)
    name, options = server.url("root") + "/loaders", server.options
    values = np.random.default_rng(0).integers(0, 256, (CHUNKS * ROWS, 256, 256), np.uint8)
    with hub.empty(name, storage_options=options) as ds:
        ds.create_tensor("x").extend(values)
        ds.create_tensor("n").extend(range(len(values)))
        ds.create_tensor("t", htype="text").extend([f"row {i}" for i in range(len(values))])
        assert ds.x.array.chunks == (ROWS, 256, 256)
    ds = hub.load(name, storage_options=options)
    for shuffle in (False, True, "full"):
        loader = ds.batches(16, shuffle=shuffle)
        server.clear()
        seen = []
        for batch in loader:
            assert np.array_equal(batch["x"], values[batch["n"]])
            assert batch["t"] == [f"row {n}" for n in batch["n"]]
            seen += batch["n"].tolist()
        assert sorted(seen) == list(range(len(values)))
        asked = [entry["path"] for entry in server.log()]
        assert len([path for path in asked if "/x/c." in path]) == CHUNKS
        assert len(asked) <= CHUNKS + 8
