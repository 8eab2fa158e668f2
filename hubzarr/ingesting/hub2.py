"""Datasets of Hub 2 and Deep Lake 3, and of Hub 1, read from their files.

Each tensor becomes a column with the same htype, compression and class names; files that
are samples keep their bytes. Read is the head of the branch ``main``, or another version.
Tensors that Hub keeps for itself (ids, shapes, file information) are left out, as are
tensors without samples. Where lengths differ, there are as many rows as the shortest has.

Deep Lake 4 stores datasets in another way, which is not read here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hubzarr.errors import (
    DamagedError,
    HubzarrError,
    InvalidError,
    NotFoundError,
    SampleError,
    UnsupportedError,
)
from hubzarr.ingesting import hub1
from hubzarr.ingesting.columns import as_json, clean_names
from hubzarr.ingesting.hub2_tensor import FIRST_COMMIT, HubFiles, HubTensor
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Block, Column, Row, Skipped, Source, Unit

__all__ = ["KIND", "HubSource", "matches", "open_source"]

KIND = "hub2"

_UNIT_ROWS = 4096


def matches(place: Place) -> bool:
    """Whether the folder has the metadata of a dataset of Hub 1 or 2."""
    try:
        if not place.is_dir():
            return False
        meta = place.child("dataset_meta.json")
        if meta.is_file():
            return "tensors" in json.loads(meta.read())
        return place.child("version_control_info.json").is_file() or hub1.matches(place)
    except (HubzarrError, ValueError):
        return False


def open_source(place: Place, *, version: str | None = None) -> Source:
    """A dataset of Hub.

    Parameters
    ----------
    place : Place
        Its folder.
    version : str, optional
        Branch, or id of a commit; without one the head of ``main``.

    Raises
    ------
    NotFoundError
        There is no such branch or commit.

    Examples
    --------
    >>> import pathlib
    >>> _ = pathlib.Path("dataset_meta.json").write_text('{"version": "3.9", "tensors": ["x"]}')
    >>> pathlib.Path("x/chunks_index").mkdir(parents=True)
    >>> _ = pathlib.Path("x/tensor_meta.json").write_text('{"htype": "text"}')
    >>> _ = pathlib.Path("x/chunks_index/unsharded").write_bytes(
    ...     b"\\x053.9.5\\x04" + bytes([7, 0, 0, 0, 1, 0, 0, 0]))
    >>> source = open_source(Place("."))
    >>> source.columns, len(source.tensors[0])
    ((Column(name='x', options={'htype': 'text'}),), 2)
    """
    if not place.child("dataset_meta.json").is_file() and hub1.matches(place):
        return hub1.open_source(place)
    files = HubFiles(place, _history(place, version))
    found = _tensors(files)
    tensors = [tensor for tensor in found if len(tensor)]
    if not tensors:
        raise InvalidError(f"the Hub dataset {place.url!r} has no samples")
    rows = min(map(len, tensors))
    bare = (tensor for tensor in found if not len(tensor))
    left_out = [Skipped(tensor.name, "it has no samples", broken=False) for tensor in bare]
    left_out += [
        Skipped(f"{tensor.name}[{rows}:]", "other tensors are shorter", broken=False)
        for tensor in tensors
        if len(tensor) > rows
    ]
    return HubSource(tuple(tensors), rows, tuple(left_out), _info(files, tensors))


@dataclass(frozen=True)
class HubSource:
    """Rows of a dataset of Hub 2 or Deep Lake 3."""

    tensors: tuple[HubTensor, ...]
    length: int
    left_out: tuple[Skipped, ...]
    info: dict[str, Any]
    kind: str = KIND

    @property
    def columns(self) -> tuple[Column, ...]:
        """One for each tensor."""
        return tuple(tensor.column for tensor in self.tensors)

    def units(self) -> Iterator[Unit]:
        """The rows of one chunk, of the tensor that has most chunks."""
        ends = max((tensor.row_ends for tensor in self.tensors), key=len)
        for start, stop in _ranges(ends, self.length):
            yield Unit(str(start), (start, stop), stop - start)

    def rows(self, unit: Unit) -> Iterator[Row]:
        """Samples as they are stored, not decoded."""
        start, stop = unit.payload
        if start == 0:
            yield from self.left_out
        columns = {tensor.name: tensor.read(start, stop) for tensor in self.tensors}
        if all(tensor.is_plain for tensor in self.tensors) and not _broken(columns):
            yield Block(columns, stop - start)
            return
        for number, values in enumerate(zip(*columns.values(), strict=True), start):
            broken = [value for value in values if isinstance(value, SampleError)]
            if broken:
                yield Skipped(f"row {number}", broken[0].message)
            else:
                yield dict(zip(columns, values, strict=True))


def _broken(columns: dict[str, Any]) -> bool:
    return any(
        isinstance(value, SampleError)
        for values in columns.values()
        if isinstance(values, list)
        for value in values
    )


def _tensors(files: HubFiles) -> list[HubTensor]:
    """All tensors but those that Hub keeps for itself."""
    meta = files.json("dataset_meta.json")
    try:
        folders = meta.get("tensor_names") or {name: name for name in meta.get("tensors", ())}
        concealed = set(meta.get("hidden_tensors", ()))
        shown = {n: folder for n, folder in folders.items() if not concealed & {n, folder}}
        names = clean_names(shown)
        tensors = [HubTensor(files, names[name], folder) for name, folder in shown.items()]
    except (TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"metadata of {files.root.url!r} is broken: {error}") from error
    return [tensor for tensor in tensors if not tensor.hidden]


def _ranges(ends: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
    start = 0
    for end in [*ends, length]:
        while start < min(end, length):
            stop = min(end, start + _UNIT_ROWS, length)
            yield start, stop
            start = stop


def _history(place: Place, version: str | None) -> tuple[str, ...]:
    """The commit to read, its parent, and so on."""
    try:
        tree = json.loads(place.child("version_control_info.json").read())
        commits, branches = tree["commits"], tree["branches"]
    except NotFoundError:
        if place.child("version_control_info").is_file():
            raise UnsupportedError(
                f"the history of {place.url!r} is a pickle of Hub 2.0 to 2.2, which may run "
                "anything when it is loaded; write to the dataset with hub 2.3 or later once"
            ) from None
        commits, branches = {FIRST_COMMIT: {}}, {"main": FIRST_COMMIT}
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"version_control_info.json in {place.url!r} is broken") from error
    wanted = version or "main"
    commit = branches.get(wanted, wanted)
    if commit not in commits:
        raise NotFoundError(
            f"no branch or commit {wanted!r} in {place.url!r}; branches: {', '.join(branches)}"
        )
    history = [commit]
    while parent := commits.get(history[-1], {}).get("parent"):
        if parent in history:
            raise DamagedError(f"the history of {place.url!r} runs in a circle")
        history.append(parent)
    return tuple(history)


def _info(files: HubFiles, tensors: Sequence[HubTensor]) -> dict[str, Any]:
    """Of the dataset, and of the tensors what is not among their options."""
    info: dict[str, Any] = {**files.json("dataset_info.json")}
    rest = {
        tensor.name: left
        for tensor in tensors
        if (left := {k: v for k, v in tensor.info.items() if k not in tensor.column.options})
    }
    if rest:
        info["tensors"] = rest
    kept: dict[str, Any] = as_json(info)
    return kept
