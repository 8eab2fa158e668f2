"""Making sure that a fork still takes what was stored, with few questions.

The owner of a fork removes a note, waits for `GRACE` seconds, and then looks what there is. So
what was stored is in the commit if the note was there afterwards, or `LEASE` seconds before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from hubzarr.session.renewing import renew_after_fork

__all__ = ["GRACE", "LEASE", "Gate"]

#: Seconds for which a writer may rely on an answer, counted from its question.
LEASE: Final = 0.2
#: Seconds for which the owner waits.
GRACE: Final = 0.25

type Moment = tuple[float, float]


def _now() -> Moment:
    """By two clocks: one stands still while the machine sleeps, the other may be set."""
    return time.monotonic(), time.time()


class Gate:
    """Tells the threads of a process whether what they have stored by now is taken.

    Parameters
    ----------
    ask : callable
        Whether the note is there; takes a while. Threads that come while it is asked wait for
        the next question, which is asked once for all of them.
    lease : float
        Seconds for which a yes holds.

    Examples
    --------
    >>> Gate(lambda: True, 0).passes()
    True
    """

    def __init__(self, ask: Callable[[], bool], lease: float) -> None:
        self._ask = ask
        self._lease = lease
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew, in a forked child."""
        self._changed = threading.Condition()
        self._asking = self._closed = False
        #: When the last question that was answered with yes was asked.
        self._yes: Moment | None = None

    def passes(self) -> bool:
        """Whether what was stored before this call is taken in."""
        came = _now()
        with self._changed:
            while self._asking and not self._knows(came):
                self._changed.wait()
            if self._knows(came):
                return not self._closed
            self._asking = True
            asked = _now()
        answer = None
        try:
            answer = self._ask()
        finally:
            with self._changed:
                self._asking = False
                if answer:
                    self._yes = asked
                elif answer is not None:  # else it failed: those who wait ask themselves
                    self._closed = True  # for good
                self._changed.notify_all()
        return answer

    def _knows(self, came: Moment) -> bool:
        if self._closed:
            return True
        if self._yes is None:
            return False
        age = came[0] - self._yes[0]
        return age <= 0 or max(age, abs(came[1] - self._yes[1])) < self._lease
