"""An object store behind a proxy that injects faults, and clients that lose little time."""

from __future__ import annotations

import asyncio

import pytest

from hubzarr.storage.network import patience

#: Share of the requests that each fault hits.
RATE = 0.05
#: What happens to requests, and to the connections that they use.
BROKEN = dict.fromkeys(("reset_rate", "lost_rate", "truncate_rate", "cut_rate"), RATE)
BROKEN |= {"error_rate": RATE, "late_error_rate": RATE}
#: What looks like an answer and is none: only checksums of one's own tell.
WRONG = {"corrupt_rate": RATE, "short_rate": RATE, "spare": 100}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """As many retries as ever, with less time between them."""
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.002)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE", 0.02)
    endpoint = pytest.importorskip("aiobotocore.endpoint")

    async def pause(self, seconds):
        await asyncio.sleep(min(seconds, 0.02))

    monkeypatch.setattr(endpoint.AioEndpoint, "_sleep", pause)


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch):
    """On a slow machine they would come in between, and take numbers of commits."""
    monkeypatch.setenv("HUBZARR_SYNC_INTERVAL", "3600")


@pytest.fixture(params=["obstore", "fsspec"])
def transport(request):
    return request.param


@pytest.fixture
def options(transport):
    """Storage options: a stalled answer costs a second."""
    return {"transport": transport, "timeout": 1.0, "retries": 12}


@pytest.fixture
def behind(proxy, s3, options):
    """Open a hole in the wall: ``server, root, all_options = behind(error_rate=1)``."""

    def make(**faults):
        server = proxy(s3, **faults)
        return server, server.url("root"), server.options | options

    return make


@pytest.fixture
def direct(s3):
    """Options that reach the same store without faults."""
    return s3.options
