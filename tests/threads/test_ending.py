"""At the exit: threads end before the interpreter does, whatever they are at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hubzarr.threads import Pool, Task
from hubzarr.threads.tasks import Cancelled

#: Registered before hubzarr is imported, so it is called when hubzarr's threads have ended.
HEAD = """
import atexit, threading, time

@atexit.register
def look():
    names = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    print("left:", *[name for name in names if not name.startswith("hub-sync")])

import numpy as np
import hubzarr as hub
from hubzarr.threads import Pool, begin, map_all
"""
#: The same, for scripts that have a look of their own.
HEAD_LATE = HEAD.replace(
    "@atexit.register\ndef look", "atexit.register(lambda: look())\n\ndef look"
)


def run(text: str, head: str = HEAD) -> str:
    """What a script prints that ends as it should."""
    done = subprocess.run(
        [sys.executable, "-c", head + text], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_threads_are_told_to_leave_and_waited_for():
    text = """
stop = threading.Event()

def work():
    stop.wait()
    time.sleep(0.2)
    print("ended")

begin(work, "worker", stop.set)
"""
    assert run(text) == "ended\nleft:\n"


def test_what_a_pool_has_begun_ends_and_nothing_else_begins():
    text = """
pool, busy = Pool(1, "few"), threading.Event()

def work():
    busy.set()
    time.sleep(0.2)
    print("ended")

pool.submit(work)
for _ in range(100):
    pool.submit(lambda: print("begun"))
busy.wait()
"""
    assert run(text) == "ended\nleft:\n"


def test_a_thread_that_does_not_leave_keeps_nobody():
    text = """
begin(threading.Event().wait, "stuck", lambda: None)
"""
    assert run(text) == "left: stuck\n"


def test_threads_begun_while_others_leave_do_so_too():
    text = """
stop, last = threading.Event(), threading.Event()

def work():
    stop.wait()
    time.sleep(0.1)
    begin(last.wait, "late", last.set)

begin(work, "worker", stop.set)
"""
    assert run(text) == "left:\n"


def test_what_a_pool_no_longer_does_is_done_by_those_who_wait():
    text = """
hub.configure(threads=2)

def work(number):
    time.sleep(0.05)
    return number

sums = []
reader = threading.Thread(target=lambda: sums.append(sum(map_all(work, range(20), 1))), daemon=True)
reader.start()
time.sleep(0.1)

def late():
    reader.join()
    print(sums)

look = late
"""
    assert run(text, HEAD_LATE) == f"[{sum(range(20))}]\n"


def test_a_loop_that_the_exit_cuts_short_does_not_seem_to_be_over(tmp_path):
    text = f"""
ds = hub.empty({str(tmp_path / "ds")!r})
ds.create_tensor("x").extend(np.zeros((4000, 64), "u1"))
ds.commit()
loop = iter(ds.batches(8, prefetch=1))
next(loop)

def late():
    try:
        print(len(list(loop)))
    except hub.errors.ClosedError as error:
        print(error)

look = late
"""
    assert run(text, HEAD_LATE).startswith("this loop was ended before its last batch")


def test_work_at_the_exit_is_done_without_threads():
    text = """
hub.configure(threads=4)
a = hub.array((64, 64), name="at-exit", chunks=8, dtype="i8")
a[...] = 7
a.commit()
print(map_all(abs, [-1, -2], 1))

def late():
    names = {t.name for t in threading.enumerate()}
    print(int(np.asarray(a[...]).sum()), map_all(abs, [-3, -4], 1), "hubzarr-0" in names)

look = late
"""
    assert run(text, HEAD_LATE) == f"[1, 2]\n{64 * 64 * 7} [3, 4] False\n"


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("options", ["shuffle=True", "shuffle=True, prefetch=0", "shuffle='full'"])
def test_loops_that_are_left_midway(tmp_path, batches, options):
    text = f"""
ds = hub.empty({str(tmp_path / "ds")!r})
ds.create_tensor("x").extend(np.zeros((4000, 64, 64), "u1"))
ds.commit()
loop = iter(ds.batches(64, window=1000, {options}))
for _ in range({batches}):
    next(loop)
"""
    assert run(text) == "left:\n"


def test_a_pool_that_left_takes_nothing():
    pool = Pool(1, "left")
    pool._leave()
    with pytest.raises(RuntimeError, match="as the process exits"):
        pool.submit(print)


def test_a_cancelled_task_has_no_result():
    task = Task(int)
    assert task.cancel()
    task.run()
    with pytest.raises(Cancelled, match="cancelled before it began"):
        task.result()
