"""The command doctor: what a store can do."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import hubzarr as hub
from hubzarr.cli import show
from hubzarr.cli.command import Answer, Command, flag, option, positional, store_options
from hubzarr.storage.probing import Report

__all__ = ["COMMANDS", "examined", "say_report"]

_CODES: Final[Mapping[str, int]] = {
    "many writers": 0, "unusable": 1, "one writer": 5, "read-only": 6,
}  # fmt: skip
_PROCESSES: Final = 3


def _doctor(args: argparse.Namespace) -> Answer:
    options = store_options(args.option)
    for key in ("endpoint", "profile", "region"):
        if getattr(args, key) is not None:
            options["endpoint_url" if key == "endpoint" else key] = getattr(args, key)
    if args.anon:
        options |= {"token": "anon"} if args.place.startswith(("gs:", "gcs:")) else {"anon": True}
    report = examined(args.place, options, 0 if args.quick else _PROCESSES)
    return Answer(report.to_dict(), lambda: say_report(report), _CODES[report.verdict])


def examined(place: str, options: Mapping[str, Any], processes: int) -> Report:
    """A report, with a line on the terminal that says what is being tried."""
    with _telling(place) as begun:
        return hub.doctor(place, storage_options=options, processes=processes, begun=begun)


def say_report(report: Report, *, short: bool = False) -> None:
    """Print a report in colours; a short one without what went well."""
    lines = report.lines()
    if short:
        lines = lines[1:3] if report.advice else lines[1:2]
        failed = [check for check in report.checks if check.ok is False]
        lines += [(False, f"✗ {check.name}: {check.detail}") for check in failed]
    show.marked(lines)


@contextlib.contextmanager
def _telling(place: str) -> Iterator[Callable[[str], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    console = Console(stderr=True, markup=False, highlight=False)
    with console.status(f"trying out {place or 'the default root'} …") as status:
        yield lambda name: status.update(f"trying out {place or 'the default root'}: {name} …")


COMMANDS: Final = (
    Command(
        "doctor", "try out a store: what works, how fast, how many may write", _doctor,
        (
            positional("place", "URL, path, root or name; the default root if left out",
                       nargs="?", default=""),
            flag("--quick", help="without races between processes"),
            option("--endpoint", help="of an S3-compatible store", metavar="URL"),
            option("--profile", help="of ~/.aws", metavar="NAME"),
            option("--region", help="of the bucket", metavar="NAME"),
            flag("--anon", help="without credentials"),
            option("-o", "--option", help="another option of the store", action="append",
                   default=[], metavar="KEY=VALUE"),
        ),
        details="codes: 0 safe for many writers, 1 not usable, 5 one writer at a time, 6 read-only",
    ),
)  # fmt: skip
