"""CIFAR batches, and the pickles that are read without running what is in them."""

from __future__ import annotations

import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hubzarr.errors import SampleError
from hubzarr.ingesting import Place
from hubzarr.ingesting.cifar import matches, open_source
from hubzarr.ingesting.plain_pickle import load_plain
from tests.ingesting.flat import everything, options, rows
from tests.realdata import real


def batch(rng, count, **labels):
    data = rng.integers(0, 256, (count, 3072), np.uint8)
    return {"data": data, "filenames": [f"{i}.png" for i in range(count)], **labels}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("as_bytes", [False, True])
def test_cifar10(tmp_path, protocol, as_bytes):
    rng = np.random.default_rng(0)
    made = {
        name: batch(rng, 4, labels=[3, 1, 0, 2])
        for name in ("data_batch_1", "data_batch_2", "data_batch_10", "test_batch")
    }
    meta = {"label_names": ["a", "b", "c", "d"]}
    for name, content in {**made, "batches.meta": meta}.items():
        keyed = {key.encode() if as_bytes else key: value for key, value in content.items()}
        (tmp_path / name).write_bytes(pickle.dumps(keyed, protocol))
    assert matches(Place(tmp_path))
    source = open_source(Place(tmp_path))
    assert options(source)["labels"] == {"htype": "class_label", "class_names": list("abcd")}
    found = rows(source)
    data = np.concatenate([content["data"] for content in made.values()])
    expected = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal([row["images"] for row in found], expected)
    assert [row["split"] for row in found] == [0] * 12 + [1] * 4
    assert [row["filenames"] for row in found[:4]] == ["0.png", "1.png", "2.png", "3.png"]


def test_cifar100(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        content = batch(rng, 2, fine_labels=[7, 99], coarse_labels=[0, 19])
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    names = {"fine_label_names": list(map(str, range(100)))}
    names["coarse_label_names"] = list(map(str, range(20)))
    (tmp_path / "meta").write_bytes(pickle.dumps(names))
    source = open_source(Place(tmp_path))
    assert [(int(r["fine_labels"]), int(r["coarse_labels"])) for r in rows(source)] == [
        (7, 0),
        (99, 19),
    ] * 2
    assert len(options(source)["fine_labels"]["class_names"]) == 100


def test_real_batches():
    folder = real("cifar/cifar10_tiny")
    found = list(everything(open_source(Place(folder))))
    good = [row for row in found if isinstance(row, dict)]
    with open(folder / "data_batch_1", "rb") as file:
        reference = pickle.load(file)
    picture = np.array(reference["data"], np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)
    np.testing.assert_array_equal(good[0]["images"], picture)
    assert good[0]["filenames"] == "image_1.png"
    assert len(good) == 4
    assert len(found) == 5  # one is no picture of CIFAR's size


class Harmful:
    def __reduce__(self):
        return os.system, ("true",)


def test_nothing_in_a_pickle_is_run(tmp_path):
    for harmful in (Harmful(), {"data": Harmful()}, np.array([Harmful()], object), print, os.path):
        try:
            data = pickle.dumps(harmful)
        except TypeError:
            continue
        with pytest.raises(SampleError, match=r"only pickles of dicts|not a pickle"):
            load_plain(data, "evil")


@pytest.mark.parametrize(
    "data",
    [
        # numpy.ndarray called, a forged shape, a dtype alone, an unknown encoding
        b"cnumpy\nndarray\n(I3\ntR.",
        b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR.",
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"",
        b"\x80\x04.",
        b"no pickle",
    ],
)
def test_forged_pickles(data):
    with pytest.raises(SampleError):
        load_plain(data)


def test_a_forged_shape_reads_nothing_beyond_the_data():
    good = pickle.dumps(np.arange(4, dtype="u1"), 2)
    position = next(
        at for op, arg, at in pickletools.genops(good) if op.name == "BININT1" and arg == 4
    )
    for size in (200, 5, 3):
        forged = good[: position + 1] + bytes([size]) + good[position + 2 :]
        with pytest.raises(SampleError, match="elements"):
            load_plain(forged)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | arrays.arrays(
        st.sampled_from(["u1", ">i2", "<f8", "b1", "c8"]),
        arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
        elements={"allow_nan": False},
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(PLAIN, st.integers(2, 5))
def test_plain_data_comes_back(value, protocol):
    def same(a, b):
        if isinstance(a, np.ndarray):
            return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        if isinstance(a, list):
            return len(a) == len(b) and all(map(same, a, b))
        return a == b and type(a) is type(b)

    assert same(value, load_plain(pickle.dumps(value, protocol)))
