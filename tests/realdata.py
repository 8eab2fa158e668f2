"""Real files of every format that hubzarr reads, kept outside the repository.

They are looked for in the folder that the environment variable `HUBZARR_TEST_DATA`
names, else in `../shared/data` beside the checkout.  Tests that want one and don't
find it are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read once: the tests run without the user's HUBZARR_ variables.
DATA = Path(
    os.environ.get("HUBZARR_TEST_DATA")
    or Path(__file__).resolve().parents[2].joinpath("shared", "data")
)


def real(relative: str) -> Path:
    """Give the path of a real file or folder, or skip the test that asks for it."""
    path = DATA / relative
    if not path.exists():
        pytest.skip(f"no {relative} in {DATA}; HUBZARR_TEST_DATA names the folder of real files")
    return path


def every(pattern: str) -> list[Path]:
    """All real files that match a glob pattern, sorted; none where there are no real files.

    For `pytest.mark.parametrize`, which skips a test without parameters by itself.
    """
    return sorted(path for path in DATA.glob(pattern) if path.is_file())
