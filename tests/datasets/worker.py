"""What racing processes do with a dataset; spawned by test_processes.py."""

from __future__ import annotations

import os
import signal

import hubzarr as hub
from tests.datasets.support import row


def append_rows(url, me, count, gate, done):
    """Append rows of its own, some alone, some committed several at a time."""
    ds = hub.load(url)
    gate.wait(60)
    for i in range(count):
        ds.append(row(me * 1000 + i))
        if i % 3 != 1:
            ds.flush()
    ds.close()
    done.put(me)


def append_shapes(url, me, count, gate, done):
    """Append samples whose shape is that of the process, to a tensor that began uniform."""
    ds = hub.load(url)
    gate.wait(60)
    for i in range(count):
        ds.append({"x": [me] * (1 + me), "id": me * 1000 + i})
        ds.flush()
    ds.close()
    done.put(me)


def update_rows(url, me, count, gate, done):
    """Put other rows in place of the first ones, one after the other."""
    ds = hub.load(url)
    gate.wait(60)
    for i in range(count):
        ds[i % 5].update(row(90_000 + 10 * i + i % 5, 1 + i % 7))
        ds.flush()
    ds.close()
    done.put(me)


def append_until_killed(url, me, count, gate, done):
    """Append for ever, until the process kills itself amid a row."""
    ds = hub.load(url)
    gate.wait(60)
    for i in range(count):
        ds.append(row(me * 1000 + i))
        if i % 2:
            ds.flush()
    ds.text.append("half a row")
    ds._session.flush()
    done.put(me)
    done.close()
    done.join_thread()
    os.kill(os.getpid(), signal.SIGKILL)
