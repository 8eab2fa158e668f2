"""IDX files, against their plain reading with NumPy."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting import Place
from hubzarr.ingesting.idx import matches, open_source
from tests.ingesting.flat import options, rows
from tests.realdata import real

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array, dtype="u1"):
    head = bytes([0, 0, CODES[dtype], array.ndim])
    return head + np.array(array.shape, ">u4").tobytes() + array.astype(dtype).tobytes()


def mnist(folder, rng, **splits):
    made = {}
    for split, count in splits.items():
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count, np.uint8)
        made[split] = images, labels
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels))
    return made


def test_train_and_test_follow_each_other(tmp_path):
    made = mnist(tmp_path, np.random.default_rng(1), train=30, t10k=7)
    source = open_source(Place(tmp_path))
    assert matches(Place(tmp_path))
    assert options(source) == {
        "images": {"htype": "image.gray", "dtype": "uint8"},
        "labels": {"htype": "class_label"},
        "split": {"htype": "class_label", "class_names": ["train", "test"]},
    }
    found = rows(pickle.loads(pickle.dumps(source)))
    assert [row["split"] for row in found] == [0] * 30 + [1] * 7
    images = np.concatenate([made["train"][0], made["t10k"][0]])
    labels = np.concatenate([made["train"][1], made["t10k"][1]])
    np.testing.assert_array_equal([row["images"] for row in found], images)
    np.testing.assert_array_equal([row["labels"] for row in found], labels)


@pytest.mark.parametrize("dtype", CODES)
def test_every_dtype(tmp_path, dtype):
    array = np.arange(-6, 6).reshape(4, 3).astype(dtype)
    file = tmp_path / "numbers.idx2"
    file.write_bytes(idx(array, dtype))
    source = open_source(Place(file))
    found = np.array([row["numbers"] for row in rows(source)])
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative


def test_damage_is_told(tmp_path):
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(idx(np.zeros((4, 8, 8)))[:-1])
    with pytest.raises(SampleError, match="cut off"):
        rows(open_source(Place(file)))
    packed = tmp_path / "x" / "train-images-idx3-ubyte.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(idx(np.zeros((4, 8, 8))))[:-9])
    with pytest.raises(SampleError, match="gzip"):
        rows(open_source(Place(packed)))


def test_what_is_no_idx_is_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"not IDX at all")
    assert not matches(Place(tmp_path))
    with pytest.raises(InvalidError, match="no IDX file"):
        open_source(Place(tmp_path))


def test_real_mnist():
    folder = real("idx/mnist")
    found = rows(open_source(Place(folder)))
    data = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer((folder / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    np.testing.assert_array_equal([row["images"] for row in found], images)
    np.testing.assert_array_equal([row["labels"] for row in found], labels)
