"""Folders of small pictures, for tests of sources that read images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hubzarr.ingesting import Skipped, Source
from hubzarr.media import Sample


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (8, 6)) -> bytes:
    """Write a picture in the format that the path says, and give its bytes."""
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    data = Sample(array=array).encoded(path.suffix[1:].lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


def rows_of(source: Source) -> list[dict]:
    """All rows of a source; the test fails if anything was skipped as broken."""
    rows = []
    for unit in source.units():
        before = len(rows)
        for row in source.rows(unit):
            assert isinstance(row, dict) or not getattr(row, "broken", True), row
            if isinstance(row, dict):
                rows.append(row)
        assert unit.rows is None or len(rows) - before <= unit.rows
    return rows


def skipped_of(source: Source) -> list[Skipped]:
    """What a source leaves out."""
    found = [row for unit in source.units() for row in source.rows(unit)]
    return [row for row in found if isinstance(row, Skipped)]


def options_of(source: Source) -> dict[str, dict]:
    """Options of the tensors, by name."""
    return {column.name: column.options for column in source.columns}
