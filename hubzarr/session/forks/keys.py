"""The keys of a forked store in a worker: it reads a state of the session, and stores chunks."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Final

from hubzarr.errors import ConflictError, InvalidError, ReadOnlyError
from hubzarr.session.forks.chunks import OwnChunk, OwnChunks, merged_by_element
from hubzarr.session.forks.gate import LEASE, Gate
from hubzarr.session.forks.notes import Notes, Signature, slots_of
from hubzarr.session.keys import check_key, node_document, node_path
from hubzarr.session.keyspace import KeySpace
from hubzarr.session.pinned import OpenedOnce
from hubzarr.session.session import Session
from hubzarr.session.state import ArrayState
from hubzarr.storage.base import Data, joined

__all__ = ["ForkKeys"]

type Cell = tuple[int, ...]

_REFUSAL: Final = (
    "a fork in another process only stores chunks: create and resize arrays, delete and set "
    "attributes in the process that made the fork, before it sends the store to others"
)

#: Few, for they remember each chunk that was stored. If one is let go too early, the owner has
#: more to merge.
_opened: OpenedOnce[KeySpace] = OpenedOnce(kept=8)


@dataclass(frozen=True, slots=True)
class ForkKeys:
    """Where the keys of a fork are to be found; it has not opened anything.

    Parameters
    ----------
    place : bytes
        The repository's storage, pickled.
    name, version : str
        For messages.
    token : str
        Of the fork.
    state : int
        The number of a state of it.
    """

    place: bytes = field(repr=False)
    name: str
    version: str
    token: str
    state: int

    def open(self) -> KeySpace:
        """The keys; all stores and threads of a process share them."""
        return _opened.get(self, self._open)

    def _open(self) -> KeySpace:
        notes = Notes(pickle.loads(self.place), self.token)
        session = Session(notes.storage, notes.state(self.state), writable=False, name=self.name)
        session.refusal = _REFUSAL
        return WorkerKeys(session, notes, self.state)


class WorkerKeys(KeySpace):
    """What a worker reads and stores for the owner of a fork.

    Parameters
    ----------
    session : Session
        A state of the owner's session; it only reads.
    notes : Notes
    state : int
        The number of that state.
    """

    def __init__(self, session: Session, notes: Notes, state: int) -> None:
        super().__init__(session)
        self._notes = notes
        self._state = state
        self._slots = slots_of(session.committed_nodes())
        self._own = OwnChunks(self._sign)
        self._gate = Gate(notes.is_open, 0 if session.storage.is_local else LEASE)

    def _sign(self, slot: int, turn: int, write_id: int) -> None:
        writer = self._own.writer
        self._notes.sign(Signature(self._state, slot, writer, turn, write_id))

    def _located(self, key: str) -> tuple[str, ArrayState, Cell] | None:
        """Path, array and cell that a key means, None if it is not a chunk's."""
        with self.session.lock:
            found = self.find(key)
        if found is None:
            return None
        state, cell = found
        return key.removesuffix(state.engine.cells.key(cell)).rstrip("/"), state, cell

    # -- reading: the state of the fork, and what this process stored ----------

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Bytes ``start:stop`` of a key, None if there is none; a negative start as in slices."""
        found = self._located(key)
        if found is None:
            return super().get(key, start, stop)
        path, state, cell = found
        own = self._own.newest((path, cell))
        if not own:
            return super().get(key, start, stop)
        storage, cells = self.session.storage, state.engine.cells
        place = cells.path(own, cell)
        if start or stop is not None:
            data = storage.get_range(place, start, stop)
        else:
            data = storage.get(place)
        if data is None:
            raise cells.lost(own, cell)
        return data

    def size(self, key: str) -> int | None:
        """Number of bytes of a key, None if there is none."""
        found = self._located(key)
        own = 0 if found is None else self._own.newest((found[0], found[2]))
        if found is None or not own:
            return super().size(key)
        return self.session.storage.size(found[1].engine.cells.path(own, found[2]))

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        found = self._located(key)
        own = found is not None and self._own.newest((found[0], found[2]))
        return bool(own) or super().exists(key)

    # -- writing: chunks ---------------------------------------------------------

    def put(self, key: str, data: Data, size: int) -> None:
        """Store a chunk. A document may be set to what it is."""
        node = node_path(check_key(key))
        if node is None:
            self._store(key, data, size)
            return
        document = node_document(bytes(data))  # type: ignore[arg-type]
        if document is None or document != node_document(self.document(node) or b""):
            raise ReadOnlyError(f"{key!r} can't be set: {_REFUSAL}")

    def delete(self, key: str) -> None:
        """Empty a chunk."""
        found = self._located(key)
        if found is None:
            if super().exists(key):
                raise ReadOnlyError(f"{key!r} can't be deleted: {_REFUSAL}")
            return
        path, state, cell = found
        if state.engine.id_of(cell) or self._own.newest((path, cell)):
            # The owner finds objects only, so that there is one that holds fill values.
            codec = state.engine.cells.codec
            self._store(key, codec.encode(codec.filled()), 0)

    def _store(self, key: str, data: Data, size: int) -> None:
        found = self._located(key)
        if found is None:
            raise InvalidError(
                f"{key!r} is no chunk of an array in this fork; {_REFUSAL}. Keys of chunks that "
                "lie outside an array are refused too"
            )
        path, state, cell = found
        chunk = self._own.get((path, cell))
        with chunk.lock:
            if chunk.newest:
                data = self._merged(path, state, cell, chunk, data)
            write_id = self._own.next_id(self._slots[path], chunk)
            # All or nothing: the owner takes what it finds, also of a process that was killed.
            self.session.storage.put_atomic(state.engine.cells.path(write_id, cell), data)
            if not self._gate.passes():
                raise self._notes.ended()
            chunk.newest = write_id

    def _merged(
        self, path: str, state: ArrayState, cell: Cell, chunk: OwnChunk, data: Data
    ) -> Data:
        """A chunk with what this process stored of it before."""
        cells, before = state.engine.cells, state.engine.id_of(cell)
        base = cells.read_cell(before, cell) if before else cells.codec.filled()
        new = cells.codec.view(joined(data))
        origin = tuple(i * n for i, n in zip(cell, cells.cell_shape, strict=True))
        try:
            merged = merged_by_element(base, cells.read_cell(chunk.newest, cell), new, origin)
        except ConflictError as error:
            session = self.session
            raise ConflictError(
                f"{session.name}:{session.version} {path}: {error} in one fork. Each element must "
                "come from one task only, and be set once: give tasks regions that don't overlap, "
                "or let a second fork follow",
                path=path,
                cell=cell,
            ) from None
        return data if merged is new else cells.codec.encode(merged)
