"""Commands that only look: info, log, diff, stats."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

import hubzarr as hub
from hubzarr.cli import datasets, show
from hubzarr.cli.command import Answer, Command, flag, option, positional
from hubzarr.cli.selection import Item, parse_axis, parse_selection
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.measure import Measured, measured
from hubzarr.names import DEFAULT_VERSION, Name, parse_name
from hubzarr.wording import say_bytes, say_seconds

if TYPE_CHECKING:
    from hubzarr.history.manifest import Commit
    from hubzarr.session.branching import VersionInfo

__all__ = ["COMMANDS", "commit_document", "what_it_did"]

#: Rows of a table of statistics along an axis.
_MAX_ROWS = 32
_STATISTICS = ("mean", "std", "min", "max")


def _version_document(version: VersionInfo) -> dict[str, Any]:
    return {
        "version": version.name,
        "number": version.number,
        "id": version.commit_id,
        "time": version.time,
        "author": version.author,
        "message": version.message,
        "sealed": version.sealed,
    }


# -- info --------------------------------------------------------------------


def _info(args: argparse.Namespace) -> Answer:
    a = hub.load(args.name, "r")
    versions = [_version_document(v) for v in a.versions()]
    is_dataset = isinstance(a, hub.Dataset)
    found = datasets.describe(a) if is_dataset else {"kind": "array", **a.info}
    document: dict[str, Any] = {**found, "versions": versions, "nbytes_stored": None}
    if args.stored:
        document["nbytes_stored"] = datasets.stored_bytes(a) if is_dataset else a.nbytes_stored
    document = show.plain(document)

    def shown() -> None:
        (datasets.show_info if is_dataset else _show_array)(document)
        show.line("")
        _show_versions(document)

    return Answer(document, shown)


def _show_array(info: dict[str, Any]) -> None:
    cells = info["cells"]
    rows = [
        ("name", f"{info['name']}:{info['version']}"),
        ("commit", f"{info['number']} ({info['commit']})"),
        ("state", "sealed: frozen for ever" if info["sealed"] else "open: takes commits"),
        ("shape", show.say_shape(info["shape"])),
        ("dtype", info["dtype"]),
        ("size", say_bytes(info["nbytes"])),
        ("stored", None if info["nbytes_stored"] is None else say_bytes(info["nbytes_stored"])),
        ("chunks", f"{show.say_shape(info['chunks'])} (compressed as one piece)"),
        ("shards", info["shards"] and f"{show.say_shape(info['shards'])} (stored as one object)"),
        ("objects", f"{cells:,} at most"),
        ("codecs", " ".join(info["codecs"])),
        ("fill value", info["fill_value"]),
        ("place", info["storage"]),
    ]
    show.pairs((k, v) for k, v in rows if v is not None)
    for key, value in info["attributes"].items():
        show.line(f"attribute {key} = {value}")


def _show_versions(info: dict[str, Any]) -> None:
    show.table(
        ("version", "state", "commits", "last commit (UTC)", "author", "message"),
        (
            (
                v["version"], "sealed" if v["sealed"] else "open", f"{v['number'] + 1:,}",
                show.say_time(v["time"]), v["author"], v["message"] or "",
            )
            for v in info["versions"]
        ),
        right=("commits",),
    )  # fmt: skip


# -- log ---------------------------------------------------------------------


def commit_document(commit: Commit) -> dict[str, Any]:
    """A commit for ``--json``."""
    return {
        "id": commit.id,
        "version": commit.version,
        "number": commit.number,
        "parent": commit.parent,
        "merged": commit.merged,
        "message": commit.message,
        "author": commit.author,
        "time": commit.time,
        "state": commit.state,
        "changes": commit.changes,
    }


def _log(args: argparse.Namespace) -> Answer:
    if args.limit is not None and args.limit < 1:
        raise InvalidError(f"-n {args.limit}: expected 1 or more")
    a = hub.load(args.name, "r")
    commits = a.log(args.limit, syncs=args.syncs)
    document = {
        "name": a.name,
        "version": a.version,
        "commits": list(map(commit_document, commits)),
    }

    def said(commit: Commit) -> str:
        if isinstance(a, hub.Dataset):
            return datasets.say_changes(commit.changes, a.tensors)
        return _changes(commit.changes)

    rows = [
        (
            c.address, c.id, show.say_time(c.time), c.author, said(c),
            c.message or what_it_did(c),
        )
        for c in commits
    ]  # fmt: skip
    columns = ("commit", "id", "time (UTC)", "author", "changes", "message")
    return Answer(document, lambda: show.table(columns, rows))


def what_it_did(commit: Commit) -> str:
    """What to show of a commit without a message."""
    if commit.state != "open":
        return f"({commit.state})"
    if commit.merged:
        return f"(merged {commit.merged})"
    if commit.parent and commit.parent.partition("@")[0] != commit.version:
        return f"(started from {commit.parent})"
    return "(automatic sync)"


def _changes(changes: dict[str, dict[str, Any]]) -> str:
    """``1,024 cells, shape``, from the summary that a commit carries."""
    parts = []
    for path, what in changes.items():
        words = [
            f"{value:,} {key[:-1] if value == 1 else key}" if type(value) is int else key
            for key, value in what.items()
            if value not in (False, None)
        ]
        parts.append((f"{path}: " if path else "") + ", ".join(words))
    return "; ".join(parts)


# -- diff --------------------------------------------------------------------


def _diff(args: argparse.Namespace) -> Answer:
    states: tuple[Any, ...] = ()
    if args.after is None:
        a = hub.load(args.before, "r")
    else:
        before = parse_name(args.before)
        text = args.after
        after = parse_name(before.repository + text if text[:1] in (":", "@") else text)
        if text.startswith("@"):
            after = parse_name(f"{before.repository}:{_version(before)}{text}")
        if before.repository != after.repository:
            raise InvalidError(
                f"diff compares states of one repository, and {before.repository!r} and "
                f"{after.repository!r} are two; copy one into the other as a version: "
                f"hubzarr cp {after} {before.repository}:copy"
            )
        a = hub.load(str(Name(before.root, before.path, _version(before))), "r")
        states = (_state(before), _state(after))
    if isinstance(a, hub.Dataset):
        found: Any = a.diff(*states)
        document = {**found.as_dict(), "changed": bool(found)}
    else:
        found = a.diff(*states, values=args.values)
        document = {**found.to_dict(), "changed": bool(found)}
    return Answer(document, lambda: show.line(repr(found)))


def _version(name: Name) -> str:
    return name.version or DEFAULT_VERSION


def _state(name: Name) -> str:
    """The state that a name means, as `Array.diff` takes it."""
    return f":{_version(name)}" + ("" if name.point is None else f"@{name.point}")


# -- stats -------------------------------------------------------------------


def _stats(args: argparse.Namespace) -> Answer:
    a = hub.load(args.name, "r")
    key = parse_selection(args.selection)
    if isinstance(a, hub.Dataset):
        return _dataset_stats(args, a, key)
    if args.tensor is not None:
        raise InvalidError(f"--tensor {args.tensor}: {args.name!r} is an array")
    # A tuple with an ellipsis at its end always gives a view, never a bare element.
    view = a[key if Ellipsis in key else (*key, ...)]
    axis = None if args.axis is None else parse_axis(args.axis, view.ndim)
    values: dict[str, Any] = {}
    problem: InvalidTypeError | None = None
    with measured(a) as cost:
        for name in _STATISTICS:
            try:
                values[name] = getattr(view, name)(axis=axis)
            except InvalidTypeError as error:  # text has a smallest element but no mean
                values[name], problem = None, error
    if problem is not None and all(value is None for value in values.values()):
        raise problem
    document = {
        "name": a.name,
        "version": a.version,
        "commit": a.commit_id,
        "slice": args.selection,
        "shape": view.shape,
        "dtype": str(view.dtype),
        "nbytes": view.nbytes,
        "axis": axis,
        "statistics": show.plain(values),
        "cost": cost.to_dict(),
    }

    def shown() -> None:
        show.line(f"{a.name}:{a.version}[{args.selection.strip('[]')}]")
        show.line(f"{show.say_shape(view.shape)} {view.dtype}, {say_bytes(view.nbytes)}")
        show.line("")
        _show_statistics(values)
        show.line("")
        _show_cost(cost)

    return Answer(document, shown)


def _dataset_stats(args: argparse.Namespace, ds: hub.Dataset, key: tuple[Item, ...]) -> Answer:
    view = datasets.rows_of(ds, key)
    with measured(ds) as cost:
        values = datasets.statistics_of(view, args.tensor, args.axis)
    document = {
        "name": ds.name,
        "version": ds.version,
        "commit": ds.commit_id,
        "slice": args.selection,
        "rows": len(view),
        "axis": args.axis,
        "statistics": show.plain(values),
        "cost": cost.to_dict(),
    }

    def shown() -> None:
        show.line(f"{ds.name}:{ds.version}[{args.selection.strip('[]')}], {len(view):,} rows")
        show.line("")
        datasets.show_statistics(args.name, values)
        show.line("")
        _show_cost(cost)

    return Answer(document, shown)


def _show_cost(cost: Measured) -> None:
    show.line(
        f"{say_seconds(cost.seconds)}, {cost.reads:,} requests, {say_bytes(cost.read_bytes)} read"
    )


def _show_statistics(values: dict[str, Any]) -> None:
    arrays = {name: np.asarray(value) for name, value in values.items() if value is not None}
    shape = next(iter(arrays.values())).shape
    if not shape:
        show.pairs((name, _say(value[()])) for name, value in arrays.items())
    elif len(shape) == 1 and shape[0] <= _MAX_ROWS:
        rows = [(i, *(_say(value[i]) for value in arrays.values())) for i in range(shape[0])]
        show.table(("", *arrays), rows, right=("", *arrays))
    else:
        for name, value in arrays.items():
            show.line(f"{name}, {show.say_shape(shape)}:\n{value}")


def _say(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


_NAME = positional("name", "[namespace/]base[:version][@point], or a URL or path")

COMMANDS = (
    Command(
        "info", "what an array or dataset is, and its versions", _info,
        (_NAME, flag("--stored", help="also how much the chunks take; one request per chunk")),
    ),
    Command(
        "log", "commits, newest first", _log,
        (
            _NAME,
            option("-n", "--limit", help="how many at most", type=int, metavar="N"),
            flag("--syncs", help="automatic syncs too"),
        ),
    ),
    Command(
        "diff", "what changed between two states", _diff,
        (
            positional("before", "x:v0, or x@3; alone: its last commit", metavar="A"),
            positional("after", "x:v1, x@5, or just :v1 or @5", metavar="B", nargs="?"),
            flag("--values", help="compare elements too, for exact counts; reads what changed"),
        ),
    ),
    Command(
        "stats", "mean, std, min and max, and what they cost", _stats,
        (
            _NAME,
            option(
                "-s", "--slice", dest="selection", default="...", metavar="SLICE",
                help="such as 0:10,100:200 (--slice=-1 if it starts with a minus sign)",
            ),
            option("--tensor", help="of a dataset, this tensor alone; samples are decoded if need "
                   "be"),
            option("--axis", help="'channel' for each channel of the last axis, or axes to reduce: "
                   "0 or 0,1"),
        ),
    ),
)  # fmt: skip
