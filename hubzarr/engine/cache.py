"""Decoded chunks of this process, least recently used out first.

Stored chunks never change, so an entry is right for ever and the cache needs no
invalidation. All sessions share one cache.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np

from hubzarr.config import get_config

__all__ = ["ChunkCache", "shared_cache"]

type Array = np.ndarray[Any, Any]


class ChunkCache:
    """Arrays by key, bounded in bytes.

    Parameters
    ----------
    limit : int, optional
        Bytes; None means `Config.cache_bytes` of the moment.

    Examples
    --------
    >>> import numpy as np
    >>> cache = ChunkCache(limit=400)
    >>> for key in "abcdef":
    ...     cache.put(key, np.zeros(10))
    >>> cache.get("a") is None, len(cache), cache.nbytes
    (True, 5, 400)
    """

    def __init__(self, limit: int | None = None) -> None:
        self._fixed = limit
        self.limit = 0 if limit is None else limit
        self._items: OrderedDict[Hashable, Array] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0

    def configure(self) -> None:
        """Take on the limit that the configuration now gives, unless one was fixed."""
        if self._fixed is None:
            self.limit = get_config().cache_bytes

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Hashable) -> Array | None:
        """The array kept for a key; treat it as read-only."""
        found = self._items.get(key)
        if found is not None:
            try:
                self._items.move_to_end(key)
            except KeyError:
                pass  # another thread evicted it in between; the array is still good
        return found

    def put(self, key: Hashable, value: Array) -> None:
        """Keep an array; one of more than a quarter of the cache only where there is room."""
        limit = self.limit
        if value.nbytes > limit // 4 and value.nbytes > limit - self.nbytes:
            return
        with self._lock:
            old = self._items.pop(key, None)
            if old is not None:
                self.nbytes -= old.nbytes
            self._items[key] = value
            self.nbytes += value.nbytes
            while self.nbytes > limit:
                _, gone = self._items.popitem(last=False)
                self.nbytes -= gone.nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()
            self.nbytes = 0

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


shared_cache = ChunkCache()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared_cache._after_fork)
