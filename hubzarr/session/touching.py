"""Which stored objects a selection touches, and bringing them here through a disk cache."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import batched, chain
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from hubzarr.engine import ArrayEngine
from hubzarr.engine.cache import ChunkCache
from hubzarr.engine.objects import CellStore
from hubzarr.errors import DamagedError
from hubzarr.history.heads import head
from hubzarr.history.versions import read_manifest
from hubzarr.indexing import Transform, box_cells, identity, pieces
from hubzarr.session.keyspace import loose_path
from hubzarr.session.session import Session
from hubzarr.session.state import is_array
from hubzarr.storage.base import Storage
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.table.walk import written_blocks, written_leaves
from hubzarr.threads import map_all

__all__ = ["Touched"]

type Cell = tuple[int, ...]

#: Objects that are looked at together; bounds what is waited for after an error.
_BATCH: Final = 1024
#: Decoded indexes of shards kept meanwhile.
_INDEXES: Final = 8 << 20


class _Job(NamedTuple):
    """An object, and which inner chunks of it are wanted; None: all of it."""

    cells: CellStore
    write_id: int
    cell: Cell
    inner: set[Cell] | None


class Touched:
    """What is needed for reading some of a commit's elements.

    Parameters
    ----------
    session : Session
        Its committed state counts; what was not committed is on no store.
    """

    def __init__(self, session: Session) -> None:
        self.session = Session(session.storage, session.manifest, writable=False, name=session.name)
        self._jobs: dict[str, _Job] = {}
        self._loose: list[str] = []

    def __len__(self) -> int:
        return len(self._jobs) + len(self._loose)

    @property
    def paths(self) -> list[str]:
        """Paths of the objects, below the repository."""
        return [*self._jobs, *self._loose]

    # -- what is wanted ----------------------------------------------------------

    def add_commit(self, pinned: bool = False) -> None:
        """Manifests, nodes and the log: what opening and looking around need.

        A commit that is pinned by its id is opened without its version's newest one.
        """
        session, commit = self.session, self.session.manifest.commit
        if not (pinned and _has_manifest(session.storage, commit.id)):
            head(session.storage, commit.version)
            read_manifest(session.storage, commit.version, commit.number)
        session.committed_nodes()
        _read_log(session)

    def add_all(self, group: str = "") -> None:
        """Everything at a path and below, loose objects too where that is all."""
        for path, node in self.session.committed_nodes().items():
            inside = not group or path == group or path.startswith(f"{group}/")
            if inside and is_array(node.document):
                self.add_array(path)
        if not group:
            for key, (write_id, _) in (self.session.manifest.objects or {}).items():
                self._loose.append(loose_path(int(write_id, 16), key))

    def add_array(self, path: str) -> None:
        """A whole array, with its statistics."""
        engine = self._engine(path)
        cells, grid = _apart(engine.cells), engine.table.grid
        start = (0,) * len(grid)
        self._add_statistics(engine, start, grid)
        for first, ids in written_blocks(engine.table.ids, start, grid):
            for within in np.argwhere(ids).tolist():
                cell = tuple(f + w for f, w in zip(first, within, strict=True))
                at = cell if engine.shape else ()
                self._add(cells, int(ids[tuple(within)]), at, None)

    def add_view(self, path: str, t: Transform) -> None:
        """Some elements of an array."""
        engine = self._engine(path)
        if not t.size:
            return
        if t.shape == engine.shape and t.box == identity(engine.shape).box:
            self.add_array(path)
            return
        cells = _apart(engine.cells)
        if t.box is not None:
            first, last = box_cells(t.box, cells.cell_shape)
            self._add_statistics(engine, first, tuple([i + 1 for i in last]))
        for piece in pieces(t, cells.chunk_shape, engine.shape):
            self._add_chunk(engine, cells, piece.cell)
        self._round(engine)

    def add_spans(self, path: str, spans: np.ndarray[Any, Any]) -> None:
        """Elements ``start:stop`` of an array of one axis, a row for each span."""
        engine = self._engine(path)
        cells = _apart(engine.cells)
        size = cells.chunk_shape[0]
        wanted = [np.arange(a // size, -(-b // size)) for a, b in spans.tolist()]
        for number in np.unique(np.concatenate(wanted)).tolist() if wanted else ():
            self._add_chunk(engine, cells, (number,))
        self._round(engine)

    def _engine(self, path: str) -> ArrayEngine:
        return self.session.array(path).engine

    def _add_statistics(self, engine: ArrayEngine, start: Cell, stop: Cell) -> None:
        """Read the pages about a box of cells: together, which is why it is done first."""
        for _ in written_leaves(engine.table.ids, start, stop):
            pass
        if engine.table.stats is not None:
            for _ in written_leaves(engine.table.stats, start, stop):
                pass

    def _add_chunk(self, engine: ArrayEngine, cells: CellStore, chunk: Cell) -> None:
        shard = cells.shard
        if shard is None:
            self._add(cells, engine.id_of(chunk), chunk, None)
            return
        outer = tuple(c // n for c, n in zip(chunk, shard.grid, strict=True))
        inner = tuple(c % n for c, n in zip(chunk, shard.grid, strict=True))
        self._add(cells, engine.id_of(outer), outer, inner)

    def _add(self, cells: CellStore, write_id: int, cell: Cell, inner: Cell | None) -> None:
        if not write_id:
            return
        path = cells.path(write_id, cell)
        known = self._jobs.get(path)
        if inner is None:
            self._jobs[path] = _Job(cells, write_id, cell, None)
        elif known is None:
            self._jobs[path] = _Job(cells, write_id, cell, {inner})
        elif known.inner is not None:
            known.inner.add(inner)

    def _round(self, engine: ArrayEngine) -> None:
        """Shards of which every inner chunk is wanted are wanted whole."""
        for path, job in self._jobs.items():
            if job.inner is None or job.cells.home != engine.cells.home:
                continue
            sizes = zip(engine.extent(job.cell), job.cells.chunk_shape, strict=True)
            if len(job.inner) == prod(-(-extent // size) for extent, size in sizes):
                self._jobs[path] = job._replace(inner=None)

    # -- bringing it here --------------------------------------------------------

    def fetch(self) -> Iterator[list[int]]:
        """Read all objects and check them; yields the sizes of what was read, in portions."""
        storage = self.session.storage

        def read(item: str | _Job) -> int:
            return _read(item) if isinstance(item, _Job) else len(storage.get(item) or b"")

        work: Iterator[str | _Job] = chain(self._loose, self._jobs.values())
        for some in batched(work, _BATCH):
            yield map_all(read, some, storage.concurrency)


def _apart(cells: CellStore) -> CellStore:
    """The same objects, but what is in memory already does not count."""
    other = copy.copy(cells)
    other.cache = ChunkCache(_INDEXES)
    return other


def _read(job: _Job) -> int:
    cells, write_id, cell, inner = job
    if inner is not None:
        found = cells.read_inner(write_id, cell, sorted(inner), keep=False)
        return sum(chunk.nbytes for chunk in found if chunk is not None)
    try:
        return _checked(job)
    except DamagedError:
        if not cells.storage.distrust(cells.path(write_id, cell)):
            raise
    return _checked(job)  # it may have been damaged on its way only


def _checked(job: _Job) -> int:
    cells, write_id, cell, _ = job
    data = cells.storage.get(cells.path(write_id, cell))
    if data is None:
        raise cells.lost(write_id, cell)
    cells.codec.check(data)
    return len(data)


def _has_manifest(storage: Storage, commit: str) -> bool:
    """Whether the disk cache holds the manifest of a commit."""
    return isinstance(storage, CachedStorage) and storage.manifest_of(commit) is not None


def _read_log(session: Session) -> None:
    """Read the pages of the log, those of one level at the same time."""
    levels: list[list[Any]] = session.manifest.log.get("runs", [])
    wanted: list[tuple[int, Any]] = [(k, ref) for k, refs in enumerate(levels) for ref in refs]
    while wanted:
        pages = map_all(
            lambda item: session.reader.document(bytes.fromhex(item[1]["page"])),
            wanted,
            session.storage.concurrency,
        )
        wanted = [
            (level - 1, ref)
            for (level, _), page in zip(wanted, pages, strict=True)
            if level
            for ref in page
        ]
