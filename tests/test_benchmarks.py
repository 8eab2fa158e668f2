"""The benchmarks run, at sizes that measure nothing."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
MODULES = ("measuring", "probes", "rivals", "run", "scale", "workloads")


class Scripts:
    """The modules of the benchmarks by name, as a script beside them imports them."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripts]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield Scripts()
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("workload", "rows"),
    [
        pytest.param("whole", 6, marks=pytest.mark.slow),
        ("samples", 2),
        pytest.param("random", 6, marks=pytest.mark.slow),
        pytest.param("small", 8, marks=pytest.mark.slow),
        ("statistics", 4),
        pytest.param("commits", 4, marks=pytest.mark.slow),
        pytest.param("append", 1, marks=pytest.mark.slow),
        pytest.param("import", 2, marks=pytest.mark.slow),
        pytest.param("memory", 3, marks=pytest.mark.slow),
    ],
)
def test_workload(scripts: Scripts, tmp_path: Path, workload: str, rows: int) -> None:
    rivals = ["hubzarr", "zarr"]
    found = scripts.run.measure([workload], rivals, scripts.measuring.TINY, tmp_path, print)
    assert len(found) == rows
    for row in found:
        assert all(value > 0 for values in row.seconds.values() for value in values)
        assert "hubzarr" in row.seconds
    assert not list(tmp_path.glob("hubzarr-bench-*"))


def test_results_as_json_and_markdown(scripts: Scripts, tmp_path: Path) -> None:
    seconds = {"hubzarr": [0.001, 0.002, 0.009], "zarr": [0.004, 0.005, 0.003]}
    notes = {"hubzarr": "reads 0 B"}
    row = scripts.measuring.Row(
        workload="Whole", label="read", seconds=seconds, nbytes=1_000_000, notes=notes
    )
    scripts.run.save([row], {"date": "2026-11-21"}, tmp_path / "new")
    document = json.loads((tmp_path / "new" / "results.json").read_text())
    assert document["rows"][0]["seconds"] == seconds
    lines = (tmp_path / "new" / "results.md").read_text().splitlines()
    assert lines[0] == "### Whole"
    assert lines[4] == "| read | 500 (1,000) MB/s, reads 0 B | 250 (333) MB/s, 2× |"


def test_turns_change_places(scripts: Scripts, tmp_path: Path) -> None:
    bench = scripts.measuring.Bench(
        scripts.rivals.installed(["hubzarr", "zarr"]), scripts.measuring.TINY, tmp_path
    )
    order: list[str] = []

    def work(rival: object) -> dict[str, float]:
        order.append(getattr(rival, "name", ""))
        return {"": 1.0}

    found = bench.turns(list(bench.rivals.values()), work, rounds=2, warmup=1)
    assert found == {"": {"hubzarr": [1.0, 1.0], "zarr": [1.0, 1.0]}}
    assert order == ["zarr", "hubzarr", "hubzarr", "zarr", "zarr", "hubzarr"]


def test_a_wrong_answer_stops_the_measurement(scripts: Scripts) -> None:
    class Liar:
        name = "liar"

        def read(self, a: object, key: object) -> list[int]:
            return [1, 2]

    with pytest.raises(RuntimeError, match="liar read something else"):
        scripts.measuring.timed_read(Liar(), None, ..., [1, 3])


def test_an_unknown_workload_is_named(scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scripts.run.arguments(["--only", "whole,everything"])
    assert "unknown workload ['everything']" in capsys.readouterr().err


def test_scale_of_a_table_with_repeated_pages(scripts: Scripts, tmp_path: Path) -> None:
    found = scripts.scale.billion(str(tmp_path), 2 * 256**2)
    assert found["cells in the diff"] == 1
    assert found["bytes written for it"] < 200_000
    assert found["first commit"] == 1


def test_a_simulated_table_has_the_right_statistics(scripts: Scripts, tmp_path: Path) -> None:
    import hubzarr as hub

    name = scripts.scale.create(str(tmp_path / "a"), 3 * 256**2, scripts.scale.repeated)
    a = hub.load(name, mode="r")
    assert a.shape == (3 * 256**2 * 16,)
    assert (a.min(), a.max(), a.mean()) == (0, 4095, 2047.5)
    assert a[: 16 * 256].sum() == 4096 * 4095 // 2


def test_growth_and_history(scripts: Scripts, tmp_path: Path) -> None:
    growth = scripts.scale.growth(str(tmp_path), (10, 300), 2)
    assert set(growth["commit"]) == {"10", "300"}
    history = scripts.scale.history(str(tmp_path), 30, 5)
    assert history["commits"] == 30
    assert "last to first" in history


def test_numbers_for_people(scripts: Scripts) -> None:
    say = scripts.scale.say
    assert say("bytes", {"10": 2500}) == "10: 2.5 KB"
    assert say("last to first", 1.25) == "1.25×"
    assert say("open", 0.004) == "4.0 ms"
    assert say("commits", 10_000) == "10,000"
