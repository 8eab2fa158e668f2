"""The command ls: a catalogue of what there is under a root."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import hubzarr as hub
from hubzarr.cli import show
from hubzarr.cli.command import Answer, Command, flag, option, positional
from hubzarr.cli.looking import what_it_did
from hubzarr.config import get_config
from hubzarr.wording import say_bytes

if TYPE_CHECKING:
    from hubzarr.api.listing import Entry

__all__ = ["COMMANDS"]

_SHORT: Final = 48


def _ls(args: argparse.Namespace) -> Answer:
    entries = hub.catalog(args.prefix, search=args.search or "")
    place = _place(args.prefix)
    document = {
        "root": get_config().root,
        "prefix": args.prefix,
        "search": args.search,
        "repositories": [_document(entry) for entry in entries],
    }

    def shown() -> None:
        if not entries:
            about = f" about {args.search!r}" if args.search else ""
            show.line(f"nothing{about} in {place}")
        elif args.long:
            _show_long(entries)
        else:
            _show_table(entries)

    return Answer(document, shown)


def _place(prefix: str) -> str:
    """The place that was listed, as a URL or path."""
    config = get_config()
    word = prefix.removeprefix("hub://").strip("/")
    first, _, below = word.partition("/")
    if first in config.roots:
        return f"{config.roots[first].url}/{below}".rstrip("/")
    if "://" in word or not word or prefix.startswith((".", "/", "~")):
        return prefix or config.root
    return f"{config.root.rstrip('/')}/{word}"


def _document(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": entry.name,
        "versions": entry.versions,
        "version": entry.version,
        "shape": entry.shape,
        "dtype": entry.dtype,
        "nbytes": entry.nbytes,
        "last_commit": None,
        "problem": entry.problem,
        "kind": entry.kind,
        "attributes": entry.attributes,
    }
    if entry.kind == "dataset":
        found |= {"rows": entry.rows, "tensors": entry.tensors}
    if entry.commit is not None:
        commit = entry.commit
        found["last_commit"] = {
            "version": commit.version,
            "number": commit.number,
            "id": commit.id,
            "time": commit.time,
            "author": commit.author,
            "message": commit.message,
            "sealed": entry.sealed,
        }
    return found


def _show_table(entries: Sequence[Entry]) -> None:
    columns = ("name", "versions", "shape", "dtype", "size", "last commit (UTC)", "message")
    show.table(columns, map(_row, entries), right=("size",))
    for entry in entries:
        if entry.problem:
            show.line("")
            show.styled(f"✗ {entry.name}: {entry.problem}", "bold red")


def _row(entry: Entry) -> tuple[str, ...]:
    shape, dtype = _what(entry)
    commit = entry.commit
    return (
        entry.name,
        _few(entry.versions),
        shape,
        dtype,
        "–" if entry.nbytes is None else say_bytes(entry.nbytes),
        "–" if commit is None else show.say_time(commit.time)[:16],
        "✗ see below" if commit is None else _short(commit.message or what_it_did(commit)),
    )


def _what(entry: Entry) -> tuple[str, str]:
    if entry.kind == "dataset":
        tensors = len(entry.tensors or ())
        return f"{entry.rows:,} rows", f"{tensors} tensor{'s' * (tensors != 1)}"
    return show.say_shape(entry.shape), entry.dtype or "–"


def _few(versions: Sequence[str]) -> str:
    more = len(versions) - 3
    return " ".join(versions[:3]) + (f" +{more}" if more > 0 else "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _show_long(entries: Sequence[Entry]) -> None:
    for number, entry in enumerate(entries):
        if number:
            show.line("")
        shape, dtype = _what(entry)
        show.styled(entry.name, "bold")
        if entry.problem:
            show.line(f"  ✗ {entry.problem}")
            continue
        size = "" if entry.nbytes is None else f", {say_bytes(entry.nbytes)}"
        rows = [("what", f"{entry.kind}, {shape}, {dtype}{size}")]
        if entry.tensors:
            rows.append(("tensors", ", ".join(entry.tensors)))
        rows.append(("versions", " ".join(entry.versions)))
        if entry.commit is not None:
            c = entry.commit
            said = f"{c.address}, {show.say_time(c.time)} UTC by {c.author}"
            rows.append(("last", f"{said}: {c.message or what_it_did(c)}"))
        rows += [(key, _short(str(value))) for key, value in entry.attributes.items()]
        width = max(len(key) for key, _ in rows)
        for key, value in rows:
            show.line(f"  {key.ljust(width)}  {value}")


COMMANDS: Final = (
    Command(
        "ls", "list arrays and datasets", _ls,
        (
            positional("prefix", "a namespace, the name of a root, a URL or path; all of the "
                       "default root if left out", nargs="?", default=""),
            option("-s", "--search", help="words that names, messages, authors, attributes or "
                   "tensors must contain", metavar="WORDS"),
            flag("-l", "--long", help="authors, tensors and attributes too"),
        ),
    ),
)  # fmt: skip
