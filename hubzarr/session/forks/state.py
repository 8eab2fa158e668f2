"""A state of a session that was shared with workers, and the chunks that they stored for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hubzarr.engine.objects import CellStore, data_path
from hubzarr.errors import DamagedError
from hubzarr.history.manifest import Manifest
from hubzarr.history.nodes import nodes_of
from hubzarr.session.forks.forking import Written, layout_of
from hubzarr.session.forks.notes import Signature, slots_of
from hubzarr.session.keys import ChunkKeys
from hubzarr.session.session import Session
from hubzarr.session.state import shape_of, side_of
from hubzarr.table.table import Table

__all__ = ["SharedArray", "SharedState", "StoredChunk", "written"]

type Cell = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SharedArray:
    """An array as it was shared."""

    path: str
    keys: ChunkKeys
    cells: CellStore
    table: Table | None
    layout: str
    shape: Cell

    def write_id(self, cell: Cell) -> int:
        """What the chunk table said."""
        return 0 if self.table is None else int(self.table.ids.get(cell or (0,)))


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk that a worker stored."""

    array: SharedArray
    cell: Cell
    signature: Signature

    @property
    def place(self) -> str:
        """Path of its object."""
        return self.array.cells.path(self.signature.write_id, self.cell)

    @property
    def key(self) -> tuple[str, Cell]:
        """Which chunk of the repository it is."""
        return self.array.path, self.cell


class SharedState:
    """A state of a session that was shared.

    Parameters
    ----------
    session : Session
    manifest : Manifest
        Of the commit that it would have made.
    """

    def __init__(self, session: Session, manifest: Manifest) -> None:
        self._session = session
        self._nodes = nodes_of(manifest, session.reader)
        slots = slots_of(self._nodes).items()
        self._paths = {(slot, self._nodes[path].home): path for path, slot in slots}
        self._arrays: dict[str, SharedArray] = {}

    def chunk(self, signature: Signature, place: str) -> StoredChunk:
        """The chunk whose object has a path."""
        key = place[len(data_path(signature.write_id, "")) :]
        end = len(key)
        while end > 0:
            end = key.rfind("/", 0, end)
            path = self._paths.get((signature.slot, key[:end] if end > 0 else ""))
            if path is not None:
                array = self._array(path)
                cell = array.keys.cell(key[end + 1 :])
                if cell is not None:
                    return StoredChunk(array, cell, signature)
        raise DamagedError(
            f"object {place} in {self._session.storage.url} is no chunk of an array, so hubzarr "
            "has not stored it there: remove it, then write again",
            path=place,
        )

    def _array(self, path: str) -> SharedArray:
        array = self._arrays.get(path)
        if array is None:
            session = self._session
            side = side_of(self._nodes[path], session.storage, session.reader)
            document = side.document
            cells = session.cells_for(side.home, document)
            array = self._arrays[path] = SharedArray(
                path, ChunkKeys.of(document), cells, side.table, layout_of(cells, document),
                shape_of(document),
            )  # fmt: skip
        return array


def written(chunks: list[tuple[StoredChunk, int]]) -> list[Written]:
    """Different chunks of one state for `merge_forks`, each with the write id before it."""
    groups: dict[str, list[tuple[StoredChunk, int]]] = {}
    for chunk, before in chunks:
        groups.setdefault(chunk.array.path, []).append((chunk, before))
    found = []
    for group in groups.values():
        array = group[0][0].array
        cells = np.array([chunk.cell or (0,) for chunk, _ in group], np.int64)
        ids = np.array([chunk.signature.write_id for chunk, _ in group], np.uint64)
        olds = np.array([before for _, before in group], np.uint64)
        found.append(Written(array.path, array.layout, array.shape, cells, ids, olds))
    return found
