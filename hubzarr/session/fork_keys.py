"""The keys of a forked store in a worker: it reads a state of the session, and stores chunks."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Final

from hubzarr.errors import InvalidError, ReadOnlyError
from hubzarr.session.fork_gate import Gate
from hubzarr.session.fork_notes import Notes, Signature, slots_of
from hubzarr.session.fork_versions import ChunkVersions
from hubzarr.session.keys import check_key, node_document, node_path
from hubzarr.session.keyspace import KeySpace
from hubzarr.session.pinned import OpenedOnce
from hubzarr.session.session import Session
from hubzarr.session.state import ArrayState
from hubzarr.storage.base import Data

__all__ = ["ForkKeys"]

type Cell = tuple[int, ...]

_REFUSAL: Final = (
    "a fork in another process only stores chunks: create and resize arrays, delete and set "
    "attributes in the process that made the fork, before it sends the store to others"
)

_opened: OpenedOnce[KeySpace] = OpenedOnce()


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
        self._versions = ChunkVersions(self._sign)
        self._gate = Gate(notes.is_open)

    def _sign(self, slot: int, turn: int, write_id: int) -> None:
        writer = self._versions.writer
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
        own = self._versions.read((path, cell))
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
        own = 0 if found is None else self._versions.newest((found[0], found[2]))
        if found is None or not own:
            return super().size(key)
        return self.session.storage.size(found[1].engine.cells.path(own, found[2]))

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        found = self._located(key)
        own = found is not None and self._versions.newest((found[0], found[2]))
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
        if state.engine.id_of(cell) or self._versions.newest((path, cell)):
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
        storage, cells = self.session.storage, state.engine.cells
        with self._versions.writing(self._slots[path], (path, cell)) as write:
            place = cells.path(write.write_id, cell)
            if write.apart:
                self._notes.mark_apart(place)
            # All or nothing: the owner takes what it finds, also of a process that was killed.
            storage.put_atomic(place, data)
            if not self._gate.passes():
                raise self._notes.ended()
