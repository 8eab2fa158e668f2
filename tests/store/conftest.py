"""Fixtures of the store's tests; zarr's asynchronous tests run in a loop of their own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubzarr.session import Session, create_repository, open_session
from hubzarr.session.store import VersionedStore
from hubzarr.storage import FsspecStorage, Storage, open_storage
from tests.store.sample import GROUP, memory_url


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(params=["local", "memory", "remote"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "repo"))
    if request.param == "memory":
        return open_storage(memory_url())
    return FsspecStorage(memory_url(), single_writer=True)


@pytest.fixture
def opened(storage: Storage) -> Iterator[Callable[..., Session]]:
    """Open sessions on one repository, whose root is an empty group."""
    create_repository(storage, "main", GROUP, author="me")
    sessions: list[Session] = []

    def open_one(point: str | None = None, **options: object) -> Session:
        session = open_session(storage, "main", point, author="me", **options)
        sessions.append(session)
        return session

    yield open_one
    for session in sessions:
        session.closed = True


@pytest.fixture
def session(opened: Callable[..., Session]) -> Session:
    return opened()


@pytest.fixture
def store(session: Session) -> VersionedStore:
    return VersionedStore(session)
