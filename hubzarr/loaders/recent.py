"""Windows that held a whole epoch, for the next loader of the same data in this process.

Many make a loader anew for each epoch, of a validation set above all.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from hubzarr.config import get_config

__all__ = ["RecentWindows", "recent_windows"]


class RecentWindows:
    """Values by key, least recently used out first.

    They may have half as many bytes as the cache of chunks, which they spare.

    Examples
    --------
    >>> recent = RecentWindows()
    >>> recent.put("a", "window", nbytes=1000)
    >>> recent.get("a"), recent.get("b")
    ('window', None)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._nbytes = 0

    def get(self, key: Hashable) -> Any:
        """The value of a key, or None."""
        with self._lock:
            found = self._items.get(key)
            if found is None:
                return None
            self._items.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: Any, nbytes: int) -> None:
        """Keep a value, if it is small enough."""
        limit = get_config().cache_bytes // 2
        with self._lock:
            if nbytes > limit or key in self._items:
                return
            self._items[key] = value, nbytes
            self._nbytes += nbytes
            while self._nbytes > limit:
                _, (_, gone) = self._items.popitem(last=False)
                self._nbytes -= gone

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


recent_windows = RecentWindows()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=recent_windows._after_fork)
