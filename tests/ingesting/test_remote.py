"""Sources on a store that is no disk give the same rows as on disk."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest

from hubzarr.ingesting import Block, Place, open_source, recognise
from hubzarr.media import Sample
from tests.realdata import real

PATHS = [
    "coco/panopticapi",
    "csv/bccd_test.csv",
    "images/hub_cats_dogs",
    "voc/bccd",
    "yolo/coco128",
]


def _uploaded(path: Path) -> Place:
    base = f"memory://{uuid.uuid4().hex}/{path.name}"
    fs = fsspec.filesystem("memory")
    if path.is_file():
        fs.pipe_file(base, path.read_bytes())
    for file in path.rglob("*"):
        if file.is_file():
            fs.pipe_file(f"{base}/{file.relative_to(path)}", file.read_bytes())
    return Place(base)


def _same(one: object, other: object) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, Sample):
        return one.compressed_bytes == other.compressed_bytes
    if isinstance(one, Block):
        return _same(one.columns, other.columns)
    if isinstance(one, list):
        return all(map(_same, one, other))
    return np.array_equal(one, other)


@pytest.mark.parametrize("path", PATHS)
def test_the_same_rows(path: str):
    local = Place(real(path))
    remote = _uploaded(real(path))
    assert recognise(remote) is recognise(local)
    here, there = open_source(local), open_source(remote)
    assert here.columns == there.columns
    units = list(here.units())
    assert [unit.key for unit in there.units()] == [unit.key for unit in units]
    for mine, other in zip(units, there.units(), strict=True):
        rows = zip(here.rows(mine), there.rows(other), strict=True)
        assert all(_same(one, two) for one, two in list(rows)[:20])
