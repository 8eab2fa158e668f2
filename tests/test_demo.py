"""The demo: it runs, its numbers are right, and it touches nothing but its own folder."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hubzarr as hub
from hubzarr import demo
from hubzarr.cli import main
from hubzarr.config import get_config
from hubzarr.errors import ExistsError, UnsupportedError

for package in ("matplotlib", "skimage", "sklearn"):
    pytest.importorskip(package, reason="the demo's extra is not installed")


def test_tour(tmp_path: Path) -> None:
    root = Path(os.environ["HUBZARR_ROOT"])
    done = subprocess.run(
        [sys.executable, "-m", "hubzarr.demo", "--out", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "1. 100,000 pictures on paper: 78.6 GB" in done.stdout
    assert "Equal to what process" in done.stdout
    assert ": yes." in done.stdout
    assert "SealedError" in done.stdout
    assert not root.exists()  # nothing was left in the user's own root
    assert (tmp_path / "out/hubzarr-demo.png").read_bytes().startswith(b"\x89PNG")
    hub.configure(root=tmp_path / "out/store")
    try:
        assert hub.list() == ["test/bigarray"]
        v0, v1 = hub.load("test/bigarray:v0"), hub.load("test/bigarray:v1")
        assert v0.info["sealed"]
        assert v0.shape == (100_000, 512, 512, 3)
        assert [e.commit and e.commit.author for e in v1.blame(slice(1, 4))] == [
            "ben@lab",
            "ann@lab",
        ]
        assert (v1[3].compute() == v0[3].compute()[:, ::-1]).all()
    finally:
        hub.configure(root=None)


@pytest.mark.parametrize("runs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_in_this_process(tmp_path: Path, capsys: pytest.CaptureFixture[str], runs: int) -> None:
    before = get_config()
    out = tmp_path / "out"
    for _ in range(runs):  # the second run replaces the first
        assert main(["demo", "--out", str(out), "--json"]) == 0
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        assert "A second version" in captured.err
    assert found["slice"]["equal"]
    assert found["pictures"] >= 10
    assert found["nbytes"] == 78_643_200_000
    assert found["nbytes_disk"] < 50_000_000
    whole = found["statistics"][0]
    assert (whole["selection"], whole["reads"]) == ("images", 0)
    assert [entry["author"] for entry in found["blame"]][:2] == ["ben@lab", "ann@lab"]
    assert found["elements_changed"] > 0
    assert get_config() == before


def test_keeps_what_is_not_its_own(tmp_path: Path) -> None:
    precious = tmp_path / "store/precious"
    precious.parent.mkdir()
    precious.write_text("keep")
    with pytest.raises(ExistsError, match="--out DIR"):
        demo.run(tmp_path, io.StringIO())
    assert precious.read_text() == "keep"


def test_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'hubzarr\[demo\]'"):
        demo.run(tmp_path / "out", io.StringIO())
    assert not (tmp_path / "out").exists()
