"""Ingest by processes and by the workers of a cluster, who store samples."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

import numpy as np
import pandas
import pytest

import hubzarr as hub
from hubzarr.computing import cluster as clusters
from hubzarr.datasets import parallel_owner
from hubzarr.errors import SampleError
from hubzarr.ingesting import Block, Column, Skipped, Unit, folders
from hubzarr.ingesting.ingest import ingest_into
from tests.ingesting.pictures import picture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def all_is_worth_it(monkeypatch):
    """Small samples are stored by workers, too."""
    monkeypatch.setattr(parallel_owner, "WORTH", 1)


@pytest.fixture
def stored(monkeypatch):
    """How many batches workers stored."""
    found = []
    take = clusters.Cluster.take

    def taken(self, batch):
        out = take(self, batch)
        found.extend([1] * out.stored)
        return out

    monkeypatch.setattr(clusters.Cluster, "take", taken)
    return found


class Scans:
    """A source of arrays and files, with what a source may do."""

    kind = "scans"
    info = {"about": "scans"}  # noqa: RUF012
    columns = (
        Column("scan", {"dtype": "uint16"}),
        Column("text", {"htype": "text"}),
        Column("kind", {"htype": "class_label", "class_names": ["even", "odd"]}),
        Column("name", {"htype": "class_label"}),
        Column("score", {}),
    )

    def __init__(self, units, fail_at=None, odd=None, killer=None):
        self.count, self.fail_at, self.odd, self.killer = units, fail_at, odd, killer

    def units(self):
        for number in range(self.count):
            yield Unit(f"unit/{number}", number, 10)

    def rows(self, unit):
        if unit.payload == 12 and self.killer and not Path(self.killer).exists():
            Path(self.killer).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        numbers = np.arange(10) + unit.payload * 10
        scans = np.repeat(numbers, 64 * 64).reshape(10, 64, 64).astype("u2")
        words = [str(n) for n in numbers]
        if unit.payload % 2:
            columns = {"scan": scans, "text": words, "kind": numbers % 2, "score": numbers / 2}
            yield Block(columns | {"name": [f"{n % 12:02}" for n in numbers]}, 10)
            return
        for n, scan in zip(numbers.tolist(), scans, strict=True):
            if n == self.fail_at:
                yield Skipped(str(n), "it is broken")
                continue
            scan = scan if n != self.odd else scan.astype("float32") + 0.5
            yield {"scan": scan, "text": str(n), "kind": n % 2, "name": f"{n % 12:02}",
                   "score": n / 2}  # fmt: skip


def check(ds, numbers):
    assert ds.scan.numpy()[:, 63, 63].tolist() == list(numbers)
    assert ds["text"].text() == [str(n) for n in numbers]
    assert ds.kind.text() == [("even", "odd")[n % 2] for n in numbers]
    assert ds["name"].text() == [f"{n % 12:02}" for n in numbers]
    assert ds.score.numpy().ravel().tolist() == [n / 2 for n in numbers]


def test_workers_store_rows(client, stored):
    ds = hub.empty("scans")
    report = ingest_into(ds, Scans(20), name="x", scheduler="distributed", commit_every=75)
    assert (report.rows, report.finished, len(stored) > 5) == (200, True, True)
    check(hub.load("scans"), range(200))
    assert ds.scan.mean() == 99.5


def test_processes_read():
    ds = hub.empty("scans")
    ingest_into(ds, Scans(8), name="x", scheduler="processes", num_workers=1)
    check(hub.load("scans"), range(80))


def test_it_goes_on(client, stored):
    ds = hub.empty("scans")
    run = functools.partial(ingest_into, ds, name="x", scheduler="distributed", commit_every=30)
    with pytest.raises(SampleError, match="140: it is broken"):
        run(Scans(20, fail_at=140))
    check(hub.load("scans"), range(140))
    report = run(Scans(20))
    assert (report.rows, report.resumed) == (200, 140)
    check(hub.load("scans"), range(200))


def test_what_is_broken_is_left_out(client, stored):
    ds = hub.empty("scans")
    with pytest.raises(SampleError, match="float32"):
        ingest_into(hub.empty("odd"), Scans(9, odd=64), name="y", scheduler="distributed")
    source = Scans(20, fail_at=100, odd=164)
    report = ingest_into(ds, source, name="x", scheduler="distributed", skip_broken=True)
    check(hub.load("scans"), [n for n in range(200) if n not in (100, 164)])
    assert report.skipped == 2
    assert {why.what for why in report.reasons} == {"100", "unit/16, row 4"}


def test_a_worker_that_dies_changes_nothing(client, tmp_path, stored):
    ds = hub.empty("scans")
    source = Scans(20, killer=str(tmp_path / "marker"))
    report = ingest_into(ds, source, name="x", scheduler="distributed", num_workers=2)
    assert (tmp_path / "marker").exists()
    assert (report.rows, len(stored) > 5) == (200, True)
    check(hub.load("scans"), range(200))


def test_folders_and_tables(client, stored, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "path_units", functools.partial(folders.path_units, max_files=5))
    for number in range(60):
        picture(tmp_path / "pets" / ("cats", "dogs")[number % 2] / f"{number:03}.png", number)
    (tmp_path / "pets" / "cats" / "061.png").write_bytes(b"no image at all")
    here, there = (
        hub.ingest(str(tmp_path / "pets"), name, scheduler=scheduler, skip_broken=True,
                   statistics=True, progressbar=False)
        for name, scheduler in (("here", "threads"), ("there", "distributed"))
    )  # fmt: skip
    assert len(stored) > 3
    assert len(here) == len(there) == 60
    assert here.labels.text() == there.labels.text()
    assert all(here.images[i].tobytes() == there.images[i].tobytes() for i in range(60))
    assert here.images.mean() == there.images.mean()
    assert hub.ingest_report(there)[0].skipped == 1
    table = pandas.DataFrame({"age": range(50), "name": [f"pet {i}" for i in range(50)]})
    ds = hub.ingest(table, "table", scheduler="distributed", progressbar=False)
    assert ds["name"].text() == list(table.name)
    assert ds.age.numpy().ravel().tolist() == list(range(50))
