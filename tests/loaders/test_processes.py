"""Ctrl-C, forks and ends of processes while loaders run."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from hubzarr.errors import ClosedError
from tests.loaders.support import firsts, joined, numbered

#: Loops over a loader whose store stalls after the first batch. Arguments: the place, batches
#: made ahead, the shuffle.
STALLS = """
import sys
import hubzarr as hub
from hubzarr.loaders import Loader
from hubzarr.loaders.options import checked
from hubzarr.storage import open_storage
from hubzarr.storage.faulty import Fault, FaultyStorage

place, prefetch, shuffle = sys.argv[1:]
hub.configure(cache_bytes=0)
source = hub.load(place)._source()
storage = FaultyStorage(open_storage(place))
object.__setattr__(source._handle, "storage", storage)
options = {
    "batch_size": 4, "prefetch": int(prefetch), "shuffle": shuffle or False, "window": 8,
}
loader = Loader(source, checked(source, options))
for batch in loader:
    storage.schedule(Fault(kind="delay", delay=300, times=10**9))
    print("batch", flush=True)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("slow") / "ds")
    numbered(64, (70_000,), url=folder).close()
    return folder


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("prefetch", "shuffle"), [(0, "full"), (2, "window")])
def test_ctrl_c_ends_a_loop(place, prefetch, shuffle):
    arguments = [sys.executable, "-c", STALLS, place, str(prefetch), shuffle]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "batch\n"
        time.sleep(0.3)  # until it waits for the store
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        errors = process.communicate(timeout=60)[1]
        took = time.monotonic() - begin
    assert "KeyboardInterrupt" in errors
    assert process.returncode in (1, 130, -signal.SIGINT)
    assert took < 30  # it waits a second for its tasks, never for the store
    assert "Fatal" not in errors


def test_a_program_ends_though_its_loop_is_on(place):
    program = STALLS + "    break\n"
    done = subprocess.run(
        [sys.executable, "-c", program, place, "2", "window"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "batch\n", "")


# -- forks ---------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def _whole_epoch(loader, results):
    results.put(joined(firsts(loader)))


@needs_fork
@pytest.mark.parametrize("prefetch", [0, 2])
def test_loops_in_a_child_while_the_parent_loops(tmp_path, prefetch):
    ds = numbered(200, (500,), url=str(tmp_path / "ds"))
    loader = ds.batches(16, shuffle=True, window=64, prefetch=prefetch)
    running = iter(loader)
    seen = next(running)["x"][:, 0].tolist()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    loader.set_epoch(0)
    child = context.Process(target=_whole_epoch, args=(loader, results))
    child.start()
    seen += joined(firsts(running))
    found = results.get()
    child.join(60)
    assert child.exitcode == 0
    assert found == seen
    assert sorted(found) == list(range(200))


def _rest(running, results):
    try:
        next(running)
    except ClosedError as error:
        results.put(str(error))


@needs_fork
def test_a_loop_does_not_go_on_in_a_child():
    loader = numbered(50).batches(4)
    running = iter(loader)
    next(running)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_rest, args=(running, results))
    child.start()
    assert "begin a new loop" in results.get()
    child.join(60)
    assert child.exitcode == 0
    assert joined(firsts(running)) == list(range(4, 50))


# -- spawned processes ---------------------------------------------------------------------


def test_loaders_in_spawned_processes(tmp_path):
    ds = numbered(50, url=str(tmp_path / "ds"))
    loader = ds[10:40].batches(8, shuffle=True)
    program = (
        "import pickle, sys\n"
        "reading = pickle.load(sys.stdin.buffer)\n"
        "for _, batch in reading.batches(3):\n"
        "    print(*batch['x'][:, 0].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(loader._reading),
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    loader.set_epoch(3)
    lines = done.stdout.decode().splitlines()
    assert [[int(n) for n in line.split()] for line in lines] == firsts(loader)
