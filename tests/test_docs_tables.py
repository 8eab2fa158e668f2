"""Tables of the documentation name everything that there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hubzarr import errors, htypes
from hubzarr.ingesting import kinds
from hubzarr.ingesting.recognise import load
from hubzarr.media import names

DOCS = Path(__file__).resolve().parent.parent / "docs"


def first_cells(page: str, heading: str, column: int = 0) -> set[str]:
    """Words in backticks in a column of the first table below a heading."""
    text = (DOCS / page).read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows is not None
    cells = [line.split("|")[column + 1] for line in rows[0].splitlines()[2:]]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_kinds_of_sources():
    assert first_cells("how-to/ingest.md", "## What is recognised") == set(kinds())


def test_sources_have_a_reference():
    page = (DOCS / "reference" / "sources.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"automodule:: hubzarr\.ingesting\.(\w+)", page))
    assert {load(name).KIND for name in documented} == set(kinds()) - {"hubzarr_zarr"}


def test_formats_of_samples():
    assert first_cells("how-to/samples.md", "## Formats", 1) == set(names())


def test_htypes():
    assert first_cells("how-to/htypes.md", "# Kinds of tensors") == set(htypes.names())


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n != "HubzarrError"])
def test_errors(name):
    assert name in first_cells("how-to/errors.md", "# Recover from errors")
