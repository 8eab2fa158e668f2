"""What zarr writes we read, what we write zarr reads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr.codecs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numcodecs import zstd
from zarr.abc.codec import BytesBytesCodec
from zarr.registry import register_codec

from hubzarr.codecs import ShardCodec, array_document, compile_codec
from hubzarr.errors import InvalidError, UnsupportedError
from tests.codecs.samples import (
    BIG,
    CRC,
    DTYPES,
    LITTLE,
    ZSTD,
    ZarrPeer,
    blosc,
    joined,
    same,
    sample,
    sharding,
    transpose,
)  # fmt: skip

NUMCODECS = "ignore:Numcodecs codecs are not in the Zarr version 3 specification"


def both_ways(document, values=None):
    """Check one cell from us to zarr and from zarr to us."""
    codec = compile_codec(document)
    peer = ZarrPeer(document)
    values = sample(codec.dtype, codec.shape) if values is None else values
    first = (0,) * values.ndim
    region = tuple(slice(0, n) for n in codec.shape)

    peer.put(first, codec.encode(values))
    assert same(np.asarray(peer.array[region]).astype(codec.dtype), values)

    peer.array[region] = values
    stored = peer.get(first)
    decoded = codec.decode(stored)
    assert same(decoded, values)
    assert decoded.flags.writeable
    assert decoded.flags.c_contiguous

    out = codec.filled()
    codec.decode_into(memoryview(stored), out)
    assert same(out, values)

    strided = np.empty((2, *codec.shape, 2), codec.dtype)[0, ..., 1]
    codec.decode_into(bytearray(stored), strided)
    assert same(np.ascontiguousarray(strided).reshape(codec.shape), values)
    return codec


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shards", [None, (4, 6)], ids=["chunks", "shards"])
@pytest.mark.parametrize("codec", ["zstd", "lz4", "blosc:1", "gzip", "none"])
def test_dtypes(dtype, shards, codec):
    document = array_document((8, 12), dtype, (2, 3), shards, codec=codec)
    compiled = both_ways(document)
    assert compiled.tight == (dtype is not str)
    assert compiled.inner_shape == (None if shards is None else (2, 3))
    assert compiled.dtype.isnative


@pytest.mark.parametrize(
    "chain",
    [
        [BIG],
        [BIG, CRC],
        [BIG, ZSTD, CRC],
        [LITTLE, {"name": "zstd", "configuration": {"level": -3, "checksum": True}}],
        [LITTLE, {"name": "gzip", "configuration": {"level": 0}}],
        [transpose(1, 2, 0), LITTLE],
        [transpose(2, 0, 1), transpose(1, 0, 2), BIG, ZSTD, CRC],
        [transpose(0, 1, 2), LITTLE, ZSTD],
        *([LITTLE, blosc(cname, shuffle)]
          for cname in ("lz4", "lz4hc", "blosclz", "zlib", "zstd")
          for shuffle in ("noshuffle", "shuffle", "bitshuffle")),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("shape", [(2, 3, 4), (30, 20, 25)], ids=["small", "large"])
def test_tight_chains(chain, shape):
    assert both_ways(array_document(shape, "i4", shape, codec=chain)).tight


@pytest.mark.filterwarnings(NUMCODECS)
@pytest.mark.parametrize(
    ("dtype", "chain"),
    [
        ("i4", [LITTLE, CRC, ZSTD]),
        ("i4", [LITTLE, ZSTD, {"name": "gzip", "configuration": {"level": 1}}]),
        ("i4", [{"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}, LITTLE, ZSTD]),
        ("f4", [LITTLE, {"name": "numcodecs.lz4", "configuration": {"acceleration": 1}}, CRC]),
        ("f8", [LITTLE, {"name": "numcodecs.zlib", "configuration": {"level": 2}}]),
        ("u1", [{"name": "bytes"}, ZSTD, CRC, CRC]),
    ],
    ids=str,
)
def test_other_chains_go_through_zarr(dtype, chain):
    document = array_document((4, 6), dtype, (4, 6), codec=chain)
    assert not both_ways(document).tight
    inside = sharding((2, 3), chain)
    codec = both_ways(array_document((4, 6), dtype, (4, 6), codec=[inside]))
    assert isinstance(codec, ShardCodec)
    assert not codec.tight


def test_scaling_codec():
    scale = {"name": "scale_offset", "configuration": {"scale": 4, "offset": 3}}
    codec = both_ways(array_document((4, 6), "i2", (4, 6), codec=[scale, BIG, ZSTD]))
    assert codec.dtype == np.int16
    with pytest.raises(InvalidError, match="'scale_offset' can't encode"):
        codec.encode(np.full((4, 6), 30000, "i2"))


def test_codec_without_its_package():
    cast = {"name": "cast_value", "configuration": {"data_type": "int16"}}
    try:
        import cast_value_rs  # noqa: F401
    except ImportError:
        with pytest.raises(UnsupportedError, match="cast-value-rs"):
            array_document((4, 6), "f4", (4, 6), codec=[cast, BIG, ZSTD])
    else:
        both_ways(array_document((4, 6), "f4", (4, 6), codec=[cast, BIG, ZSTD]))


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("index_codecs", [(LITTLE, CRC), (LITTLE,), (BIG, CRC)], ids=str)
@pytest.mark.parametrize("inner", [(1, 2, 6), (2, 3, 3), (4, 6, 6), (4, 2, 6), (1, 1, 1)])
def test_shards(location, index_codecs, inner):
    chain = [sharding(inner, [LITTLE, ZSTD, CRC], location, index_codecs)]
    codec = both_ways(array_document((4, 6, 6), "u2", (4, 6, 6), codec=chain))
    assert isinstance(codec, ShardCodec)
    assert codec.tight


def test_nested_shards_and_shards_that_are_not_the_whole_chain():
    inside = sharding((2, 2), [LITTLE, ZSTD, CRC])
    nested = both_ways(array_document((8, 8), "i4", (8, 8), codec=[sharding((4, 4), [inside])]))
    assert nested.inner_shape == (4, 4)
    assert nested.inner_codec.inner_shape == (2, 2)
    wrapped = both_ways(array_document((8, 8), "i4", (8, 8), codec=[transpose(1, 0), inside]))
    assert wrapped.inner_shape is None


def test_large_chunks_and_no_axes():
    both_ways(array_document((3, 900, 1000), "f4", (3, 900, 1000)))  # zstd frame with a window
    for codec in ("zstd", "none", "gzip", "lz4"):
        both_ways(array_document((), "f8", (), codec=codec))
        both_ways(array_document((), "M8[s]", (), (), codec=codec))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape(data):
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=6))
    inner = tuple(data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
                  for n in shape)  # fmt: skip
    dtype = data.draw(st.sampled_from(["u1", "i2", "f4", "f8"]))
    # zarr drops inner chunks of -0.0, so there are none here
    values = data.draw(hnp.arrays(dtype, shape)) + np.zeros((), dtype)
    order = data.draw(st.permutations(range(len(shape))))
    compression = data.draw(
        st.sampled_from([[], [ZSTD], [CRC], [ZSTD, CRC], [blosc("lz4", "shuffle")]])
    )
    location = data.draw(st.sampled_from(["start", "end"]))
    chain = [sharding(inner, [transpose(*order), LITTLE, *compression], location)]
    both_ways(array_document(shape, dtype, shape, codec=chain), values)


def test_views_and_read_only_arrays_are_encoded_alike():
    codec = compile_codec(array_document((6, 8), "f4", (6, 8)))
    base = sample("f4", (12, 16))
    view = base[::2, ::2]
    view.flags.writeable = False
    assert codec.encode(view) == codec.encode(view.copy()) == codec.encode(np.asfortranarray(view))


def test_encoding_refuses_what_does_not_fit():
    for chain in ("zstd", [LITTLE, CRC, ZSTD]):
        codec = compile_codec(array_document((6, 8), "f4", (6, 8), codec=chain))
        with pytest.raises(InvalidError, match="pad it"):
            codec.encode(np.zeros((6, 7), "f4"))
        with pytest.raises(InvalidError, match="dtype float64"):
            codec.encode(np.zeros((6, 8), "f8"))
        stored = codec.encode(np.zeros((6, 8), "f4"))
        for out in (np.zeros((6, 8), "i4"), np.zeros((8, 6), "f4")):
            with pytest.raises(InvalidError, match="does not fit"):
                codec.decode_into(stored, out)


def test_compiled_once_per_content():
    one = array_document((6, 8), "f4", (3, 4), attributes={"a": 1})
    two = array_document((600, 8), "f4", (3, 4), attributes={"b": 2})
    assert compile_codec(one) is compile_codec(two)
    assert compile_codec(one) is not compile_codec(
        array_document((6, 8), "f4", (3, 4), fill_value=1)
    )
    assert repr(compile_codec(one)) == "PlainCodec(shape=(3, 4), dtype='float32')"


def test_frames_without_a_size_and_several_frames():
    # as other libraries write them
    codec = compile_codec(array_document((50,), "u1", (50,), codec=[LITTLE, ZSTD]))
    values = np.arange(50, dtype="u1")
    frames = zstd.compress(values[:20]) + zstd.compress(values[20:])
    assert same(codec.decode(frames), values)
    unsized = bytes.fromhex("28b52ffd0058910100") + bytes(values)  # one raw block, window only
    assert len(unsized) == 59
    assert same(codec.decode(unsized), values)


def test_gzip_of_several_members():
    import gzip

    codec = compile_codec(array_document((50,), "u1", (50,), codec=["gzip"]))
    plain = compile_codec(
        array_document(
            (50,),
            "u1",
            (50,),
            codec=[{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 5}}],
        )
    )
    values = np.arange(50, dtype="u1")
    assert codec.tight
    assert same(plain.decode(gzip.compress(values[:20]) + gzip.compress(values[20:])), values)


class AsyncOnly(BytesBytesCodec):
    """A third party's codec that knows no synchronous calls."""

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data):
        return cls()

    def to_dict(self):
        return {"name": "hubzarr.test.async"}

    def compute_encoded_size(self, input_byte_length, _chunk_spec):
        return input_byte_length

    async def _decode_single(self, chunk_bytes, chunk_spec):
        return chunk_spec.prototype.buffer.from_bytes(bytes(reversed(chunk_bytes.to_bytes())))

    async def _encode_single(self, chunk_bytes, chunk_spec):
        return chunk_spec.prototype.buffer.from_bytes(bytes(reversed(chunk_bytes.to_bytes())))


