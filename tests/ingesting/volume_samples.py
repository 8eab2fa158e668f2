"""Volumes of data/cloud-volume-12.15.2.tar.xz, which CloudVolume wrote (data/make_volumes.py)."""

from __future__ import annotations

import numpy as np

SHAPE = (21, 17, 11)


def places():
    """Coordinates of all voxels."""
    return np.indices(SHAPE, dtype=np.int64)


def grey():
    """A smooth image of one channel."""
    x, y, z = places()
    return ((3 * x + 5 * y + 7 * z) % 256).astype(np.uint8)[..., None]


def numbers():
    """Two channels of float32."""
    x, y, z = places()
    return np.stack([x + y / 2, z - y], axis=-1).astype(np.float32)


def labels(dtype):
    """Segments, with some blocks of one label, some of few, some of many."""
    x, y, z = places()
    segments = x // 6 + 10 * (y // 5) + 100 * (z // 4)
    noisy = np.where((x > 12) & (y > 8), x * 1000 + y * 30 + z, segments)
    shift = 33 if np.dtype(dtype).itemsize == 8 else 3
    return (noisy.astype(np.uint64) << np.uint64(shift)).astype(dtype)[..., None]


def volumes():
    """Array, encoding, kind of layer and options of each volume."""
    return {
        "raw": (grey(), "raw", "image", {"voxel_offset": (100, -20, 3)}),
        "floats": (numbers(), "raw", "image", {"compress": "gzip"}),
        "png": (grey(), "png", "image", {}),
        "brotli": (grey(), "raw", "image", {"compress": "br"}),
        "zstd": (grey(), "raw", "image", {"compress": "zstd"}),
        "labels32": (labels("u4"), "compressed_segmentation", "segmentation", {}),
        "labels64": (
            labels("u8"),
            "compressed_segmentation",
            "segmentation",
            {"compress": "gzip", "chunk_size": SHAPE},
        ),
    }


def sharded():
    """Array, encoding and sharding of each sharded volume."""
    common = {"@type": "neuroglancer_uint64_sharded_v1"}
    return {
        "identity": (
            grey(),
            "raw",
            common
            | {"hash": "identity", "preshift_bits": 1, "minishard_bits": 2, "shard_bits": 1}
            | {"minishard_index_encoding": "raw", "data_encoding": "raw"},
        ),
        "murmur": (
            labels("u8"),
            "compressed_segmentation",
            common
            | {"hash": "murmurhash3_x86_128", "preshift_bits": 0, "minishard_bits": 1}
            | {"shard_bits": 2, "minishard_index_encoding": "gzip", "data_encoding": "gzip"},
        ),
    }
