"""NPY and NPZ files, against NumPy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting import Place, recognise
from hubzarr.ingesting.npy import matches, open_source
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import every, real


@given(
    arrays.arrays(
        st.sampled_from(["u1", ">i2", "<f8", "b1", "c8", "<M8[s]"]),
        arrays.array_shapes(min_dims=1, max_side=5),
    ),
    st.booleans(),
)
def test_rows_of_an_array(tmp_path_factory, array, fortran):
    file = tmp_path_factory.mktemp("npy") / "values.npy"
    np.save(file, np.asfortranarray(array) if fortran else array)
    source = open_source(Place(file))
    found = np.array([row["values"] for row in rows(source)])
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_splits_of_keras(tmp_path, save):
    rng = np.random.default_rng(0)
    arrays = {
        "x_test": rng.integers(0, 256, (5, 8, 8, 3), np.uint8),
        "x_train": rng.integers(0, 256, (9, 8, 8, 3), np.uint8),
        "y_test": rng.integers(0, 10, 5),
        "y_train": rng.integers(0, 10, 9),
    }
    save(tmp_path / "mnist.npz", **arrays)
    source = open_source(Place(tmp_path / "mnist.npz"))
    assert options(source)["y"] == {"htype": "class_label"}
    found = rows(pickle.loads(pickle.dumps(source)))
    expected = np.concatenate([arrays["x_train"], arrays["x_test"]])
    np.testing.assert_array_equal([row["x"] for row in found], expected)
    assert [row["split"] for row in found] == [0] * 9 + [1] * 5


def test_other_lengths(tmp_path):
    np.savez(
        tmp_path / "grid.npz", data=np.zeros((20, 30, 40)), time=np.arange(20), x=np.arange(30)
    )
    source = open_source(Place(tmp_path / "grid.npz"))
    assert set(options(source)) == {"data", "time"}
    assert source.info["arrays"] == {"x": list(range(30))}
    np.savez(tmp_path / "mixed.npz", a=np.zeros((5, 5)), b=np.zeros((6, 6)), scale=2.5)
    (row,) = rows(open_source(Place(tmp_path / "mixed.npz")))
    assert row["a"].shape == (5, 5)
    assert row["b"].shape == (6, 6)
    (row,) = rows(open_source(Place(tmp_path / "grid.npz"), whole=True))
    assert row["data"].shape == (20, 30, 40)


def test_columns_side_by_side(tmp_path):
    np.save(tmp_path / "images.npy", np.ones((6, 9, 9, 3), "u1"))
    np.save(tmp_path / "labels.npy", np.arange(6))
    assert matches(Place(tmp_path))
    source = open_source(Place(tmp_path))
    assert options(source)["images"]["htype"] == "image"
    assert [row["labels"] for row in rows(source)] == list(range(6))


def test_a_row_for_each_file(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(3):
            np.save(tmp_path / label / f"{number}.npy", np.full((2, number + 1), number, "i2"))
    (tmp_path / "dog" / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00")
    source = open_source(Place(tmp_path))
    assert options(source)["labels"] == {"htype": "class_label", "class_names": ["cat", "dog"]}
    assert [item.what for item in skipped(source)] == ["dog/broken.npy"]
    (tmp_path / "dog" / "broken.npy").unlink()
    found = rows(open_source(Place(tmp_path)))
    assert [row["data"].shape for row in found] == [(2, 1), (2, 2), (2, 3)] * 2
    assert [row["labels"] for row in found] == [0, 0, 0, 1, 1, 1]
    with pytest.raises(InvalidError, match="side by side"):
        open_source(Place(tmp_path), whole=False)


def test_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(SampleError, match="run code"):
        open_source(Place(tmp_path / "a.npy"))
    np.savez(tmp_path / "b.npz", a=np.array([print], object))
    with pytest.raises(SampleError, match="run code"):
        open_source(Place(tmp_path / "b.npz"))


@pytest.mark.parametrize("cut", [3, 20, 130, 200])
def test_cut_off_files(tmp_path, cut):
    np.save(tmp_path / "a.npy", np.arange(100))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:cut])
    with pytest.raises(SampleError, match="broken NPY"):
        rows(open_source(Place(tmp_path / "a.npy")))


def test_files_that_do_not_go_together_are_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.save(tmp_path / "b.npy", np.zeros(3, "f4"))
    np.save(tmp_path / "c.npy", np.zeros(3, [("x", "i4"), ("y", "f8")]))
    with pytest.raises(InvalidError, match=r"a\.npy \(float64\) and c\.npy .* one by one"):
        open_source(Place(tmp_path))


@pytest.mark.parametrize("path", every("numpy/*.np?"), ids=lambda path: path.name)
def test_real_files(path):
    assert recognise(Place(path)).KIND == "npy"
    found = rows(open_source(Place(path)))
    loaded = np.load(path)
    reference = dict(loaded) if path.suffix == ".npz" else {path.stem: loaded}
    if list(reference) == ["arr_0"]:
        reference = {path.stem: reference["arr_0"]}
    for name, array in reference.items():
        for field in array.dtype.names or [None]:
            column = name if field is None else f"{name}/{field}"
            expected = array if field is None else array[field]
            values = [row[column] for row in found]
            np.testing.assert_array_equal(values[0] if len(found) == 1 else values, expected)


def test_memory_is_mapped():
    source = open_source(Place(real("numpy/stent.npz")))
    assert [unit.rows for unit in source.units()] == [256]
