"""Processes that make batches: their pool, and the shared memory that batches come in."""

from __future__ import annotations

from hubzarr.loaders.workers.pool import WorkerPool

__all__ = ["WorkerPool"]
