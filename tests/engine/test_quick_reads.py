"""Rows and bytes read past the general path are those that the general path reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.datasets import layout
from hubzarr.engine.reading import read_bytes, read_row
from hubzarr.errors import DamagedError
from hubzarr.indexing import apply, identity


def flat(tmp_path, codec="none"):
    """The engine of an array as datasets keep bytes in, with small cells, and its session."""
    ds = hub.empty(str(tmp_path / "flat"))
    document = layout.bytes_document(codec)
    document["chunk_grid"]["configuration"]["chunk_shape"] = [64]
    document["codecs"][0]["configuration"]["chunk_shape"] = [8]
    return ds._session.create_array("bytes", document), ds


def plain(engine, start, stop):
    return engine.read(apply(identity(engine.shape), slice(start, stop))).tobytes()


@pytest.mark.parametrize("codec", ["none", "zstd"])
@given(sizes=st.lists(st.integers(0, 150), min_size=1, max_size=6), flushed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_bytes(tmp_path_factory, codec, sizes, flushed):
    state, ds = flat(tmp_path_factory.mktemp("x"), codec)
    rng = np.random.default_rng(sum(sizes))
    parts = [rng.bytes(size) for size in sizes]
    starts = state.append_bytes([memoryview(part) for part in parts])
    if flushed:
        ds.flush()
    for start, part in zip(starts, parts, strict=True):
        assert bytes(read_bytes(state.engine, start, start + len(part))) == part
    for start in range(0, state.shape[0], 7):
        stop = min(start + 50, state.shape[0])
        assert bytes(read_bytes(state.engine, start, stop)) == plain(state.engine, start, stop)
    ds.close()


def test_bytes_of_a_damaged_shard(tmp_path):
    state, ds = flat(tmp_path)
    (start,) = state.append_bytes([memoryview(bytes(range(40)))])
    ds.flush()
    (file,) = (path for path in tmp_path.rglob("c.*") if "bytes" in str(path))
    data = bytearray(file.read_bytes())
    data[3] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedError, match="checksum"):
        read_bytes(state.engine, start, start + 8)
    assert bytes(read_bytes(state.engine, start + 8, start + 40)) == bytes(range(8, 40))
    file.unlink()
    with pytest.raises(DamagedError, match="missing"):
        read_bytes(state.engine, start + 8, start + 40)


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    flushed=st.sets(st.integers(0, 5)),
)
@settings(max_examples=30, deadline=None)
def test_rows(tmp_path_factory, counts, flushed):
    ds = hub.empty(str(tmp_path_factory.mktemp("x") / "rows"))
    document = layout.index_document(3)
    document["chunk_grid"]["configuration"]["chunk_shape"] = [4, 5]
    state = ds._session.create_array("index", document)
    for turn, count in enumerate(counts):
        state.append(np.arange(count * 5).reshape(count, 5) + 1000 * turn)
        if turn in flushed:
            ds.flush()
        whole = state.engine.read(identity(state.shape))
        for row in range(len(whole)):
            assert read_row(state.engine, row).tolist() == whole[row].tolist()
    state.grow(6)
    assert not read_row(state.engine, state.shape[0] - 1).any()
    ds.close()
