"""A local storage that kills its process, and what a repository holds after that."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np

from hubzarr.history.heads import head
from hubzarr.history.versions import list_versions, read_manifest
from hubzarr.indexing import apply, identity
from hubzarr.session import open_session
from hubzarr.storage import LocalStorage

WRITES = ("put", "put_atomic", "create")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class MortalStorage(LocalStorage):
    """Counts its operations, and kills the process at one of them.

    `when` is "before" or "after" the operation; "torn": half of its bytes are in a file;
    "linked": an object was created and its temporary file is still there.
    """

    def __init__(self, root, at=None, when="before"):
        super().__init__(root)
        self.at, self.when = at, when
        self.armed = False
        self.operations = []
        self.counting = threading.RLock()

    def _do(self, verb, path, act):
        if not self.armed:
            return act()
        with self.counting:  # one operation at a time, so that the count is the same in each run
            number = len(self.operations)
            self.operations.append((verb, path))
            self.now = number == self.at
            if self.now and self.when == "before":
                die()
            answer = act()
            if self.now:  # also where an operation has nothing to tear or to link
                die()
            return answer

    def _fill(self, fd, full, data):
        if self.armed and self.now and self.when == "torn":
            content = b"".join(data) if isinstance(data, (list, tuple)) else bytes(data)
            os.write(fd, content[: len(content) // 2])
            die()
        super()._fill(fd, full, data)

    def _link(self, temporary, full):
        created = super()._link(temporary, full)
        if self.armed and self.now and self.when == "linked":
            die()
        return created


def _counted(verb):
    plain = getattr(LocalStorage, verb)

    def method(self, path, *args):
        return self._do(verb, path, lambda: plain(self, path, *args))

    return method


# `exists` is `size` here, and `get_many` is `get`.
for _verb in ("get", "get_range", "get_into", "size", "list_dir", *WRITES):
    setattr(MortalStorage, _verb, _counted(_verb))


def write(session, key, value):
    engine = session.array().engine
    view = apply(identity(engine.shape), key)
    engine.write(view, np.broadcast_to(np.asarray(value, engine.cells.dtype), view.shape))


def append(session, rows, value):
    first = session.array().grow(rows)
    write(session, slice(first, first + rows), value)


def values(session):
    engine = session.array().engine
    return engine.read(identity(engine.shape))


def content(storage):
    """All states of all versions: number, open or sealed, attributes, elements."""
    found = {}
    for version in list_versions(storage):
        newest = head(storage, version)
        for number in range(newest.commit.number + 1) if newest else ():
            manifest = read_manifest(storage, version, number)
            session = open_session(storage, version, str(number), mode="r")
            attributes = session.document("").get("attributes")
            elements = values(session)
            found[version, number] = (
                manifest.commit.state,
                str(attributes),
                elements.shape,
                elements.tobytes(),
            )
    return found
