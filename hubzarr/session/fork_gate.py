"""Asking once for all who wait for the same answer."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hubzarr.session.renewing import renew_after_fork

__all__ = ["Gate"]


class Gate:
    """Tells many threads whether something is still so.

    An answer holds for whoever came before the question was asked, so one question at a time
    is enough, however many wait.

    Parameters
    ----------
    ask : callable
        Returns the answer; takes a while.

    Examples
    --------
    >>> Gate(lambda: True).passes()
    True
    """

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin anew, in a forked child."""
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self._asking = False
        self._answer = True

    def passes(self) -> bool:
        """The answer to a question that is asked after this call."""
        with self._changed:
            wanted = self._asked + 1
            while self._answered < wanted:
                if not self._asking:
                    break
                self._changed.wait()
            else:
                return self._answer
            self._asking = True
            self._asked += 1
            number = self._asked
        answer = None
        try:
            answer = self._ask()
        finally:
            with self._changed:
                self._asking = False
                if answer is not None:  # else those who wait ask themselves
                    self._answered, self._answer = number, answer
                self._changed.notify_all()
        return answer