def test_codecs_of_third_parties():
    register_codec("hubzarr.test.async", AsyncOnly)
    both_ways(array_document((6, 8), "f4", (6, 8), codec=[{"name": "hubzarr.test.async"}, ZSTD]))


def test_unknown_things_are_refused():
    document = array_document((6, 8), "f4", (3, 4))
    with pytest.raises(UnsupportedError, match="nosuch"):
        compile_codec(document | {"codecs": [LITTLE, {"name": "nosuch"}]})
    with pytest.raises(UnsupportedError, match="nosuch"):
        compile_codec(document | {"data_type": "nosuch"})
    with pytest.raises(UnsupportedError, match="storage transformers"):
        compile_codec(document | {"storage_transformers": [{"name": "x"}]})
    with pytest.raises(UnsupportedError, match="not regular"):
        compile_codec(document | {"chunk_grid": {"name": "rectilinear", "configuration": {}}})
    with pytest.raises(InvalidError, match="codecs"):
        compile_codec({key: value for key, value in document.items() if key != "codecs"})


@pytest.mark.parametrize(
    "chain", ["zstd", "lz4", "gzip", "none", [sharding((16, 16), [LITTLE, ZSTD, CRC])]], ids=str
)
def test_many_threads(chain):
    codec = compile_codec(array_document((64, 64), "i4", (64, 64), codec=chain))
    barrier = threading.Barrier(8)

    def hammer(seed):
        values = sample("i4", (64, 64), seed)
        barrier.wait()
        for _ in range(30):
            encoded = joined(codec.encode(values))
            out = np.empty_like(values)
            codec.decode_into(encoded, out)
            if not (same(out, values) and same(codec.decode(encoded), values)):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(hammer, range(8)))


