"""Trying out a store: what works there, how fast it is, and how many may write to it.

Whether a store creates an object only if it is absent decides if commits are safe. Stores
that ignore the condition answer "done" to everybody, so only a race shows it.
"""

from __future__ import annotations

from hubzarr.storage.probing.report import Check, Report
from hubzarr.storage.probing.trying import probe

__all__ = ["Check", "Report", "probe"]
