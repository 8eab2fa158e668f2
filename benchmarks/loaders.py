"""Loaders for PyTorch side by side: ``python benchmarks/loaders.py --help``.

Each measurement is a process of its own, and libraries take turns; so they may be installed
for different interpreters::

    python benchmarks/loaders.py --python huggingface,litdata,lance=/envs/rivals/bin/python

``remote`` reads from the S3 server of the tests, through its proxy, which delays requests by
30 ms. Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from loader_data import SIDES, Data
from loader_rivals import KEY, RIVALS, SECRET
from measuring import OURS, say

HERE = Path(__file__).parent
BATCH = 64
#: Sizes that windows are measured with, next to the default and to all samples.
WINDOWS = (256, 1024, 4096, 16384)
#: Samples that each process reads before what is measured.
WARM_UP = 192
#: Seconds that the simulated training step takes.
STEP = 0.005
#: Milliseconds that the proxy adds to each request.
LATENCY = 30


@dataclass(kw_only=True)
class Run:
    """What all tables need.

    Attributes
    ----------
    folder : Path
        Where samples and data sets lie.
    pythons : dict
        Interpreter of each library.
    rounds : int
    samples : dict
        Number of samples by kind; "shuffle" and "remote" are kinds of their own.
    """

    folder: Path
    pythons: dict[str, str]
    rounds: int = 3
    samples: dict[str, int] = field(default_factory=dict)
    sides: dict[str, int] = field(default_factory=lambda: dict(SIDES))
    call: Callable[[str, dict], dict | None] = None

    def data(self, kind, count):
        """Samples of a kind, made when they are needed first."""
        name = f"{kind}-{count}"
        data = Data(kind, str(self.folder / name), count, self.sides.get(kind, 0))
        if not Path(data.folder).exists():
            Path(data.folder).mkdir(parents=True)
            data.make()
        return data

    def stored(self, name, data):
        """The folder of a library's data set, stored when it is needed first; None: it can't."""
        path = self.folder / f"{name}-{data.kind}-{data.count}"
        if not path.exists() and self.ask(name, "build", data, path=str(path)) is None:
            shutil.rmtree(path, ignore_errors=True)
            return None
        return str(path)

    def stream(self, name, data, workers, path, options=None, **task):
        """Epochs of a local data set, after one of a small data set; None: it can't."""
        small = self.data(data.kind, WARM_UP)
        before = {"path": self.stored(name, small), "data": asdict(small), "options": {}}
        task |= {"path": path, "workers": workers, "options": options or {}, "before": before}
        return before["path"] and self.ask(name, "stream", data, **task)

    def ask(self, name, work, data, **task):
        """What a process of a library answers; None where it fails, which is said."""
        task |= {"rival": name, "work": work, "data": asdict(data), "batch": BATCH}
        return (self.call or call)(self.pythons[name], task)

    def those(self, kind, remote=False):
        """The libraries that have a kind of samples."""
        return [
            name for name in self.pythons
            if kind in RIVALS[name].kinds and (RIVALS[name].remote or not remote)
        ]  # fmt: skip

    def turns(self, works):
        """Let works take turns: answers by name, of those that always worked."""
        found = {name: [] for name in works}
        for turn in range(self.rounds):
            names = list(found)
            # The order changes from round to round, so that nobody always follows the same one.
            shift = turn % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                answer = works[name]()
                if answer is None:
                    del found[name]
                else:
                    found[name].append(answer)
        return found


