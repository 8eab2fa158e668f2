"""A dask cluster of two worker processes, for all tests of this folder."""

from __future__ import annotations

import contextlib
import logging
import warnings

import pytest


@pytest.fixture(scope="session")
def cluster():
    """Two processes of two threads each, on the loopback; a worker that dies is started again."""
    distributed = pytest.importorskip("distributed")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit="1GiB",
            silence_logs=logging.CRITICAL,
        )
    yield made
    with warnings.catch_warnings(), contextlib.suppress(TimeoutError):
        warnings.simplefilter("ignore")
        made.close(timeout=10)


@pytest.fixture
def client(cluster):
    """A client of the cluster, the current one for the length of the test."""
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = distributed.Client(cluster)
        made.wait_for_workers(2, timeout=60)
    yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.close()
