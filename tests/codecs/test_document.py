"""New documents, chunk keys and chosen shapes."""

import json
from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.core.chunk_key_encodings import DefaultChunkKeyEncoding, V2ChunkKeyEncoding
from zarr.dtype import VariableLengthBytes

from hubzarr.codecs import (
    array_document,
    auto_chunks,
    compile_codec,
    compile_key,
    default_codecs,
)
from hubzarr.errors import InvalidError, InvalidTypeError, UnsupportedError
from tests.codecs.samples import CRC, DTYPES, LITTLE, ZSTD, ZarrPeer


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shards", [None, (4, 4)])
def test_zarr_opens_it(dtype, shards):
    document = array_document(
        (5, 6),
        dtype,
        (2, 2),
        shards,
        attributes={"a": [1, {"b": None}]},
        dimension_names=("y", None),
    )
    assert json.loads(json.dumps(document)) == document
    array = ZarrPeer(document).array
    assert (array.shape, array.chunks, array.shards) == ((5, 6), (2, 2), shards)
    assert dict(array.attrs) == {"a": [1, {"b": None}]}
    assert array.metadata.dimension_names == ("y", None)
    assert array.metadata.chunk_key_encoding == DefaultChunkKeyEncoding(separator=".")


@pytest.mark.parametrize(
    ("dtype", "fill_value"),
    [
        ("f4", np.nan),
        ("f4", 0.1),
        ("f4", "nan"),
        ("f8", -np.inf),
        ("u1", 255),
        ("u1", 3.0),
        ("?", True),
        ("?", 0),
        ("c8", 1 + 2j),
        ("c8", np.nan),
        ("M8[s]", "2020-01-02"),
        ("M8[s]", "NaT"),
        ("M8[s]", np.datetime64("2020", "Y")),
        ("m8[s]", 5),
        ("U4", "abcd"),
        ("S4", b"ab"),
        (str, "none"),
        ("V2", b"ab"),
        ("i4", np.array(7)),
        ([("a", "<i4"), ("b", "<f8")], (1, 2.5)),
        ("f4", None),
        ("M8[s]", None),
    ],
    ids=str,
)
def test_fill_values(dtype, fill_value):
    document = array_document((3,), dtype, (3,), fill_value=fill_value)
    codec = compile_codec(document)
    ours, theirs = codec.filled(), ZarrPeer(document).array[...]
    assert ours.tobytes() == theirs.astype(codec.dtype).tobytes() or (ours == theirs).all()


@pytest.mark.parametrize(
    ("dtype", "fill_value"),
    [
        ("u1", 256),
        ("u1", -1),
        ("u1", 1.5),
        ("i4", "x"),
        ("i4", np.nan),
        ("i8", 2**63),
        ("f4", "x"),
        ("f4", 1e300),
        ("f4", 1j),
        ("?", 5),
        ("U4", "abcde"),
        ("S2", b"abc"),
        ("V2", b"abc"),
        ("M8[D]", "2020-01-01T05"),
        ("M8[s]", "x"),
        ("m8[s]", np.timedelta64(1500, "ms")),
    ],
    ids=str,
)
def test_impossible_fill_values(dtype, fill_value):
    with pytest.raises(InvalidError, match="fill value"):
        array_document((3,), dtype, (3,), fill_value=fill_value)


@pytest.mark.parametrize("dtype", ["O", "f16", "U", "V", "nosuch", [("a", "i4", (2,))], 5], ids=str)
def test_impossible_dtypes(dtype):
    with pytest.raises(InvalidTypeError, match="can't be stored"):
        array_document((3,), dtype, (3,))


def test_defaults():
    assert default_codecs("f4") == {"codecs": [LITTLE, ZSTD, CRC]}
    pieces = default_codecs("f4", None, (2,), (4,))
    assert pieces["chunk_grid"]["configuration"]["chunk_shape"] == [4]
    (sharding,) = pieces["codecs"]
    assert sharding["configuration"]["codecs"] == [LITTLE, CRC]
    assert sharding["configuration"]["index_location"] == "end"


