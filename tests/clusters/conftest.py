"""A dask cluster of two worker processes, for all tests of this folder."""

from __future__ import annotations

import contextlib
import logging
import warnings

import pytest


class Cluster:
    """Two processes of two threads each, on the loopback.

    Tests end workers. Dask starts them again, as a rule within seconds; where it does not, the
    next test gets a new cluster.
    """

    def __init__(self, distributed):
        self.distributed = distributed
        self.running = None

    def start(self):
        self.running = self.distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit="1GiB",
            silence_logs=logging.CRITICAL,
        )

    def stop(self):
        with contextlib.suppress(TimeoutError):
            if self.running:
                self.running.close(timeout=10)
        self.running = None

    def client(self):
        if self.running:
            made = self.distributed.Client(self.running)
            try:
                made.wait_for_workers(2, timeout=20)
                return made
            except TimeoutError:
                made.close()
                self.stop()
        self.start()
        made = self.distributed.Client(self.running)
        made.wait_for_workers(2, timeout=60)
        return made


@pytest.fixture(scope="session")
def cluster():
    distributed = pytest.importorskip("distributed")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    made = Cluster(distributed)
    yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.stop()


@pytest.fixture
def client(cluster):
    """A client of the cluster, the current one for the length of the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = cluster.client()
    yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.close()