def call(python, task):
    """What one process answers; None: it failed."""
    command = [python, str(HERE / "loader_work.py"), json.dumps(task)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    except subprocess.TimeoutExpired:
        print(f"{task['rival']} {task['work']}: took too long", file=sys.stderr, flush=True)
        return None
    answer = (done.stdout.splitlines() or [""])[-1]
    if not answer.startswith("{"):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{task['rival']} {task['work']}: {last}", file=sys.stderr, flush=True)
        return None
    # It answered: should a library crash when the process ends, it has done its work.
    return json.loads(answer)


# -- tables ----------------------------------------------------------------------


@dataclass
class Table:
    """What was measured, and how it reads.

    Parameters
    ----------
    title : str
    columns : list of str
    found : dict
        Answers by line.
    cells : callable
        From medians, and those of hubzarr, to the cells of a line.
    """

    title: str
    columns: list[str]
    found: dict[str, list[dict]]
    cells: Callable[[dict, dict | None], list[str]]

    def markdown(self):
        """As it is printed."""
        middle = {name: medians(answers) for name, answers in self.found.items()}
        ours = middle.get(OURS)
        lines = [f"### {self.title}", "", f"| | {' | '.join(self.columns)} |"]
        lines.append("| --- |" + " --- |" * len(self.columns))
        for name, line in middle.items():
            lines.append(f"| {name} | {' | '.join(self.cells(line, ours))} |")
        return "\n".join([*lines, ""])


def medians(answers):
    """The median of each number."""
    return {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}


def ratio(ours, theirs, key):
    """How many times the rate hubzarr has."""
    return f", {ours[key] / theirs[key]:.2f}×" if ours and ours is not theirs else ""


def local_cells(line, ours):
    """Of the tables of local files."""
    return [
        f"{line['rate']:,.0f}{ratio(ours, line, 'rate')}",
        f"{line['first_rate']:,.0f}{ratio(ours, line, 'first_rate')}",
        say(line["first_batch"]),
        f"{say(line['stall'])} of {say(line['stall'] + line['steps'])}",
        f"{line['peak'] / 1e6:,.0f} MB",
        f"{line['moved']:.2f}, {line['mixed']:.2f}",
    ]


def local(run, kind, workers):
    """Raw or JPEG samples from local files, without or with workers."""
    data = run.data(kind, run.samples[kind])
    names = [name for name in run.those(kind) if RIVALS[name].workers or not workers]
    stored = {name: run.stored(name, data) for name in names}

    def measured(name, path):
        streamed = run.stream(name, data, workers, path=path, epochs=2, step=STEP, first_step=0.0)
        watched = streamed and run.ask(name, "memory", data, path=path, workers=workers, options={})
        return watched and streamed | watched

    works = {name: lambda n=name, p=path: measured(n, p) for name, path in stored.items() if path}
    side = data.side
    what = f"{data.count:,} {'JPEGs' if kind == 'jpeg' else 'raw images'} of {side}×{side}×3"
    return Table(
        f"{what}, local, {workers} workers",
        ["samples/s, later epochs", "first epoch", "first batch", "waits of an epoch of 5 ms steps",
         "memory", "moved, mixed"],
        run.turns(works), local_cells,
    )  # fmt: skip


def remote_cells(line, ours):
    """Of the tables of an object store."""
    return [
        f"{line['first_rate']:,.0f}{ratio(ours, line, 'first_rate')}",
        f"{line['rate']:,.0f}{ratio(ours, line, 'rate')}",
        say(line["first_batch"]),
        f"{say(line['first_stall'])} of {say(line['first_seconds'])}",
        f"{line['requests']:,.0f}, {line['bytes'] / 1e6:,.0f} MB",
    ]


def remote(run, kind, workers):
    """The same from an object store that answers after 30 ms."""
    data = run.data(kind, run.samples["remote"])
    names = [name for name in run.those(kind, remote=True) if RIVALS[name].workers or not workers]
    small = run.data(kind, WARM_UP)
    names = [name for name in names if run.stored(name, data) and run.stored(name, small)]
    with object_store() as (proxy, bucket):
        works = {n: lambda n=n: from_store(run, proxy, bucket, n, data, workers) for n in names}
        found = run.turns(works)
    what = "JPEGs" if kind == "jpeg" else "raw images"
    return Table(
        f"{data.count:,} {what} from an object store, {LATENCY} ms a request, {workers} workers",
        ["samples/s, first epoch", "later epoch", "first batch", "waits of an epoch of 5 ms steps",
         "requests"],
        found, remote_cells,
    )  # fmt: skip


def from_store(run, proxy, bucket, name, data, workers):
    """What one library takes for two epochs, and in another process for one with steps."""
    small = run.data(data.kind, WARM_UP)
    task, before = (uploaded(run, proxy, bucket, name, each) for each in (data, small))
    before["data"] = asdict(small)
    proxy.set(latency_ms=LATENCY, cache_get=1)
    found = {}
    for epochs, step in ((1, 0.0), (0, STEP)):
        with tempfile.TemporaryDirectory(dir=run.folder) as scratch:
            task["scratch"], before["scratch"] = f"{scratch}/all", f"{scratch}/before"
            answer = run.ask(
                name, "stream", data, **task, before=before, workers=workers, epochs=epochs,
                step=0.0, first_step=step,
            )  # fmt: skip
        if answer is None:
            return None
        # Of the epoch with steps only how long it waits.
        keys = ("first_stall", "first_seconds") if step else answer
        found |= {key: answer[key] for key in keys}
    return found


def uploaded(run, proxy, bucket, name, data):
    """Where a library's data set lies in the object store, after copying it there."""
    import s3fs

    path = run.stored(name, data)
    where = f"{bucket}/{Path(path).name}"
    proxy.set(latency_ms=0)
    files = s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=f"http://{proxy.address}")
    if not files.exists(where):
        files.put(f"{path}/", f"{where}/", recursive=True)
    return {
        "path": f"s3://{where}", "endpoint": proxy.endpoint, "options": RIVALS[name]().hints(path),
    }  # fmt: skip


@contextlib.contextmanager
def object_store() -> Iterator[tuple]:
    """The server and the proxy of the benchmark of remote arrays."""
    from remote import BUCKET, server

    with server() as proxy:
        yield proxy, BUCKET


