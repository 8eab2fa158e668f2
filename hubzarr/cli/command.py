"""What a command is: its arguments as data, so that help and completion know them too."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubzarr.config import is_secret

__all__ = [
    "Answer",
    "Argument",
    "Command",
    "UsageError",
    "flag",
    "key_values",
    "option",
    "positional",
    "store_options",
]


class UsageError(Exception):
    """The command line asks for what can't be done this way; exit code 2."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found: plain values for ``--json``, and a way to show it to people.

    Attributes
    ----------
    document : dict
        Printed as JSON; its keys are part of the interface.
    show : callable
        Prints the same for people.
    code : int
        Exit code.
    """

    document: dict[str, Any]
    show: Callable[[], None]
    code: int = 0


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, as `argparse.ArgumentParser.add_argument` takes it.

    Attributes
    ----------
    names : tuple of str
        Flags, or the name of a positional argument.
    options : mapping
    completes : str
        What completion offers: "name", "version" or nothing; paths are left to the shell.
    """

    names: tuple[str, ...]
    options: Mapping[str, Any]
    completes: str = ""

    @property
    def is_option(self) -> bool:
        """Whether it is given by a flag."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether a word follows the flag."""
        return self.options.get("action") in (None, "append")


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand."""

    name: str
    summary: str
    run: Callable[[argparse.Namespace], Answer]
    arguments: tuple[Argument, ...] = field(default=())
    details: str = ""


def positional(name: str, help: str, completes: str = "name", **options: Any) -> Argument:
    """A positional argument."""
    metavar = options.pop("metavar", name.upper())
    return Argument((name,), {"help": help, "metavar": metavar, **options}, completes)


def option(*names: str, help: str, **options: Any) -> Argument:
    """An option with a value."""
    return Argument(names, {"help": help, **options})


def flag(*names: str, help: str, **options: Any) -> Argument:
    """An option without a value."""
    return Argument(names, {"help": help, "action": "store_true", **options})


def key_values(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` pairs; values that are whole numbers, true or false are that.

    Examples
    --------
    >>> key_values(["table=train.csv", "limit=5", "header=false"])
    {'table': 'train.csv', 'limit': 5, 'header': False}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--option {pair!r}: expected key=value, such as table=train.csv")
        words = {"true": True, "false": False}
        found[key] = words.get(text.lower(), int(text) if text.isdecimal() else text)
    return found


def store_options(pairs: list[str]) -> dict[str, Any]:
    """Options of a store, as `key_values`; secrets are refused, for everybody can see them."""
    found = key_values(pairs)
    for key, value in found.items():
        if is_secret(key, value):
            raise UsageError(
                f"--option {key}=…: other users of this machine see what is on a command line; "
                "use a profile or the environment, or hubzarr configure --credentials stored"
            )
    return found
