"""One piece of work of the benchmark of loaders, in a process of its own.

``python loader_work.py TASK`` with a task as JSON, as `loaders.py` makes it; prints what it
took as one line of JSON. So libraries may be installed for different interpreters, and none
finds what another one left in memory.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import threading
import time
import urllib.request
import warnings
from pathlib import Path

import numpy as np
from loader_data import Data
from loader_rivals import RIVALS, Place

#: Labels that the rows are cut into, to see how mixed batches are.
CLASSES = 10
#: Seconds between two looks at the memory.
LOOK = 0.02


class Memory:
    """The most memory that this process and its children had, in a thread that looks.

    Counted is what only these processes have: anonymous pages and shared memory, each page
    once; not files that are mapped, which the operating system may drop.
    """

    def __init__(self):
        self.before = self.peak = used()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._end.set()
        self._thread.join()

    def _look(self):
        while not self._end.wait(LOOK):
            self.peak = max(self.peak, used())


def used():
    """Bytes of memory of this process and its children."""
    return sum(private(process) for process in family(os.getpid()))


def family(process):
    """A process and its descendants."""
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it ended meanwhile
            continue
        for child in children:
            found += family(int(child))
    return found


def private(process):
    """Bytes that a process has of anonymous and shared memory, its part of shared pages."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile, or no Linux
        return 0
    sizes = (line.split() for line in lines)
    kilobytes = sum(int(size[1]) for size in sizes if size[0] in ("Pss_Anon:", "Pss_Shmem:"))
    return kilobytes * 1024


def warm(path):
    """Read all files, so that they are in the operating system's cache."""
    for file in Path(path).rglob("*"):
        if file.is_file():
            with file.open("rb", buffering=0) as opened:
                while opened.read(1 << 22):
                    pass


def consume(loader, begin, step=0.0, look=None):
    """Go through an epoch, as a training loop does.

    Parameters
    ----------
    loader : iterable
    begin : float
        When the epoch began.
    step : float
        Seconds that each batch is used for: nothing is computed, as if a GPU did it.
    look : callable, optional
        Called with each batch.
    """
    batches = iter(loader)
    waits, rows = [], []
    asked = begin
    for x, y in batches:
        waits.append(time.perf_counter() - asked)
        rows.append(y)
        if look is not None:
            look(x, y)
        if step:
            time.sleep(step)
        asked = time.perf_counter()
    end = time.perf_counter()
    rows = [np.asarray(y) for y in rows]
    count = sum(len(y) for y in rows)
    return {
        "seconds": end - begin, "rate": count / (end - begin), "first": waits[0],
        "stall": sum(waits), "batches": len(waits), "rows": rows,
    }  # fmt: skip


def order(rows, count):
    """How random an order is, 1 being a full shuffle: how far samples move, how mixed batches are.

    Rows are taken for a data set that is sorted by label.
    """
    flat = np.concatenate(rows)
    moved = np.abs(flat - np.arange(len(flat))).mean() / count * 3
    full = np.random.default_rng(0).permutation(flat)
    shuffled = np.split(full, np.cumsum([len(each) for each in rows])[:-1])
    mixed = [np.mean([entropy(each, count) for each in some]) for some in (rows, shuffled)]
    return {"moved": float(moved), "mixed": float(mixed[0] / mixed[1]) if mixed[1] else 0.0}


