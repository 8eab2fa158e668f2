"""A tour with real pictures: ``python -m hubzarr.demo`` or ``hubzarr demo``."""

from __future__ import annotations

from hubzarr.demo.tour import run

__all__ = ["run"]
