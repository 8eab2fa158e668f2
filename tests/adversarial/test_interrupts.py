"""Ctrl-C at any moment of a write loop, again and again, loses no row that was accepted."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import random, signal, time
import numpy as np
import hubzarr as hub

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
random.seed(1)
a = hub.array((10**6, 50), "interrupted", dtype="i4", chunks=(100, 50), shards=None)
accepted, row, interrupts, end = set(), 0, 0, time.time() + 2
while time.time() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.02))
        while True:
            a[row] = row + 1
            accepted.add(row)
            row += 1
    except KeyboardInterrupt:
        interrupts += 1
        row += 1
signal.setitimer(signal.ITIMER_REAL, 0)
a.flush()
b = hub.load("interrupted")
values = b[: row + 200].compute()
lost = [r for r in accepted if values[r, 0] != r + 1]
assert not lost, (len(lost), lost[:5])
assert b.sum() == values.sum(dtype="i8")
print("ok", interrupts)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_interrupted_writes_lose_nothing_and_the_process_ends() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout.split()[1]) > 20
