"""Every command, in this process: what it prints, its JSON, its exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubzarr as hub
from hubzarr import errors
from hubzarr.cli import main
from hubzarr.cli.command import Answer, Command
from hubzarr.cli.run import COMMANDS

type Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def weather() -> Iterator[hub.Array]:
    """alice/weather with v0 of two commits, and a v1 that starts from it."""
    a = hub.array((40, 3), "alice/weather:v0", "int32", chunks=(10, 3), shards=None)
    a[:10] = np.arange(30).reshape(10, 3)
    a.commit("first rows")
    b = a.branch("v1")
    b[10:30] = 7
    b.commit("more rows")
    yield a
    a.close()
    b.close()


def document(run: Run, *words: str, code: int = 0) -> dict[str, Any]:
    got, out, _ = run(*words, "--json")
    assert got == code
    value = json.loads(out)  # exactly one document
    assert isinstance(value, dict)
    return value


def test_ls(run: Run, weather: hub.Array) -> None:
    found = document(run, "ls")
    assert [r["name"] for r in found["repositories"]] == ["alice/weather"]
    (row,) = found["repositories"]
    assert row["versions"] == ["v0", "v1"]
    assert (row["shape"], row["dtype"], row["nbytes"]) == ([40, 3], "int32", 480)
    assert row["last_commit"]["message"] == "more rows"
    assert row["problem"] is None
    code, out, err = run("ls", "alice")
    assert (code, err) == (0, "")
    head, line = out.splitlines()
    assert head.split()[:5] == ["name", "versions", "shape", "dtype", "size"]
    assert line.startswith("alice/weather   v0 v1      40 × 3   int32   480 B")


def test_ls_of_nothing(run: Run) -> None:
    code, out, _ = run("ls", "nobody")
    assert code == 0
    assert out.startswith("nothing in ")
    assert document(run, "ls")["repositories"] == []


def test_ls_shows_damaged_repositories_too(run: Run, weather: hub.Array, tmp_path: Path) -> None:
    hub.array((2,), "bad")
    newest = tmp_path / "root/bad/versions/main/000000000000.json"
    newest.write_bytes(newest.read_bytes()[:-40])
    rows = document(run, "ls")["repositories"]
    assert [r["name"] for r in rows] == ["alice/weather", "bad"]
    assert "damaged" in rows[1]["problem"]
    assert "damaged" in run("ls")[1]


def test_info(run: Run, weather: hub.Array) -> None:
    info = document(run, "info", "alice/weather:v0")
    keys = {"name", "version", "commit", "number", "sealed", "shape", "dtype", "chunks", "nbytes"}
    assert keys <= set(info)
    assert info["nbytes_stored"] is None
    assert [v["version"] for v in info["versions"]] == ["v0", "v1"]
    assert document(run, "info", "alice/weather:v0", "--stored")["nbytes_stored"] > 0
    weather.attributes["unit"] = "°C"
    weather.flush()
    _, out, _ = run("info", "alice/weather:v0")
    assert "attribute unit = °C" in out
    assert "open: takes commits" in out


def test_log(run: Run, weather: hub.Array) -> None:
    commits = document(run, "log", "alice/weather:v1")["commits"]
    assert [c["message"] for c in commits] == ["more rows", None, "first rows", "created"]
    assert set(commits[0]) == {
        "id", "version", "number", "parent", "merged", "message", "author", "time", "state",
        "changes",
    }  # fmt: skip
    assert len(document(run, "log", "alice/weather:v1", "-n", "1")["commits"]) == 1
    _, out, _ = run("log", "alice/weather:v1")
    assert "(started from v0@1)" in out
    assert "1 cell " in out
    assert "2 cells" in out
    weather[0] = 5
    weather.flush()
    assert "(automatic sync)" in run("log", "alice/weather:v0", "--syncs")[1]
    assert run("log", "alice/weather:v0", "-n", "0")[0] == 1


def test_diff(run: Run, weather: hub.Array) -> None:
    for words in (
        ("alice/weather:v0", "alice/weather:v1"),
        ("alice/weather:v0@1", ":v1"),
        ("alice/weather:v1@0", "@1"),
        ("alice/weather:v1",),
    ):
        found = document(run, "diff", *words, "--values")
        assert found["changed"]
        assert found["nodes"][0]["regions"] == [[[10, 30], [0, 3]]]
        assert found["nodes"][0]["elements"] == 60
    assert document(run, "diff", "alice/weather:v0", "@1")["changed"] is False
    assert "[10:30, 0:3]" in run("diff", "alice/weather:v1")[1]


def test_diff_of_two_repositories(run: Run, weather: hub.Array) -> None:
    code, _, err = run("diff", "alice/weather:v0", "bob/weather:v0")
    assert code == 1
    assert "hubzarr cp bob/weather:v0 alice/weather:copy" in err


def test_stats(run: Run, weather: hub.Array) -> None:
    values = np.arange(30).reshape(10, 3)
    found = document(run, "stats", "alice/weather:v0", "--slice", "0:10,1:")
    assert found["shape"] == [10, 2]
    part = values[:, 1:]
    wanted = [part.mean(), part.std(), part.min(), part.max()]
    got = [found["statistics"][name] for name in ("mean", "std", "min", "max")]
    np.testing.assert_allclose(got, wanted)
    assert set(found["cost"]) == {"seconds", "reads", "read_bytes", "writes", "write_bytes"}
    found = document(run, "stats", "alice/weather:v0", "-s", ":10", "--axis", "channel")
    np.testing.assert_allclose(found["statistics"]["mean"], values.mean(axis=0))
    _, out, _ = run("stats", "alice/weather:v0", "-s", "3,1")
    assert "mean  10\n" in out
    assert "read" in out
    assert "\n2 " in run("stats", "alice/weather:v0", "--axis", "0")[1]
    assert "mean, 40:" in run("stats", "alice/weather:v0", "--axis", "1")[1]


def test_stats_of_nan_and_of_text(run: Run) -> None:
    hub.from_numpy(np.array([1.0, np.nan]), "nan")
    found = document(run, "stats", "nan")["statistics"]
    assert found == {"mean": "NaN", "std": "NaN", "min": "NaN", "max": "NaN"}
    hub.from_numpy(np.array(["a", "b"]), "text")
    code, out, err = run("stats", "text")
    assert code in (0, 1)
    assert out or err.startswith("hubzarr: ")


@pytest.mark.parametrize(
    "selection", ["__import__('os')", "0;1", "1.5", "a:b", "::0", "...,...", "", "0:1:2:3"]
)
def test_stats_refuses_what_is_no_selection(run: Run, weather: hub.Array, selection: str) -> None:
    code, out, err = run("stats", "alice/weather:v0", f"--slice={selection}")
    assert (code, out) == (1, "")
    assert "bad selection" in err


def test_seal_branch_and_writes_after(run: Run, weather: hub.Array) -> None:
    sealed = document(run, "seal", "alice/weather:v0", "-m", "done")
    assert sealed["commit"]["state"] == "sealed"
    assert document(run, "seal", "alice/weather:v0", code=4)["error"]["kind"] == "sealed"
    made = document(run, "branch", "alice/weather:v0@1", "v2", "-m", "again")
    assert (made["version"], made["from"]) == ("v2", "v0@1")
    assert hub.load("alice/weather:v2").sum() == weather.sum()
    code, _, err = run("branch", "alice/weather:v0", "v2")
    assert code == 4
    assert "exists already" in err


def test_cp_and_mv(run: Run, weather: hub.Array) -> None:
    made = document(run, "cp", "alice/weather:v1", "bob/weather:v9")
    assert (made["name"], made["version"], made["shape"]) == ("bob/weather", "v9", [40, 3])
    assert hub.load("bob/weather:v9").sum() == hub.load("alice/weather:v1").sum()
    assert run("cp", "alice/weather:v1", "bob/weather:v9")[0] == 4
    assert document(run, "mv", "bob/weather", "bob/climate")["target"] == "bob/climate"
    assert hub.exists("bob/climate:v9")
    assert run("mv", "bob/weather", "bob/climate")[0] == 3


def test_rm(run: Run, weather: hub.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("rm", "alice/weather:v1")
    assert code == 2
    assert "hubzarr rm --yes alice/weather:v1" in err
    assert hub.exists("alice/weather:v1")
    gone = document(run, "rm", "alice/weather:v1", "--yes")
    assert (gone["deleted"], gone["versions"]) == (True, ["v1"])
    assert not hub.exists("alice/weather:v1")
    assert run("rm", "alice/weather:v1", "--yes")[0] == 3
    run("seal", "alice/weather:v0")
    assert run("rm", "alice/weather", "-y")[0] == 4
    assert run("rm", "alice/weather", "-y", "--force")[0] == 0
    assert document(run, "ls")["repositories"] == []


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_rm_asks(
    run: Run, weather: hub.Array, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    got, out, err = run("rm", "alice/weather")
    assert got == code
    assert "Delete all of alice/weather, versions v0 v1?" in err
    assert hub.exists("alice/weather") is (code == 1)
    assert ("nothing was deleted" in out) is (code == 1)


CODES = {"NotFoundError": 3, "ConflictError": 4, "ExistsError": 4, "SealedError": 4}


@pytest.mark.parametrize("name", errors.__all__)
def test_each_error_has_its_code_and_no_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind = getattr(errors, name)

    def fail(args: object) -> Answer:
        raise kind("what was wrong; what to do")

    failing = Command("fail", "fails", fail)
    monkeypatch.setattr("hubzarr.cli.run.COMMANDS", (*COMMANDS, failing))
    code, out, err = run("fail")
    assert (code, out) == (CODES.get(name, 1), "")
    assert err == "hubzarr: what was wrong; what to do\n"
    assert "Traceback" in run("fail", "--debug")[2]
    told = document(run, "fail", code=code)["error"]
    assert told == {"kind": kind.kind, "message": "what was wrong; what to do", "code": code}


def test_ctrl_c_and_bugs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(args: object) -> Answer:
        raise KeyboardInterrupt

    def broken(args: object) -> Answer:
        raise ZeroDivisionError

    commands = (Command("stop", "", stopped), Command("bug", "", broken))
    monkeypatch.setattr("hubzarr.cli.run.COMMANDS", commands)
    code, _, err = run("stop")
    assert (code, err) == (130, "\nhubzarr: stopped\n")
    with pytest.raises(ZeroDivisionError):  # a bug of ours keeps its traceback
        main(["bug"])


def test_usage(run: Run) -> None:
    assert run("ls", "--wrong")[0] == 2
    assert run("nonsense")[0] == 2
    code, _, err = run()
    assert code == 2
    assert "commands:" in err
    code, out, _ = run("--version")
    assert (code, out) == (0, f"hubzarr {hub.__version__}\n")


@pytest.mark.parametrize("command", [c.name for c in COMMANDS])
def test_help_of(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    for argument in next(c for c in COMMANDS if c.name == command).arguments:
        assert str(argument.options.get("metavar") or argument.names[0]) in out


def test_root_before_and_after_the_command(run: Run, tmp_path: Path) -> None:
    place = str(tmp_path / "elsewhere")
    hub.array((2,), f"{place}/x:v0")
    for words in (("--root", place, "ls"), ("ls", "--root", place)):
        found = document(run, *words)
        assert [r["name"] for r in found["repositories"]] == ["x"]
        assert found["root"] == place
    assert document(run, "ls")["repositories"] == []  # the setting was taken back
    assert document(run, "ls", "--root", "", code=1)["error"]["kind"] == "invalid"


def test_as_a_process(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}

    def hubzarr(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "hubzarr.cli", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False
        )

    hub.array((4, 5), "x:v0")
    done = hubzarr("ls")
    assert (done.returncode, done.stderr) == (0, "")
    assert "x      v0         4 × 5" in done.stdout
    done = hubzarr("info", "y")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("hubzarr: ")


def test_closed_pipe(tmp_path: Path) -> None:
    hub.array((2,), "x:v0")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "hubzarr.cli", "ls"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
