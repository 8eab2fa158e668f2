"""What several tests of the store need."""

from __future__ import annotations

import itertools

from zarr.core.buffer import Buffer, default_buffer_prototype

from hubzarr.session import create_repository, open_session
from hubzarr.session.store import VersionedStore
from hubzarr.storage import Storage

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}

_numbers = itertools.count()


def memory_url() -> str:
    """A place in memory that no other test uses."""
    return f"memory://store-tests/{next(_numbers)}"


def buffer(data: bytes) -> Buffer:
    """Bytes as zarr hands them to stores."""
    return default_buffer_prototype().buffer.from_bytes(data)


def empty_store(storage: Storage) -> VersionedStore:
    """A store without any key, not even the root's document."""
    create_repository(storage, "main", GROUP, author="me")
    session = open_session(storage, "main", author="me")
    session.remove("")
    session.commit(None)
    return VersionedStore(session)
