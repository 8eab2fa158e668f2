"""Copying one state of a repository into another repository, objects as they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hubzarr.engine.objects import data_path
from hubzarr.errors import DamagedError
from hubzarr.history.manifest import Manifest
from hubzarr.history.nodes import nodes_of
from hubzarr.progress import progress
from hubzarr.session.opening import create_version
from hubzarr.session.session import Session
from hubzarr.session.state import is_array
from hubzarr.storage.base import Storage
from hubzarr.table.pages import pack_path
from hubzarr.table.table import Table
from hubzarr.threads import map_all

__all__ = ["copy_version"]

#: Objects in flight at a time: bounds the memory.
BATCH = 256


def copy_version(
    origin: Session, target: Storage, version: str, *, author: str, message: str, name: str
) -> Manifest:
    """Create a version in another repository with the content of a session's manifest.

    Chunks and pages go over as they are, so statistics are kept and nothing is decoded.
    The version appears when all of them are there. History is not taken along.
    """
    nodes = nodes_of(origin.manifest, origin.reader)
    with progress(None, f"copying {origin.name}:{origin.version}, objects") as bar:
        for batch in _batches(_paths(origin)):
            map_all(
                lambda path: _copy(origin.storage, target, path),
                batch,
                max(origin.storage.concurrency, target.concurrency),
                16 if target.is_local and origin.storage.is_local else 1,
            )
            bar.advance(len(batch))
    return create_version(
        target, version, None, author=author, message=message, name=name, nodes=nodes,
        objects=origin.manifest.objects,
    )  # fmt: skip


def _copy(source: Storage, target: Storage, path: str) -> None:
    data = source.get(path)
    if data is None:
        raise DamagedError(f"object {path} is missing from {source.url}: nothing was created")
    target.put_atomic(path, data)


def _batches(paths: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for path in paths:
        batch.append(path)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _paths(origin: Session) -> Iterator[str]:
    """Every object that the state of a session's manifest needs."""
    for node in nodes_of(origin.manifest, origin.reader).values():
        if not is_array(node.document) or node.table is None:
            continue
        cells = origin.cells_for(node.home, node.document)
        table = Table.parse(origin.reader, node.table, cells.stats, cells.channels)
        yield from {pack_path(address): None for address in table.pages()}
        axes = len(node.document["shape"])
        for first, ids in table.ids.written_leaves():
            for within in np.argwhere(ids).tolist():
                cell = tuple(f + w for f, w in zip(first, within, strict=True))
                yield cells.path(int(ids[tuple(within)]), cell if axes else ())
    for key, (write_id, _) in origin.manifest.objects.items():
        yield f"{data_path(int(write_id, 16), '.loose')}{key}"
