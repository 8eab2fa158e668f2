"""Size without data: a billion chunks, ten thousand commits, cost against size.

Run ``python benchmarks/scale.py``. The chunk tables are real, pages on the store and all, but
no chunk objects stand behind them: in the table of a billion cells, one page of write ids and
one of statistics are used again for every block.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import hubzarr as hub
from hubzarr.codecs import array_document
from hubzarr.config import get_config
from hubzarr.engine import CellStore, shared_cache
from hubzarr.history.manifest import Node
from hubzarr.measure import measured
from hubzarr.session import create_version
from hubzarr.stats import measure
from hubzarr.storage import open_storage
from hubzarr.table.draft import TreeDraft
from hubzarr.table.pages import Pack
from hubzarr.table.reader import PageReader
from hubzarr.table.table import Table, TableDraft
from hubzarr.table.tree import BLOCK_CELLS, encode_block
from hubzarr.wording import say_bytes, say_seconds

PER_CHUNK = 16
BILLION = 60 * BLOCK_CELLS**3  # 1,006,632,960: whole pages, so that one serves all blocks
SLICE = 500_000_000
SEED = 7


def create(path, cells, build):
    """A repository with an int32 array of `cells` chunks whose table `build` makes."""
    shape = (cells * PER_CHUNK,)
    document = array_document(shape, "int32", (PER_CHUNK,), None, codec="none")
    storage = open_storage(path)
    store = CellStore(storage, "", document, shared_cache)
    empty = Table.new(PageReader(storage), (cells,), store.stats, store.channels)
    chunks = np.arange(BLOCK_CELLS * PER_CHUNK, dtype=np.int32).reshape(BLOCK_CELLS, PER_CHUNK)
    rows = np.stack([measure(chunk, store.channels) for chunk in chunks])
    table, objects = build(empty, rows)
    for name, data in objects.items():
        storage.put(name, data)
    create_version(
        storage, "v0", None, author=get_config().author, message="simulated",
        nodes={"": Node(document, "", table.dump())},
    )  # fmt: skip
    return f"{path}/:v0"


def filled(empty, rows):
    """A table with a write id of its own in every cell."""
    (cells,) = empty.grid
    draft = TableDraft(empty)
    ids = np.random.default_rng(SEED).integers(1, 1 << 63, cells, dtype=np.uint64)
    repeated = rows[np.arange(cells) % len(rows)]
    draft.assign_cells((0,), (cells,), ids, repeated)
    return draft.freeze()


def repeated(empty, rows):
    """A table in which one page stands for every block of a level."""
    pack = Pack()
    ids = np.random.default_rng(SEED).integers(1, 1 << 63, BLOCK_CELLS, dtype=np.uint64)
    trees = [_repeated(empty.ids, ids, pack), _repeated(empty.stats, rows, pack)]
    table = Table(*trees)
    return replace(table, total=table.roll()), pack.objects()


def _repeated(tree, leaf, pack):
    block, (size,) = leaf, tree.block
    for level in range(tree.levels - 1):
        ref, _ = encode_block(tree.kind, level, block, None, True, pack)
        block = tree.kind.empty(level + 1, tree.block)
        used = min(size, tree.grid[0] // size ** (level + 1))
        block[:used] = ref
    draft = TreeDraft(replace(tree, root=block))
    return draft.freeze(pack)


def elapsed(work):
    """Seconds of a call, and what it returned."""
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def change(a, at, number):
    """Write one whole chunk, and commit."""
    a[at * PER_CHUNK : (at + 1) * PER_CHUNK] = number
    return a.commit(f"chunk {at}")


def use(name):
    """What one process does with an array of any size: seconds of each step, peak memory."""
    import probes

    out = {}
    out["open"], a = elapsed(lambda: hub.load(name))
    cells = a.shape[0] // PER_CHUNK
    with measured(a) as cost:
        out["mean and std of everything"], _ = elapsed(lambda: (a.mean(), a.std()))
    out["bytes read for it"] = cost.read_bytes
    some = min(cells, SLICE)
    part = a[3 * PER_CHUNK : some * PER_CHUNK]
    out[f"mean of a slice of {some - 3:,} chunks"], _ = elapsed(part.mean)
    with measured(a) as cost:
        out["commit of one chunk"], first = elapsed(lambda: change(a, cells // 3, 1))
    out["bytes written for it"] = cost.write_bytes
    again = [elapsed(lambda i=i: change(a, cells // 7 * i, i))[0] for i in range(1, 7)]
    out["commit of one more chunk"] = statistics.median(again)
    last = a.log(limit=1)[0]
    out["diff of two commits"], found = elapsed(lambda: a.diff(last.number - 1, last.number))
    out["cells in the diff"] = int(found.cells)
    out["diff with the first state"], found = elapsed(lambda: a.diff(0, last.number))
    out["new version"], _ = elapsed(lambda: a.branch("other"))
    a.close()
    out["peak memory"] = probes.resident("VmHWM")
    out["first commit"] = first.number
    return out


def in_new_process(name):
    """`use` where nothing is cached."""
    run = subprocess.run(
        [sys.executable, __file__, "--use", name], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def billion(directory, cells=BILLION):
    """A billion chunks."""
    took, name = elapsed(lambda: create(f"{directory}/billion", cells, repeated))
    return {"chunks": cells, "built in": took, **in_new_process(name)}


def growth(directory, sizes=(10_000, 100_000, 1_000_000), commits=50):
    """Median seconds and bytes of write and commit of one chunk, sizes in turns."""
    arrays = {n: hub.load(create(f"{directory}/growth{n}", n, filled)) for n in sizes}
    rng = np.random.default_rng(SEED)
    seconds = {n: [] for n in sizes}
    stored = {n: [] for n in sizes}
    for turn in range(-3, commits):
        for n, a in arrays.items():
            at = int(rng.integers(n))
            with measured(a) as cost:
                took, _ = elapsed(lambda a=a, at=at, turn=turn: change(a, at, turn))
            if turn >= 0:
                seconds[n].append(took)
                stored[n].append(cost.write_bytes)
    for a in arrays.values():
        a.close()
    medians = {str(n): statistics.median(values) for n, values in seconds.items()}
    return {
        "commit": medians,
        "bytes": {str(n): statistics.median(values) for n, values in stored.items()},
        "largest to smallest": medians[str(sizes[-1])] / medians[str(sizes[0])],
    }


def history(directory, commits=10_000, window=100):
    """Many commits in one version: the first, the last, the log, opening."""
    path = f"{directory}/history"
    a = hub.array((1024 * PER_CHUNK,), f"{path}/:v0", dtype="int32", chunks=PER_CHUNK,
                  shards=None, codec="none")  # fmt: skip
    seconds = [elapsed(lambda i=i: change(a, i % 1024, i))[0] for i in range(commits)]
    # The first few also pay for imports and threads.
    first = statistics.median(seconds[5 : 5 + window])
    last = statistics.median(seconds[-window:])
    log = [elapsed(lambda: hub.load(f"{path}/:v0", mode="r").log(limit=20))[0] for _ in range(9)]
    a.close()
    import probes

    cold = [probes.call("cold", "hubzarr", path, 0) for _ in range(3)]
    return {
        "commits": commits,
        f"first {window}": first,
        f"last {window}": last,
        "last to first": last / first,
        "open and log(limit=20)": statistics.median(log),
        "open in a new process and read one element": statistics.median(cold),
    }


PROOFS = {"billion": billion, "growth": growth, "history": history}


def say(name, value):
    """One number for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {say(f'{name} {key}', part)}" for key, part in value.items())
    if "byte" in name or "memory" in name:
        return say_bytes(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}×" if " to " in name else say_seconds(value)


def main(given=None):
    """Run all proofs or some; print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=PROOFS, nargs="*", default=list(PROOFS))
    parser.add_argument("--output", type=Path, help="a file for the numbers, as JSON")
    parser.add_argument("--use", help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.use:
        print(json.dumps(use(options.use)))
        return
    found = {}
    with tempfile.TemporaryDirectory(prefix="hubzarr-scale-") as directory:
        for name in options.only:
            found[name] = PROOFS[name](directory)
            print(f"\n{name}: {PROOFS[name].__doc__}")
            for key, value in found[name].items():
                print(f"  {key:44s} {say(key, value)}")
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
