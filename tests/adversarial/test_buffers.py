"""Buffers against resizing, appending, replacing and stores that fail."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.codecs import array_document
from hubzarr.engine import array as engine_module
from hubzarr.engine.statistics import box_rows
from hubzarr.errors import StorageError
from hubzarr.indexing import apply, identity
from hubzarr.session import open_session
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.session.support import append, content, read, repository, write


@pytest.fixture
def slow_pool(monkeypatch):
    """Work handed to the pool begins when the event that this returns is set."""
    gate, submit = threading.Event(), engine_module.submit

    def later(concurrency, work):
        def wait_and_work():
            gate.wait(10)
            return work()

        return submit(concurrency, wait_and_work)

    monkeypatch.setattr(engine_module, "submit", later)
    return gate


def store_soon(session, cell):
    with session.lock:
        session.array().engine.store_soon(cell)


def test_append_while_the_edge_cell_is_being_stored(slow_pool):
    storage = repository((2,), chunks=(1000,))
    session = open_session(storage, "main")
    write(session, slice(0, 1), 3)  # the other row is read in the pool
    store_soon(session, (0,))
    threading.Timer(0.05, slow_pool.set).start()
    append(session, [4, 5])
    session.commit("grown")
    assert content(storage, "main").tolist() == [3, 0, 4, 5]


def test_write_while_its_cell_is_being_stored(slow_pool):
    storage = repository((6,), chunks=(3,))
    session = open_session(storage, "main")
    write(session, slice(0, 2), 3)
    store_soon(session, (0,))
    threading.Timer(0.05, slow_pool.set).start()
    write(session, 0, 9)
    assert read(session).tolist() == [9, 3, 0, 0, 0, 0]
    session.commit("both")
    assert content(storage, "main").tolist() == [9, 3, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["before", "after", "torn"])
def test_growing_while_the_edge_cell_cannot_be_stored(kind):
    storage = FaultyStorage(repository((2,), chunks=(1000,)))
    session = open_session(storage, "main")
    write(session, slice(0, 2), 3)
    storage.schedule(Fault(verb="put", kind=kind))
    store_soon(session, (0,))
    state = session.array()
    with pytest.raises(StorageError):
        state.resize((10,))
    assert state.shape == tuple(state.document["shape"]) == (2,)
    assert state.appended == 0
    session.commit("as it was")
    assert content(storage, "main").tolist() == [3, 3]
    state.resize((4,))
    session.commit("larger")
    assert content(storage, "main").tolist() == [3, 3, 0, 0]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_rows_of_a_failed_append_never_come_back(stored, down, monkeypatch):
    storage = FaultyStorage(repository((5,), chunks=(4,)))
    session = open_session(storage, "main")
    write(session, slice(None), [1, 2, 3, 4, 5])
    if stored:
        session.commit("five")
    state = session.array()
    original = state.engine.write

    def stored_then_failed(view, value):
        original(view, value)
        state.engine.flush()
        if down:
            storage.schedule(Fault(times=1000, verb="get"), Fault(times=1000, verb="put"))
        raise StorageError("the disk is full")

    monkeypatch.setattr(state.engine, "write", stored_then_failed)
    with pytest.raises(StorageError, match="full"):
        state.append(np.arange(7, 13, dtype="i4"))
    monkeypatch.undo()
    assert state.shape == tuple(state.document["shape"]) == (5,)
    storage.schedule()
    state.resize((8,))
    assert read(session).tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
    append(session, [6])
    assert int(box_rows(state.engine, ((0, 9),))["sum"][0]) == 21
    session.commit("grown")
    assert content(storage, "main").tolist() == [1, 2, 3, 4, 5, 0, 0, 0, 6]


def test_array_replaced_by_one_of_another_dtype():
    storage = repository((8, 4), "u1", (4, 4))
    session = open_session(storage, "main")
    for value in (7, 8):  # so that the memory of buffers is kept for the next
        write(session, (slice(0, 4), slice(0, 4)), value)
        session.flush()
    session.create_array("", array_document((8, 4), "f8", (4, 4)))
    write(session, (slice(0, 2), slice(0, 4)), 1000.5)
    session.commit("floats")
    assert content(storage, "main")[:3, 0].tolist() == [1000.5, 1000.5, 0.0]


def test_shrinking_is_bounded_in_memory(monkeypatch):
    storage = repository((40, 4096), "f8", (4, 256))
    session = open_session(storage, "main")
    write(session, slice(None), 1.5)
    session.commit("full")
    engine = session.array().engine
    engine.buffer_limit = 20_000
    peak, make = [0], engine._buffer

    def watched(cell):
        buffer = make(cell)
        peak[0] = max(peak[0], engine.buffered_bytes)
        return buffer

    monkeypatch.setattr(engine, "_buffer", watched)
    session.array().resize((39, 4000))
    assert peak[0] <= 20_000 + 8 * 4 * 256
    session.array().resize((40, 4096))
    session.commit("back")
    out = content(storage, "main")
    assert (out[:39, :4000] == 1.5).all()
    assert not out[39:].any()
    assert not out[:, 4000:].any()


def test_no_object_is_stored_twice_under_one_name_after_a_failure():
    storage = FaultyStorage(repository((8,), "i4", (2,), codec=None))
    session = open_session(storage, "main")
    for value, kind in enumerate(("after", "torn", "before", "after"), 1):
        storage.schedule(Fault(verb="put", kind=kind))
        with pytest.raises(StorageError):
            write(session, slice(None), value)
        write(session, 1, value)
        storage.schedule(Fault(verb="put", kind=kind))
        with pytest.raises(StorageError):
            session.flush()
    session.commit("at last")
    names = [path for verb, path, _ in storage.log if verb == "put" and path.startswith("data/")]
    assert len(names) == len(set(names))
    assert content(storage, "main")[1] == 4


@given(st.integers(1, 7), st.integers(1, 9), st.booleans())
def test_views_of_itself_written_to_an_array(chunk, shift, stored):
    a = hub.array((30,), "memory://itself/" + hub.__name__, dtype="i4", chunks=(chunk,),
                  overwrite=True)  # fmt: skip
    x = np.arange(30, dtype="i4")
    a[...] = x
    if stored:
        a.commit("start")
    a[shift:] = a[:-shift]
    x[shift:] = x[:-shift].copy()
    a[::-1] = a[...]
    x = x[::-1].copy()
    a[shift:] += a[:-shift]
    x[shift:] += x[:-shift].copy()
    assert np.array_equal(np.asarray(a[...]), x)
    a.close()


@pytest.mark.parametrize("chunks", [(4, 4), (64, 512)])
@pytest.mark.parametrize("codec", [None, "zstd"])
def test_memory_of_the_caller_is_never_kept(chunks, codec):
    storage = repository((128, 1024), "i4", chunks, codec=codec)
    session = open_session(storage, "main")
    expected = np.arange(128 * 1024, dtype="i4").reshape(128, 1024)
    engine = session.array().engine
    everything = identity(engine.shape)
    for source in (expected.copy(), np.asfortranarray(expected), expected[::-1].copy()[::-1]):
        engine.write(everything, source)
        source[...] = -1
        assert np.array_equal(read(session), expected)
        assert int(box_rows(engine, ((0, 128), (0, 1024)))["sum"][0]) == int(
            expected.sum(dtype="i8")
        )
        out = read(session)
        out[...] = -2
        assert np.array_equal(read(session), expected)
        session.commit("again")
        assert np.array_equal(content(storage, "main"), expected)


def test_decoded_chunks_do_not_follow_later_writes():
    storage = repository((8,), "i4", (4,))
    session = open_session(storage, "main")
    write(session, 0, 1)
    session.commit("one")  # a cell written in part stays decoded
    reader = open_session(storage, "main", "1", mode="r")
    for value in range(2, 8):
        write(session, 0, value)
        assert read(reader).tolist()[0] == 1
        session.commit(str(value))
        assert read(session).tolist()[0] == value
        assert read(reader).tolist()[0] == 1


def test_rows_without_elements():
    a = hub.array((5, 0), "memory://rows/none", dtype="f8")
    a[2] = []
    assert not a._session.dirty
    a.resize((5, 3))
    assert a.mean() == 0
    assert np.asarray(a[...]).shape == (5, 3)
    a.close()


def test_channels_come_and_go():
    storage = repository((6, 2), "i4", (2, 8))
    session = open_session(storage, "main")
    model = np.zeros((6, 2), "i4")
    generator = np.random.default_rng(0)
    for shape in [(6, 3), (7, 4), (7, 6), (9, 1), (9, 4), (3, 4), (3, 2), (4, 3)]:
        value = generator.integers(0, 99, model.shape)
        write(session, slice(None), value)
        model[...] = value
        if shape[0] % 2:
            session.commit("now and then")
        session.array().resize(shape)
        kept = model[: shape[0], : shape[1]]
        model = np.zeros(shape, "i4")
        model[: kept.shape[0], : kept.shape[1]] = kept
        engine = session.array().engine
        rows = box_rows(engine, tuple((0, n) for n in shape))
        assert int(rows["sum"].sum()) == int(model.sum())
        assert int((rows["n"]).sum()) == model.size
        if len(rows) > 1:
            assert rows["sum"].tolist() == model.sum(axis=0).tolist()
        assert np.array_equal(read(session), model)


def test_index_arrays_write_the_last_of_equal_indices():
    storage = repository((10,), "i4", (3,))
    session = open_session(storage, "main")
    engine = session.array().engine
    index = np.array([1, 5, 1, 9, 5])
    view = apply(identity((10,)), index)
    engine.write(view, np.arange(5, dtype="i4") + 1)
    model = np.zeros(10, "i4")
    model[index] = np.arange(5) + 1
    assert np.array_equal(read(session), model)
