"""Damaged bytes raise DamagedError; nothing else, and no wrong values where a checksum is."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.codecs import ABSENT, array_document, compile_codec
from hubzarr.errors import DamagedError, InvalidError
from tests.codecs.samples import (
    CRC,
    LITTLE,
    ZSTD,
    blosc,
    joined,
    same,
    sample,
    sharding,
    transpose,
)

GZIP = {"name": "gzip", "configuration": {"level": 5}}
ZSTD_CHECKED = {"name": "zstd", "configuration": {"level": 3, "checksum": True}}

CHECKED = {
    "bytes": [LITTLE, CRC],
    "zstd": [LITTLE, ZSTD, CRC],
    "blosc": [LITTLE, blosc("lz4", "shuffle"), CRC],
    "gzip": [LITTLE, GZIP, CRC],
    "transposed": [transpose(1, 0), LITTLE, ZSTD, CRC],
    "zarr": [LITTLE, CRC, ZSTD, CRC],
    "shard": [sharding((4, 3), [LITTLE, ZSTD, CRC])],
    "shard, index first": [sharding((4, 3), [LITTLE, ZSTD, CRC], "start")],
    "shard of bytes": [sharding((2, 6), [LITTLE, CRC])],
}
UNCHECKED = {
    "bytes": [LITTLE],
    "zstd": [LITTLE, ZSTD],
    "zstd with checksum": [LITTLE, ZSTD_CHECKED],
    **{f"blosc {name}": [LITTLE, blosc(name, "shuffle")]
       for name in ("lz4", "lz4hc", "blosclz", "zlib", "zstd")},
    "blosc bits": [LITTLE, blosc("lz4", "bitshuffle")],
    "gzip": [LITTLE, GZIP],
    "shard": [sharding((4, 3), [LITTLE, ZSTD], index_codecs=[LITTLE])],
}  # fmt: skip


def compiled(chain, shape=(8, 6)):
    codec = compile_codec(array_document(shape, "i4", shape, codec=chain))
    values = sample("i4", shape)
    values[:4, :3] = 0
    return codec, values, joined(codec.encode(values))


@pytest.mark.parametrize("chain", CHECKED.values(), ids=CHECKED)
def test_every_changed_byte_shows(chain):
    codec, values, stored = compiled(chain)
    out = np.empty_like(values)
    for position in range(len(stored)):
        for flip in (0x01, 0xFF):
            damaged = bytearray(stored)
            damaged[position] ^= flip
            with pytest.raises(DamagedError):
                codec.decode_into(bytes(damaged), out)
    assert same(codec.decode(stored), values)


@pytest.mark.parametrize("chain", [*CHECKED.values(), *UNCHECKED.values()], ids=str)
def test_every_other_length_shows(chain):
    codec, _, stored = compiled(chain)
    for length in range(len(stored)):
        with pytest.raises(DamagedError):
            codec.decode(stored[:length])
    if "sharding_indexed" not in str(chain):  # a shard may have gaps
        for more in (b"x", stored):
            with pytest.raises(DamagedError):
                codec.decode(stored + more)


@pytest.mark.parametrize("shape", [(8, 6), (100, 102)], ids=["copied", "direct"])
@pytest.mark.parametrize("chain", UNCHECKED.values(), ids=UNCHECKED)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_without_a_checksum_nothing_worse_than_an_error(chain, shape, data):
    codec, values, stored = compiled(chain, shape)
    damaged = bytearray(stored)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(
            st.integers(0, len(stored) - 1) | st.integers(0, min(40, len(stored) - 1))
        )
        damaged[position] = data.draw(st.integers(0, 255))
    with suppress(DamagedError):
        assert codec.decode(bytes(damaged)).shape == values.shape


def test_sizes_that_compressors_claim_are_not_believed():
    codec, _, stored = compiled([LITTLE, ZSTD])
    claim = stored[:4] + bytes([0xE0]) + (2**40).to_bytes(8, "little")
    with pytest.raises(DamagedError, match="announces 1099511627776 bytes"):
        codec.decode(claim + stored[6:])
    smaller = compile_codec(array_document((2, 3), "i4", (2, 3), codec=[LITTLE, ZSTD]))
    with pytest.raises(DamagedError, match="24 bytes came out; expected 192"):
        codec.decode(smaller.encode(np.ones((2, 3), "i4")))
    with pytest.raises(DamagedError, match="announces 192 bytes; expected 24"):
        smaller.decode(stored)
    codec, _, stored = compiled([LITTLE, blosc("lz4", "shuffle")])
    with pytest.raises(DamagedError, match="announces"):
        codec.decode(stored[:12] + (2**31).to_bytes(4, "little") + stored[16:])
    codec, _, stored = compiled([LITTLE, GZIP])
    smaller = compile_codec(array_document((2, 3), "i4", (2, 3), codec=[LITTLE, GZIP]))
    for one, other in ((codec, smaller), (smaller, codec)):
        with pytest.raises(DamagedError, match="gzip"):
            one.decode(other.encode(np.ones(other.shape, "i4")))


def test_strings():
    codec = compile_codec(array_document((5,), str, (5,)))
    stored = codec.encode(sample(str, (5,)))
    for position in range(len(stored)):
        damaged = bytearray(stored)
        damaged[position] ^= 0x10
        with pytest.raises(DamagedError):
            codec.decode(damaged)
    four = compile_codec(array_document((4,), str, (4,)))
    with pytest.raises(DamagedError):
        four.decode(stored)


class TestShards:
    def setup_method(self):
        self.codec, self.values, self.stored = compiled([sharding((4, 3), [LITTLE, ZSTD, CRC])])

    def index(self):
        start, stop = self.codec.index_range()
        return self.codec.parse_index(self.stored[start:stop])

    def rewritten(self, index):
        start, _ = self.codec.index_range()
        empty = joined(self.codec.assemble_shard([None] * 4))
        assert len(empty) == -start
        from_zero = self.codec._index.encode(index.reshape(self.codec._index.shape))
        return self.stored[:start] + from_zero

    def test_index(self):
        index = self.index()
        assert index.shape == (4, 2)
        assert index[0].tolist() == [ABSENT, ABSENT]  # it is all fill value
        lengths = index[1:, 1]
        assert index[1:, 0].tolist() == [0, lengths[0], lengths[:2].sum()]

    def test_inner_chunks_by_range(self):
        for (offset, length), rows, columns in zip(
            self.index()[1:].tolist(), (0, 4, 4), (3, 0, 3), strict=True
        ):
            data = self.stored[offset : offset + length]
            inner = self.codec.inner_codec.decode(data)
            assert same(inner, self.values[rows : rows + 4, columns : columns + 3].copy())

    def test_any_order_and_gaps(self):
        pieces = [b"gap" + self.stored[o : o + n] for o, n in self.index()[1:].tolist()]
        index, data = self.index(), b""
        for number in (2, 0, 1):
            index[number + 1, 0] = len(data) + 3
            data += pieces[number]
        stored = data + self.codec._index.encode(index.reshape(self.codec._index.shape))
        assert same(self.codec.decode(stored), self.values)

    @pytest.mark.parametrize(
        "entry",
        [(0, ABSENT), (ABSENT, 5), (2**40, 10), (0, 2**63), (2**64 - 4, 8), (0, 0)],
        ids=str,
    )
    def test_impossible_places(self, entry):
        index = self.index()
        index[2] = entry
        with pytest.raises(DamagedError):
            self.codec.decode(self.rewritten(index))

    def test_empty_shard(self):
        stored = joined(self.codec.encode(self.codec.filled()))
        assert len(stored) == -self.codec.index_range()[0]
        assert not self.codec.decode(stored).any()

    def test_assembly_takes_any_buffers(self):
        chunks = [
            None,
            bytearray(self.stored[:7]),
            [b"ab", memoryview(b"cd")],
            np.arange(3, dtype="u2"),
        ]
        stored = joined(self.codec.assemble_shard(chunks))
        start, stop = self.codec.index_range()
        assert self.codec.parse_index(stored[start:stop])[:, 1].tolist() == [ABSENT, 7, 4, 6]
        assert stored[7:11] == b"abcd"
        with pytest.raises(InvalidError, match="expected 4"):
            self.codec.assemble_shard([None])

    def test_map_of_the_caller(self):
        calls = []

        def counting(function, items):
            items = list(items)
            calls.append(len(items))
            return map(function, items)

        encoded = joined(self.codec.encode_shard(self.values, map=counting))
        out = np.empty_like(self.values)
        self.codec.decode_shard_into(encoded, out, map=counting)
        assert same(out, self.values)
        assert encoded == self.stored
        assert calls == [1, 1]  # four small chunks are one task
