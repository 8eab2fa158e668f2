"""A disk cache for the length of a test."""

from __future__ import annotations

import pytest

import hubzarr as hub
from hubzarr.engine import shared_cache


@pytest.fixture
def cache_dir(tmp_path):
    """Configure a disk cache; returns its folder."""
    folder = tmp_path / "cache"
    hub.configure(cache_dir=str(folder))
    shared_cache.clear()
    yield folder
    hub.configure(cache_dir=None, cache_size=None, offline=None)


@pytest.fixture
def offline(cache_dir):
    """Switch the network off, as a new process would start without one."""

    def switch(on=True):
        hub.configure(offline=on)
        shared_cache.clear()

    return switch