@pytest.mark.parametrize(
    ("dtype", "codec", "expected"),
    [
        ("f4", "lz4", {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4}),
        ("u1", "lz4:9", {"cname": "lz4", "clevel": 9, "shuffle": "noshuffle", "typesize": 1}),
        ("U7", "blosc", {"cname": "zstd", "clevel": 5, "shuffle": "shuffle", "typesize": 4}),
        ("M8[s]", "blosc:2", {"cname": "zstd", "clevel": 2, "shuffle": "shuffle", "typesize": 8}),
        (str, "blosc", {"cname": "zstd", "clevel": 5, "shuffle": "noshuffle", "typesize": 1}),
        ("f4", "zstd:-5", {"level": -5, "checksum": False}),
        ("f4", "gzip:0", {"level": 0}),
    ],
    ids=str,
)
def test_named_codecs(dtype, codec, expected):
    configuration = default_codecs(dtype, codec)["codecs"][1]["configuration"]
    assert {key: configuration[key] for key in expected} == expected
    array_document((3,), dtype, (3,), codec=codec)


def test_given_codecs():
    names = [codec["name"] for codec in default_codecs("f4", [ZSTD, CRC])["codecs"]]
    assert names == ["bytes", "zstd", "crc32c"]
    whole = default_codecs("f4", [LITTLE, ZSTD])["codecs"]
    assert whole == [LITTLE, ZSTD]  # a whole chain is the user's business
    assert default_codecs(VariableLengthBytes(), "none")["codecs"][0] == {"name": "vlen-bytes"}
    names = [
        c["name"]
        for c in default_codecs(
            "i4", ({"name": "transpose", "configuration": {"order": [0]}}, "lz4")
        )["codecs"]
    ]
    assert names == ["transpose", "bytes", "blosc", "crc32c"]


def test_impossible_codecs():
    for codec in ("nosuch", "zstd:x", "zstd:23", "lz4:10", "lz4:-1", "none:3", ""):
        with pytest.raises(InvalidError, match="expected"):
            default_codecs("f4", codec)
    for codec in (5, {"configuration": {}}, [object()]):
        with pytest.raises(InvalidTypeError, match="expected 'zstd'"):
            default_codecs("f4", codec)
    with pytest.raises(UnsupportedError, match="not installed"):
        default_codecs("f4", {"name": "nosuch"})
    with pytest.raises(InvalidError, match="change one of these"):
        array_document((3,), "f4", (3,), codec={"name": "zstd", "configuration": {"level": "x"}})


@pytest.mark.parametrize(
    ("chunks", "shards"),
    [
        ((2,), None),
        ((2, 0), None),
        ((2, -1), None),
        ((2, 2), (4,)),
        ((2, 2), (4, 5)),
        ((2, 2), (0, 4)),
    ],
)
def test_impossible_shapes(chunks, shards):
    with pytest.raises(InvalidError):
        array_document((5, 6), "f4", chunks, shards)


@pytest.mark.parametrize("encoding", [DefaultChunkKeyEncoding, V2ChunkKeyEncoding])
@pytest.mark.parametrize("separator", ["/", ".", None])
@pytest.mark.parametrize("cell", [(), (5,), (0, 12, 3), tuple(np.arange(2))])
def test_keys(encoding, separator, cell):
    arguments = {} if separator is None else {"separator": separator}
    document = {
        "shape": [9] * len(cell),
        "chunk_key_encoding": {"name": encoding.name, "configuration": arguments},
    }
    assert compile_key(document)(cell) == encoding(**arguments).encode_chunk_key(cell)
    if not arguments:
        document["chunk_key_encoding"] = encoding.name
        assert compile_key(document)(cell) == encoding().encode_chunk_key(cell)


