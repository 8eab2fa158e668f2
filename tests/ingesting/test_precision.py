"""Sources of tables and arrays are told from each other and from anything else."""

from __future__ import annotations

import os
from itertools import islice

import pytest

from hubzarr.ingesting import Place
from hubzarr.ingesting.recognise import load
from tests.realdata import DATA, real

# Top folder of the real data: the kinds that may be seen in it or below.
KINDS = {
    "cifar": {"cifar"},
    "hdf5": {"hdf5"},
    "idx": {"idx"},
    "mds": {"mds"},
    "numpy": {"npy"},
    "ome_zarr": {"zarrs"},
    "parquet": {"parquet"},
    "tfrecord": {"tfrecord"},
    "webdataset": {"webdataset"},
    "zarr_v2": {"zarrs"},
    "zarr_v3": {"zarrs"},
}
MINE = sorted({kind for kinds in KINDS.values() for kind in kinds} | {"huggingface"})


@pytest.mark.parametrize("kind", MINE)
def test_no_false_recognition(kind):
    real("idx")
    module = load(kind)
    wrong, seen = [], 0
    for folder, _, files in os.walk(DATA):
        # Folders of thousands of chunks: some of each are enough.
        for path in [folder, *(os.path.join(folder, file) for file in islice(sorted(files), 40))]:
            if module.matches(Place(path)):
                top = os.path.relpath(path, DATA).split(os.sep)[0]
                seen += 1
                if kind not in KINDS.get(top, ()):
                    wrong.append(path)
    assert wrong == []
    assert seen or kind == "huggingface"


@pytest.mark.parametrize("kind", MINE)
@pytest.mark.parametrize(
    "content", [b"", b"\0", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"{}", b"\x80\x04K"]
)
def test_matches_never_raises(tmp_path, kind, content):
    names = ["x", "x.npz", "x.tar", "x.tgz", "x.h5", "x.tfrecord", "x.parquet", "index.json"]
    names += ["zarr.json", "state.json", "dataset_info.json", "batches.meta", "data_batch_1"]
    names += ["train-images-idx3-ubyte.gz", "x.mds", "dataset_dict.json"]
    for name in names:
        folder = tmp_path / f"in {name}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        load(kind).matches(Place(folder))
        load(kind).matches(Place(folder / name))
    for name in names:
        (tmp_path / name).write_bytes(content)
    load(kind).matches(Place(tmp_path))
    load(kind).matches(Place(tmp_path / "nothing"))
