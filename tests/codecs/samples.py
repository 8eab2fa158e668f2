"""Arrays and stores for the codec tests."""

import json
import warnings

import numpy as np
import zarr
from zarr.buffer import cpu, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from hubzarr.codecs import compile_key

DTYPES = [
    "?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16",
    ">i4", "M8[s]", "M8[25ns]", "m8[10ms]", "U5", "S5", "V5", str,
    [("a", "<i4"), ("b", "<f8")], [("a", "u1"), ("b", "S3")],
]  # fmt: skip

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
CRC = {"name": "crc32c"}
ZSTD = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}


def blosc(cname, shuffle, typesize=4):
    configuration = {"cname": cname, "clevel": 5, "shuffle": shuffle, "typesize": typesize,
                     "blocksize": 0}  # fmt: skip
    return {"name": "blosc", "configuration": configuration}


def transpose(*order):
    return {"name": "transpose", "configuration": {"order": list(order)}}


def sharding(inner, codecs, location="end", index_codecs=(LITTLE, CRC)):
    configuration = {"chunk_shape": list(inner), "codecs": list(codecs),
                     "index_codecs": list(index_codecs), "index_location": location}  # fmt: skip
    return {"name": "sharding_indexed", "configuration": configuration}


def sample(dtype, shape, seed=0):
    """Return values of a dtype, with a share of the default fill value."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape))
    if dtype is str or np.dtype(dtype).kind == "T":
        words = [str(i) * (i % 4) for i in rng.integers(0, 100, count)]
        return np.array(words, dtype=np.dtypes.StringDType()).reshape(shape)
    dtype = np.dtype(dtype)
    numbers = rng.integers(0, 100, count)
    if dtype.kind in "US":
        values = np.array([str(n) for n in numbers]).astype(dtype)
    elif dtype.kind == "b":
        values = numbers % 2 == 0
    elif dtype.kind == "V":
        raw = rng.integers(0, 100, (count, dtype.itemsize), dtype="u1")
        values = raw.view(dtype).reshape(count)
    else:
        values = numbers.astype(dtype)
    values[rng.random(count) < 0.2] = np.zeros((), dtype)
    return np.asarray(values.reshape(shape))


def same(left, right):
    """Say whether two arrays are equal bit for bit."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind == "T":
        return bool((left == right).all())
    return left.tobytes() == right.tobytes()


def joined(encoded):
    return encoded if isinstance(encoded, bytes) else b"".join(encoded)


class ZarrPeer:
    """The same array, as zarr itself reads and writes it."""

    def __init__(self, document):
        self.store = MemoryStore()
        self.key = compile_key(document)
        self._put("zarr.json", json.dumps(document).encode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.array = zarr.open_array(self.store, mode="r+", config={"write_empty_chunks": True})

    def _put(self, key, data):
        sync(self.store.set(key, cpu.Buffer.from_bytes(data)))

    def put(self, cell, encoded):
        self._put(self.key(cell), joined(encoded))

    def get(self, cell):
        found = sync(self.store.get(self.key(cell), default_buffer_prototype()))
        return None if found is None else found.to_bytes()
