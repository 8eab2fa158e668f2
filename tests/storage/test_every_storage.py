"""What every storage promises."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import InvalidError

BUFFERS = [
    b"",
    b"abc",
    bytearray(b"abc"),
    memoryview(b"xabcx")[1:-1],
    np.arange(12, dtype="<i4").reshape(3, 4),
    np.zeros((0, 3)),
    [],
    [b"a", b"", bytearray(b"bc")],
    (b"a", np.arange(3)),
    [b"x" * 70_000, memoryview(b"y" * 70_000), np.arange(40_000)],
    [b"z" * 90] * 2_000,
]


def content(data):
    if isinstance(data, (list, tuple)):
        return b"".join(map(content, data))
    return data.tobytes() if isinstance(data, np.ndarray) else bytes(data)


@pytest.mark.parametrize("data", BUFFERS, ids=range(len(BUFFERS)))
def test_every_way_of_writing_stores_the_bytes(storage, data):
    expected = content(data)
    storage.put("data/a/put", data)
    storage.put_atomic("data/a/atomic", data)
    assert storage.create("data/a/create", data) is True
    for name in ("put", "atomic", "create"):
        assert storage.get(f"data/a/{name}") == expected
        assert storage.size(f"data/a/{name}") == len(expected)
        assert storage.exists(f"data/a/{name}")
    assert storage.list_dir("data/a") == ["atomic", "create", "put"]


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_003])
def test_sizes_around_the_read_block(storage, size):
    data = np.random.default_rng(size).bytes(size)
    storage.put("x", data)
    assert storage.get("x") == data
    out = bytearray(size)
    assert storage.get_into("x", memoryview(out)) == size
    assert out == data


def test_what_is_missing(storage):
    def check():
        for path in ("nothing", "no/such/dir/x"):
            assert storage.get(path) is None
            assert storage.get_range(path, 0, 10) is None
            assert storage.get_range(path, 5, 5) is None
            assert storage.get_range(path, -3, None) is None
            assert storage.get_into(path, memoryview(bytearray(3))) is None
            assert storage.size(path) is None
            assert storage.exists(path) is False
            assert storage.list_dir(path) == []
            assert list(storage.list_all(path)) == []
        storage.delete(["nothing", "no/such/dir/x"])
        storage.delete_dir("no/such")

    check()  # before the root exists
    storage.put("there/is/one", b"x")
    check()


def test_a_directory_is_no_object(storage):
    storage.put("a/b/c", b"x")
    assert storage.get("a/b") is None
    assert storage.get_range("a/b", 0, 1) is None
    assert storage.size("a/b") is None
    assert not storage.exists("a/b")


def test_an_object_is_no_directory(storage):
    storage.put("a", b"x")
    assert storage.get("a/b") is None
    assert not storage.exists("a/b")
    assert storage.list_dir("a") == []
    storage.delete(["a/b"])
    assert storage.get("a") == b"x"


RANGES = [(0, 4), (2, 5), (2, None), (-3, None), (-99, None), (3, 99), (5, 5), (7, 3), (10, 12)]


@pytest.mark.parametrize(("start", "stop"), [*RANGES, (10, None), (99, 100), (0, 1 << 40)])
def test_ranges(storage, start, stop):
    data = b"0123456789"
    storage.put("x", data)
    assert storage.get_range("x", start, stop) == data[start:stop]


@given(st.integers(0, 200_000), st.integers(0, 200_000) | st.none())
def test_ranges_of_a_large_object(storage, start, stop):
    data = np.arange(20_000).tobytes()
    if not storage.exists("x"):
        storage.put("x", data)
    assert storage.get_range("x", start, stop) == data[start:stop]
    if start:
        assert storage.get_range("x", -start, None) == data[-start:]


def test_suffix_of_an_empty_object(storage):
    storage.put("x", b"")
    assert storage.get_range("x", -5, None) == b""
    assert storage.get_range("x", 0, 5) == b""


@pytest.mark.parametrize("sizes", [(5, 4), (9, 0), (0, 9), (3, 3, 3), (8, 4), (4, 2), (70_000, 4)])
def test_get_into_several_buffers(storage, sizes):
    data = np.random.default_rng(0).bytes(max(9, sum(sizes) if sizes[0] > 9 else 9))
    storage.put("x", data)
    parts = [bytearray(size) for size in sizes]
    size = storage.get_into("x", *map(memoryview, parts))
    room = sum(sizes)
    assert (size == len(data)) if len(data) <= room else (size > room)
    filled = b"".join(parts)
    assert filled[: len(data)] == data[:room]
    assert filled[len(data) :] == bytes(max(0, room - len(data)))


def test_a_suffix_takes_no_stop(storage):
    with pytest.raises(InvalidError, match="negative start"):
        storage.get_range("x", -3, 5)


def test_get_into_tells_a_size_that_differs(storage):
    storage.put("x", b"12345")
    exact, short, long = bytearray(5), bytearray(3), bytearray(8)
    assert storage.get_into("x", memoryview(exact)) == 5
    assert exact == b"12345"
    assert storage.get_into("x", memoryview(short)) > 3
    assert storage.get_into("x", memoryview(long)) == 5
    assert long[:5] == b"12345"
    assert storage.get_into("x", memoryview(bytearray())) > 0


def test_create_has_one_winner(storage):
    assert storage.create("v/0", b"first") is True
    assert storage.create("v/0", b"second") is False
    assert storage.get("v/0") == b"first"
    assert storage.list_dir("v") == ["0"]


def test_create_races_between_threads(storage):
    if not storage.atomic_create:
        pytest.skip("this store promises one winner to a single writer only")
    start = threading.Barrier(8)

    def race(number):
        wins = []
        for name in range(20):
            start.wait()
            if storage.create(f"v/{name}", f"writer {number}".encode() * 100):
                wins.append(name)
        return wins

    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(race, range(8)))
    assert sorted(name for found in wins for name in found) == list(range(20))
    for number, found in enumerate(wins):
        for name in found:
            assert storage.get(f"v/{name}") == f"writer {number}".encode() * 100


def test_put_atomic_replaces(storage):
    storage.put_atomic("v/latest", b"a longer first content")
    storage.put_atomic("v/latest", b"2")
    assert storage.get("v/latest") == b"2"
    assert storage.list_dir("v") == ["latest"]


def test_listing(storage):
    for path in ("b/x", "a", "b/c/d", "é/ü", "b-c"):
        storage.put(path, b"1")
    assert storage.list_dir("") == ["a", "b-c", "b/", "é/"]
    assert storage.list_dir("b") == ["c/", "x"]
    assert sorted(storage.list_all("")) == ["a", "b-c", "b/c/d", "b/x", "é/ü"]
    assert sorted(storage.list_all("b")) == ["b/c/d", "b/x"]


def test_listing_after_a_name(storage):
    for path in ("v/000", "v/001", "v/001a/x", "v/002", "v/é", "w"):
        storage.put(path, b"1")
    names = ["000", "001", "001a/", "002", "é"]
    assert storage.list_dir("v") == names
    for after in ("", "0", "000", "001", "001a", "001a/", "001b", "002", "x", "é", "ü"):
        assert storage.list_dir("v", after) == [name for name in names if name > after]
    assert storage.list_dir("v", after="001") == ["001a/", "002", "é"]
    assert storage.list_dir("", "v/") == ["w"]
    assert storage.list_dir("none", "a") == []


def test_what_others_write_shows_at_once(storage):
    other = pickle.loads(pickle.dumps(storage))
    assert storage.list_dir("d") == []
    assert not storage.exists("d/x")
    other.put("d/x", b"1")
    assert storage.list_dir("d") == ["x"]
    assert storage.get("d/x") == b"1"
    other.delete(["d/x"])
    assert not storage.exists("d/x")
    assert storage.list_dir("d") == []


def test_delete(storage):
    for path in ("a/1", "a/2", "a/b/3", "c"):
        storage.put(path, b"1")
    storage.delete(iter(["a/1", "missing", "c"]))
    assert sorted(storage.list_all("")) == ["a/2", "a/b/3"]
    storage.delete_dir("a")
    assert list(storage.list_all("")) == []
    storage.put("a/1", b"again")
    assert storage.get("a/1") == b"again"


def test_delete_dir_keeps_neighbours_with_the_same_start(storage):
    storage.put("ab/1", b"1")
    storage.put("a/1", b"1")
    storage.delete_dir("a")
    assert list(storage.list_all("")) == ["ab/1"]


def test_get_many_keeps_the_order(storage):
    paths = [f"n/{number}" for number in range(50)]
    for path in paths[::2]:
        storage.put(path, path.encode())
    expected = [path.encode() if number % 2 == 0 else None for number, path in enumerate(paths)]
    assert storage.get_many(paths) == expected
    assert storage.get_many([]) == []


def test_counters(storage):
    before = storage.counters.copy()
    storage.put("a", b"12345")
    storage.create("b", [b"123", b"45"])
    storage.get("a")
    storage.get_range("a", 1, 3)
    spent = storage.counters - before
    assert (spent.writes, spent.write_bytes) == (2, 10)
    assert (spent.reads, spent.read_bytes) == (2, 7)


def test_pickle_reopens_the_same_place(storage):
    storage.put("a", b"1")
    again = pickle.loads(pickle.dumps(storage))
    assert again.url == storage.url
    assert again.get("a") == b"1"
    assert again.atomic_create == storage.atomic_create
    assert again.counters.reads == 1


def test_many_threads(storage):
    def work(number):
        for step in range(10):
            storage.put(f"t/{number}/{step}", f"{number}-{step}".encode() * 50)
        return all(
            storage.get(f"t/{number}/{step}") == f"{number}-{step}".encode() * 50
            for step in range(10)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(list(storage.list_all("t"))) == 80
