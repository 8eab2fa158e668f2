"""What every storage promises holds with a cache in front of it too."""

from __future__ import annotations

import pytest

from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.storage.memory import MemoryStorage
from tests.storage.test_every_storage import *  # noqa: F403


@pytest.fixture
def storage(tmp_path):
    inner = MemoryStorage(f"protocol-{tmp_path.name}")
    yield CachedStorage(inner, str(tmp_path / "cache"), 64 << 20)
    inner.delete_dir("")
