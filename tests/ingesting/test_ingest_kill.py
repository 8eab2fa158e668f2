"""Ingest in a process that is killed again and again: no row is lost, none comes twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import hubzarr as hub
from hubzarr.api.ingesting import ingest_report
from tests.ingesting.pictures import picture

# Dies a moment after it was given so many parts to write.
VICTIM = """
import functools, os, signal, sys, threading
from hubzarr.api.ingesting import ingest
from hubzarr.ingesting import folders, ingest as driver
folders.path_units = functools.partial(folders.path_units, max_files=5)
folder, parts, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def read_ahead(*args, **options):
    for number, part in enumerate(driver_reads(*args, **options)):
        if number == parts:
            threading.Timer(delay, die).start()
        yield part
driver_reads, driver.read_ahead = driver.read_ahead, read_ahead
ingest(folder, "me/pets", commit_every=10, num_workers=2, filenames=True)
os._exit(0)
"""


def test_killed_at_any_time_it_goes_on(tmp_path: Path):
    rng = random.Random(1)
    for number in range(200):
        picture(tmp_path / "pets" / ("cats", "dogs")[number % 2] / f"{number:03}.png", number)
    codes, lengths = [], []
    while not codes or codes[-1] != 0:
        assert len(codes) < 60
        when = [str(rng.randrange(20)), str(rng.uniform(0, 0.02))]
        done = subprocess.run(
            [sys.executable, "-c", VICTIM, str(tmp_path / "pets"), *when],
            env=os.environ | {"HUBZARR_ROOT": str(tmp_path / "root")},
            check=False,
            capture_output=True,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()[-2000:]
        codes.append(done.returncode)
        lengths.append(_checked(tmp_path / "pets"))
    assert lengths == sorted(lengths)
    assert lengths[-1] == 200
    assert len(set(lengths)) > 2


def _checked(folder: Path) -> int:
    """How many rows there are; each must be that of its file."""
    if not hub.exists("me/pets"):
        return 0
    ds = hub.load("me/pets", "r")
    reports = ingest_report(ds)
    if not reports:
        assert not ds.tensors
        return 0
    assert reports[0].rows == len(ds)
    names = ds.filenames.text() if len(ds) else []
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert names == files[: len(ds)]
    for number in range(0, len(ds), 17):
        assert ds.images[number].tobytes() == (folder / files[number]).read_bytes()
        assert ds.labels[number].numpy() == (names[number].startswith("dogs"))
    return len(ds)
