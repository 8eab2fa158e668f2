"""A config file of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubzarr.config import config_path, reset_config


@pytest.fixture
def config_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the config file of the test goes; no variable names a root or another file."""
    monkeypatch.delenv("HUBZARR_ROOT", raising=False)
    reset_config()
    yield Path(config_path())
    reset_config()
