"""Compare hubzarr with the array libraries that are installed beside it.

Run ``make bench``, or ``python benchmarks/run.py --quick``. Libraries take turns in one
process, in an order that changes from round to round; what counts is the median. A table is
printed for each workload; all samples go into ``results.json`` and the tables into
``results.md`` in the folder that ``--output`` names.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # imported by a test, not run as a script
    sys.path.insert(0, str(HERE))

from measuring import FULL, QUICK, Bench, Sizes, cell, markdown  # noqa: E402
from rivals import installed, versions  # noqa: E402
from workloads import WORKLOADS  # noqa: E402


def machine():
    """Where and with what was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions(),
        "command": " ".join(["python", "benchmarks/run.py", *sys.argv[1:]]),
    }


def show(row):
    """Print one row as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{row.workload}: {row.label}", title_justify="left", show_header=False)
    for name in row.seconds:
        table.add_row(name, cell(row, name))
    Console().print(table)


def measure(names, rivals, sizes, directory=None, show=show):
    """Run workloads; returns their rows."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="hubzarr-bench-") as folder:
        bench = Bench(installed(rivals), sizes, folder, show)
        for name in names:
            WORKLOADS[name](bench)
    return bench.rows


def save(rows, about, output):
    """Write ``results.json`` and ``results.md``."""
    output.mkdir(parents=True, exist_ok=True)
    document = {**about, "rows": [asdict(row) for row in rows]}
    (output / "results.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    (output / "results.md").write_text(markdown(rows) + "\n", "utf-8")


def arguments(given=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smaller arrays, fewer rounds")
    size.add_argument("--full", action="store_true", help="larger arrays, a million chunks")
    parser.add_argument("--only", help=f"some of {','.join(WORKLOADS)}")
    parser.add_argument("--rivals", help="some libraries only, for example hubzarr,zarr")
    parser.add_argument("--output", type=Path, default=HERE.parent / "build" / "benchmarks")
    parser.add_argument("--dir", help="where the arrays go (default: the temporary folder)")
    found = parser.parse_args(given)
    found.only = found.only.split(",") if found.only else list(WORKLOADS)
    unknown = set(found.only) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workload {sorted(unknown)}; there are {sorted(WORKLOADS)}")
    return found


def main(given=None):
    """Measure, print, save."""
    options = arguments(given)
    sizes = QUICK if options.quick else FULL if options.full else Sizes()
    rivals = None if options.rivals is None else ["hubzarr", *options.rivals.split(",")]
    about = machine()
    rows = []

    def keep(row):
        rows.append(row)
        show(row)
        save(rows, about, options.output)  # now, so that stopping early loses nothing

    measure(options.only, rivals, sizes, options.dir, keep)
    print(f"written: {options.output / 'results.json'}, {options.output / 'results.md'}")


if __name__ == "__main__":
    main()
