"""Decoded chunks of this process, least recently used out first.

Stored chunks never change, so an entry is right for ever and the cache needs no
invalidation. All sessions share one cache.

Chunks live in *slabs* of a few megabytes, and it is slabs that are evicted, with all that
they hold: the bound on memory is then exact, and fresh memory comes in huge pages. (A chunk
of 200 KB decoded into memory of its own cost 120 us in page faults where this was measured,
in a slab 10 us.)
"""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hubzarr.config import get_config

__all__ = ["ChunkCache", "shared_cache"]

type Array = np.ndarray[Any, Any]

#: NumPy asks for huge pages from 4 MiB on.
SLAB: Final = 8 << 20
#: Arrays larger than this get memory of their own.
LARGEST: Final = SLAB // 8
#: Arrays begin at multiples of this.
ALIGNED: Final = 64


@dataclass(slots=True)
class _Slab:
    """Memory that is evicted as a whole, and the keys of what lies in it."""

    nbytes: int
    keys: list[Hashable] = field(default_factory=list)


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
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._items: dict[Hashable, tuple[Array, int]] = {}
        self._slabs: OrderedDict[int, _Slab] = OrderedDict()
        self._memory: Array | None = None
        self._used = 0
        self.nbytes = 0

    def configure(self) -> None:
        """Take on the limit that the configuration now gives, unless one was fixed."""
        if self._fixed is None:
            self.limit = get_config().cache_bytes

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._items

    def get(self, key: Hashable) -> Array | None:
        """The array kept for a key; treat it as read-only."""
        found = self._items.get(key)
        if found is None:
            return None
        try:
            self._slabs.move_to_end(found[1])
        except KeyError:
            pass  # another thread evicted it in between; the array is still good
        return found[0]

    def new(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Memory for an array that will be put into the cache."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > LARGEST or dtype.hasobject or dtype.kind == "T" or self.limit // 4 < SLAB:
            return np.empty(shape, dtype)
        with self._lock:
            if self._memory is None or self._used + nbytes > SLAB:
                self._memory = np.empty(SLAB, np.uint8)
                self._used = 0
            start, memory = self._used, self._memory
            self._used = -(-(start + nbytes) // ALIGNED) * ALIGNED
        return memory[start : start + nbytes].view(dtype).reshape(shape)

    def put(self, key: Hashable, value: Array) -> None:
        """Keep an array; one of more than a quarter of the cache only where there is room."""
        limit = self.limit
        if value.nbytes > limit // 4 and value.nbytes > limit - self.nbytes:
            return
        with self._lock:
            if key in self._items:
                return  # stored chunks never change: it is the same
            base = value.base
            shared = isinstance(base, np.ndarray) and base.nbytes == SLAB and base.dtype == np.uint8
            slab_id = id(base) if shared else id(value)
            slab = self._slabs.get(slab_id)
            if slab is None:
                slab = self._slabs[slab_id] = _Slab(SLAB if shared else value.nbytes)
                self.nbytes += slab.nbytes
            slab.keys.append(key)
            self._items[key] = (value, slab_id)
            while self.nbytes > limit:
                _, gone = self._slabs.popitem(last=False)
                self.nbytes -= gone.nbytes
                for old in gone.keys:
                    del self._items[old]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._reset()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


shared_cache = ChunkCache()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared_cache._after_fork)
