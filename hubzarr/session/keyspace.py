"""A session as a flat space of keys and bytes, as a plain Zarr store would hold them.

===========================  =====================================================
key                          what it is
===========================  =====================================================
``<path>/zarr.json``         the document of a node
``<path>/c/0/3`` and so on   a chunk of an array, encoded: a cell of its table
any other                    a *loose* object, listed in the manifest
===========================  =====================================================

Objects go to the storage as they come, each under a name used once; statistics of chunks
that came this way are unknown until somebody computes them.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hubzarr.codecs import compile_codec
from hubzarr.engine.objects import data_path
from hubzarr.errors import DamagedError, InvalidError
from hubzarr.session.keys import DOCUMENT, LOOSE, ChunkKeys, check_key, node_document, node_path
from hubzarr.session.session import Session
from hubzarr.session.state import ArrayState, Document, is_array
from hubzarr.storage.base import Data

__all__ = ["KeySpace"]

type Cell = tuple[int, ...]

#: Attempts at storing an object while others commit, before commits have to wait for it.
PATIENCE: Final = 3
#: What must not change for an array to stay the same array.
_IDENTITY: Final = (
    "zarr_format",
    "node_type",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "codecs",
    "fill_value",
    "storage_transformers",
)
_CONSOLIDATED: Final = "consolidated_metadata"


class KeySpace:
    """Keys and bytes of a session.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._keys: dict[str, tuple[Any, ChunkKeys]] = {}

    # -- finding -------------------------------------------------------------

    def array(self, path: str) -> ArrayState | None:
        """The array at a path, None if there is none. Needs the lock."""
        session = self.session
        state = session.states.get(path)
        if state is not None:
            return state
        if path in session.removed or path in session.groups:
            return None
        node = session.committed_nodes().get(path)
        return session.array(path) if node is not None and is_array(node.document) else None

    def chunk_keys(self, path: str, state: ArrayState) -> ChunkKeys:
        """The chunk keys of an array."""
        cells, keys = self._keys.get(path, (None, None))
        if keys is None or cells is not state.engine.cells:
            keys = ChunkKeys.of(state.document)
            self._keys[path] = state.engine.cells, keys
        return keys

    def find(self, key: str) -> tuple[ArrayState, Cell] | None:
        """The cell that a key means, None if it means none. Needs the lock."""
        end = len(key)
        while end > 0:
            end = key.rfind("/", 0, end)
            path = key[:end] if end > 0 else ""
            state = self.array(path)
            if state is not None:
                cell = self.chunk_keys(path, state).cell(key[end + 1 :])
                if cell is not None and all(map(int.__lt__, cell, state.engine.table.grid)):
                    return state, cell
        return None

    def _loose(self, key: str) -> tuple[str, int] | None:
        session = self.session
        if key in session.objects:
            return session.objects[key]
        return session.manifest.objects.get(key)

    def loose_keys(self) -> list[str]:
        """Keys of all loose objects. Needs the lock."""
        session = self.session
        committed = session.manifest.objects
        if not session.objects:
            return list(committed)
        new = [key for key, entry in list(session.objects.items()) if entry is not None]
        return [key for key in committed if key not in session.objects] + new

    def _place(self, key: str) -> str | None:
        """Path of the object with the bytes of a key that is no document's."""
        with self.session.lock:
            found = self.find(key)
            if found is not None:
                state, cell = found
                engine = state.engine
                if engine.pending:
                    engine.flush()
                write_id = engine.id_of(cell)
                if write_id:
                    return engine.cells.path(write_id, cell)
            entry = self._loose(key)
            return None if entry is None else loose_path(int(entry[0], 16), key)

    # -- documents -----------------------------------------------------------

    def document(self, path: str) -> bytes | None:
        """The ``zarr.json`` of a node as bytes; None when there is no node."""
        document = self.session.document(path)
        if document is None:
            return None
        if isinstance(document.get(_CONSOLIDATED), dict):
            document = {**document, _CONSOLIDATED: self._consolidated(path)}
        return json.dumps(document, separators=(",", ":")).encode()

    def _consolidated(self, path: str) -> Document:
        """Consolidated metadata below a group, of now: it is never stored, so never stale."""
        start = path + "/" if path else ""
        found: dict[str, Document] = {}
        for below in sorted(self.session.paths(), key=lambda p: (p.count("/"), p)):
            name = below[len(start) :]
            parent, _, _ = name.rpartition("/")
            document = self.session.document(below)
            if below.startswith(start) and name and document and (not parent or parent in found):
                if not is_array(document):
                    document = {**document, _CONSOLIDATED: _empty_consolidated()}
                found[name] = document
        return {**_empty_consolidated(), "metadata": found}

    def _put_document(self, path: str, document: Document) -> None:
        """Make or change the node at a path."""
        session = self.session
        with session.lock:
            old = session.document(path)
            if not is_array(document):
                if isinstance(document.get(_CONSOLIDATED), dict):
                    document = {**document, _CONSOLIDATED: _empty_consolidated()}
                if document == old:
                    return
                self._check_parents(path)
                session.set_group(path, document)
            elif old is None or any(old.get(k) != document.get(k) for k in _IDENTITY):
                ChunkKeys.of(document)
                codec = compile_codec(document)
                if len(codec.shape) != len(document["shape"]):
                    raise InvalidError(
                        f"array {path or '/'!r} has shape {document['shape']}, but chunks of shape "
                        f"{list(codec.shape)}; expected as many axes in both"
                    )
                self._check_parents(path)
                session.create_array(path, document)
            elif document != old:
                self._change_array(session.array(path), document)
            key = f"{path}/{DOCUMENT}" if path else DOCUMENT
            if self._loose(key) is not None:
                self.forget(key)
            if is_array(document):
                self._adopt(path)

    def _check_parents(self, path: str) -> None:
        """Refuse nodes inside arrays, where chunks of both could have one name."""
        parent = path
        while parent:
            parent = parent.rpartition("/")[0]
            if self.array(parent) is not None:
                raise InvalidError(
                    f"{path!r} can't be a node: {parent or '/'!r} is an array, and arrays hold no "
                    "nodes; choose another path or delete the array first"
                )
        if path.split("/", 1)[0] == LOOSE:
            raise InvalidError(f"{path!r} can't be a node: {LOOSE!r} is reserved; rename it")

    def _change_array(self, state: ArrayState, document: Document) -> None:
        """Take on new attributes or a new shape, and keep the chunks."""
        session = self.session
        session.check_writable()
        shape = tuple(document["shape"])
        if shape != state.shape:
            state.resize(shape)
        # Only what was parsed just now gets here, so nobody else holds a piece of it.
        state.document = document
        session.touch()

    def _adopt(self, path: str) -> None:
        """Make chunks of loose objects that are chunks of the array at a path."""
        session = self.session
        start = path + "/" if path else ""
        for key in self.loose_keys():
            found = self.find(key) if key.startswith(start) else None
            entry = self._loose(key)
            if found is not None and entry is not None:
                place = loose_path(int(entry[0], 16), key)
                data = session.storage.get(place)
                if data is None:
                    raise self._lost(key, place)
                self._store(key, data, entry[1])

    # -- reading -------------------------------------------------------------

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Bytes ``start:stop`` of a key, None if there is none; a negative start as in slices.

        Raises
        ------
        DamagedError
            The key is there, but its object is not.
        """
        session = self.session
        session.check()
        node = node_path(key)
        if node is not None:
            document = self.document(node)
            if document is not None:
                return document[start:stop]
        path = self._place(key)
        if path is None:
            return None
        if start or stop is not None:
            data = session.storage.get_range(path, start, stop)
        else:
            data = session.storage.get(path)
        if data is None:
            raise self._lost(key, path)
        return data

    def _lost(self, key: str, path: str) -> DamagedError:
        return DamagedError(
            f"object {path} of key {key!r} is missing from {self.session.storage.url} although it "
            "was stored: restore the file from a copy; other keys can still be read",
            path=path,
        )

    def size(self, key: str) -> int | None:
        """Number of bytes of a key, None if there is none."""
        self.session.check()
        node = node_path(key)
        if node is not None:
            document = self.document(node)
            if document is not None:
                return len(document)
        path = self._place(key)
        if path is None:
            return None
        size = self.session.storage.size(path)
        if size is None:
            raise self._lost(key, path)
        return size

    def exists(self, key: str) -> bool:
        """Whether there is such a key. Asks no store."""
        self.session.check()
        node = node_path(key)
        if node is not None and self.session.document(node) is not None:
            return True
        return self._place(key) is not None

    # -- writing -------------------------------------------------------------

    def put(self, key: str, data: Data, size: int) -> None:
        """Set a key.

        Parameters
        ----------
        data : buffer
        size : int
            Its number of bytes.
        """
        session = self.session
        session.check_writable()
        path = node_path(check_key(key))
        if path is not None:
            document = node_document(bytes(data))  # type: ignore[arg-type]
            if document is not None:
                self._put_document(path, document)
                return
            with session.lock:
                if session.document(path) is not None:
                    session.remove(path)
        self._store(key, data, size)
        session.touch()

    def _store(self, key: str, data: Data, size: int) -> None:
        """Store an object under a fresh name, without the lock, and record it.

        Others may commit, rebase or delete arrays meanwhile. The name belongs to a state
        that is gone then, and the object is stored once more for the state of now.
        """
        session = self.session
        busy, storage = session.writes.busy, session.storage
        for _ in range(PATIENCE):
            with session.lock:
                write_id, path = self._claim(key)
                busy.add(path)
            try:
                storage.put(path, data)
                with session.lock:
                    if self._record(key, write_id, path, size):
                        return
            finally:
                busy.discard(path)
        with session.lock:
            write_id, path = self._claim(key)
            storage.put(path, data)
            self._record(key, write_id, path, size)

    def _claim(self, key: str) -> tuple[int, str]:
        """A write id and a path at which nothing was stored yet. Needs the lock."""
        found = self.find(key)
        if found is None:
            write_id = self.session.writes.claim(key)
            return write_id, loose_path(write_id, key)
        state, cell = found
        engine = state.engine
        engine.settle_cell(cell)
        write_id = engine.fresh_id((cell,))
        return write_id, engine.cells.path(write_id, cell)

    def _record(self, key: str, write_id: int, path: str, size: int) -> bool:
        """Let a key have a stored object, if it may still lie there. Needs the lock."""
        session = self.session
        if not session.writes.has(write_id):
            return False
        found = self.find(key)
        if found is None:
            if path != loose_path(write_id, key):
                return False
            session.objects[key] = f"{write_id:016x}", size
            return True
        state, cell = found
        if path != state.engine.cells.path(write_id, cell):
            return False
        state.engine.replace_cell(cell, write_id)
        if self._loose(key) is not None:
            self.forget(key)
        return True

    def delete(self, key: str) -> None:
        """Remove a key; one that is not there is fine."""
        session = self.session
        session.check_writable()
        with session.lock:
            path = node_path(key)
            if path is not None and session.document(path) is not None:
                session.remove(path)
                return
            found = self.find(key)
            if found is not None:
                state, cell = found
                state.engine.settle_cell(cell)
                if state.engine.id_of(cell) or cell in state.engine.buffers:
                    state.engine.replace_cell(cell, 0)
                    session.touch()
            if self._loose(key) is not None:
                self.forget(key)
                session.touch()

    def forget(self, key: str) -> None:
        """Drop a loose object from the state to come. Needs the lock."""
        objects = self.session.objects
        if key in self.session.manifest.objects:
            objects[key] = None
        else:
            objects.pop(key, None)


def loose_path(write_id: int, key: str) -> str:
    """Path of a loose object."""
    return data_path(write_id, LOOSE) + key


def _empty_consolidated() -> Document:
    return {"kind": "inline", "must_understand": False, "metadata": {}}
