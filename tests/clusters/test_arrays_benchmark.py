"""The benchmark of clusters runs, at sizes that measure nothing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def find(folder):
    """Let this worker import what lies in a folder."""
    sys.path.append(folder)


def forget(folder):
    sys.path.remove(folder)


@pytest.mark.slow
def test_runs(client, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    client.run(find, str(FOLDER))
    try:
        clusters = importlib.import_module("clusters")
        monkeypatch.setattr(clusters, "SIDE", 16)
        libraries = clusters.installed()
        bench = clusters.Bench({x.name: x for x in libraries}, clusters.Sizes(rounds=1), tmp_path)
        clusters.graphs(bench, libraries, 20)
        clusters.costs(bench, libraries, 4)
        clusters.large(bench, libraries, 2, "2 processes")
        clusters.tiny(bench, libraries, 4, "2 processes")
    finally:
        client.run(forget, str(FOLDER))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) in map(str, FOLDER.glob("*.py")):
                del sys.modules[name]
    assert len(bench.rows) == 7
    assert all(row.seconds["hubzarr"] and row.seconds["zarr"] for row in bench.rows)
