"""Compare hubzarr with its rivals on an S3 server a round trip of 30 ms away.

Run ``python benchmarks/remote.py``. The server (ministack) and the proxy that delays requests
run on this machine, so throughput is a floor; ratios of one run count. Rivals that are not
installed are left out. The proxy counts requests, and says how many were under way at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
for folder in (HERE.parent, HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from measuring import OURS, Bench, Sizes, markdown  # noqa: E402
from remote_rivals import BUCKET, installed  # noqa: E402

from tests.servers.stores import ObjectServer, ProxiedServer, request  # noqa: E402

#: Milliseconds that the proxy adds to each request.
LATENCY = 30
MIB = 1 << 20


class Remote:
    """What the workloads need: rivals, the proxy, and a table for the results."""

    def __init__(self, proxy, rivals, rounds, show):
        self.proxy = proxy
        self.rivals = rivals
        self.bench = Bench({rival.name: rival for rival in rivals}, Sizes(rounds=rounds), ".", show)

    def far(self, **settings):
        """From here on requests are slow."""
        self.proxy.set(**{"latency_ms": LATENCY, "cache_get": 0, **settings})

    def near(self):
        """From here on they are not."""
        self.proxy.set(latency_ms=0, cache_get=0)

    def turns(self, work, rivals=None, rounds=None):
        """Let rivals take turns; counts requests as notes."""
        counts = {}

        def counted(rival):
            self.proxy.reset()
            seconds = work(rival)
            counts[rival.name] = f"{len(self.proxy.log())} requests"
            return seconds

        return self.bench.turns(rivals or self.rivals, counted, rounds=rounds), counts

    def add(self, workload, found, notes, nbytes=0):
        """Keep what was measured."""
        for label, seconds in found.items():
            self.bench.add(workload, label, seconds, nbytes, notes)


def timed(work):
    """Seconds of a call, and what it returned."""
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def read_whole(remote):
    """Read an array of 400 chunks, of 1 MiB and of 64 KiB."""
    for label, size in (("1 MiB", MIB), ("64 KiB", MIB // 16)):
        data = np.random.default_rng(0).integers(0, 255, (400, size), "u1")
        remote.near()
        arrays = {}
        for rival in remote.rivals:
            where = f"read-{rival.name}-{size}"
            rival.write(rival.create(where, data.shape, "u1", (1, size)), data)
            arrays[rival.name] = where

        def work(rival, size=size, label=label, data=data, arrays=arrays):
            array = rival.open(arrays[rival.name])
            remote.far(cache_get=1)
            seconds, found = timed(lambda: rival.read(array))
            remote.near()
            if not np.array_equal(found, data):
                raise RuntimeError(f"{rival.name} read something else than what was written")
            return {f"400 chunks of {label}": seconds}

        found, notes = remote.turns(work)
        remote.add("R1 read a whole array", found, notes, 400 * size)


def write_samples(remote):
    """Write 1,000 samples of 64 KiB, one by one and in bulk."""
    data = np.random.default_rng(1).integers(0, 255, (1000, MIB // 16), "u1")

    def work(rival):
        seconds = {}
        for label, write in (("in bulk", rival.write), ("one by one", rival.write_each)):
            array = rival.create(f"write-{uuid.uuid4().hex}", data.shape, "u1", (1, data.shape[1]))
            remote.far()
            seconds[f"1,000 samples {label}"], _ = timed(lambda w=write, a=array: w(a, data))
            remote.near()
        return seconds

    found, _ = remote.turns(work, rounds=2)
    remote.add("R2 write", found, {}, data.nbytes)


def first_sample(remote):
    """Open an array cold and read one element."""
    remote.near()
    for rival in remote.rivals:
        array = rival.create(f"cold-{rival.name}", (1000, 4096), "u1", (1, 4096))
        rival.write(array, np.ones((1000, 4096), "u1"))

    def work(rival):
        rival.forget()
        remote.far()
        seconds, _ = timed(lambda: rival.first(f"cold-{rival.name}"))
        remote.near()
        return {"open, read one chunk": seconds}

    remote.add("R3 time to the first sample", *remote.turns(work))


def commit(remote):
    """Write one chunk of an array of 10,000 and commit."""
    rivals = [rival for rival in remote.rivals if rival.versioned]
    remote.near()
    data = np.ones((10_000, 4), "f4")
    arrays = {}
    for rival in rivals:
        arrays[rival.name] = rival.create(f"commit-{rival.name}", data.shape, "f4", (1, 4))
        rival.fill(arrays[rival.name], data)

    def work(rival):
        remote.far()
        row = int(np.random.default_rng().integers(10_000))
        seconds, arrays[rival.name] = timed(lambda: rival.change(arrays[rival.name], row))
        remote.near()
        return {"one chunk of 10,000": seconds}

    remote.add("R4 write and commit", *remote.turns(work, rivals))


def statistics(remote):
    """Mean of a whole array of 2,000 chunks of 64 KiB, opened cold."""
    remote.near()
    data = np.random.default_rng(2).integers(0, 255, (2000, MIB // 16), "u1")
    for rival in remote.rivals:
        rival.write(rival.create(f"mean-{rival.name}", data.shape, "u1", (1, data.shape[1])), data)

    def work(rival):
        rival.forget()
        remote.far(cache_get=1)
        seconds, value = timed(lambda: rival.mean(f"mean-{rival.name}"))
        remote.near()
        if abs(value - data.mean()) > 1e-6:
            raise RuntimeError(f"{rival.name} has another mean")
        return {"mean of 2,000 chunks": seconds}

    remote.add("R5 statistics", *remote.turns(work, rounds=2))


WORKLOADS = {
    "R1": read_whole,
    "R2": write_samples,
    "R3": first_sample,
    "R4": commit,
    "R5": statistics,
}


@contextlib.contextmanager
def server():
    """An S3 server on this machine, behind a proxy."""
    with tempfile.TemporaryDirectory() as folder:
        started = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.launch", "ministack"],
            stdout=subprocess.PIPE, text=True, cwd=folder,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        )  # fmt: skip
        try:
            endpoint = started.stdout.readline().split()[-1]
            request(f"{endpoint}/{BUCKET}", "PUT")
            proxy = ProxiedServer(ObjectServer("s3", endpoint))
            try:
                yield proxy
            finally:
                proxy.end()
        finally:
            started.terminate()
            started.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help=f"some of {','.join(WORKLOADS)}")
    parser.add_argument("--rivals", help="some libraries only, for example hubzarr,icechunk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a file for the tables, in Markdown")
    given = parser.parse_args()

    def show(row):
        print(markdown([row]), flush=True)

    with server() as proxy:
        wanted = given.rivals.split(",") if given.rivals else None
        rivals = [r for r in installed(proxy.endpoint) if wanted is None or r.name in wanted]
        if not any(rival.name == OURS for rival in rivals):
            parser.error("hubzarr is what the others are compared with: name it too")
        remote = Remote(proxy, rivals, given.rounds, show)
        for name in given.only.split(",") if given.only else WORKLOADS:
            WORKLOADS[name](remote)
    if given.output:
        given.output.write_text(markdown(remote.bench.rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
