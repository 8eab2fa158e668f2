"""One chunk to bytes and back: hubzarr's codecs, the bare C codecs, zarr's codec classes.

Run with ``python benchmarks/bench_codecs.py``. "C" is the sum of the library calls that
no Python code can avoid (compress or decompress, checksum); what is above it is ours.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import numpy as np
from numcodecs import blosc, zstd
from zarr.buffer import cpu, default_buffer_prototype
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.chunk_utils import ChunkTransform
from zarr.core.metadata.v3 import ArrayV3Metadata

from hubzarr.codecs import ShardCodec, array_document, compile_codec, compile_key


def best(call: Callable[[], object], seconds: float = 0.2) -> float:
    """Return the least time of a call, in microseconds."""
    once = timeit.timeit(call, number=3) / 3
    number = max(1, int(seconds / 10 / once))
    return min(timeit.repeat(call, number=number, repeat=10)) / number * 1e6


def zarr_calls(document: dict, chunk: np.ndarray) -> tuple[Callable, Callable]:
    """Return encode and decode as zarr's synchronous pipeline does them."""
    metadata = ArrayV3Metadata.from_dict(document)
    config = ArrayConfig(order="C", write_empty_chunks=False)
    spec = ArraySpec(
        chunk.shape, metadata.data_type, metadata.fill_value, config, default_buffer_prototype()
    )
    transform = ChunkTransform(codecs=metadata.codecs)
    encoded = transform.encode_chunk(cpu.NDBuffer.from_numpy_array(chunk), spec).to_bytes()
    out = np.empty_like(chunk)

    def encode() -> object:
        return transform.encode_chunk(cpu.NDBuffer.from_numpy_array(chunk), spec).to_bytes()

    def decode() -> object:
        array = transform.decode_chunk(cpu.Buffer.from_bytes(encoded), spec).as_numpy_array()
        out[...] = array
        return out

    return encode, decode


def bare_calls(codec: str, chunk: np.ndarray) -> tuple[Callable, Callable]:
    """Return the library calls alone."""
    flat, size = chunk.reshape(-1), chunk.itemsize
    if codec == "zstd":
        body = zstd.compress(flat, 3)
        encode, decode = (lambda: zstd.compress(flat, 3)), (lambda: zstd.decompress(body))
    elif codec == "lz4":
        shuffle = 1 if size > 1 else 0
        body = blosc.compress(flat, b"lz4", 5, shuffle, 0, size)
        encode = lambda: blosc.compress(flat, b"lz4", 5, shuffle, 0, size)  # noqa: E731
        decode = lambda: blosc.decompress(body)  # noqa: E731
    else:
        body = flat.tobytes()
        encode = decode = lambda: bytes(memoryview(flat))
    checksum = google_crc32c.value
    return (lambda: checksum(encode() and body)), (lambda: checksum(body) and decode())


def image(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return smooth values with noise, which compress about as photographs do."""
    rng = np.random.default_rng(0)
    count = int(np.prod(shape))
    wave = np.sin(np.arange(count) / 97) * 60 + 100 + rng.normal(0, 3, count)
    return wave.astype(dtype).reshape(shape)


def chunks() -> None:
    """Compare single chunks."""
    print(f"{'chunk':28}{'encode µs: ours':>16}{'C':>8}{'zarr':>8}"
          f"{'decode µs: ours':>18}{'C':>8}{'zarr':>8}")  # fmt: skip
    for shape, dtype in [((64, 64), "f4"), ((256, 64), "u1"), ((512, 512), "f4")]:
        chunk = image(shape, dtype)
        for codec in ("zstd", "lz4", "none"):
            document = array_document(shape, dtype, shape, codec=codec)
            ours = compile_codec(document)
            encoded, out = ours.encode(chunk), np.empty_like(chunk)
            zarr_encode, zarr_decode = zarr_calls(document, chunk)
            bare_encode, bare_decode = bare_calls(codec, chunk)
            row = [
                best(lambda c=ours, x=chunk: c.encode(x)), best(bare_encode), best(zarr_encode),
                best(lambda c=ours, e=encoded, o=out: c.decode_into(e, o)), best(bare_decode),
                best(zarr_decode),
            ]  # fmt: skip
            name = f"{codec} {dtype} {chunk.nbytes // 1024} KiB"
            print(f"{name:28}{row[0]:16.1f}{row[1]:8.1f}{row[2]:8.1f}"
                  f"{row[3]:18.1f}{row[4]:8.1f}{row[5]:8.1f}")  # fmt: skip


def shards() -> None:
    """Compare whole shards, with one thread and with two."""
    shape, inner = (10624, 28, 28), (83, 28, 28)
    shard = image(shape, "u1")
    document = array_document(shape, "u1", inner, shape)
    ours = compile_codec(document)
    if not isinstance(ours, ShardCodec):
        raise SystemExit("expected a shard")
    encoded, out = b"".join(ours.encode(shard)), np.empty_like(shard)
    zarr_encode, zarr_decode = zarr_calls(document, shard)
    with ThreadPoolExecutor(2) as pool:
        calls = {
            "encode": lambda: ours.encode(shard),
            "encode, two threads": lambda: ours.encode_shard(shard, pool.map),
            "encode, zarr": zarr_encode,
            "decode": lambda: ours.decode_into(encoded, out),
            "decode, two threads": lambda: ours.decode_shard_into(encoded, out, pool.map),
            "decode, zarr": zarr_decode,
        }
        print("\nshard of 8 MiB, inner chunks of 64 KiB, zstd")
        for name, call in calls.items():
            print(f"{name:28}{best(call) / 1e3:16.1f} ms")


def small_calls() -> None:
    """Time what is called once per cell or once per array."""
    document = array_document((10**6, 28, 28), "u1", (83, 28, 28), (10624, 28, 28))
    key = compile_key(document)
    codec = compile_codec(document)
    index_bytes = b"".join(codec.assemble_shard([b"x"] * codec.count))[codec.index_range()[0] :]
    print(f"\nkey {best(lambda: key((7, 0, 0))):.2f} µs, compile_codec again "
          f"{best(lambda: compile_codec(document)):.1f} µs, parse_index of {codec.count} "
          f"{best(lambda: codec.parse_index(index_bytes)):.1f} µs")  # fmt: skip


if __name__ == "__main__":
    chunks()
    shards()
    small_calls()
