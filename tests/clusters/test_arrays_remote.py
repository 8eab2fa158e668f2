"""Parallel writes and reads over S3: workers find their credentials by themselves."""

from __future__ import annotations

import contextlib
import os
import pickle

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import HubzarrError

da = pytest.importorskip("dask.array")
pytest.importorskip("distributed")

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def a(s3, monkeypatch):
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    with hub.array(
        (40, 30), s3.url("x"), chunks=(10, 10), dtype="i4", storage_options=s3.options
    ) as made:
        yield made


def set_keys(keys):
    """Give this worker credentials, or take them away."""
    for key in KEYS:
        os.environ.pop(key, None)
    os.environ.update(keys)


def test_workers_with_credentials_of_their_own(a, s3, client):
    x = np.arange(1200, dtype="i4").reshape(40, 30)
    client.run(set_keys, dict(zip(KEYS, (s3.options["key"], s3.options["secret"]), strict=True)))
    try:
        assert a.store(da.from_array(x, chunks=(8, 30)), message="all").number == 1
        np.testing.assert_array_equal(a[3:].to_dask().compute(), x[3:])
        assert a[1:, 2:].std(compute=False).compute() == pytest.approx(x[1:, 2:].std())
    finally:
        client.run(set_keys, {})
    again = hub.load(a.name, storage_options=s3.options)
    assert (again.sum(), len(again.log())) == (x.sum(), 2)


def test_secrets_stay_here(a, s3):
    fork = pickle.dumps(a.fork())
    assert s3.options["secret"].encode() not in fork
    assert len(fork) < 2000


FAULTS = ("error", "reset", "lost", "late_error", "truncate", "cut", "corrupt", "short")


def test_faults_of_the_store(s3, proxy):
    """Right or a clear error; never a half or a wrong one. Once the store is well again: right."""
    between = proxy(s3)
    a = hub.array((48, 30), between.url("x"), chunks=(4, 30), dtype="i4",
                  storage_options=between.options)  # fmt: skip
    x = np.arange(48 * 30, dtype="i4").reshape(48, 30)
    want = np.zeros_like(x)
    for seed in range(2):
        between.set(seed=seed, spare=2, **{f"{fault}_rate": 0.03 for fault in FAULTS})
        with contextlib.suppress(HubzarrError):
            a.store(da.from_array(x + seed, chunks=(4, 30)), scheduler="threads")
        between.set(**{f"{fault}_rate": 0 for fault in FAULTS})
        seen = hub.load(a.name, storage_options=between.options)
        found = np.asarray(seen)
        assert np.array_equal(found, want) or np.array_equal(found, x + seed)
        assert seen.sum() == found.sum()
        want = found
    a.refresh()
    a.store(da.from_array(x, chunks=(10, 30)), scheduler="threads")
    np.testing.assert_array_equal(hub.load(a.name, storage_options=between.options), x)
    a.close()
