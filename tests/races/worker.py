"""One of several racing processes: commits to one version as often and as fast as it can.

Run by test_processes.py with a JSON of what to do; says "ready", waits for a line, and
answers with a JSON of how long each commit took.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

import hubzarr
from hubzarr.indexing import apply, identity
from hubzarr.session import open_session
from hubzarr.storage import open_storage


def write(session, key, value):
    engine = session.array().engine
    view = apply(identity(engine.shape), key)
    engine.write(view, np.broadcast_to(np.asarray(value, engine.cells.dtype), view.shape))


def disjoint(session, me, i):
    """Cells of its own."""
    write(session, (me, i), 1 + me * 1000 + i)


def shared(session, me, i):
    """Elements of its own, in the cell of all."""
    write(session, (i, me), 1 + me * 1000 + i)


def append(session, me, i):
    """Rows, a few more or fewer, that say whose they are."""
    rows = 1 + (me + i) % 3
    state = session.array()
    first = state.grow(rows)
    mark = me * 1000 + i
    write(session, slice(first, first + rows), [[mark, row] for row in range(rows)])


def attributes(array, me, i):
    """Keys of its own, and one element too, through an array as users load it."""
    array.attributes[f"{me}-{i}"] = i
    array[me, i] = 1 + i


def main():
    job = json.loads(sys.argv[1])
    change = globals()[job["change"]]
    if change is attributes:
        session = hubzarr.load(job["url"])
    else:
        session = open_session(open_storage(job["url"]), "main", author=f"process {job['me']}")
    print("ready", flush=True)
    sys.stdin.readline()
    waits, numbers = [], []
    begin = time.monotonic()
    for i in range(job["commits"]):
        change(session, job["me"], i)
        start = time.monotonic()
        numbers.append(session.commit(f"{job['me']}-{i}").number)
        waits.append(time.monotonic() - start)
    print(json.dumps({"waits": waits, "numbers": numbers, "seconds": time.monotonic() - begin}))


if __name__ == "__main__":
    main()
