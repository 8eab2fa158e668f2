"""Rows of a source one by one, for comparing them with what a reference library reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubzarr.htypes import prepare, tensor_spec
from hubzarr.ingesting.source import Block, Skipped, Source


def everything(source: Source) -> Iterator[dict[str, Any] | Skipped]:
    """Rows and what was skipped, of all units in order; keys must be unique."""
    keys = set()
    for unit in source.units():
        assert unit.key not in keys
        keys.add(unit.key)
        count = 0
        for given in source.rows(unit):
            if isinstance(given, Block):
                count += given.rows
                for values in given.columns.values():
                    assert len(values) == given.rows
                for number in range(given.rows):
                    yield {name: values[number] for name, values in given.columns.items()}
            else:
                count += isinstance(given, dict)
                yield given
        assert unit.rows is None or count <= unit.rows


def rows(source: Source) -> list[dict[str, Any]]:
    """All rows; nothing may have been skipped, and each column must take its values."""
    found = []
    for row in everything(source):
        assert isinstance(row, dict), str(row)
        found.append(row)
    check(source, found)
    return found


def skipped(source: Source) -> list[Skipped]:
    """What became no row."""
    return [given for given in everything(source) if isinstance(given, Skipped)]


def check(source: Source, found: list[dict[str, Any]]) -> None:
    """The tensors that the columns ask for take the values."""
    specs = {column.name: tensor_spec(**column.options) for column in source.columns}
    for row in found[:50]:
        assert row.keys() == specs.keys()
        for name, value in row.items():
            if not hasattr(value, "tile_shape"):
                prepare(specs[name][0], value, specs[name][1])


def options(source: Source) -> dict[str, dict[str, Any]]:
    """Options of the tensors by name."""
    return {column.name: column.options for column in source.columns}
