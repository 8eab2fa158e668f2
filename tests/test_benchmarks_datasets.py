"""The benchmarks of datasets run, at sizes that measure nothing."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from hubzarr.media import Sample

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("dataset_peers")
    for name, value in {"RANDOM": 3, "ROWS": 6, "COMMITS": 2, "QUERIED": 3000}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "GENERATED", 13_000_000)
    yield module
    for name in ("dataset_peers", "datasets", "measuring"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path):
    import numpy as np

    for number in range(60):
        place = tmp_path / "jpegs" / f"class_{number % 4}" / f"{number:03d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8, 3), 4 * number, np.uint8)
        place.write_bytes(Sample(array=pixels).encoded("jpeg"))
    return tmp_path / "jpegs"


@pytest.mark.parametrize(
    "work", ["ingest", "verify", "random", "append", "append-commit", "commits", "query", "memory"]
)
def test_work(peers, folder, tmp_path, work):
    if work == "query":
        pytest.importorskip("duckdb")
    found = peers.WORK[work](peers.Hubzarr(), str(folder), tmp_path)
    assert found["wall"] > 0
    assert found["count"] > 0


def test_both_ways_to_ingest_store_the_same(peers, folder, tmp_path):
    import hubzarr as hub

    for name in ("hubzarr", "hubzarr-extend"):
        peers.PEERS[name]().ingest(str(tmp_path / name), str(folder))
    one, other = (hub.load(str(tmp_path / name)) for name in ("hubzarr", "hubzarr-extend"))
    assert len(one) == len(other) == 60
    assert [image.tobytes() for image in one.images] == [image.tobytes() for image in other.images]
    assert one.labels.numpy().tolist() == other.labels.numpy().tolist()


def test_a_table(peers):
    module = importlib.import_module("datasets")
    sample = {"wall": 2.0, "cpu": 1.0, "count": 1000}
    slower = {"wall": 6.0, "cpu": 2.0, "count": 1000}
    lines = module.table("Rows", "wall", {"hubzarr": [sample], "other": [slower]}).splitlines()
    assert lines[4] == "| hubzarr | 2 ms | 2 ms | 1 ms |  |"
    assert lines[5] == "| other | 6 ms | 6 ms | 2 ms | 3.00×, processor 2.00× |"
    json.dumps(module.TABLES)
