"""How long to wait for a store, and how often to ask again."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hubzarr.errors import InvalidError

__all__ = ["Patience"]

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
# An upload can't say that it goes on, so its size is given time: a hundred of them that
# share a slow line get this many bytes per second each.
_SLOWEST_UPLOAD = 1 << 15
_SMALL_UPLOAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Patience:
    """Time-outs and retries of requests to a store.

    Parameters
    ----------
    timeout : float
        Seconds without a byte after which a request counts as lost.
    retries : int
        How often a failed request is sent again, after pauses that grow from 0.1 s to
        10 s and are jittered.
    connect : float
        Seconds that a connection may take.

    Examples
    --------
    >>> options = {"retries": 3, "anon": True}
    >>> Patience.taken_from(options), options
    (Patience(timeout=30.0, retries=3, connect=10.0), {'anon': True})
    """

    timeout: float = 30.0
    retries: int = 8
    connect: float = 10.0

    @classmethod
    def taken_from(cls, options: MutableMapping[str, Any]) -> Patience:
        """Take ``timeout`` and ``retries`` out of storage options."""
        usual = cls()
        timeout = options.pop("timeout", usual.timeout)
        retries = options.pop("retries", usual.retries)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            timeout = math.nan
        if not 0 < timeout < math.inf:
            raise InvalidError("bad timeout: expected a number of seconds above 0, such as 30")
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise InvalidError("bad retries: expected a whole number, 0 or more")
        return cls(float(timeout), retries, min(usual.connect, float(timeout)))

    def options(self) -> dict[str, Any]:
        """Return the storage options that say the same, where they are not the usual ones."""
        usual = Patience()
        found: dict[str, Any] = {}
        if self.timeout != usual.timeout:
            found["timeout"] = self.timeout
        if self.retries != usual.retries:
            found["retries"] = self.retries
        return found

    def total(self) -> float:
        """Seconds after which nothing is tried again, counted from the first attempt.

        The last attempt may begin just before, so that one verb takes a time-out more.

        >>> Patience().total()
        90.0
        """
        return max(30.0, 3 * self.timeout)

    def for_upload(self, size: int) -> float:
        """Seconds that an upload may take, in few steps so that clients can be shared.

        >>> Patience().for_upload(1000), Patience().for_upload(1 << 20)
        (30.0, 62.0)
        """
        if size <= _SMALL_UPLOAD:
            return self.timeout
        step = 1 << (size - 1).bit_length()
        return self.timeout + step / _SLOWEST_UPLOAD

    def of_obstore(self, retries: int) -> dict[str, Any]:
        """Return obstore's retry configuration, for so many retries by itself."""
        return {
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=self.total()),
            "backoff": {
                "init_backoff": timedelta(seconds=_FIRST_PAUSE),
                "max_backoff": timedelta(seconds=_LONGEST_PAUSE),
                "base": 2,
            },
        }

    def pause(self, failures: int, chance: float) -> float:
        """Seconds to wait after some failures; `chance` from 0 to 1 is the jitter.

        >>> Patience().pause(1, 0.5), Patience().pause(99, 1.0)
        (0.1, 10.0)
        """
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 30))
        return longest * chance
