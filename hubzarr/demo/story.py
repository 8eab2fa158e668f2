"""How the demo talks: headings, lines of code, tables of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

__all__ = ["Story"]


class Story:
    """Writes the tour to a stream.

    Examples
    --------
    >>> import sys
    >>> story = Story(sys.stdout)
    >>> story.table([("picture", "mean"), ("coffee", "87.1")], right=1)
    picture  mean
    coffee   87.1
    """

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._chapter = 0
        self._bold, self._dim, self._end = "", "", ""
        if to.isatty():
            self._bold, self._dim, self._end = "\x1b[1m", "\x1b[36m", "\x1b[0m"

    def chapter(self, title: str) -> None:
        """Start a section."""
        self._chapter += 1
        self.say(f"\n{self._bold}{self._chapter}. {title}{self._end}\n")

    def say(self, text: str = "") -> None:
        """One or more lines."""
        print(text.rstrip(" "), file=self._to, flush=True)

    def code(self, *lines: str) -> None:
        """Code that the section runs."""
        for line in lines:
            self.say(f"   {self._dim}>>> {line}{self._end}")

    def table(self, rows: Sequence[Sequence[str]], right: int = 0, indent: str = "") -> None:
        """Columns of text; from column `right` on they are aligned to the right, if not 0."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                text.rjust(width) if right and i >= right else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.say(indent + "  ".join(cells))
