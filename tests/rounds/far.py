"""A storage that is a network away, whose round trips can be counted."""

from __future__ import annotations

import threading
import time

from hubzarr.storage.memory import MemoryStorage

VERBS = frozenset(
    {"get", "get_range", "get_into", "get_many", "exists", "size", "list_dir", "list_all"}
    | {"put", "put_atomic", "create", "delete", "delete_dir"}
)
#: Requests that come within so many seconds of another one are answered together.
QUIET = 0.03


class Network:
    """Answers requests in rounds: all that are under way, once no more are coming.

    So a round is what one round trip is on a network on which all requests take equally
    long. Threads that are slow to ask may make it two: a count is an upper bound, and the
    best of some attempts is what counts.
    """

    def __init__(self):
        self.rounds = 0
        self.requests = []
        self.counting = False
        self._waiting = 0
        self._last = 0.0
        self._turn = 0
        self._changed = threading.Condition()

    def count(self, work):
        """Rounds that a piece of work takes, and what it returns."""
        with self._changed:
            self.rounds, self.requests, self.counting = 0, [], True
        try:
            value = work()
        finally:
            self.counting = False
        return self.rounds, value

    def wait(self, verb, path):
        """Take part in a round, unless the work behind anybody's back does it."""
        if not self.counting or threading.current_thread().name == "hubzarr-hints":
            return
        with self._changed:
            self.requests.append((verb, path))
            self._waiting += 1
            self._last = time.monotonic()
            turn = self._turn
            while self._turn == turn:
                left = self._last + QUIET - time.monotonic()
                if left <= 0:
                    self.rounds += 1
                    self._turn += 1
                    self._changed.notify_all()
                    break
                self._changed.wait(left)
            self._waiting -= 1


class Far:
    """A storage in memory behind a network."""

    is_local = False
    concurrency = 64
    atomic_create = True

    def __init__(self, inner: MemoryStorage, network: Network):
        self.inner = inner
        self.network = network
        self.url = "far+" + inner.url
        self.counters = inner.counters

    def distrust(self, path):
        return True

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if name not in VERBS:
            return found

        def ask(path, *args, **options):
            self.network.wait(name, path if isinstance(path, str) else "several")
            return found(path, *args, **options)

        return ask
