"""Asking again after a failure, here and nowhere else.

Clients would send requests again too, each with gaps: obstore when a listing breaks, s3fs
when a store says "too many requests", both where an answer was damaged on its way. Retries
of both would multiply where a body stalls, so those of the clients are off.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

from hubzarr.errors import HubzarrError
from hubzarr.storage.network.failures import Failure, is_passing, is_unreachable
from hubzarr.storage.network.patience import Patience

__all__ = ["Attempts"]

# Whoever mistyped an endpoint should not wait long for the advice.
_UNREACHABLE = 10.0


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

    def counted(self, failure: Failure) -> Failure:
        """Return a failure with all attempts so far, for the message."""
        tries = self._failures + failure.tries
        return replace(failure, tries=tries, seconds=time.monotonic() - self._begin)

    def again(self, failed: HubzarrError) -> bool:
        """Wait, and return whether to ask again."""
        # Those that the client did itself count too.
        self._failures = max(self._failures + 1, failed.fields.get("tries", 1))
        patience = self._patience
        if self._failures > patience.retries or not is_passing(failed):
            return False
        pause = patience.pause(self._failures, random.uniform(0.5, 1.0))
        longest = patience.total()
        if is_unreachable(failed):
            longest = min(longest, _UNREACHABLE)
        if time.monotonic() - self._begin + pause > longest:
            return False
        time.sleep(pause)
        return True
