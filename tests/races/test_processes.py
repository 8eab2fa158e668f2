"""Eight real processes commit to one version at the same time: nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hubzarr.codecs import array_document
from hubzarr.history.heads import head
from hubzarr.history.versions import read_manifest
from hubzarr.indexing import identity
from hubzarr.session import create_repository, open_session
from hubzarr.storage import open_storage

PROCESSES, COMMITS = 8, 50
# Only to end a test that hangs; a race takes a few seconds.
PATIENCE = 100
WORKER = Path(__file__).with_name("worker.py")


def race(url, change):
    """Let all processes loose at once; returns what each of them reports."""
    environment = os.environ | {"PYTHONPATH": str(WORKER.parents[2]), "OMP_NUM_THREADS": "1"}
    processes = []
    try:
        for me in range(PROCESSES):
            job = json.dumps({"url": url, "change": change, "me": me, "commits": COMMITS})
            processes.append(
                subprocess.Popen(
                    [sys.executable, str(WORKER), job],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=environment,
                )
            )
        for process in processes:
            assert process.stdout.readline().strip() == b"ready"
        for process in processes:
            process.stdin.write(b"go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * PROCESSES
    reports = [json.loads(answer) for answer in answers]
    if os.environ.get("RACE_REPORT"):
        waits = np.sort(np.concatenate([r["waits"] for r in reports])) * 1e3
        seconds = max(r["seconds"] for r in reports)
        print(
            f"\n{change}: {len(waits) / seconds:.0f} commits/s; wait of a commit in ms: median "
            f"{np.median(waits):.1f}, 99% {waits[int(len(waits) * 0.99)]:.0f}, "
            f"worst {waits[-1]:.0f}; seconds until done "
            f"{min(r['seconds'] for r in reports):.1f} to {seconds:.1f}"
        )
    return reports


@pytest.fixture
def repository(tmp_path):
    def make(shape, chunks, dtype="i4"):
        storage = open_storage(tmp_path / "repository")
        create_repository(storage, "main", array_document(shape, dtype, chunks), author="all")
        return storage

    return make


def check_numbers(storage, reports, syncs=False):
    """Every commit was given its own number, and there are no gaps.

    `syncs`: between them, a slow machine may have synced.
    """
    numbers = {n for report in reports for n in report["numbers"]}
    newest = head(storage, "main").commit.number
    assert len(numbers) == PROCESSES * COMMITS
    assert newest == max(numbers)
    assert syncs or newest == PROCESSES * COMMITS
    messages = []
    for number in range(1, newest + 1):
        commit = read_manifest(storage, "main", number).commit
        assert commit.parent == f"main@{number - 1}"
        assert (commit.message is not None) == (number in numbers)
        messages.append(commit.message)
    expected = {f"{me}-{i}" for me in range(PROCESSES) for i in range(COMMITS)}
    assert {m for m in messages if m is not None} == expected


def values(storage):
    engine = open_session(storage, "main").array().engine
    return engine.read(identity(engine.shape))


def test_disjoint_chunks(repository):
    storage = repository((PROCESSES, COMMITS), (1, 1))
    reports = race(storage.url, "disjoint")
    check_numbers(storage, reports)
    expected = 1 + 1000 * np.arange(PROCESSES)[:, None] + np.arange(COMMITS)
    assert (values(storage) == expected).all()


def test_elements_of_one_chunk(repository):
    storage = repository((COMMITS, PROCESSES), (COMMITS, PROCESSES))
    reports = race(storage.url, "shared")
    check_numbers(storage, reports)
    expected = 1 + 1000 * np.arange(PROCESSES) + np.arange(COMMITS)[:, None]
    assert (values(storage) == expected).all()


def test_appends(repository):
    storage = repository((0, 2), (16, 2))
    reports = race(storage.url, "append")
    check_numbers(storage, reports)
    found = values(storage)
    expected = [
        (me * 1000 + i, row)
        for me in range(PROCESSES)
        for i in range(COMMITS)
        for row in range(1 + (me + i) % 3)
    ]
    assert sorted(map(tuple, found.tolist())) == expected
    # The rows of one append stay together, and those of one process in their order.
    starts = found[found[:, 1] == 0, 0]
    assert all(np.diff(starts[starts // 1000 == me]).min() > 0 for me in range(PROCESSES))
    follows = np.flatnonzero(found[:, 1] > 0)
    assert (found[follows - 1] == found[follows] - (0, 1)).all()


def test_attributes_and_elements(repository):
    storage = repository((PROCESSES, COMMITS), (1, 1))
    reports = race(storage.url, "attributes")
    check_numbers(storage, reports, syncs=True)
    session = open_session(storage, "main")
    expected = {f"{me}-{i}": i for me in range(PROCESSES) for i in range(COMMITS)}
    assert session.document("")["attributes"] == expected
    assert (values(storage) == 1 + np.arange(COMMITS)).all()
