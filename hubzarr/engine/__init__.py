"""The chunk engine: selections to cells to bytes and back, with buffers and a cache."""

from __future__ import annotations

from hubzarr.engine.array import ArrayEngine
from hubzarr.engine.cache import ChunkCache, shared_cache
from hubzarr.engine.objects import CellStore
from hubzarr.engine.write_ids import WriteIds

__all__ = ["ArrayEngine", "CellStore", "ChunkCache", "WriteIds", "shared_cache"]
