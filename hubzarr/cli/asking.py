"""Questions on a terminal, and their answers where nobody is there to ask."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hubzarr.cli.command import UsageError
from hubzarr.errors import InvalidError

__all__ = ["Asker"]


class Asker:
    """Asks a person, or takes what was given and the defaults.

    Parameters
    ----------
    asks : bool, optional
        Whether anybody is there to answer; by default, whether this is a terminal.
    """

    def __init__(self, asks: bool | None = None) -> None:
        self.asks = sys.stdin.isatty() and sys.stdout.isatty() if asks is None else asks

    def text(
        self,
        question: str,
        given: str | None,
        default: str | None = None,
        *,
        flag: str = "",
        check: Callable[[str], Any] | None = None,
    ) -> str:
        """A line of text: given, answered, or the default; "" if there is none."""
        if given is not None or not self.asks:
            answer = default if given is None else given
            if answer is None:
                raise UsageError(f"{question} is missing: say {flag}")
            if check is not None and answer:
                check(answer)
            return answer
        hint = f" [{default}]" if default else ""
        while True:
            answer = input(f"{question}{hint}: ").strip() or default
            if answer is None:
                continue
            try:
                if check is not None and answer:
                    check(answer)
            except InvalidError as error:
                print(error.message)
            else:
                return answer

    def choice(
        self, question: str, given: str | None, options: Sequence[tuple[str, str]], *, flag: str
    ) -> str:
        """One of several options, each with its words; the first is the default."""
        names = [name for name, _ in options]
        if given is not None:
            return given
        if not self.asks:
            raise UsageError(f"say {flag}: {', '.join(names)}")
        print(question)
        for number, (_, words) in enumerate(options, start=1):
            print(f"  {number}  {words}")
        while True:
            answer = input("[1]: ").strip() or "1"
            if answer in names:
                return answer
            if answer.isdecimal() and 1 <= int(answer) <= len(names):
                return names[int(answer) - 1]
            print(f"a number from 1 to {len(names)}, please")

    def confirms(self, question: str, given: bool | None, default: bool) -> bool:
        """Yes or no."""
        if given is not None or not self.asks:
            return default if given is None else given
        while True:
            answer = input(f"{question} [{'Y/n' if default else 'y/N'}]: ").strip().lower()
            if not answer:
                return default
            if answer in ("y", "yes", "n", "no"):
                return answer[0] == "y"

    def secret(self, question: str, variable: str, value: str | None) -> str:
        """A secret: of the environment, or typed without echo."""
        if value:
            return value
        if not self.asks:
            raise UsageError(f"{question} is missing: set {variable} in the environment")
        while not (answer := getpass.getpass(f"{question} (not shown): ").strip()):
            pass
        return answer
