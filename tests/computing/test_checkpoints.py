"""Evaluations that are interrupted go on where they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, TransformError

REPOSITORY = Path(__file__).resolve().parents[2]


@hub.compute
def until(sample_in, sample_out, broken, factor=1):
    if sample_in in broken:
        raise ValueError("broken")
    sample_out.x.append(sample_in * factor)


def dataset():
    ds = hub.empty("ds")
    ds.create_tensor("x", dtype="int64")
    ds.flush()
    return ds


@pytest.fixture
def ds():
    return dataset()


@pytest.mark.parametrize("workers", [0, 2])
def test_each_interval_is_a_commit(ds, workers):
    number = ds._session.manifest.commit.number
    until([]).eval(range(45), ds, workers, checkpoint_interval=20, message="all of it")
    assert ds._session.manifest.commit.number == number + 4  # the last one forgets
    assert ds.commits[0]["message"] == "all of it"
    assert ds.x.numpy().tolist() == list(range(45))


def test_it_goes_on(ds, monkeypatch):
    @hub.compute
    def moody(sample_in, sample_out):
        if sample_in == 45 and mood:
            raise ValueError("moody")
        sample_out.x.append(sample_in)

    mood = [1]
    for inputs in (list(range(100)), (i for i in range(100))):
        with pytest.raises(TransformError, match="input 45"):
            moody().eval(range(100), ds, checkpoint_interval=20)
        assert len(hub.load("ds")) == len(ds) == 40
        mood.clear()
        report = moody().eval(inputs, ds, checkpoint_interval=30, num_workers=2)
        assert (report.resumed, report.inputs, report.rows) == (40, 60, 60)
        assert ds.x.numpy().tolist() == list(range(100))
        assert "hubzarr" in ds._session.document("")["attributes"]
        assert "computing" not in str(ds._session.document(""))
        mood.append(1)
        ds.x.clear()


def test_other_inputs_are_refused(ds):
    @hub.compute
    def moody(sample_in, sample_out, factor):
        if sample_in == 45 and mood:
            raise ValueError("moody")
        sample_out.x.append(sample_in * factor)

    mood = [1]
    with pytest.raises(TransformError):
        moody(2).eval(range(60), ds, checkpoint_interval=20)
    mood.clear()
    for factor, inputs in ((2, [1, *range(1, 60)]), (2, range(30)), (3, range(60))):
        with pytest.raises(InvalidError, match="was interrupted after 40 inputs"):
            moody(factor).eval(inputs, ds, checkpoint_interval=20)
    assert len(ds) == 40
    until([]).eval([7], ds, checkpoint_interval=20)  # another function is none of it
    assert moody(2).eval(range(60), ds, checkpoint_interval=20).resumed == 40
    assert ds.x.numpy().tolist() == [*range(0, 80, 2), 7, *range(80, 120, 2)]


def test_without_checkpoints_it_starts_over(ds):
    @hub.compute
    def moody(sample_in, sample_out):
        if sample_in == 45 and mood:
            raise ValueError("moody")
        sample_out.x.append(sample_in)

    mood = [1]
    with pytest.raises(TransformError):
        moody().eval(range(60), ds, checkpoint_interval=20)
    mood.clear()
    moody().eval(range(60), ds)
    assert len(ds) == 100
    assert moody().eval(range(60), ds, checkpoint_interval=20).resumed == 0


def test_in_place(ds):
    @hub.compute
    def negative(sample_in, sample_out):
        x = sample_in.x.numpy()
        if x == 45 and mood:
            raise ValueError("moody")
        sample_out.x.append(-x)

    mood = [1]
    ds.x.extend(range(60))
    with pytest.raises(TransformError):
        negative().eval(ds, checkpoint_interval=20, num_workers=2)
    assert ds.x.numpy().tolist() == [*range(0, -40, -1), *range(40, 60)]
    mood.clear()
    assert negative().eval(ds, checkpoint_interval=20).resumed == 40
    assert ds.x.numpy().tolist() == [-i for i in range(60)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("workers", [0, 2])
def test_killed(tmp_path, workers):
    ds = hub.empty(str(tmp_path / "mortal"))
    for name in ("x", "y"):
        ds.create_tensor(name, dtype="int64")
    ds.close()
    script = Path(__file__).with_name("mortal.py")

    def run(limit):
        return subprocess.run(
            [sys.executable, script, str(tmp_path / "mortal"), "57", str(limit), str(workers)],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    done = 0
    for limit in (34,) if workers else (14, 34):
        assert run(limit).returncode == -signal.SIGKILL
        there = hub.load(str(tmp_path / "mortal"))
        assert len(there.x) == len(there.y)
        assert done <= len(there) <= limit
        assert len(there) % 10 == 0
        done = len(there)
    last = run(-1)
    assert last.returncode == 0, last.stderr
    assert int(last.stdout) == done
    there = hub.load(str(tmp_path / "mortal"))
    assert there.x.numpy().tolist() == list(range(57))
    assert [shape[0] for shape in there.y.shapes()] == [i % 3 for i in range(57)]
