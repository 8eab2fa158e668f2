"""Engines on memory, and random arrays beside their NumPy twins."""

from __future__ import annotations

import threading

import numpy as np

from hubzarr.codecs import array_document
from hubzarr.engine import ArrayEngine, CellStore, ChunkCache, WriteIds
from hubzarr.engine.array import grid_of
from hubzarr.indexing import apply, identity
from hubzarr.storage.memory import MemoryStorage
from hubzarr.table.reader import PageReader
from hubzarr.table.table import Table, TableDraft


def make(shape, dtype, chunks, shards=None, fill=None):
    """An empty array in a memory of its own."""
    storage = MemoryStorage()
    options = {} if fill is None else {"fill_value": fill}
    document = array_document(shape, dtype, chunks, shards, **options)
    cells = CellStore(storage, "", document, ChunkCache(1 << 20))
    grid = grid_of(shape, cells.cell_shape)
    table = TableDraft(Table.new(PageReader(storage), grid, cells.stats, cells.channels))
    engine = ArrayEngine(cells, shape, table, WriteIds(), threading.RLock())
    engine.document = document
    return engine


def reopened(engine):
    """The stored array with an empty cache, and its storage."""
    engine.flush()
    storage = engine.cells.storage
    cells = CellStore(storage, "", engine.document, ChunkCache(1 << 20))
    table = TableDraft(engine.table.freeze()[0])
    again = ArrayEngine(cells, engine.shape, table, WriteIds(), threading.RLock())
    return again, storage


def values(rng, dtype, shape, special=0.02):
    """Random elements; floats with some NaN."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(0, 120, shape).astype(dtype)
    if dtype.kind in "mM":
        return rng.integers(0, 10**6, shape).astype(dtype)
    if dtype.kind == "U":
        return rng.integers(0, 10**4, shape).astype(dtype)
    x = rng.normal(size=shape) * 10
    if dtype.kind == "c":
        x = x + 1j * rng.normal(size=shape)
    return np.where(rng.random(shape) < special, np.nan, x).astype(dtype)


def random_layout(rng):
    """Shape, chunks and shards; often with a last axis of channels."""
    ndim = int(rng.integers(0, 4))
    shape = [int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 12, ndim)]
    if ndim and rng.random() < 0.4:
        shape[-1] = int(rng.integers(2, 5))
    chunks = [int(rng.integers(1, n + 3)) for n in shape]
    if ndim and rng.random() < 0.4:
        chunks[0] = 1
    if ndim and rng.random() < 0.6:
        chunks[-1] = max(1, shape[-1])
    shards = None
    if ndim and rng.random() < 0.4:
        shards = tuple(int(c * rng.integers(1, 4)) for c in chunks)
    if shards and rng.random() < 0.4:
        shards = (chunks[0], *shards[1:])
    return tuple(shape), tuple(chunks), shards


def write_somewhere(rng, engine, x):
    """Write a random box into an engine and its twin."""
    key = tuple(slice(*sorted(rng.integers(0, n + 1, 2).tolist())) for n in x.shape)
    t = apply(identity(x.shape), key)
    v = values(rng, x.dtype, t.shape)
    engine.write(t, v)
    x[key] = v


def forget_statistics(rng, engine):
    """As if foreign code had stored some of the chunks."""
    engine.flush()
    grid = engine.table.grid
    for cell in np.ndindex(*grid):
        write_id = engine.table.id_of(cell)
        if write_id and rng.random() < 0.3:
            engine.table.assign(cell, write_id, None)


def resize_randomly(rng, engine, x):
    """Resize an engine, channels excepted; return the twin."""
    shape = [max(0, n + int(rng.integers(-4, 5))) for n in x.shape]
    if (shape and engine.cells.channels > 1) or (len(shape) > 1 and 1 < shape[-1] <= 4):
        shape[-1] = x.shape[-1]
    shape = tuple(shape)
    engine.resize(shape)
    engine.document = {**engine.document, "shape": list(shape)}
    out = np.full(shape, engine.cells.codec.fill_value, x.dtype)
    both = tuple(slice(min(a, b)) for a, b in zip(shape, x.shape, strict=True))
    out[both] = x[both]
    return out


def random_array(rng, dtype):
    """An engine after a random history, and its twin."""
    shape, chunks, shards = random_layout(rng)
    fill = None if rng.random() < 0.5 or np.dtype(dtype).kind not in "iuf" else 7
    engine = make(shape, dtype, chunks, shards, fill)
    x = np.full(shape, engine.cells.codec.fill_value, dtype)
    for _ in range(int(rng.integers(0, 7))):
        choice = rng.random()
        if choice < 0.2:
            engine.flush()
        elif choice < 0.3 and x.ndim:
            x = resize_randomly(rng, engine, x)
        elif choice < 0.4 and engine.cells.stats is not None:
            forget_statistics(rng, engine)
        else:
            write_somewhere(rng, engine, x)
    return engine, x


def random_key(rng, shape, boxes=False):
    """A key with slices of any step, integers, lists and new axes."""
    key = []
    for n in shape:
        choice = rng.random()
        if boxes or choice < 0.4:
            key.append(slice(*sorted(rng.integers(0, n + 1, 2).tolist())))
        elif choice < 0.6:
            key.append(slice(None))
        elif choice < 0.7:
            key.append(slice(None, None, -1))
        elif choice < 0.8:
            key.append(slice(None, None, int(rng.choice([-3, -2, 2, 3]))))
        elif choice < 0.9 and n:
            key.append(int(rng.integers(0, n)))
        elif n and not any(isinstance(k, list) for k in key):
            key.append(rng.integers(0, n, 3).tolist())
        else:
            key.append(slice(None))
        if not boxes and rng.random() < 0.05:
            key.append(None)
    return tuple(key)


def random_axis(rng, ndim):
    """None, an integer or a tuple; sometimes negative."""
    if not ndim or rng.random() < 0.3:
        return None
    count = int(rng.integers(0, ndim + 1))
    axes = tuple(int(a) - ndim * int(rng.random() < 0.3) for a in rng.permutation(ndim)[:count])
    return axes[0] if len(axes) == 1 and rng.random() < 0.7 else axes
