"""Hints: what the newest commit of a version was, some time ago.

A hint may lag, be missing or come from an earlier life of a repository that was deleted;
it is never trusted alone. On a local disk it is the newest number, written now and then.
On other stores a round trip costs more than bytes, so there the newest manifest follows:
whoever finds that nothing newer exists has it already. It is written behind the back of
the commit, at most once a second for each version.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hubzarr.errors import DamagedError, HubzarrError, UnsupportedError
from hubzarr.history.manifest import Commit, Manifest, decode
from hubzarr.storage.base import Storage
from hubzarr.threads import begin

__all__ = ["Hint", "forget_hints", "hint_path", "parse_hint", "write_hint"]

#: On a local disk, commits between two hints.
EVERY: Final = 8
#: Elsewhere, seconds between two hints of a version: some stores take no more.
PAUSE: Final = 1.0
_LINE: Final = re.compile(rb"([0-9]{1,12}) ([0-9a-f]{16})\n")


@dataclass(frozen=True, slots=True)
class Hint:
    """What a hint says.

    Attributes
    ----------
    number : int
        Newest commit of the version, as far as the hint knows; -1: it knows nothing.
    life : str
        Id of the version's first commit, '' if the hint does not say.
    manifest : Manifest or None
        Of the commit, if the version still began with `life`.
    """

    number: int = -1
    life: str = ""
    manifest: Manifest | None = None


def hint_path(version: str) -> str:
    """Path of a version's hint below the repository."""
    return f"versions/{version}/latest"


def parse_hint(data: bytes | None, version: str) -> Hint:
    """What the content of a hint says; what hubzarr did not write says nothing."""
    if data is None:
        return Hint()
    if len(data) <= 12 and data.isdigit():
        return Hint(int(data))
    found = _LINE.match(data)
    if found is None:
        return Hint()
    number = int(found[1])
    with contextlib.suppress(DamagedError, UnsupportedError):
        manifest = decode(data[found.end() :], hint_path(version))
        if (manifest.commit.version, manifest.commit.number) == (version, number):
            return Hint(number, found[2].decode(), manifest)
    return Hint()


def write_hint(
    storage: Storage, commit: Commit, data: bytes, first: Callable[[], str | None]
) -> None:
    """Tell others which commit was made.

    Parameters
    ----------
    storage : Storage
    commit : Commit
    data : bytes
        Of its manifest.
    first : callable
        Finds the id of the first commit of the version; None if the store does not hold
        this commit any more.
    """
    if not storage.is_local:
        _writer.add(storage, commit, data, first)
    elif commit.number and commit.number % EVERY == 0:
        # The commit is made, and a hint may lag: not being able to write one is no failure.
        with contextlib.suppress(HubzarrError):
            storage.put_atomic(hint_path(commit.version), str(commit.number).encode())


def forget_hints(storage: Storage) -> None:
    """Write no more hints to a repository: it is about to be deleted."""
    _writer.forget(storage.url)


@dataclass(frozen=True, slots=True)
class _Due:
    storage: Storage
    commit: Commit
    data: bytes
    first: Callable[[], str | None]

    def write(self) -> None:
        life = self.first()
        if life is not None:
            line = f"{self.commit.number} {life}\n".encode()
            self.storage.put_atomic(hint_path(self.commit.version), [line, self.data])


type _Key = tuple[str, str]


class _Writer:
    """A thread that writes hints, the newest of each version only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Held while a hint is written.
        self._busy = threading.Lock()
        self._due: dict[_Key, _Due] = {}
        self._last: dict[_Key, float] = {}
        self._running = False
        self._leaving = threading.Event()

    def add(
        self, storage: Storage, commit: Commit, data: bytes, first: Callable[[], str | None]
    ) -> None:
        key = storage.url, commit.version
        with self._lock:
            self._due[key] = _Due(storage, commit, data, first)
            if self._running:
                return
            self._running = True
        try:
            begin(self._run, "hubzarr-hints", self._leaving.set)
        except RuntimeError:  # the interpreter is shutting down: no hint then
            self._running = False

    def forget(self, url: str) -> None:
        with self._busy, self._lock:
            for key in [key for key in self._due if key[0] == url]:
                del self._due[key]

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._due:
                    self._running = False
                    return
                now = time.monotonic()
                key = min(self._due, key=lambda key: self._last.get(key, 0.0))
                wait = self._last.get(key, 0.0) + PAUSE - now
            self._leaving.wait(max(0.0, wait))  # the last ones, at the exit, don't wait
            self._write(key)

    def _write(self, key: _Key) -> None:
        with self._busy:
            with self._lock:
                due = self._due.pop(key, None)
                now = time.monotonic()
                self._last = {k: t for k, t in self._last.items() if now - t < PAUSE}
                self._last[key] = now
            if due is not None:
                # Whatever a client raises, such as at the interpreter's end: a hint may lag.
                with contextlib.suppress(Exception):
                    due.write()


_writer = _Writer()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_writer.__init__)  # type: ignore[misc]
