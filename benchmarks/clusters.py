"""Compare hubzarr on a dask cluster with plain Zarr and with Icechunk.

Run ``python benchmarks/clusters.py``. Clusters of one and of two worker processes, of one thread
each, run on this machine; libraries take turns on the same cluster, each with what its own guide
recommends for dask. All write commits where the library has them. Libraries that are not installed
are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import pickle
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
for folder in (HERE.parent, HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from measuring import OURS, Bench, Sizes, markdown  # noqa: E402

#: Side of a square block of float32.
SIDE = 1024


class Ours:
    """hubzarr."""

    name = OURS

    def active(self):
        return contextlib.nullcontext()

    def create(self, path, shape, chunks):
        import hubzarr as hub

        return hub.array(shape, path, dtype="f4", chunks=chunks, codec="zstd")

    def store(self, a, x):
        a.store(x, message="benchmark")

    def lazy(self, path):
        import hubzarr as hub

        return hub.load(path, mode="r").to_dask()


class PlainZarr:
    """dask over a plain Zarr store: no commits."""

    name = "zarr"

    def active(self):
        return contextlib.nullcontext()

    def create(self, path, shape, chunks):
        import zarr

        return zarr.create_array(path, shape=shape, chunks=chunks, dtype="f4", compressors=zstd())

    def store(self, a, x):
        import dask.array as da

        da.to_zarr(x, a)

    def lazy(self, path):
        import dask.array as da

        return da.from_zarr(path)


class Icechunk:
    """`icechunk.dask`."""

    name = "icechunk"

    def __init__(self):
        import icechunk

        icechunk.set_logs_filter("error")
        self._icechunk = icechunk

    def active(self):
        return contextlib.nullcontext()

    def create(self, path, shape, chunks):
        import zarr

        repository = self._icechunk.Repository.create(self._icechunk.local_filesystem_storage(path))
        session = repository.writable_session("main")
        zarr.create_array(
            session.store, name="a", shape=shape, chunks=chunks, dtype="f4", compressors=zstd()
        )
        session.commit("created")
        return repository

    def store(self, repository, x):
        import zarr
        from icechunk.dask import store_dask

        session = repository.writable_session("main")
        fork = session.fork()
        written = store_dask(sources=[x], targets=[zarr.open_array(fork.store, path="a")])
        session.merge(written)
        session.commit("benchmark")

    def lazy(self, path):
        import dask.array as da
        import zarr

        repository = self._icechunk.Repository.open(self._icechunk.local_filesystem_storage(path))
        store = repository.readonly_session("main").store
        return da.from_zarr(zarr.open_array(store, path="a", mode="r"))


class Nothing:
    """dask alone, with the same graph: what is left of a task without storing or reading."""

    name = "dask alone"

    def active(self):
        return contextlib.nullcontext()

    def create(self, path, shape, chunks):
        self.shape, self.chunks = shape, chunks

    def store(self, a, x):
        x.map_blocks(np.copy, dtype="f4").compute()

    def lazy(self, path):
        import dask.array as da

        return da.zeros(self.shape, chunks=self.chunks, dtype="f4")


def zstd():
    """The codec of all."""
    from zarr.codecs import ZstdCodec

    return ZstdCodec(level=3)


def installed():
    """The libraries that are here."""
    found = [Ours(), PlainZarr()]
    with contextlib.suppress(ImportError):
        found.append(Icechunk())
    return found


def noisy(block_info=None):
    """A block of values that zstd shrinks a little."""
    shape = block_info[None]["chunk-shape"]
    rng = np.random.default_rng(block_info[None]["chunk-location"])
    return np.round(rng.normal(0, 0.5, shape), 2).astype("f4")


@contextlib.contextmanager
def cluster(processes):
    """A client of a new cluster."""
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = LocalCluster(
            n_workers=processes, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        )
        with made, Client(made) as client:
            yield client


def seconds_of(work, *args):
    """Seconds of a call."""
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def large(bench, libraries, blocks, processes):
    """Write and read an array in blocks of 4 MiB."""
    import dask.array as da

    shape, chunks = (blocks * SIDE, SIDE), (SIDE, SIDE)
    lengths = ((SIDE,) * blocks, (SIDE,))
    x = da.map_blocks(noisy, chunks=lengths, dtype="f4", meta=np.empty((0, 0), "f4"))
    total = float(x.sum(dtype="f8").compute())

    def work(library):
        path = bench.path()
        a = library.create(path, shape, chunks)
        took = {f"write, {processes}": seconds_of(library.store, a, x)}
        start = time.perf_counter()
        found = float(library.lazy(path).sum(dtype="f8").compute())
        took[f"read and sum, {processes}"] = time.perf_counter() - start
        if not np.isclose(found, total):
            raise RuntimeError(f"{library.name} read something else than what was written")
        bench.remove(path)
        return took

    nbytes = blocks * SIDE * SIDE * 4
    for label, seconds in bench.turns(libraries, work).items():
        bench.add("Clusters: blocks of 4 MiB", label, seconds, nbytes)


def tiny(bench, libraries, tasks, processes):
    """Write and read an array of many small chunks: what a task costs."""
    import dask.array as da

    shape, chunks = (tasks, 16), (1, 16)
    x = da.ones(shape, chunks=chunks, dtype="f4")

    def work(library):
        path = bench.path()
        a = library.create(path, shape, chunks)
        write = seconds_of(library.store, a, x)
        read = seconds_of(lambda: library.lazy(path).sum(dtype="f8").compute())
        bench.remove(path)
        return {
            f"write, {processes}; per chunk": write / tasks,
            f"read and sum, {processes}; per chunk": read / tasks,
        }

    for label, seconds in bench.turns([*libraries, Nothing()], work).items():
        bench.add(f"Clusters: {tasks:,} chunks of 64 bytes", label, seconds)


def processor(work, *args):
    """Seconds of processor time that a call takes in this process."""
    before = os.times()
    work(*args)
    after = os.times()
    return (after.user + after.system) - (before.user + before.system)


def costs(bench, libraries, tasks):
    """Processor time of writing and reading many small chunks in one thread of this process.

    Unlike the time of a cluster, it hardly depends on what else the machine does.
    """
    import dask
    import dask.array as da

    shape, chunks = (tasks, 16), (1, 16)
    x = da.ones(shape, chunks=chunks, dtype="f4")

    def work(library):
        path = bench.path()
        a = library.create(path, shape, chunks)
        with dask.config.set(scheduler="sync"):
            write = processor(library.store, a, x)
            read = processor(lambda: library.lazy(path).sum(dtype="f8").compute())
        bench.remove(path)
        return {"write, per chunk": write / tasks, "read and sum, per chunk": read / tasks}

    for label, seconds in bench.turns([*libraries, Nothing()], work).items():
        bench.add("Clusters: processor time of chunks of 64 bytes", label, seconds)


def graphs(bench, libraries, tasks):
    """Open an array of many chunks and build the graph that reads it."""
    sizes = {}
    paths = {}
    for library in libraries:
        paths[library.name] = bench.path()
        library.create(paths[library.name], (tasks, 16), (1, 16))

    def work(library):
        start = time.perf_counter()
        lazy = library.lazy(paths[library.name]) + 1
        took = time.perf_counter() - start
        sizes[library.name] = f"{len(pickle.dumps(lazy.__dask_graph__())):,} bytes"
        return {f"open, build the graph of {tasks:,} chunks": took}

    for label, seconds in bench.turns(libraries, work).items():
        bench.add("Clusters: graphs", label, seconds, notes=dict(sizes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=48, help="of 4 MiB")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--output", type=Path, help="a file for the tables, in Markdown")
    given = parser.parse_args()

    def show(row):
        print(markdown([row]), flush=True)

    libraries = installed()
    with tempfile.TemporaryDirectory() as directory:
        rivals = {library.name: library for library in libraries}
        bench = Bench(rivals, Sizes(rounds=given.rounds), directory, show)
        graphs(bench, libraries, given.tasks)
        costs(bench, libraries, given.tasks)
        for count in map(int, given.processes.split(",")):
            said = "1 process" if count == 1 else f"{count} processes"
            with cluster(count):
                large(bench, libraries, given.blocks, said)
                tiny(bench, libraries, given.tasks, said)
    if given.output:
        given.output.write_text(markdown(bench.rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
