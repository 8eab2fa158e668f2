"""What errors and reports advise in Python, in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from hubzarr.cli.command import Command
from hubzarr.exporting.exporter import option_names as export_options
from hubzarr.ingesting.recognise import option_names as ingest_options

__all__ = ["in_arguments"]

# Such as skip_broken=True, kind=..., table='train.csv'; no call of a function, no URL.
_ADVICE: Final = re.compile(
    r"""(?<![\w(?&./'"-])(\w+)=(True|False|\.\.\.|\[\.\.\.\]|'[\w./-]+'|"[\w./-]+")"""
)
# Options that have another name in Python.
_OTHER_NAMES: Final = {"num_workers": "workers"}


def in_arguments(text: str, command: Command) -> str:
    """A text in which ``skip_broken=True`` is ``--skip-broken``, for the flags of a command.

    Options of kinds and formats become ``-o table=train.csv``. What a command has no argument
    for stays as it is.

    Examples
    --------
    >>> from hubzarr.cli.transferring import COMMANDS
    >>> in_arguments("say kind=... or table='a.csv', or skip_broken=True", COMMANDS[0])
    'say --kind ... or -o table=a.csv, or --skip-broken'
    """
    values = {a.names[-1]: a.takes_value for a in command.arguments if a.is_option}
    others = _options_of(command)

    def said(found: re.Match[str]) -> str:
        name, value = found[1], found[2].strip("'\"")
        flag = "--" + _OTHER_NAMES.get(name, name).replace("_", "-")
        if flag in values and value != "False":
            return f"{flag} {value}" if values[flag] else flag
        if name in others:
            value = "..." if value == "[...]" else value
            return f"-o {name}={value.lower() if value in ('True', 'False') else value}"
        return found[0]

    return _ADVICE.sub(said, text)


def _options_of(command: Command) -> Collection[str]:
    """What may stand after ``-o``."""
    if command.name == "ingest":
        return ingest_options()
    return export_options() if command.name == "export" else ()
