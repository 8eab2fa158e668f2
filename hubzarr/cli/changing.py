"""Commands that change something: seal, branch, mv, rm; and the demo."""

from __future__ import annotations

import argparse
import sys

import hubzarr as hub
from hubzarr import demo
from hubzarr.cli import show
from hubzarr.cli.command import Answer, Command, UsageError, flag, option, positional
from hubzarr.cli.looking import commit_document
from hubzarr.errors import NotFoundError
from hubzarr.names import parse_name

__all__ = ["COMMANDS"]

_MESSAGE = option("-m", "--message", help="message of the commit")


def _seal(args: argparse.Namespace) -> Answer:
    a = hub.load(args.name)
    commit = a.seal(args.message)
    document = {"name": a.name, "version": a.version, "commit": commit_document(commit)}
    return Answer(document, lambda: show.line(f"sealed {a.name}:{a.version} for ever"))


def _branch(args: argparse.Namespace) -> Answer:
    a = hub.load(args.name, "r")
    new = a.branch(args.new.removeprefix(":"), args.message)
    source = f"{a.version}@{a.log(1, syncs=True)[0].number}"
    document = {"name": a.name, "version": new.version, "from": source, "commit": new.commit_id}
    return Answer(
        document, lambda: show.line(f"{a.name}:{new.version} starts from {source}; nothing copied")
    )


def _mv(args: argparse.Namespace) -> Answer:
    hub.rename(args.source, args.target)
    document = {"source": args.source, "target": args.target}
    return Answer(document, lambda: show.line(f"{args.source} is {args.target} now"))


def _rm(args: argparse.Namespace) -> Answer:
    name = parse_name(args.name)
    there = hub.versions(name.repository)
    doomed = [v.name for v in there if name.version in (None, v.name)]
    if not doomed:
        raise NotFoundError(
            f"nothing to delete at {args.name!r}; versions there: "
            f"{', '.join(v.name for v in there) or 'none'}",
            name=args.name,
        )
    document = {"name": name.repository, "deleted": True, "versions": doomed}
    if not args.yes and not _agreed(args.name, doomed, name.version is None):
        document |= {"deleted": False, "versions": []}
        return Answer(document, lambda: show.line("nothing was deleted"), code=1)
    hub.delete(args.name, force=args.force)
    return Answer(document, lambda: show.line(f"deleted {args.name}"))


def _agreed(name: str, versions: list[str], everything: bool) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"rm asks before it deletes, and there is nobody to ask: hubzarr rm --yes {name}"
        )
    what = f"all of {name}, versions {' '.join(versions)}" if everything else f"version {name}"
    print(f"Delete {what}? There is no way back. [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _demo(args: argparse.Namespace) -> Answer:
    # With --json the story goes to standard error, so that the document stands alone.
    document = demo.run(args.out, sys.stderr if args.json else sys.stdout)
    return Answer(document, lambda: None)


COMMANDS = (
    Command(
        "seal", "freeze a version for ever", _seal,
        (positional("name", "[namespace/]base[:version]"), _MESSAGE),
    ),
    Command(
        "branch", "start a new version; copies nothing", _branch,
        (
            positional("name", "where it starts: [namespace/]base[:version][@point]"),
            positional("new", "name of the new version", completes=""),
            _MESSAGE,
        ),
    ),
    Command(
        "mv", "give a repository, or one version of it, another name", _mv,
        (
            positional("source", "x, or x:v0", metavar="SRC"),
            positional("target", "y, or x:v1", metavar="DST"),
        ),
    ),
    Command(
        "rm", "delete a version, or without one the whole repository", _rm,
        (
            positional("name", "[namespace/]base[:version]"),
            flag("-y", "--yes", help="don't ask"),
            flag("--force", help="sealed versions too"),
        ),
    ),
    Command(
        "demo", "a tour with real pictures; touches nothing of yours", _demo,
        (
            option("--out", help="folder for its store and its picture (./demo-output)",
                   default="demo-output", metavar="DIR"),
        ),
    ),
)  # fmt: skip
