"""Short ways to write and read through sessions, and a store that guards its objects."""

from __future__ import annotations

import secrets

import numpy as np

from hubzarr.codecs import array_document
from hubzarr.history.nodes import nodes_of
from hubzarr.indexing import apply, identity
from hubzarr.session import Session, create_repository, open_session
from hubzarr.storage import open_storage

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}


def write(session, key, value, path=""):
    engine = session.array(path).engine
    view = apply(identity(engine.shape), key)
    engine.write(view, np.broadcast_to(np.asarray(value, engine.cells.dtype), view.shape))
    session.touch()


def append(session, rows, path=""):
    rows = np.asarray(rows)
    start = session.array(path).grow(len(rows))
    write(session, slice(start, start + len(rows)), rows, path)


def read(session, path=""):
    engine = session.array(path).engine
    return engine.read(identity(engine.shape))


def content(storage, version, number=None, path=""):
    point = None if number is None else str(number)
    return read(open_session(storage, version, point, mode="r"), path)


def repository(shape=(20, 6), dtype="i4", chunks=(4, 3), version="main", **options):
    """A storage with one version that holds one array of fill values at the root."""
    storage = open_storage("memory://" + secrets.token_hex(6))
    document = array_document(shape, dtype, chunks, **options)
    create_repository(storage, version, document, author="me", message="created")
    return storage


def ids_of(manifest, session, path=""):
    """Write ids of all cells of an array in a state; None if it isn't there."""
    reading = Session(session.storage, manifest, writable=False)
    if path not in nodes_of(manifest, reading.reader):
        return None
    table = reading.array(path).engine.table.base
    return table.ids.read_box((0,) * len(table.grid), table.grid)


class WriteOnce:
    """A storage that fails when an object is stored again: invariant 1.

    A page may be, as the same bytes; the hint is no part of the truth.
    """

    def __init__(self, inner, is_local=True):
        self.inner = inner
        self.is_local = is_local

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def _check(self, path, data):
        if path.endswith("/latest"):
            return
        old = self.inner.get(path)
        again = path.startswith("pages/") and old == bytes(data)
        if old is not None and not again:
            raise AssertionError(f"{path} was stored twice")

    def put(self, path, data):
        data = b"".join(data) if isinstance(data, (list, tuple)) else data
        self._check(path, data)
        self.inner.put(path, data)

    def put_atomic(self, path, data):
        data = b"".join(data) if isinstance(data, (list, tuple)) else data
        self._check(path, data)
        self.inner.put_atomic(path, data)
