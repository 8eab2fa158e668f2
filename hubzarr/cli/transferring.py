"""Commands that bring data in, ask it and take it out: ingest, query, export."""

from __future__ import annotations

import argparse
import csv
import io
from typing import Any

import hubzarr as hub
from hubzarr.cli import show
from hubzarr.cli.advice import in_arguments
from hubzarr.cli.command import Answer, Command, UsageError, flag, key_values, option, positional
from hubzarr.errors import InvalidError
from hubzarr.exporting import FORMATS
from hubzarr.exporting.cells import cells, has_cells, plain
from hubzarr.exporting.table import Field, Table

__all__ = ["COMMANDS"]

_SHOWN = 20
_WIDTH = 60


# -- ingest ----------------------------------------------------------------------


def _ingest(args: argparse.Namespace) -> Answer:
    ds = hub.ingest(
        args.source,
        args.name,
        kind=args.kind,
        overwrite=args.overwrite,
        append=args.append,
        skip_broken=args.skip_broken,
        verify=args.verify,
        statistics=args.statistics,
        num_workers=args.workers,
        message=args.message,
        **key_values(args.option),
    )
    report = hub.ingest_report(ds)[-1]

    def said(text: str) -> str:
        return in_arguments(text, COMMANDS[0])

    document = {
        "name": ds.name,
        "version": ds.version,
        "commit": ds.commit_id,
        "source": report.source,
        "kind": report.kind,
        "rows": report.rows,
        "resumed": report.resumed,
        "skipped": report.skipped,
        "converted": report.converted,
        "lossy": report.lossy,
        "reasons": [{"what": each.what, "why": said(each.why)} for each in report.reasons],
        "bytes": report.bytes,
        "seconds": report.seconds,
        "tensors": list(ds.tensors),
    }

    def shown() -> None:
        show.line(said(str(report)))
        show.line(f"{ds.name}:{ds.version}: {len(ds):,} rows of {', '.join(ds.tensors)}")

    return Answer(document, shown)


# -- query -----------------------------------------------------------------------


def _query(args: argparse.Namespace) -> Answer:
    if args.json and args.csv:
        raise UsageError("--json and --csv exclude each other")
    if args.limit is not None and args.limit < 1:
        raise InvalidError(f"-n {args.limit}: expected 1 or more")
    ds = _dataset(args.name)
    found = ds.query(args.sql)
    if isinstance(found, hub.DatasetView):
        return _rows_answer(args, found)
    columns = found.column_names
    values = found.to_pylist()
    total, values = len(values), values[: args.limit]
    document = {"name": ds.name, "version": ds.version, "commit": ds.commit_id, "total": total,
                "columns": columns, "rows": values}  # fmt: skip
    lists = [[_text(row[column]) for column in columns] for row in values]
    return Answer(document, lambda: _show_rows(args, columns, lists, total))


def _rows_answer(args: argparse.Namespace, view: hub.DatasetView) -> Answer:
    """Rows that were selected: values of small tensors, shapes of others."""
    limit = args.limit or (len(view) if args.csv or args.json else _SHOWN)
    numbers = view.sample_indices
    table = Table(view[:limit])
    small = [field for field in table.fields if has_cells(field)]
    rows: list[dict[str, Any]] = [{"row": number} for number in numbers[:limit]]
    lists = [[str(number)] for number in numbers[:limit]]
    for field in table.fields:
        columns = table.column(field) if field in small else field.tensor.shapes()
        texts = cells(field, columns) if field in small else list(map(show.say_shape, columns))
        for row, line, value, text in zip(rows, lists, columns, texts, strict=True):
            row[field.name] = _plain(field, value, field in small)
            line.append(text)
    document = {"name": view.name, "version": view.version, "commit": view.commit_id,
                "total": len(view), "columns": ["row", *(f.name for f in table.fields)],
                "rows": rows}  # fmt: skip
    names = ["row", *(f.name for f in table.fields)]
    return Answer(document, lambda: _show_rows(args, names, lists, len(view)))


def _plain(field: Field, value: Any, small: bool) -> Any:
    return plain(field, value) if small else {"shape": list(value)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _show_rows(
    args: argparse.Namespace, columns: list[str], lists: list[list[str]], total: int
) -> None:
    if args.csv:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([columns, *lists])
        show.line(out.getvalue().removesuffix("\n"))
        return
    short = [[c if len(c) <= _WIDTH else f"{c[: _WIDTH - 1]}…" for c in row] for row in lists]
    show.table(columns, short)
    rest = total - len(lists)
    show.line(f"{total:,} row{'s' * (total != 1)}" + (f", {rest:,} of them not shown" * (rest > 0)))


# -- export ----------------------------------------------------------------------


def _export(args: argparse.Namespace) -> Answer:
    ds: hub.DatasetView = _dataset(args.name)
    if args.where is not None:
        found = ds.query(args.where)
        if not isinstance(found, hub.DatasetView):
            raise InvalidError("--query computes a table; expected rows, as SELECT * gives them")
        ds = found
    report = hub.export(
        ds,
        args.target,
        args.format,
        tensors=args.tensors.split(",") if args.tensors else None,
        overwrite=args.overwrite,
        **key_values(args.option),
    )
    return Answer(
        {"name": ds.name, "version": ds.version, "commit": ds.commit_id, **report.to_dict()},
        lambda: show.line(str(report)),
    )


def _dataset(name: str) -> hub.Dataset:
    found = hub.load(name, "r")
    if not isinstance(found, hub.Dataset):
        raise InvalidError(f"{name!r} is an array; this needs a dataset")
    return found


_NAME = positional("name", "[namespace/]base[:version][@point], or a URL or path")
_OPTION = option(
    "-o", "--option", help="of the kind or format, such as table=train.csv; repeatable",
    metavar="KEY=VALUE", default=[], action="append",
)  # fmt: skip

COMMANDS = (
    Command(
        "ingest", "read data of another form into a dataset", _ingest,
        (
            positional("source", "a path or URL, hf://..., kaggle://...", completes="file"),
            positional("name", "of the dataset; what was interrupted goes on"),
            option("--kind", help="of the source, if it isn't recognised", metavar="KIND"),
            flag("--skip-broken", help="leave out broken samples and report them"),
            flag("--append", help="add to a dataset with rows of another origin"),
            flag("--overwrite", help="start afresh; the old state stays in the history"),
            flag("--verify", help="decode each file"),
            flag("--statistics", help="keep pixel statistics of images"),
            option("--workers", help="threads that read", type=int, metavar="N"),
            option("-m", "--message", help="message of the last commit"),
            _OPTION,
        ),
    ),
    Command(
        "query", "ask a dataset in SQL", _query,
        (
            _NAME,
            positional("sql", "such as \"SELECT * WHERE labels = 'cat'\"", completes=""),
            option("-n", "--limit", help=f"rows to print; {_SHOWN} by default where they are "
                   "selected", type=int, metavar="N"),
            flag("--csv", help="print CSV"),
        ),
    ),
    Command(
        "export", "write a dataset in another format", _export,
        (
            _NAME,
            positional("target", "a file or folder, or a URL", completes="file"),
            option("--format", help="by default what the extension says", choices=FORMATS,
                   metavar="FORMAT"),
            option("--tensors", help="names with commas between them", metavar="A,B"),
            option("--query", dest="where", help="rows that a query in SQL selects",
                   metavar="SQL"),
            flag("--overwrite", help="replace a file or an earlier export"),
            _OPTION,
        ),
        details=f"formats: {', '.join(FORMATS)}",
    ),
)  # fmt: skip
