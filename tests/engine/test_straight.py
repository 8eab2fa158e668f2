"""Chunks that are read right into the result, or through memory that is used again."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.codecs import array_document
from hubzarr.engine import CellStore, ChunkCache, objects
from hubzarr.errors import DamagedError
from hubzarr.storage import open_storage
from tests.codecs.samples import BIG, CRC, LITTLE, ZSTD, blosc, joined, same, sample, transpose

GZIP = {"name": "gzip", "configuration": {"level": 5}}
CHAINS = {
    "bytes": [LITTLE],
    "checksum": [LITTLE, CRC],
    "big": [BIG, CRC],
    "transposed": [transpose(1, 0), LITTLE, CRC],
    "zstd": [LITTLE, ZSTD, CRC],
    "blosc": [LITTLE, blosc("lz4", "shuffle")],
    "gzip": [LITTLE, GZIP, CRC],
    "zarr": [LITTLE, CRC, ZSTD, CRC],
}
SHAPE = (8, 6)


@pytest.fixture(autouse=True)
def small_cells_too(monkeypatch):
    monkeypatch.setattr(objects, "STRAIGHT", 1)
    objects._thread.__dict__.pop("scratch", None)


@pytest.fixture(params=["local", "memory"])
def storage(request, tmp_path):
    url = str(tmp_path / "x") if request.param == "local" else f"memory://straight-{id(request)}"
    return open_storage(url)


def cells_of(storage, chain, dtype="i4"):
    return CellStore(storage, "", array_document(SHAPE, dtype, SHAPE, codec=chain), ChunkCache(0))


def store(cells, number, values):
    path = cells.path(number, (0, 0))
    data = joined(cells.codec.encode(values))
    cells.storage.put(path, data)
    return path, data


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("dtype", ["i4", "?", "c16", "M8[s]", "u1"])
def test_what_was_stored(storage, chain, dtype):
    cells = cells_of(storage, chain, dtype)
    values = [sample(dtype, SHAPE)]
    values.append(np.ascontiguousarray(values[0][::-1]))
    for number, one in enumerate(values):
        store(cells, number + 1, one)
    outs = [np.empty(SHAPE, dtype) for _ in values]
    wide = np.zeros((8, 12), dtype)
    turned = np.empty(SHAPE, dtype, order="F")
    kept = [
        cells.read_cell(number + 1, (0, 0), keep) for number in (0, 1) for keep in (True, False)
    ]
    for number, out in enumerate(outs):
        cells.read_cell_into(number + 1, (0, 0), out)
    cells.read_cell_into(1, (0, 0), wide[:, ::2])
    cells.read_cell_into(1, (0, 0), turned)
    # What came first was not touched by what was read later.
    for out, value in zip(outs, values, strict=True):
        assert same(out, value)
    for number, found in enumerate(kept):
        assert same(found, values[number // 2])
    assert same(np.ascontiguousarray(wide[:, ::2]), values[0])
    assert same(np.ascontiguousarray(turned), values[0])
    assert not wide[:, 1::2].astype("?").any()


@pytest.mark.parametrize("chain", [CHAINS[name] for name in ("checksum", "zstd", "gzip")])
@pytest.mark.parametrize("damage", ["shorter", "longer", "empty", "changed", "lost"])
def test_damage_is_told_as_ever(storage, chain, damage):
    cells = cells_of(storage, chain)
    path, data = store(cells, 1, sample("i4", SHAPE))
    changed = bytes([data[0] ^ 1]) + data[1:]
    damaged = {"shorter": data[:-1], "longer": data + b"\0", "empty": b"", "changed": changed}
    storage.delete([path])
    if damage != "lost":
        storage.put(path, damaged[damage])
    out = np.zeros(SHAPE, "i4")
    word = "missing" if damage == "lost" else "is damaged"
    for read in (
        lambda: cells.read_cell_into(1, (0, 0), out),
        lambda: cells.read_cell(1, (0, 0)),
        lambda: cells.read_cell(1, (0, 0), False),
    ):
        with pytest.raises(DamagedError, match=f"{path}.*{word}"):
            read()


def test_without_a_checksum_only_the_length_tells(storage):
    cells = cells_of(storage, CHAINS["bytes"])
    path, data = store(cells, 1, sample("i4", SHAPE))
    for wrong in (data[:-1], data + b"\0"):
        storage.delete([path])
        storage.put(path, wrong)
        with pytest.raises(DamagedError, match="is damaged"):
            cells.read_cell_into(1, (0, 0), np.empty(SHAPE, "i4"))


def test_objects_larger_than_the_chunk(storage):
    """What does not compress takes more than it was, and more than is held ready."""
    cells = cells_of(storage, CHAINS["zstd"], "u1")
    values = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    _, data = store(cells, 1, values)
    assert len(data) > values.nbytes
    out = np.empty(SHAPE, "u1")
    cells.read_cell_into(1, (0, 0), out)
    assert same(out, values)
    assert same(cells.read_cell(1, (0, 0)), values)


@pytest.mark.parametrize("name", ["zstd", "blosc", "gzip", "zarr", "checksum"])
@pytest.mark.parametrize("keep", [True, False, None])
def test_reads_in_the_midst_of_a_read(storage, monkeypatch, name, keep):
    """As the handler of a signal may do, or a finalizer."""
    cells = cells_of(storage, CHAINS[name], "i8")
    for number in (1, 2):
        store(cells, number, np.full(SHAPE, number, "i8"))
    get_into, inner = storage.get_into, []

    def nested(path, *out):
        size = get_into(path, *out)
        if not inner:
            inner.append(None)
            inner[0] = cells.read_cell(2, (0, 0), False)
        return size

    monkeypatch.setattr(storage, "get_into", nested)
    out = np.empty(SHAPE, "i8")
    if keep is None:
        cells.read_cell_into(1, (0, 0), out)
    else:
        out = cells.read_cell(1, (0, 0), keep)
    assert (out == 1).all()
    if inner:
        assert (inner[0] == 2).all()
    else:  # such chunks have memory of their own
        assert (name, keep is None) == ("checksum", False)


def test_threads_have_their_own_memory(storage):
    cells = cells_of(storage, CHAINS["zstd"], "i8")
    for number in range(1, 9):
        store(cells, number, np.full(SHAPE, number, "i8"))
    wrong = []

    def read(seed):
        for number in np.random.default_rng(seed).integers(1, 9, 300).tolist():
            out = np.empty(SHAPE, "i8")
            cells.read_cell_into(number, (0, 0), out)
            if not (out == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(
    codec=st.sampled_from(["none", "zstd", "lz4"]), seed=st.integers(0, 2**32),
    shards=st.sampled_from([None, 8]),
)  # fmt: skip
@settings(max_examples=30)
def test_arrays_read_as_numpy_does(tmp_path_factory, codec, seed, shards):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2).tolist())
    truth = rng.integers(0, 50, shape).astype("i2")
    path = str(tmp_path_factory.mktemp("a") / "a")
    with hub.array(shape, path, chunks=4, shards=shards, dtype="i2", codec=codec) as a:
        a[...] = truth
    a = hub.load(path, mode="r")
    starts = rng.integers(0, shape)
    stops = [int(rng.integers(start, end + 1)) for start, end in zip(starts, shape, strict=True)]
    key = tuple(slice(int(b), e) for b, e in zip(starts, stops, strict=True))
    np.testing.assert_array_equal(a[...], truth)
    np.testing.assert_array_equal(a[key], truth[key])
    np.testing.assert_array_equal(a[::2, ::3], truth[::2, ::3])
