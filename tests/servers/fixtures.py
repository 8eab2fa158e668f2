"""Fixtures: object stores on this machine, started when a test first asks for one."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.launch import missing, running
from tests.servers.stores import ObjectServer, ProxiedServer

__all__ = ["gcs", "idle_proxies", "proxy", "s3", "s3_moto", "server_folder"]


@pytest.fixture(scope="session")
def server_folder(request: pytest.FixtureRequest, tmp_path_factory) -> Path:
    """The folder by which all processes of a test run share their servers."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if hasattr(request.config, "workerinput") else base) / "servers"


@contextlib.contextmanager
def _server(kind: str, protocol: str, folder: Path) -> Iterator[ObjectServer]:
    if reason := missing(kind):
        pytest.skip(reason)
    with running(kind, folder) as endpoint:
        yield ObjectServer(protocol, endpoint)


@pytest.fixture(scope="session")
def s3(server_folder: Path) -> Iterator[ObjectServer]:
    """An S3 server that keeps connections open and checks checksums (ministack)."""
    with _server("ministack", "s3", server_folder) as server:
        yield server


@pytest.fixture(scope="session")
def s3_moto(server_folder: Path) -> Iterator[ObjectServer]:
    """An S3 server whose errors are those of AWS to the letter (moto)."""
    with _server("moto", "s3", server_folder) as server:
        yield server


@pytest.fixture(scope="session")
def gcs(server_folder: Path) -> Iterator[ObjectServer]:
    """A server that speaks the protocol of Google Cloud Storage (fake-gcs-server)."""
    with _server("fake-gcs", "gs", server_folder) as server:
        yield server


@pytest.fixture(scope="session")
def idle_proxies() -> Iterator[dict[str, list[ProxiedServer]]]:
    """Proxies that no test uses at the moment, by the server behind them."""
    proxies: dict[str, list[ProxiedServer]] = defaultdict(list)
    yield proxies
    for idle in proxies.values():
        for one in idle:
            one.end()


@pytest.fixture
def proxy(idle_proxies) -> Iterator[Callable[..., ProxiedServer]]:
    """Put a proxy in front of a server: ``slow = proxy(s3, latency_ms=30)``."""
    used: list[ProxiedServer] = []

    def make(server: ObjectServer, **faults: Any) -> ProxiedServer:
        idle = idle_proxies[server.address]
        made = idle.pop() if idle else ProxiedServer(server)
        used.append(made)
        made.reset()
        made.set(**faults)
        return made

    yield make
    for one in used:
        one.reset()
        idle_proxies[one.address].append(one)