def entropy(rows, count):
    """Of the labels of a batch, in bits."""
    parts = np.bincount(rows * CLASSES // count, minlength=CLASSES) / len(rows)
    parts = parts[parts > 0]
    return float(-(parts * np.log2(parts)).sum())


def check(rows, count):
    """Whether each row came once."""
    found = np.sort(np.concatenate(rows))
    if not np.array_equal(found, np.arange(count)):
        raise RuntimeError(f"{len(found)} rows came, {len(np.unique(found))} of {count} different")


def build(rival, task, data):
    """Store the samples."""
    begin = time.perf_counter()
    rival.build(task["path"], data)
    return {"seconds": time.perf_counter() - begin}


def stream(rival, task, data):
    """Some epochs: the first, later ones, and one with a consumer that takes its time."""
    place = place_of(task)
    if not place.endpoint:
        warm(place.path)
    warm_up(rival, task)
    requests(place, clear=True)
    found = {"load": os.getloadavg()[0]}
    begin = time.perf_counter()
    loader = rival.loader(place, data, task["batch"], task["workers"], **task["options"])
    first = consume(loader, begin, task["first_step"])
    found |= requests(place)
    later = [consume(loader, time.perf_counter()) for _ in range(task["epochs"])]
    for epoch in (first, *later):
        check(epoch["rows"], data.count)
    found |= {
        "first_rate": first["rate"], "first_batch": first["first"], "first_stall": first["stall"],
        "first_seconds": first["seconds"], **order(first["rows"], data.count),
    }  # fmt: skip
    if later:
        found["rate"] = statistics.median(epoch["rate"] for epoch in later)
    if task["step"]:
        slow = consume(loader, time.perf_counter(), task["step"])
        found |= {"stall": slow["stall"], "steps": slow["batches"] * task["step"]}
    return found


def warm_up(rival, task):
    """An epoch of a small data set, for what a library imports and starts when it is used."""
    before = task["before"]
    loader = rival.loader(
        place_of(before), Data(**before["data"]), task["batch"], task["workers"],
        **before["options"],
    )  # fmt: skip
    consume(loader, time.perf_counter())
    del loader
    gc.collect()


def requests(place, clear=False):
    """What went through the proxy since it was told to forget."""
    if not place.endpoint:
        return {}
    control = f"{place.endpoint}/__fault__"
    body = json.dumps({"clear": True}).encode() if clear else None
    asked = urllib.request.Request(control, body, method="PUT" if clear else "GET")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as answer:
        record = json.loads(answer.read())
    return {"requests": record["requests"], "bytes": record["bytes_down"]}


def memory(rival, task, data):
    """The most memory of two epochs, whose batches are also compared with what was stored."""
    place = place_of(task)
    with Memory() as seen:
        loader = rival.loader(place, data, task["batch"], task["workers"], **task["options"])
        for _ in range(2):
            consume(loader, time.perf_counter())
    for x, y in loader:
        data.check(np.asarray(x), np.asarray(y))
    return {"peak": seen.peak - seen.before}


def resume(rival, task, data):
    """Seconds to open a data set, load the state of half an epoch, and get the next batch."""
    place, batch = place_of(task), task["batch"]
    position = data.count // 2 // batch * batch
    state = rival.state(place, data, batch, position)
    begin = time.perf_counter()
    batches = iter(rival.resumed(place, data, batch, state))
    _, rows = next(batches)
    found = {"seconds": time.perf_counter() - begin}
    if task["finish"]:
        rest = [rows, *(rows for _, rows in batches)]
        found["left"] = len(np.unique(np.concatenate([np.asarray(rows) for rows in rest])))
        found["expected"] = data.count - position
    return found


def place_of(task):
    """Where the data set lies."""
    return Place(task["path"], task.get("endpoint"), task.get("scratch"))


WORK = {"build": build, "stream": stream, "memory": memory, "resume": resume}


def run(task):
    """Do one task."""
    rival = RIVALS[task["rival"]]()
    rival.prepare()
    return WORK[task["work"]](rival, task, Data(**task["data"]))


def main():
    """Do the task of the command line, and print the answer."""
    # Behind the packages: this folder has a `datasets`, as Hugging Face has.
    sys.path.append(sys.path.pop(0))
    # Warnings of the libraries about themselves would hide an error's last line.
    warnings.simplefilter("ignore")
    print(json.dumps(run(json.loads(sys.argv[1]))))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
