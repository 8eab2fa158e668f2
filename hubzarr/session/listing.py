"""Listing, measuring and deleting many keys of a session at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np

from hubzarr.session.keys import DOCUMENT, ChunkKeys
from hubzarr.session.keyspace import KeySpace
from hubzarr.session.state import ArrayState
from hubzarr.table.walk import written_blocks
from hubzarr.threads import map_all

__all__ = ["delete_below", "list_children", "list_keys", "size_below"]

type Cell = tuple[int, ...]

#: Sizes asked for at a time.
BATCH: Final = 1024


def list_keys(space: KeySpace, prefix: str) -> Iterator[str]:
    """All keys that begin with a text, one by one. Keys may be set and deleted meanwhile."""
    session = space.session
    session.check()
    with session.lock:
        paths, loose = session.paths(), space.loose_keys()
    for path in paths:
        start = path + "/" if path else ""
        key = start + DOCUMENT
        if key.startswith(prefix):
            yield key
        if start.startswith(prefix):
            yield from _chunk_keys(space, path, start, "")
        elif prefix.startswith(start):
            yield from _chunk_keys(space, path, start, prefix[len(start) :])
    for key in loose:
        if key.startswith(prefix):
            yield key


def _opened(space: KeySpace, path: str) -> tuple[ArrayState, ChunkKeys] | None:
    """An array with all its chunks stored, and its keys; None for a group."""
    with space.session.lock:
        state = space.array(path)
        if state is None:
            return None
        if state.engine.pending:
            state.engine.flush()
        return state, space.chunk_keys(path, state)


def _chunk_keys(space: KeySpace, path: str, start: str, rest: str) -> Iterator[str]:
    """Keys of an array's chunks that begin with `rest`; `start` is put before each."""
    found = _opened(space, path)
    if found is None:
        return
    state, keys = found
    table = state.engine.table
    box = keys.box(rest, table.grid)
    if box is None:
        return
    key_of = keys.key
    for first, ids in written_blocks(table.ids, *box):
        for cell in (np.argwhere(ids) + first).tolist():
            key = key_of(tuple(cell) if keys.ndim else ())
            if key.startswith(rest):
                yield start + key


def list_children(space: KeySpace, directory: str) -> set[str]:
    """Names right below a directory ('' or with its slash): keys and directories."""
    session = space.session
    session.check()
    with session.lock:
        paths, loose = session.paths(), space.loose_keys()
    size = len(directory)
    names: set[str] = set()
    for path in paths:
        start = path + "/" if path else ""
        if start.startswith(directory):
            names.add((start + DOCUMENT)[size:].partition("/")[0])
        if directory.startswith(start):
            names |= _chunk_names(space, path, directory[len(start) :])
    names.update(key[size:].partition("/")[0] for key in loose if key.startswith(directory))
    return names


def _chunk_names(space: KeySpace, path: str, rest: str) -> set[str]:
    """Names right below a directory of an array."""
    found = _opened(space, path)
    if found is None:
        return set()
    state, keys = found
    table = state.engine.table
    axis = keys.axis_below(rest)
    if axis is None:
        listed = _chunk_keys(space, path, "", rest)
        if rest == "" and keys.head == "c/":
            listed = itertools.islice(listed, 1)  # one directory holds them all
        return {key[len(rest) :].partition("/")[0] for key in listed}
    box = keys.box(rest, table.grid)
    if box is None:
        return set()
    names: set[int] = set()
    for first, ids in written_blocks(table.ids, *box):
        names.update((np.unique(np.nonzero(ids)[axis]) + first[axis]).tolist())
    return set(map(str, names))


def delete_below(space: KeySpace, directory: str) -> None:
    """Delete everything below a directory ('' or with its slash)."""
    session = space.session
    session.check_writable()
    with session.lock:
        for path in session.paths():
            start = path + "/" if path else ""
            if start.startswith(directory):
                session.remove(path)
            elif directory.startswith(start):
                _delete_chunks(space, path, directory[len(start) :])
        for key in space.loose_keys():
            if key.startswith(directory):
                space.forget(key)
                session.touch()


def _delete_chunks(space: KeySpace, path: str, rest: str) -> None:
    """Empty the cells whose objects lie in a directory of an array. Needs the lock."""
    found = _opened(space, path)
    if found is None:
        return
    state, keys = found
    if keys.ndim and keys.axis_below(rest) is None:
        return  # no chunk lies there
    table = state.engine.table
    box = keys.box(rest, table.grid)
    if box is None:
        return
    for first, ids in list(written_blocks(table.ids, *box)):
        table.assign_box(
            first, tuple(f + n for f, n in zip(first, ids.shape, strict=True)), 0, None
        )
        space.session.writes.rotate()
        space.session.touch()


def size_below(space: KeySpace, directory: str) -> int:
    """Sum of the sizes of all keys below a directory ('' or with its slash)."""
    storage = space.session.storage
    keys = list_keys(space, directory)
    total = 0
    while batch := list(itertools.islice(keys, BATCH)):
        sizes = map_all(space.size, batch, storage.concurrency, BATCH if storage.is_local else 1)
        total += sum(size or 0 for size in sizes)
    return total
