"""The same rows from a store that is no local folder."""

from __future__ import annotations

import pickle

import fsspec
import numpy as np
import pytest

from hubzarr.ingesting import Place
from hubzarr.ingesting.blocks import ArrayRegion
from hubzarr.ingesting.recognise import load
from hubzarr.media import Sample
from tests.ingesting.flat import everything, options
from tests.realdata import real

# zarr-python warns of what the specifications don't have yet.
pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


def plain(value):
    if isinstance(value, Sample):
        return value.compressed_bytes
    return value


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("cifar", "cifar/cifar10_tiny"),
        ("hdf5", "hdf5/kerchunk/air.nc"),
        ("idx", "idx/mnist"),
        ("npy", "numpy/stent.npz"),
        ("npy", "numpy/lfw_subset.npy"),
        ("parquet", "parquet/petastorm_0.7.6"),
        ("tfrecord", "tfrecord/penguin"),
        ("tfrecord", "tfrecord/detection"),
        ("webdataset", "webdataset/sample.tgz"),
        ("zarrs", "zarr_v2/zarrjs"),
        ("zarrs", "zarr_v3/zarritajs/data.zarr/2d.contiguous.i2"),
        ("zarrs", "ome_zarr/zarr_java/v0.5"),
    ],
)
def test_rows_from_memory(kind, path):
    local = real(path)
    fs = fsspec.filesystem("memory")
    fs.put(str(local), f"/tables/{path}", recursive=True)
    try:
        here, there = Place(local), Place(f"memory://tables/{path}")
        module = load(kind)
        assert module.matches(there)
        one = module.open_source(here)
        two = pickle.loads(pickle.dumps(module.open_source(there)))
        assert options(one) == options(two)
        pairs = zip(everything(one), everything(two), strict=True)
        for row, other in pairs:
            if not isinstance(row, dict):
                continue
            for name, value in row.items():
                assert not isinstance(value, ArrayRegion)
                np.testing.assert_array_equal(plain(other[name]), plain(value))
    finally:
        fs.rm("/tables", recursive=True)
