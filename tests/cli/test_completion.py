"""Completion: what is offered, and that the shells take the scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hubzarr as hub
from hubzarr.cli import main
from hubzarr.cli.run import COMMANDS


@pytest.fixture(autouse=True)
def _arrays() -> None:
    hub.array((2,), "alice/weather:v0").branch("v1")
    hub.array((2,), "mnist")


def complete(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["_complete", "--", *words]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["l"], ["log", "ls"]),
        (["lo", ""], []),
        (["info", ""], ["alice/weather", "mnist"]),
        (["info", "al"], ["alice/weather"]),
        (["info", "alice/weather"], ["alice/weather", "alice/weather:v0", "alice/weather:v1"]),
        (["info", "alice/weather:"], ["alice/weather:v0", "alice/weather:v1"]),
        (["info", "alice/weather:v1"], ["alice/weather:v1"]),
        (["info", "nobody:"], []),
        (["info", "..:"], []),
        (["info", "mnist", ""], []),
        (["diff", "mnist", "m"], ["mnist"]),
        (["branch", "mnist", ""], []),
        (["--json", "info", "m"], ["mnist"]),
        (["info", "--st"], ["--stored"]),
        (["log", "-n", ""], []),
        (["log", "-n", "3", "m"], ["mnist"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["--root", "/nowhere/at/all", "info", ""], []),
        (["--root=", "info", ""], []),
    ],
)
def test_offers(capsys: pytest.CaptureFixture[str], words: list[str], offered: list[str]) -> None:
    assert complete(capsys, *words) == offered


def test_offers_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete(capsys, "") == sorted(c.name for c in COMMANDS)
    assert main(["_complete"]) == 0


def test_offers_names_below_another_root(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hub.array((2,), f"{tmp_path}/other/there")
    assert complete(capsys, "--root", f"{tmp_path}/other", "info", "") == ["there"]


def test_offers_roots_and_what_is_below_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hub.configure(roots={"prod": str(tmp_path / "prod")})
    try:
        hub.array((2,), "prod/alice/there:v0")
        assert complete(capsys, "info", "p") == ["prod/"]
        assert complete(capsys, "info", "prod/") == ["prod/", "prod/alice/there"]
        assert complete(capsys, "info", "prod/alice/there:") == ["prod/alice/there:v0"]
    finally:
        hub.configure(roots=None)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_take_the_script(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, shell: str
) -> None:
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert "hubzarr _complete --" in script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "replies"),
    [
        pytest.param("hubzarr inf", ["info"], marks=pytest.mark.slow),
        ("hubzarr info alice/weather:", ["v0", "v1"]),
        pytest.param("hubzarr info ", ["alice/weather", "mnist"], marks=pytest.mark.slow),
    ],
)
def test_bash_completes(line: str, replies: list[str]) -> None:
    """The function of the script, called as bash calls it; bash cuts words at ':'."""
    script = """
        hubzarr() { "$PYTHON" -m hubzarr.cli "$@"; }
        source <(hubzarr completion bash)
        COMP_LINE="$1" COMP_POINT=${#1}
        _hubzarr
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", line], env={**os.environ, "PYTHON": sys.executable},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split() == replies