def test_fill():
    codec = compile_codec(array_document((3, 4), "f4", (3, 4), fill_value=0.0))
    assert codec.fill_value == 0
    assert codec.is_fill(codec.filled())
    assert codec.is_fill(np.zeros((6, 8), "f4")[::2, ::2])
    assert not codec.is_fill(np.eye(6, 8, 1, dtype="f4")[::2, 1::2])
    assert not codec.is_fill(np.full((3, 4), -0.0, "f4"))
    codec = compile_codec(array_document((3, 4), "f4", (3, 4), fill_value=np.nan))
    assert codec.is_fill(np.full((3, 4), np.nan, "f4"))
    text = compile_codec(array_document((3, 4), str, (3, 4), fill_value="?"))
    assert text.is_fill(text.filled())
    assert not text.is_fill(sample(str, (3, 4)))
    stamps = compile_codec(array_document((3,), "M8[s]", (3,)))
    assert np.isnat(stamps.filled()).all()
    assert stamps.is_fill(stamps.filled())


def test_zarr_codec_objects():
    for chosen in (zarr.codecs.ZstdCodec(level=5), [zarr.codecs.BloscCodec(cname="lz4")]):
        document = array_document((6, 8), "f4", (3, 4), codec=chosen)
        assert [codec["name"] for codec in document["codecs"]][::2] == ["bytes", "crc32c"]
        both_ways(document)
