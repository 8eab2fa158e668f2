"""The entry point: arguments in, exit code out."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import hubzarr as hub
from hubzarr.cli import (
    caching,
    cataloguing,
    changing,
    configuring,
    doctoring,
    looking,
    pushing,
    show,
    transferring,
)
from hubzarr.cli.advice import in_arguments
from hubzarr.cli.command import Answer, Argument, Command, UsageError, flag, option, positional
from hubzarr.cli.completion import SCRIPTS, SHELLS, candidates
from hubzarr.config import get_config, is_root_name, refuse_unknown_root
from hubzarr.errors import ConflictError, ExistsError, HubzarrError, NotFoundError, SealedError

__all__ = ["COMMANDS", "build_parser", "main"]

_USAGE: Final = 2
_INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141
_CODES: Final = (
    (NotFoundError, 3),
    (ConflictError, 4),
    (ExistsError, 4),
    (SealedError, 4),
)
_EPILOG: Final = """\
names:  [namespace/]base[:version][@point], such as mnist, alice/weather:v1, mnist@7,
        s3://bucket/team/mnist:v1@2026-01-31
codes:  0 done, 1 error, 2 usage, 3 not found, 4 exists, sealed or in conflict, 130 Ctrl-C
"""


def _completion(args: argparse.Namespace) -> Answer:
    script = SCRIPTS[args.shell]
    return Answer(
        {"shell": args.shell, "script": script}, lambda: show.line(script.removesuffix("\n"))
    )


COMMANDS: Final = (
    *cataloguing.COMMANDS,
    *looking.COMMANDS,
    *changing.COMMANDS,
    *pushing.COMMANDS,
    *transferring.COMMANDS,
    *caching.COMMANDS,
    *configuring.COMMANDS,
    *doctoring.COMMANDS,
    Command(
        "completion", "a script that teaches your shell to complete hubzarr", _completion,
        (positional("shell", "bash, zsh or fish", completes="", choices=SHELLS, metavar="SHELL"),),
        details='for bash: eval "$(hubzarr completion bash)" in ~/.bashrc',
    ),
)  # fmt: skip

_COMMON: Final[tuple[Argument, ...]] = (
    option("--root", help="URL, folder or root under which plain names live", metavar="URL"),
    flag("--json", help="print one JSON document"),
    flag("--debug", help="show where an error came from"),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="hubzarr",
        description="Named, versioned, numpy-like arrays and datasets of any size.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hubzarr {hub.__version__}")
    for argument in _COMMON:
        parser.add_argument(*argument.names, **argument.options)
    # Common options may stand after the command too, where their defaults must not undo
    # what stood before it.
    common = argparse.ArgumentParser(add_help=False)
    for argument in _COMMON:
        common.add_argument(*argument.names, **{**argument.options, "default": argparse.SUPPRESS})
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in COMMANDS:
        made = commands.add_parser(
            command.name, help=command.summary, description=command.summary, parents=[common],
            epilog=command.details or None,
        )  # fmt: skip
        for argument in command.arguments:
            made.add_argument(*argument.names, **argument.options)
        made.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; by default what the process was started with.

    Returns
    -------
    int
        The exit code; see `hubzarr.cli`.

    Examples
    --------
    >>> import hubzarr as hub
    >>> _ = hub.from_numpy([[1, 2], [3, 4]], "examples/cli:v0")
    >>> main(["stats", "examples/cli:v0", "--json", "--slice", "0"])
    {
      "name": "examples/cli",
      "version": "v0",
      ...
      "statistics": {
        "mean": 1.5,
        "std": 0.5,
        "min": 1,
        "max": 2
      },
      ...
    }
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["_complete"]:
            for word in _completed(words[1:]):
                print(word)
            return 0
        return _run(words)
    except SystemExit as stop:  # argparse ends so, after help too
        return stop.code if isinstance(stop.code, int) else _USAGE
    except KeyboardInterrupt:
        print("\nhubzarr: stopped", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    finally:
        with contextlib.suppress(HubzarrError):  # a bad config file was told already
            hub.configure(root=None)


def _completed(words: list[str]) -> list[str]:
    try:
        return candidates(words[1:] if words[:1] == ["--"] else words, COMMANDS, _COMMON)
    except HubzarrError:  # a bad --root, say: no moment to complain
        return []


def _run(words: list[str]) -> int:
    parser = build_parser()
    args = parser.parse_args(words)
    if args.command is None:
        parser.print_help(sys.stderr)
        return _USAGE
    try:
        if args.root is not None:
            hub.configure(root=_known_root(args.root))
        answer: Answer = args.run(args)
    except UsageError as error:
        return _failed(args, "usage", str(error), _USAGE)
    except HubzarrError as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), 1)
        message = in_arguments(error.message, _command(args.command))
        return _failed(args, error.kind, message, code)
    if args.json:
        show.print_json(answer.document)
    else:
        answer.show()
    sys.stdout.flush()
    return answer.code


def _known_root(text: str) -> str:
    """A root, URL or folder; a bare word has to be there, as it may be mistyped."""
    if is_root_name(text) and text not in get_config().roots and not os.path.isdir(text):
        refuse_unknown_root(text)
    return text


def _command(name: str) -> Command:
    return next(command for command in COMMANDS if command.name == name)


def _failed(args: argparse.Namespace, kind: str, message: str, code: int) -> int:
    if args.debug:
        traceback.print_exc()
    print(f"hubzarr: {message}", file=sys.stderr)
    if args.json:
        show.print_json({"error": {"kind": kind, "message": message, "code": code}})
    return code
