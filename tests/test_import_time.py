"""`import hubzarr` stays instant: what is heavy loads when it is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["dask", "fsspec", "gcsfs", "matplotlib", "numcodecs", "rich", "s3fs", "zarr"]


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("statement", ["import hubzarr", "import hubzarr.errors"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    assert modules_after(statement).isdisjoint(HEAVY)


def test_the_check_sees_what_is_loaded() -> None:
    assert "fsspec" in modules_after("import fsspec")
