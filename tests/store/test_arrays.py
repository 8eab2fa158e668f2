"""Groups and arrays through zarr: documents, chunks, sizes, listings, and what a commit keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import numpy as np
import pytest
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype

from hubzarr.codecs import array_document
from hubzarr.errors import (
    ClosedError,
    DamagedError,
    InvalidError,
    InvalidTypeError,
    ReadOnlyError,
    UnsupportedError,
)
from hubzarr.indexing import apply, identity
from hubzarr.session import Session
from hubzarr.session.store import VersionedStore
from tests.store.sample import buffer

ENCODINGS = [
    {"name": "default", "separator": "/"},
    {"name": "default", "separator": "."},
    {"name": "v2", "separator": "."},
    {"name": "v2", "separator": "/"},
]


def collect(keys: object) -> list[str]:
    async def run() -> list[str]:
        return sorted([key async for key in keys])

    return asyncio.run(run())


def read(session: Session, path: str = "") -> np.ndarray:
    engine = session.array(path).engine
    return engine.read(identity(engine.shape))


def write(session: Session, path: str, key: object, value: object) -> None:
    engine = session.array(path).engine
    view = apply(identity(engine.shape), key)
    engine.write(view, np.broadcast_to(np.asarray(value, engine.cells.dtype), view.shape))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("shape", [(7, 5), (9,), ()])
def test_arrays_of_every_key_encoding(
    opened: Callable[..., Session], encoding: dict, shape: tuple[int, ...]
) -> None:
    session = opened()
    root = zarr.open_group(VersionedStore(session))
    chunks = (2,) * len(shape) or ()
    array = root.create_array(
        "a/x", shape=shape, chunks=chunks, dtype="i4", chunk_key_encoding=encoding, fill_value=3
    )
    plain = zarr.create_array(
        {}, name="a/x", shape=shape, chunks=chunks, dtype="i4", chunk_key_encoding=encoding,
        fill_value=3,
    )  # fmt: skip
    data = np.arange(int(np.prod(shape))).reshape(shape) - 4
    part = (slice(1, None),) * len(shape)
    array[part] = data[part]
    plain[part] = data[part]
    model = plain.store
    for store in (VersionedStore(session), VersionedStore(_committed(session, opened))):
        got = zarr.open_array(store, path="a/x")[...]
        np.testing.assert_array_equal(got, plain[...])
        np.testing.assert_array_equal(read(store.session, "a/x"), plain[...])
        keys = [key for key in collect(model.list()) if "a/x" in key]
        assert [key for key in collect(store.list()) if "a/x" in key] == keys
        assert collect(store.list_dir("a/x")) == collect(model.list_dir("a/x"))
        assert collect(store.list_dir("a/x/c/")) == collect(model.list_dir("a/x/c"))
        assert collect(store.list_dir("a/x/1")) == collect(model.list_dir("a/x/1"))
        for start in ("a/x/c", "a/x/c/", "a/x/c/1", "a/x/c/1/", "a/x/c.1.", "a/x/1", "a/x/1/"):
            assert collect(store.list_prefix(start)) == collect(model.list_prefix(start))
        for key in keys[:-1]:
            want = asyncio.run(model.get(key, default_buffer_prototype())).to_bytes()
            assert store.get_sync(key).to_bytes() == want
            assert asyncio.run(store.getsize(key)) == len(want)
            assert asyncio.run(store.exists(key))


def _committed(session: Session, opened: Callable[..., Session]) -> Session:
    session.commit("written through zarr")
    return opened()


def test_part_of_the_hierarchy(session: Session) -> None:
    root = zarr.open_group(VersionedStore(session))
    root.create_array("a/b/x", shape=(4,), chunks=(2,), dtype="i2")[:] = 5
    part = VersionedStore(session, "a/b")
    assert zarr.open_array(part, path="x")[:].tolist() == [5] * 4
    assert collect(part.list()) == ["x/c/0", "x/c/1", "x/zarr.json", "zarr.json"]
    assert collect(part.list_dir("")) == ["x", "zarr.json"]
    assert asyncio.run(part.getsize_prefix("x/c")) == sum(
        asyncio.run(part.getsize(f"x/c/{i}")) for i in range(2)
    )
    asyncio.run(part.delete_dir(""))
    assert session.paths() == ["", "a"]


def test_resize_append_overwrite_delete(opened: Callable[..., Session]) -> None:
    session = opened()
    root = zarr.open_group(VersionedStore(session))
    array = root.create_array("x", shape=(5, 4), chunks=(2, 3), dtype="f8", fill_value=-1)
    array[:] = np.arange(20).reshape(5, 4)
    array.append(np.full((2, 4), 7.0))
    array.attrs["unit"] = "m"
    model = np.concatenate([np.arange(20.0).reshape(5, 4), np.full((2, 4), 7.0)])
    np.testing.assert_array_equal(read(session, "x"), model)
    array.resize((3, 2))
    array.resize((6, 4))
    expected = np.full((6, 4), -1.0)
    expected[:3, :2] = model[:3, :2]
    session.commit("resized")
    for one in (session, opened()):
        again = zarr.open_array(VersionedStore(one), path="x")
        np.testing.assert_array_equal(again[:], expected)
        assert again.attrs["unit"] == "m"
    root.create_array("x", shape=(3,), chunks=(3,), dtype="u1", overwrite=True)
    np.testing.assert_array_equal(read(session, "x"), np.zeros(3))
    session.commit("replaced")
    del root["x"]
    session.commit("deleted")
    assert opened().paths() == [""]


def test_what_is_cut_off_and_comes_back_has_new_names(session: Session) -> None:
    session.create_array("x", array_document((4,), "i4", (2,)))
    for value in (1, 2):
        write(session, "x", slice(2, 4), value)
        session.flush()
        assert read(session, "x")[2:].tolist() == [value, value]
        session.array("x").resize((2,))
        session.array("x").resize((4,))
    store = VersionedStore(session)
    array = zarr.open_array(store, path="x")
    for value in (3, 4):
        array[2:] = value
        assert read(session, "x")[2:].tolist() == [value, value]
        store.delete_sync("x/c.1")
        assert read(session, "x")[2:].tolist() == [0, 0]
    names = [name for name in session.storage.list_all("data") if name.endswith("c.1")]
    assert len(names) == 4


def test_last_axis_becomes_and_stops_being_channels(opened: Callable[..., Session]) -> None:
    session = opened()
    array = zarr.create_array(
        VersionedStore(session), name="x", shape=(4, 3), chunks=(2, 8), dtype="i4"
    )
    array[:] = 1
    session.commit("three channels")
    for width in (6, 2, 9):
        zarr.open_array(VersionedStore(session), path="x").resize((4, width))
        session.commit(f"{width} wide")
        session = opened()
        assert read(session, "x").shape == (4, width)
        write(session, "x", 0, 5)
        session.commit("written")


def test_own_writes_and_zarr_see_each_other(session: Session) -> None:
    session.create_array("x", array_document((4, 4), "i4", (2, 2)))
    array = zarr.open_array(VersionedStore(session), path="x")
    write(session, "x", (0, 0), 1)
    assert array[0, 0] == 1
    write(session, "x", (0, 1), 2)
    array[:2, :2] = 3
    assert read(session, "x")[:2, :2].tolist() == [[3, 3], [3, 3]]
    write(session, "x", (3, 3), 4)
    assert "x/c.1.1" in collect(VersionedStore(session).list())
    write(session, "x", (3, 3), 9)
    VersionedStore(session).delete_sync("x/c.1.1")
    assert array[3, 3] == 0
    assert read(session, "x")[3, 3] == 0


def test_keys_that_are_no_chunks(store: VersionedStore, opened: Callable[..., Session]) -> None:
    root = zarr.open_group(store)
    root.create_array("x", shape=(4, 4), chunks=(2, 2), dtype="i4")
    keys = ["x/c/0/01", "x/c/0/+1", "x/c/0", "x/c/0/2", "x/c", "x/c/0/0/0", "note", "a/b", "a"]
    for key in keys:
        store.set_sync(key, buffer(key.encode()))
    store.session.commit("loose")
    again = VersionedStore(opened())
    for one in (store, again):
        assert [k for k in collect(one.list()) if "zarr.json" not in k] == sorted(keys)
        for key in keys:
            assert one.get_sync(key).to_bytes() == key.encode()
    again.delete_sync("note")
    again.delete_sync("note")
    asyncio.run(again.delete_dir("a"))
    asyncio.run(again.delete_dir("x/c/0"))
    again.session.commit("fewer")
    assert collect(VersionedStore(opened()).list()) == sorted(
        ["a", "x/c", "x/c/0", "x/zarr.json", "zarr.json"]
    )


def test_chunks_before_their_array(store: VersionedStore, opened: Callable[..., Session]) -> None:
    plain = zarr.create_array({}, shape=(4,), chunks=(2,), dtype="i4")
    plain[:] = [1, 2, 3, 4]
    held = plain.store._store_dict
    for key in ("c/0", "c/1"):
        store.set_sync("x/" + key, held[key])
    store.set_sync("x/c/2", held["c/0"])
    store.session.commit("chunks")
    store.set_sync("x/zarr.json", held["zarr.json"])
    assert read(store.session, "x").tolist() == [1, 2, 3, 4]
    zarr.open_array(store, path="x").resize((6,))
    store.session.commit("array")
    assert read(opened(), "x").tolist() == [1, 2, 3, 4, 1, 2]
    assert not opened().manifest.objects


def test_documents_that_are_none(store: VersionedStore) -> None:
    array = json.dumps(array_document((4,), "i4", (2,))).encode()
    less = array.replace(b'"fill_value"', b'"other"')
    for data in (b"", b"{", b"[]", b"\xff", b'{"zarr_format": 2}', less, b"[" * 100_000):
        store.set_sync("x/zarr.json", buffer(data))
        assert store.session.document("x") is None
        assert store.get_sync("x/zarr.json").to_bytes() == data
        store.set_sync("x/zarr.json", buffer(array))
        assert "x/zarr.json" not in store.session.objects
        assert read(store.session, "x").tolist() == [0] * 4
    store.set_sync("x/zarr.json", buffer(b"{}"))
    assert store.session.document("x") is None


def test_documents_that_are_refused(store: VersionedStore) -> None:
    document = array_document((4,), "i4", (2,))
    store.set_sync("x/zarr.json", buffer(json.dumps(document).encode()))
    with pytest.raises(InvalidError, match="arrays hold no nodes"):
        store.set_sync("x/y/zarr.json", buffer(json.dumps(document).encode()))
    with pytest.raises(InvalidError, match="reserved"):
        store.set_sync(".loose/zarr.json", buffer(json.dumps(document).encode()))
    with pytest.raises(InvalidError, match="axes"):
        store.set_sync("y/zarr.json", buffer(json.dumps({**document, "shape": [1, 2]}).encode()))
    unknown = {**document, "chunk_key_encoding": {"name": "mine"}}
    with pytest.raises(UnsupportedError, match="mine"):
        store.set_sync("y/zarr.json", buffer(json.dumps(unknown).encode()))
    assert store.session.paths() == ["", "x"]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/x", "a//b", "a/", "", ".", "a\0b"])
def test_keys_that_are_no_paths(store: VersionedStore, key: str) -> None:
    with pytest.raises(InvalidError, match="relative path"):
        store.set_sync(key, buffer(b"1"))
    assert store.get_sync(key) is None
    assert not asyncio.run(store.exists(key))
    store.delete_sync(key)


def test_pieces_of_chunks_and_documents(store: VersionedStore) -> None:
    array = zarr.create_array(store, name="x", shape=(8,), chunks=(8,), dtype="u1", compressors=())
    array[:] = range(8)
    ranges = [RangeByteRequest(2, 4), OffsetByteRequest(5), SuffixByteRequest(2), None]
    ranges += [SuffixByteRequest(0), RangeByteRequest(6, 100), SuffixByteRequest(10_000)]
    for key in ("x/c/0", "x/zarr.json", "note"):
        if key == "note":
            store.set_sync(key, buffer(b"0123456789"))
        data = store.get_sync(key).to_bytes()
        pairs = [(key, wanted) for wanted in ranges]
        got = asyncio.run(store.get_partial_values(default_buffer_prototype(), pairs))
        want = [data[2:4], data[5:], data[-2:], data, b"", data[6:100], data]
        assert [piece.to_bytes() for piece in got] == want


def test_lost_objects_are_errors(store: VersionedStore) -> None:
    zarr.create_array(store, name="x", shape=(4,), chunks=(2,), dtype="u1")[:] = 1
    store.set_sync("note", buffer(b"1"))
    storage = store.session.storage
    storage.delete(list(storage.list_all("data")))
    for key in ("x/c/0", "note"):
        with pytest.raises(DamagedError, match="missing"):
            store.get_sync(key)
        with pytest.raises(DamagedError, match="missing"):
            store.get_sync(key, byte_range=RangeByteRequest(0, 1))
    assert store.get_sync("x/c/7") is None


def test_reading_only(opened: Callable[..., Session]) -> None:
    session = opened()
    zarr.open_group(VersionedStore(session)).create_array("x", shape=(2,), dtype="i4")
    session.commit("x")
    store = VersionedStore(opened(mode="r"))
    assert store.read_only
    assert zarr.open_array(store, path="x", mode="r")[:].tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        store.set_sync("x/c/0", buffer(b"1"))
    with pytest.raises(ReadOnlyError):
        store.with_read_only(False)
    with pytest.raises(InvalidTypeError, match="Buffer"):
        VersionedStore(session).set_sync("x/c/0", b"1")
    store.session.close()
    with pytest.raises(ClosedError):
        store.get_sync("x/c/0")


def test_many_nodes(opened: Callable[..., Session]) -> None:
    session = opened()
    root = zarr.open_group(VersionedStore(session))
    for i in range(300):
        root.create_group(f"g{i % 10}/n{i}", attributes={"i": i})
    array = root.create_array("g3/x", shape=(4,), chunks=(2,), dtype="i4")
    array[:] = 7
    session.commit("many")
    again = opened()
    assert again.manifest.nodes is None
    root = zarr.open_group(VersionedStore(again))
    assert sorted(root.group_keys()) == [f"g{i}" for i in range(10)]
    assert len(list(root["g3"].groups())) == 30
    assert root["g7/n17"].attrs["i"] == 17
    assert root["g3/x"][:].tolist() == [7] * 4
    root["g7/n17"].attrs["i"] = 18
    again.commit("one")
    session.refresh()
    assert zarr.open_group(VersionedStore(session), path="g7/n17").attrs["i"] == 18


def test_a_huge_grid_lists_at_once(session: Session) -> None:
    zarr.create_array(
        VersionedStore(session), name="x", shape=(10**6, 10**6), chunks=(10, 10), dtype="i1"
    )[999_990:, 999_990:] = 1
    session.commit("corner")
    store = VersionedStore(session)
    assert collect(store.list_prefix("x/c")) == ["x/c/99999/99999"]
    assert collect(store.list_dir("x/c")) == ["99999"]
    assert collect(store.list_dir("x/c/99999")) == ["99999"]
    asyncio.run(store.delete_dir("x/c/99999"))
    assert collect(store.list()) == ["x/zarr.json", "zarr.json"]
    assert read_corner(session) == 0


def read_corner(session: Session) -> int:
    engine = session.array("x").engine
    return int(engine.read(apply(identity(engine.shape), (-1, -1))))
