"""Ranges of objects by way of aligned blocks, so that a range read once serves others too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["BLOCK", "LARGEST", "Wanted", "pieces", "runs"]

#: Bytes of a block. A small sample costs one of them: 30 ms away, that is hardly slower than
#: the sample alone, and neighbours come along.
BLOCK: Final = 256 << 10
#: Longer ranges go past the cache.
LARGEST: Final = 256 << 20
#: Blocks already there that a request may fetch again, where that saves another request.
_GAP: Final = 8


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Join blocks into as few requests as pay: (first, one past the last).

    Examples
    --------
    >>> runs([0, 1, 2, 7, 40])
    [(0, 8), (40, 41)]
    """
    out: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if out and number - out[-1][1] <= _GAP:
            out[-1] = out[-1][0], number + 1
        else:
            out.append((number, number + 1))
    return out


def pieces(data: bytes, first: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Cut what was fetched for the blocks ``first:stop`` into (number, content).

    A block that is shorter than `BLOCK`, or empty, ends the object; those behind it are
    left out.

    Examples
    --------
    >>> [(number, len(block)) for number, block in pieces(bytes(BLOCK + 5), 3, 9)]
    [(3, 262144), (4, 5)]
    """
    for number in range(first, stop):
        begin = (number - first) * BLOCK
        block = data[begin : begin + BLOCK]
        yield number, block
        if len(block) < BLOCK:
            return


class Wanted:
    """A range of an object, and the parts of it that were found so far.

    Parameters
    ----------
    start, stop : int
        The range; it is not empty.

    Examples
    --------
    >>> wanted = Wanted(BLOCK - 2, BLOCK + 3)
    >>> wanted.missing(), wanted.inside(0), wanted.inside(1)
    ([0, 1], (262142, 262144), (0, 3))
    >>> wanted.put(0, b"." * BLOCK)
    >>> wanted.put(1, b"ab")
    >>> wanted.missing(), wanted.joined()
    ([], b'..ab')
    """

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self.numbers = range(start // BLOCK, -(-stop // BLOCK))
        self.parts: dict[int, bytes] = {}

    def inside(self, number: int) -> tuple[int, int]:
        """Which bytes of a block are wanted."""
        begin = number * BLOCK
        return max(0, self.start - begin), min(BLOCK, self.stop - begin)

    def put(self, number: int, block: bytes) -> None:
        """A whole block was found; one that is not wanted is ignored."""
        if number in self.numbers:
            first, last = self.inside(number)
            self.parts[number] = block if last - first == BLOCK else block[first:last]

    def _is_end(self, number: int) -> bool:
        """Whether the object ends in a block that was found."""
        first, last = self.inside(number)
        return len(self.parts[number]) < last - first

    def missing(self) -> list[int]:
        """Blocks that were not found, up to the end of the object if that is known."""
        out = []
        for number in self.numbers:
            if number not in self.parts:
                out.append(number)
            elif self._is_end(number):
                break
        return out

    def joined(self) -> bytes:
        """The range, once nothing is missing."""
        found = []
        for number in self.numbers:
            found.append(self.parts[number])
            if self._is_end(number):
                break
        return found[0] if len(found) == 1 else b"".join(found)