def shuffling(run):
    """What windows of several sizes cost, and how random they are."""
    data = run.data("raw", run.samples["shuffle"])
    path = run.stored(OURS, data)
    windows = [*(size for size in WINDOWS if size < data.count), data.count]
    ways = {"rows in order": {"shuffle": False}, OURS: {"shuffle": True}}
    ways |= {window_name(size, data.count): {"shuffle": True, "window": size} for size in windows}
    ways["full"] = {"shuffle": "full"}

    def measured(options):
        return run.stream(
            OURS, data, 0, path=path, options=options, epochs=1, step=0.0, first_step=0.0
        )

    works = {name: lambda o=options: measured(o) for name, options in ways.items()} if path else {}
    return Table(
        f"Cost of shuffling: {data.count:,} raw images, sorted by label",
        ["samples/s, first epoch", "later epoch", "first batch", "moved", "mixed"],
        run.turns(works), shuffling_cells,
    )  # fmt: skip


def window_name(size, count):
    """Of a line of the table."""
    return "window of all" if size == count else f"window of {size:,}"


def shuffling_cells(line, ours):
    """Of the table of windows."""
    rates = [f"{line[key]:,.0f}{ratio(ours, line, key)}" for key in ("first_rate", "rate")]
    return [*rates, say(line["first_batch"]), f"{line['moved']:.2f}", f"{line['mixed']:.3f}"]


def resuming(run):
    """Resume after half of an epoch of many tiny samples."""
    small, large = run.data("tiny", 20_000), run.data("tiny", run.samples["tiny"])
    works = {}
    for name in run.those("tiny"):
        # Whether all that is left comes, and nothing else, shows where it is quickly seen.
        path = run.stored(name, small)
        whole = path and run.ask(name, "resume", small, path=path, finish=True)
        path = whole and run.stored(name, large)
        if path:
            exact = whole["left"] == whole["expected"]
            works[name] = lambda n=name, p=path, e=exact: resumed(run, n, large, p, e)
    return Table(
        f"Resume after half of an epoch of {large.count:,} samples",
        ["open, load the state, first batch", "all that is left comes"],
        run.turns(works), resuming_cells,
    )  # fmt: skip


def resumed(run, name, data, path, exact):
    """One resume."""
    found = run.ask(name, "resume", data, path=path, finish=False)
    return found and found | {"exact": exact}


def resuming_cells(line, ours):
    """Of the table of resumes."""
    times = ""
    if ours and ours is not line:
        times = f", {line['seconds'] / ours['seconds']:.3g}×"
    return [f"{say(line['seconds'])}{times}", "yes" if line["exact"] else "no"]


TABLES = {
    "raw0": lambda run: local(run, "raw", 0),
    "raw2": lambda run: local(run, "raw", 2),
    "jpeg0": lambda run: local(run, "jpeg", 0),
    "jpeg2": lambda run: local(run, "jpeg", 2),
    "remote-raw0": lambda run: remote(run, "raw", 0),
    "remote-raw2": lambda run: remote(run, "raw", 2),
    "remote-jpeg0": lambda run: remote(run, "jpeg", 0),
    "remote-jpeg2": lambda run: remote(run, "jpeg", 2),
    "shuffle": shuffling,
    "resume": resuming,
}


# -- the command -----------------------------------------------------------------


def pythons(given, only):
    """The interpreter of each library that there is one for."""
    found = {name: sys.executable for name, rival in RIVALS.items() if rival.installed()}
    for each in given:
        names, _, python = each.partition("=")
        found |= dict.fromkeys(names.split(","), python)
    if unknown := set(found) - set(RIVALS):
        raise SystemExit(f"no library {', '.join(unknown)}; there are {', '.join(RIVALS)}")
    chosen = only.split(",") if only else list(RIVALS)
    return {name: found[name] for name in chosen if name in found}


def main():
    """Measure, print tables, and keep all samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(TABLES), help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rivals", help="some libraries only, for example hubzarr,litdata")
    parser.add_argument(
        "--python", action="append", default=[], metavar="LIBRARIES=PATH",
        help="interpreter that has some libraries; others are looked for in this one",
    )  # fmt: skip
    sizes = {"raw": 20_000, "jpeg": 5_000, "remote": 3_000, "shuffle": 40_000, "tiny": 10_000_000}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size, help="samples: %(default)s")
    parser.add_argument("--folder", help="keep samples and data sets there, for the next run")
    parser.add_argument("--output", default="build/benchmarks/loaders.json")
    args = parser.parse_args()
    everything = {}
    with contextlib.ExitStack() as stack:
        folder = args.folder or stack.enter_context(tempfile.TemporaryDirectory())
        run = Run(
            folder=Path(folder), pythons=pythons(args.python, args.rivals), rounds=args.rounds,
            samples={name: getattr(args, name) for name in sizes},
        )  # fmt: skip
        for name in args.only.split(","):
            table = TABLES[name](run)
            everything[name] = {"title": table.title, "found": table.found}
            print(table.markdown())
            print(f"load {os.getloadavg()[0]:.1f}\n", flush=True)
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
