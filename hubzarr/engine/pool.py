"""Moved to `hubzarr.threads`."""

from __future__ import annotations

from hubzarr.threads import at_once, in_pool, map_all, submit, threads_for

__all__ = ["at_once", "in_pool", "map_all", "submit", "threads_for"]
