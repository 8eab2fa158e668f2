"""Commands about the disk cache: prefetch, cache."""

from __future__ import annotations

import argparse
from typing import Any

import hubzarr as hub
from hubzarr.cli import show
from hubzarr.cli.command import Answer, Command, UsageError, flag, option, positional
from hubzarr.cli.selection import parse_selection
from hubzarr.errors import InvalidError
from hubzarr.wording import say_bytes

__all__ = ["COMMANDS"]

_SHOWN = 20


def _prefetch(args: argparse.Namespace) -> Answer:
    if args.selection is not None and args.where is not None:
        raise UsageError("--slice is for arrays, --query for datasets: give one of them")
    report = hub.prefetch(_wanted(args))
    return Answer(report.to_dict(), lambda: show.line(str(report)))


def _wanted(args: argparse.Namespace) -> Any:
    if args.selection is None and args.where is None:
        return args.name
    found = hub.load(args.name, "r")
    if args.selection is not None:
        key = parse_selection(args.selection)
        return found[key if isinstance(found, hub.Array) or len(key) > 1 else key[0]]
    if not isinstance(found, hub.Dataset):
        raise InvalidError(f"{args.name!r} is an array; --query needs a dataset")
    rows = found.query(args.where)
    if not isinstance(rows, hub.DatasetView):
        raise InvalidError("--query computes a table; expected rows, as SELECT * gives them")
    return rows


def _cache(args: argparse.Namespace) -> Answer:
    info = hub.clear_cache() if args.clear else hub.cache_info()
    document = {
        "folder": info.folder,
        "files": info.files,
        "bytes": info.nbytes,
        "limit": info.limit,
        "stores": dict(info.stores),
        "cleared": args.clear,
    }

    def shown() -> None:
        if args.clear:
            show.line(f"{info.folder}: {say_bytes(info.nbytes)} in {info.files:,} files deleted")
            return
        show.line(str(info))
        largest = list(info.stores.items())[:_SHOWN]
        if largest:
            rows = [(url, say_bytes(nbytes)) for url, nbytes in largest]
            show.table(["repository", "size"], rows, right=["size"])
        if len(info.stores) > _SHOWN:
            show.line(f"and {len(info.stores) - _SHOWN:,} more")

    return Answer(document, shown)


COMMANDS = (
    Command(
        "prefetch", "bring data into the disk cache, for reading without a network", _prefetch,
        (
            positional("name", "[namespace/]base[:version][@point], or a URL"),
            option("-s", "--slice", dest="selection", metavar="SLICE",
                   help="of an array, or rows of a dataset: such as 0:10,100:200"),
            option("--query", dest="where", metavar="SQL",
                   help="rows of a dataset that a query selects"),
        ),
        details="what is there is not fetched again; set up the cache with `hubzarr configure`",
    ),
    Command(
        "cache", "what the disk cache holds", _cache,
        (flag("--clear", help="empty it"),),
    ),
)  # fmt: skip
