"""Every script in examples/ runs, in a process of its own."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((REPOSITORY / "examples").glob("*.py"))
IMPORT = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_example(script: Path, tmp_path: Path) -> None:
    for module in IMPORT.findall(script.read_text(encoding="utf-8")):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    for attempt in ("first run", "run again on what is there"):
        done = subprocess.run(
            [sys.executable, "-W", "error::FutureWarning:hubzarr", str(script)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{attempt}:\n{done.stderr}"
        assert done.stdout
        assert not done.stderr, f"{attempt}:\n{done.stderr}"


def test_there_are_examples() -> None:
    assert len(SCRIPTS) >= 5
