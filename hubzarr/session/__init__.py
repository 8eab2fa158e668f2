"""Sessions: a pinned manifest plus uncommitted changes; all reads and writes go through one."""

from __future__ import annotations

from hubzarr.session.opening import create_repository, create_version, open_session
from hubzarr.session.session import Session
from hubzarr.session.state import ArrayState

__all__ = ["ArrayState", "Session", "create_repository", "create_version", "open_session"]
