"""The benchmark of loaders runs, at sizes that measure nothing."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAME = "hubzarr-numpy"
SMALL = {"raw": 70, "jpeg": 40, "shuffle": 70, "tiny": 300, "remote": 40}


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    modules = {name: importlib.import_module(name) for name in ("loaders", "loader_work")}
    yield modules
    for name in ("loaders", "loader_work", "loader_rivals", "loader_data", "measuring"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(scripts, tmp_path):
    """A run of the library that needs no framework, whose tasks are done in this process."""
    return scripts["loaders"].Run(
        folder=tmp_path, pythons={NAME: ""}, rounds=1, samples=SMALL,
        sides={"raw": 8, "jpeg": 16}, call=lambda python, task: scripts["loader_work"].run(task),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["raw0", "jpeg0"])
def test_local_files(scripts, run, name):
    table = scripts["loaders"].TABLES[name](run)
    [[found]] = table.found.values()
    assert found["rate"] > 0
    assert found["steps"] == -(-SMALL[name[:-1]] // 64) * 0.005
    assert found["mixed"] > 0.8
    assert table.markdown().splitlines()[4].startswith(f"| {NAME} | ")


def test_libraries_without_workers_are_left_out(scripts, run):
    assert scripts["loaders"].TABLES["raw2"](run).found == {}


def test_resuming_brings_all_that_is_left(scripts, run):
    table = scripts["loaders"].TABLES["resume"](run)
    [found] = table.found[NAME]
    assert found["exact"]
    assert "| yes |" in table.markdown()


def test_shuffling(scripts, run):
    run.pythons = {"hubzarr": ""}
    as_numpy = run.call
    run.call = lambda python, task: as_numpy(python, task | {"rival": NAME})
    table = scripts["loaders"].TABLES["shuffle"](run)
    assert list(table.found) == ["rows in order", "hubzarr", "window of all",
                                 "full"]  # fmt: skip
    [in_order], [whole] = table.found["rows in order"], table.found["window of all"]
    assert in_order["moved"] == 0
    assert in_order["mixed"] < whole["mixed"]


def test_an_order_is_compared_with_a_full_shuffle(scripts):
    order = scripts["loader_work"].order
    rows = np.arange(6400)
    in_order = order(np.split(rows, 100), 6400)
    assert in_order["moved"] == 0
    assert in_order["mixed"] == 0
    full = order(np.split(np.random.default_rng(1).permutation(rows), 100), 6400)
    assert full["moved"] == pytest.approx(1, abs=0.05)
    assert full["mixed"] == pytest.approx(1, abs=0.02)


def test_a_row_that_comes_twice_stops_the_measurement(scripts):
    check = scripts["loader_work"].check
    check([np.array([2, 0]), np.array([1])], 3)
    with pytest.raises(RuntimeError, match="3 rows came, 2 of 3 different"):
        check([np.array([2, 0]), np.array([0])], 3)


def test_a_wrong_image_stops_the_measurement(run):
    data = run.data("raw", 20)
    images = np.array(data.arrays(0, 20))
    data.check(images, np.arange(20))
    with pytest.raises(RuntimeError, match="row 16 is not what was stored"):
        data.check(images[::-1][[19, *range(19)]], np.arange(20))


def test_waits_of_a_consumer(scripts):
    seen = []
    batches = [(None, [0, 1]), (None, [2])]
    found = scripts["loader_work"].consume(batches, 0.0, step=0.001, look=lambda *b: seen.append(b))
    assert found["batches"] == 2
    assert [rows.tolist() for rows in found["rows"]] == [[0, 1], [2]]
    assert seen == batches


def test_a_state_of_another_loader_is_moved(scripts):
    rivals = importlib.import_module("loader_rivals")
    state = {"_num_yielded": 1, "inner": {"samples_yielded": 64, "seed": 64}, "epoch": 1}
    assert rivals.advanced(state, 64, 640) == {
        "_num_yielded": 10, "inner": {"samples_yielded": 640, "seed": 64}, "epoch": 1
    }  # fmt: skip


def test_ratios(scripts):
    loaders = scripts["loaders"]
    line = {"first_rate": 10.0, "rate": 100.0, "first_batch": 0.5, "moved": 0.5, "mixed": 0.9}
    slower = line | {"rate": 50.0}
    table = loaders.Table(
        "Windows", ["first", "later", "batch", "moved", "mixed"],
        {"hubzarr": [line], "other": [slower]}, loaders.shuffling_cells,
    )  # fmt: skip
    assert table.markdown().splitlines()[-2:] == [
        "| hubzarr | 10 | 100 | 500 ms | 0.50 | 0.900 |",
        "| other | 10, 1.00× | 50, 2.00× | 500 ms | 0.50 | 0.900 |",
    ]


def test_a_process_answers_in_json(scripts, run):
    data = run.data("raw", 20)
    path = str(run.folder / "stored")
    task = {"rival": NAME, "work": "build", "data": json.loads(json.dumps(vars(data)))}
    answer = scripts["loaders"].call(sys.executable, task | {"path": path})
    assert answer["seconds"] > 0


def test_a_process_that_fails_says_why(scripts, capfd):
    task = {"rival": "nobody", "work": "build", "data": {}}
    assert scripts["loaders"].call(sys.executable, task) is None
    assert capfd.readouterr().err == "nobody build: KeyError: 'nobody'\n"
