"""Asking again after a failure, as often as a client did not ask again itself.

Clients send most requests again themselves, but each has gaps: obstore when a listing
breaks or a body is cut, s3fs when a store says "too many requests", both where an answer
was damaged on its way.
"""

from __future__ import annotations

import random
import time

from hubzarr.errors import HubzarrError
from hubzarr.storage.network.failures import is_passing
from hubzarr.storage.network.patience import Patience

__all__ = ["Attempts"]


class Attempts:
    """The attempts at one request that may be sent twice, bounded in number and time.

    Parameters
    ----------
    patience : Patience

    Examples
    --------
    >>> from hubzarr.errors import StorageError
    >>> attempts = Attempts(Patience(retries=1))
    >>> broken = StorageError("the connection broke", reason="dropped")
    >>> attempts.again(broken), attempts.again(broken)
    (True, False)
    >>> Attempts(Patience(retries=3)).again(StorageError("dropped", reason="dropped", tries=4))
    False
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._begin = time.monotonic()
        self._failures = 0

    def again(self, failed: HubzarrError) -> bool:
        """Wait, and return whether to ask again."""
        self._failures += failed.fields.get("tries", 1)  # those of the client count
        patience = self._patience
        if self._failures > patience.retries or not is_passing(failed):
            return False
        if time.monotonic() - self._begin > patience.total():
            return False
        time.sleep(patience.pause(self._failures, random.uniform(0.5, 1.0)))
        return True
