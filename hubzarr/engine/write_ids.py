"""The random ids that name what is stored together."""

from __future__ import annotations

import secrets
from collections.abc import Callable

__all__ = ["WriteIds"]


class WriteIds:
    """The write ids that one session has brought in since its last commit.

    Parameters
    ----------
    draw : callable, optional
        Returns a new 64-bit id; random by default.
    """

    def __init__(self, draw: Callable[[], int] | None = None) -> None:
        self._draw = draw or _random_id
        self.current = self._draw()
        self.used: list[int] = []
        #: Paths of objects that are being stored just now, past the buffers.
        self.busy: set[str] = set()
        self._claimed: tuple[int, set[str], set[str]] = 0, set(), set()

    def take(self) -> int:
        """The id for the next object; counts as used."""
        if not self.used or self.used[-1] != self.current:
            self.used.append(self.current)
        return self.current

    def rotate(self) -> int:
        """Begin a new batch: later objects get another id than earlier ones."""
        self.current = self._draw()
        return self.take()

    def retire(self, write_id: int) -> None:
        """No object is to be stored under an id any more."""
        if self.current == write_id:
            self.current = self._draw()

    def has(self, write_id: int) -> bool:
        """Whether an id that was taken belongs to the commit to come."""
        return bool(self.used) and (self.used[-1] == write_id or write_id in self.used)

    def claim(self, key: str) -> int:
        """An id under which no object has this path, or a path above or below it, yet.

        One name can't be a file and a directory.
        """
        write_id = self.take()
        if self._claimed[0] != write_id:
            self._claimed = write_id, set(), set()
        _, files, directories = self._claimed
        above = {key[:i] for i, letter in enumerate(key) if letter == "/"}
        if key in files or key in directories or not above.isdisjoint(files):
            write_id = self.rotate()
            files, directories = set(), set()
            self._claimed = write_id, files, directories
        files.add(key)
        directories |= above
        return write_id

    def abandon(self, used: list[int]) -> None:
        """Forget the ids taken since `used`; none of them is given out again."""
        self.current = self._draw()
        self.used = used

    def reset(self) -> None:
        """Start over after a commit."""
        self.current = self._draw()
        self.used = []


def _random_id() -> int:
    while True:
        value = int.from_bytes(secrets.token_bytes(8), "big")
        if value:  # 0 means "never written"
            return value