def test_unknown_keys():
    for encoding in ("suffix", {"name": "default", "configuration": {"separator": "-"}}):
        with pytest.raises(UnsupportedError, match="chunk key encoding"):
            compile_key({"shape": [1], "chunk_key_encoding": encoding})


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks", "shards"),
    [
        ((60000, 28, 28), "u1", (83, 28, 28), (10624, 28, 28)),
        ((0, 28, 28), "u1", (83, 28, 28), (10624, 28, 28)),
        ((2000, 28, 28), "u1", (83, 28, 28), (2075, 28, 28)),
        ((1000, 224, 224, 3), "u1", (1, 224, 224, 3), (55, 224, 224, 3)),
        ((0, 1024, 1024, 3), "u1", (1, 512, 512, 3), (5, 1024, 1024, 3)),
        ((8, 512, 512, 512), "f4", (1, 64, 64, 64), (1, 256, 128, 128)),
        ((8760, 721, 1440), "f4", (1, 361, 720), (4, 722, 1440)),
        ((10**7,), "f8", (131072,), (2097152,)),
        ((10**6, 100), "f4", (2621, 100), (41936, 100)),
        ((20000, 20000), "f4", (313, 625), (2191, 1875)),
        ((150000,), "f8", (131072,), (262144,)),
        ((100, 100), "f4", (100, 100), None),
        ((), "f4", (), None),
        ((3, 0, 5), "f4", (3, 1, 5), None),
    ],
    ids=str,
)
def test_auto_chunks(shape, dtype, chunks, shards):
    assert auto_chunks(shape, dtype) == (chunks, shards)


@pytest.mark.parametrize(
    ("shape", "chunks", "shards", "expected"),
    [
        ((100, 30), (10, 20), "auto", ((10, 20), None)),
        ((100, 30), (10, -1), None, ((10, 30), None)),
        ((100, 30), (None, 20), -1, ((100, 20), (100, 40))),
        ((100, 30), (10, 20), (-1, None), ((10, 20), (100, 40))),
        ((100, 30), 20, 40, ((20, 20), (40, 40))),
        ((100, 30), 20, 50, InvalidError),
        ((100, 30), 20, (40, 40), ((20, 20), (40, 40))),
        ((100, 30), 50, None, ((50, 30), None)),
        ((0, 30), (5, 30), (50, 30), ((5, 30), (50, 30))),
        ((100, 30), None, None, ((100, 30), None)),
        ((100, 30), (10, 20), (15, 20), InvalidError),
        ((100, 30), (10,), None, InvalidError),
        ((100, 30), (10, 0), None, InvalidError),
        ((100, 30), (10, -2), None, InvalidError),
        ((100, 30), "much", None, InvalidTypeError),
        ((100, 30), (10, 2.5), None, InvalidTypeError),
        ((-1, 30), "auto", "auto", InvalidError),
        ((10**6,), "auto", (1000,), ((1000,), (1000,))),
        ((10**6,), "auto", None, ((131072,), None)),
    ],
    ids=str,
)
def test_given_chunks(shape, chunks, shards, expected):
    if isinstance(expected, tuple):
        assert auto_chunks(shape, "f8", chunks, shards) == expected
    else:
        with pytest.raises((InvalidError, InvalidTypeError)):
            auto_chunks(shape, "f8", chunks, shards)


@settings(max_examples=300, deadline=None)
@given(
    shape=st.lists(st.integers(0, 3) | st.integers(0, 10**7), max_size=5).map(tuple),
    dtype=st.sampled_from(["u1", "f4", "f8", "c16", "U50", str]),
)
def test_auto_chunks_are_sound(shape, dtype):
    chunks, shards = auto_chunks(shape, dtype)
    itemsize = 32 if dtype is str else np.dtype(dtype).itemsize
    size = prod(chunks) * itemsize
    assert all(chunk >= 1 for chunk in chunks)
    assert all(chunk <= max(1, n) for chunk, n in list(zip(chunks, shape, strict=True))[1:])
    assert size <= 2 * 2**20
    if shards is not None:
        assert all(shard % chunk == 0 for shard, chunk in zip(shards, chunks, strict=True))
        assert size < prod(shards) * itemsize <= 16 * 2**20
        array_document(shape, dtype, chunks, shards)
        for axis, (shard, chunk, n) in enumerate(zip(shards, chunks, shape, strict=True)):
            if axis or n:
                assert shard <= ceil(max(1, n) / chunk) * chunk
