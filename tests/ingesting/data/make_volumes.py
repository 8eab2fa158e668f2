"""Write cloud-volume-12.15.2.tar.xz: run it where that release is installed.

``python make_volumes.py`` in an environment with ``cloud-volume==12.15.2 pyspng-seunglab``.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from pathlib import Path

import cloudvolume
import numpy as np
from cloudvolume import CloudVolume, chunks
from cloudvolume.datasource.precomputed.common import compressed_morton_code
from cloudvolume.datasource.precomputed.sharding import (
    ShardingSpecification,
    synthesize_shard_files,
)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from volume_samples import sharded, volumes  # noqa: E402

CHUNK = (8, 8, 8)


def info_of(array, encoding, layer, **options):
    return CloudVolume.create_new_info(
        num_channels=array.shape[3],
        layer_type=layer,
        data_type=array.dtype.name,
        encoding=encoding,
        resolution=(4, 4, 40),
        volume_size=array.shape[:3],
        **{"voxel_offset": (0, 0, 0), "chunk_size": CHUNK} | options,
    )


def write(folder, array, encoding, layer, options):
    options = dict(options)
    compress = options.pop("compress", None)
    info = info_of(array, encoding, layer, **options)
    volume = CloudVolume(f"file://{folder}", info=info, compress=compress, progress=False)
    volume.commit_info()
    volume[volume.bounds] = array
    assert np.array_equal(CloudVolume(f"file://{folder}", progress=False)[:], array)


def write_sharded(folder, array, encoding, sharding):
    info = info_of(array, encoding, "segmentation")
    (scale,) = info["scales"]
    scale["sharding"] = sharding
    CloudVolume(f"file://{folder}", info=info).commit_info()
    grid = [-(-size // edge) for size, edge in zip(array.shape, CHUNK, strict=False)]
    packed = {}
    for cell in itertools.product(*map(range, grid)):
        corner = [at * edge for at, edge in zip(cell, CHUNK, strict=True)]
        part = array[tuple(slice(c, c + edge) for c, edge in zip(corner, CHUNK, strict=True))]
        code = int(compressed_morton_code(cell, grid))
        packed[code] = chunks.encode(part, encoding, block_size=(8, 8, 8))
    target = Path(folder, scale["key"])
    target.mkdir()
    for name, data in synthesize_shard_files(
        ShardingSpecification.from_dict(sharding), packed
    ).items():
        target.joinpath(name).write_bytes(data)
    assert np.array_equal(CloudVolume(f"file://{folder}", progress=False)[:], array)


def main():
    folder = Path(tempfile.mkdtemp())
    for name, (array, encoding, layer, options) in volumes().items():
        write(folder / name, array, encoding, layer, options)
    for name, (array, encoding, sharding) in sharded().items():
        write_sharded(folder / name, array, encoding, sharding)
    name = f"cloud-volume-{cloudvolume.__version__}"
    shutil.make_archive(str(HERE / name), "xztar", folder)


if __name__ == "__main__":
    main()
