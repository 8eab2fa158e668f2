"""Commands between repositories: push, pull, clone, cp."""

from __future__ import annotations

import argparse
from typing import Any

import hubzarr as hub
from hubzarr.cli import show
from hubzarr.cli.command import Answer, Command, flag, option, positional
from hubzarr.session.transferring import Transfer

__all__ = ["COMMANDS"]

_DRY = flag("-n", "--dry-run", help="only say how much there is to copy")
_VERIFY = flag("--verify", help="decode every chunk on the way, compare sizes at the target")
_DETAILS = """\
ROOT is the name of a configured root, where the repository has the same name. What is
interrupted goes on when the same command is given again."""


def _answer(done: Transfer) -> Answer:
    document: dict[str, Any] = {
        "source": done.source,
        "target": done.target,
        "dry_run": done.dry_run,
        "commits": done.commits,
        "objects": done.objects,
        "bytes": done.nbytes,
        "skipped": done.skipped,
        "versions": {v: {"before": a, "after": b} for v, (a, b) in done.versions.items()},
    }
    return Answer(document, lambda: show.line(str(done)))


def _push(args: argparse.Namespace) -> Answer:
    return _answer(hub.push(args.name, args.to, verify=args.verify, dry_run=args.dry_run))


def _pull(args: argparse.Namespace) -> Answer:
    return _answer(hub.pull(args.name, args.source, verify=args.verify, dry_run=args.dry_run))


def _clone(args: argparse.Namespace) -> Answer:
    versions = args.versions.split(",") if args.versions else None
    return _answer(
        hub.clone(
            args.source, args.target, versions=versions, verify=args.verify, dry_run=args.dry_run
        )
    )


def _cp(args: argparse.Namespace) -> Answer:
    new = hub.copy(
        args.source, args.target, history=args.history, verify=args.verify, dry_run=args.dry_run
    )
    if isinstance(new, Transfer):
        return _answer(new)
    document: dict[str, Any] = {
        "source": args.source,
        "name": new.name,
        "version": new.version,
        "commit": new.commit_id,
    }
    if isinstance(new, hub.Dataset):
        document |= {"rows": len(new), "tensors": list(new.tensors)}
    else:
        document |= {"shape": new.shape, "dtype": str(new.dtype)}
    return Answer(document, lambda: show.line(f"copied {args.source} to {new.name}:{new.version}"))


COMMANDS = (
    Command(
        "cp", "copy one version to a new name", _cp,
        (
            positional("source", "[namespace/]base[:version][@point]", metavar="SRC"),
            positional("target", "a name or URL that doesn't exist yet", metavar="DST"),
            flag("--history", help="take the commits that led to it along"),
            _DRY, _VERIFY,
        ),
    ),
    Command(
        "push", "bring commits to another store that lacks them", _push,
        (
            positional("name", "[namespace/]base[:version]; without a version all of them"),
            positional("to", "a root, name, URL or path", metavar="ROOT|NAME"),
            _DRY, _VERIFY,
        ),
        details=_DETAILS,
    ),
    Command(
        "pull", "bring commits of another store here", _pull,
        (
            positional("name", "[namespace/]base[:version]; without a version all of them"),
            positional("source", "a root, name, URL or path", metavar="ROOT|NAME"),
            _DRY, _VERIFY,
        ),
        details=_DETAILS,
    ),
    Command(
        "clone", "copy a repository with its history", _clone,
        (
            positional("source", "[namespace/]base", metavar="SRC"),
            positional("target", "a name, URL or path", metavar="DST"),
            option("--versions", help="these only, and what led to them", metavar="A,B"),
            _DRY, _VERIFY,
        ),
    ),
)  # fmt: skip
