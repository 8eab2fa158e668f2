"""Real processes write rows to one dataset at a time: all survive, aligned."""

from __future__ import annotations

import multiprocessing
import signal

import numpy as np
import pytest

import hubzarr as hub
from tests.datasets import worker
from tests.datasets.support import again, create, numbers

ROWS = 25
SPAWN = multiprocessing.get_context("spawn")


def race(url, *jobs):
    """Let a process loose on each (function, number, count); returns their exit codes."""
    gate, done = SPAWN.Barrier(len(jobs)), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=work, args=(url, me, count, gate, done)) for work, me, count in jobs
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(100)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def expected(*who):
    return sorted(me * 1000 + i for me in who for i in range(ROWS))


def check_order(found, *who):
    """Rows of one process stay in their order."""
    for me in who:
        own = [number for number in found if number // 1000 == me]
        assert own == sorted(own)


@pytest.mark.parametrize("start", [(), (7, 8, 9)], ids=["empty", "filled"])
def test_rows_of_four_processes_stay_together(tmp_path, start):
    ds = create(str(tmp_path / "ds"), start)
    jobs = [(worker.append_rows, me, ROWS) for me in (1, 2, 3, 4)]
    assert race(str(tmp_path / "ds"), *jobs) == [0] * 4
    found = numbers(again(ds))
    assert sorted(found) == sorted([*start, *expected(1, 2, 3, 4)])
    assert found[: len(start)] == list(start)
    check_order(found, 1, 2, 3, 4)
    assert ds.refresh()
    assert numbers(ds) == found


def test_rows_change_while_others_append(tmp_path):
    ds = create(str(tmp_path / "ds"), range(5))
    jobs = [(worker.append_rows, 1, ROWS), (worker.append_rows, 2, ROWS)]
    assert race(str(tmp_path / "ds"), *jobs, (worker.update_rows, 3, ROWS)) == [0] * 3
    found = numbers(again(ds))
    last = {i % 5: 90_000 + 10 * i + i % 5 for i in range(ROWS)}
    assert found[:5] == [last[i] for i in range(5)]
    assert sorted(found[5:]) == expected(1, 2)
    check_order(found[5:], 1, 2)


def test_a_tensor_becomes_ragged_under_all_of_them(tmp_path):
    url = str(tmp_path / "ds")
    ds = hub.empty(url)
    ds.create_tensor("x", dtype="int64")
    ds.create_tensor("id", dtype="int64")
    ds.commit("created")
    assert race(url, *[(worker.append_shapes, me, 8) for me in (1, 2, 3)]) == [0] * 3
    ds = again(ds)
    ids = ds.id.numpy()
    assert sorted(ids.tolist()) == [me * 1000 + i for me in (1, 2, 3) for i in range(8)]
    for sample, number in zip(ds.x.numpy(aslist=True), ids // 1000, strict=True):
        np.testing.assert_array_equal(sample, np.full(1 + number, number))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_leaves_whole_rows(tmp_path):
    url = str(tmp_path / "ds")
    ds = create(url, [5])
    jobs = [(worker.append_rows, 1, ROWS), (worker.append_until_killed, 2, 12)]
    assert race(url, *jobs) == [0, -signal.SIGKILL]
    found = numbers(again(ds))
    assert found[0] == 5
    assert [n for n in found if n // 1000 == 1] == expected(1)
    assert [n for n in found if n // 1000 == 2] == list(range(2000, 2012))
    writer = again(ds)
    writer.append({"uniform": [3, -3], "ragged": np.full((2, 2), 3, "i4"), "text": "row 3"})
    writer.flush()
    assert numbers(again(ds)) == [*found, 3]
