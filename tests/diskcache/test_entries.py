"""Files of the cache: whatever happens to one, it yields what was written or nothing."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.storage.cache.diskcache import DiskCache
from hubzarr.storage.cache.entries import PIECE

KEY = "s3://bucket/x\ndata/0123456789abcdef/c.0\n"


@pytest.fixture
def cache(tmp_path):
    return DiskCache(str(tmp_path / "cache"), 64 << 20)


SIZES = [0, 1, 100, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 7]


@pytest.mark.parametrize("size", SIZES)
def test_every_size_comes_back_whole_and_in_parts(cache, size):
    data = os.urandom(size)
    assert cache.write(KEY, data)
    assert cache.read(KEY) == data
    assert cache.length(KEY) == size
    places = sorted({0, 1, size // 2, PIECE - 1, PIECE, PIECE + 1, size - 1, size, size + 9} - {-1})
    for start in places:
        assert cache.read(KEY, start) == data[start:]
        for stop in places:
            assert cache.read(KEY, start, stop) == data[start:stop]


def test_another_key_never_gets_the_payload(cache):
    cache.write(KEY, b"mine")
    os.makedirs(os.path.dirname(cache.path_of("other")), exist_ok=True)
    os.replace(cache.path_of(KEY), cache.path_of("other"))  # as if two keys had one digest
    assert cache.read("other") is None
    assert not os.path.exists(cache.path_of("other"))


def damage(path, kind, at, value):
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        at %= len(data)
        if kind == "flip":
            data[at] ^= value or 1
        elif kind == "cut":
            del data[at:]
        elif kind == "zeros":
            data[at : at + value + 1] = bytes(len(data[at : at + value + 1]))
        elif kind == "longer":
            data += bytes([value])
        elif kind == "foreign":
            data = bytearray(os.urandom(len(data)))
        else:
            data = bytearray(len(data))
        file.seek(0)
        file.truncate()
        file.write(data)


@given(
    size=st.sampled_from([0, 10, PIECE + 5, 3 * PIECE]),
    kind=st.sampled_from(["flip", "cut", "zeros", "longer", "foreign", "blank"]),
    at=st.integers(0, 1 << 20),
    value=st.integers(0, 255),
    part=st.none() | st.tuples(st.integers(0, 4 * PIECE), st.integers(0, 2 * PIECE)),
)
def test_damage_is_noticed(cache, size, kind, at, value, part):
    data = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    cache.write(KEY, data)
    damage(cache.path_of(KEY), kind, at, value)
    start, stop = (0, None) if part is None else (part[0], sum(part))
    found = cache.read(KEY, start, stop)
    assert found is None or found == data[start:stop]
    if found is None:
        assert not os.path.exists(cache.path_of(KEY))
    assert cache.length(KEY) in (None, size)
    assert cache.write(KEY, data)
    assert cache.read(KEY) == data


def test_a_flipped_bit_in_the_length_does_not_make_room_for_terabytes(cache):
    cache.write(KEY, b"abc")
    damage(cache.path_of(KEY), "flip", 14, 255)
    assert cache.read(KEY) is None


def test_a_directory_in_place_of_a_file_is_nothing(cache):
    os.makedirs(cache.path_of(KEY))
    assert cache.read(KEY) is None
    assert cache.length(KEY) is None
    assert not cache.write(KEY, b"abc")
