"""HDF5 files, against h5py."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hubzarr.errors import InvalidError, SampleError, UnsupportedError
from hubzarr.ingesting import Place
from hubzarr.ingesting.hdf5 import matches, open_source
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import every, real

h5py = pytest.importorskip("h5py")


def test_columns_groups_and_attributes(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=np.ones((20, 9, 9, 3), "u1"), chunks=(4, 9, 9, 3))
        file["labels"] = np.arange(20) % 3
        file["meta/writer"] = [f"w{i}" for i in range(20)]
        file["meta/height"] = np.linspace(0, 1, 20, dtype=">f4")
        file["version"] = 3
        file.attrs["title"] = "a test"
        file["images"].attrs["unit"] = np.array([1, 2])
    source = open_source(Place(path))
    assert options(source) == {
        "images": {"htype": "image", "dtype": "uint8"},
        "labels": {"htype": "class_label"},
        "meta/writer": {"htype": "text"},
        "meta/height": {"htype": "generic", "dtype": "float32"},
    }
    assert source.info["attributes"] == {"/": {"title": "a test"}, "images": {"unit": [1, 2]}}
    assert source.info["scalars"] == {"version": 3}
    found = rows(pickle.loads(pickle.dumps(source)))
    assert [row["meta/writer"] for row in found] == [f"w{i}" for i in range(20)]
    assert [row["labels"] for row in found] == [i % 3 for i in range(20)]
    np.testing.assert_array_equal(
        [row["meta/height"] for row in found], np.linspace(0, 1, 20, dtype="f4")
    )


@given(
    arrays.arrays(
        st.sampled_from(["u1", ">i2", "<f8", "b1", "<f2"]),
        arrays.array_shapes(min_dims=1, max_side=5),
    )
)
def test_any_array(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("hdf5") / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"] = array
    found = np.array([row["a"] for row in rows(open_source(Place(path)))])
    np.testing.assert_array_equal(found, array)


def test_types_that_only_hdf5_has(tmp_path):
    path = tmp_path / "a.h5"
    ragged = [np.arange(n, dtype="i4") for n in (2, 0, 3)]
    with h5py.File(path, "w") as file:
        colours = h5py.enum_dtype({"RED": 0, "GREEN": 1}, "u1")
        file.create_dataset("colour", data=[1, 0, 1], dtype=colours)
        levels = h5py.enum_dtype({"LOW": 10, "HIGH": 20}, "u1")
        file.create_dataset("level", data=[10, 20, 10], dtype=levels)
        lengths = file.create_dataset("ragged", (3,), h5py.vlen_dtype("i4"))
        for number, values in enumerate(ragged):
            lengths[number] = values
        file["fixed"] = np.array([b"ab", b"c", b""], "S2")
        file["table"] = np.array([(1, 2.5, b"x")] * 3, [("n", "i4"), ("x", "f8"), ("s", "S1")])
        file.create_dataset("opaque", data=np.array([b"\1\2\3"] * 3, "V3"))
        file.create_dataset("refs", (3,), h5py.ref_dtype)
    source = open_source(Place(path))
    made = options(source)
    assert made["colour"] == {"htype": "class_label", "class_names": ["RED", "GREEN"]}
    assert made["level"] == {"htype": "generic", "dtype": "uint8"}
    assert made["opaque"] == {"htype": "generic", "dtype": "uint8"}
    assert [item.what.rpartition(" ")[2] for item in skipped(source)] == ["refs"]
    with h5py.File(path, "a") as file:
        del file["refs"]
    found = rows(open_source(Place(path)))
    assert [row["fixed"] for row in found] == ["ab", "c", ""]
    assert [row["table/s"] for row in found] == ["x"] * 3
    assert found[0]["opaque"].tolist() == [1, 2, 3]
    for row, values in zip(found, ragged, strict=True):
        np.testing.assert_array_equal(row["ragged"], values)


def test_nothing_outside_the_file_is_read(tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(3)
    (tmp_path / "raw.bin").write_bytes(bytes(24))
    path = tmp_path / "in" / "a.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["good"] = np.arange(3)
        file["same"] = h5py.SoftLink("/good")
        file["dangling"] = h5py.SoftLink("/nothing")
        file["outside"] = h5py.ExternalLink(str(secret), "/x")
        file.create_dataset("raw", (3,), "i8", external=[(str(tmp_path / "raw.bin"), 0, 24)])
        layout = h5py.VirtualLayout((3,), "i8")
        layout[:] = h5py.VirtualSource(str(secret), "x", (3,))
        file.create_virtual_dataset("virtual", layout)
    source = open_source(Place(path))
    assert list(options(source)) == ["good"]
    names = sorted(item.what.rpartition(" ")[2] for item in skipped(source))
    assert names == ["outside", "raw", "virtual"]


def test_several_files_follow_each_other(tmp_path):
    for number in range(3):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["x"] = np.full(number + 1, number)
    assert matches(Place(tmp_path))
    assert [row["x"] for row in rows(open_source(Place(tmp_path)))] == [0, 1, 1, 2, 2, 2]
    found = rows(open_source(Place(tmp_path), whole=True))
    assert [row["x"].shape for row in found] == [(1,), (2,), (3,)]
    with h5py.File(tmp_path / "3.h5", "w") as file:
        file["y"] = np.zeros(2)
    with pytest.raises(InvalidError, match="other columns"):
        open_source(Place(tmp_path))


def test_missing_filters_are_named():
    for path in (
        real("hdf5/kerchunk/hdf5_compression_lz4.h5"),
        real("hdf5/pytables/Tables_lzo1.h5"),
    ):
        with pytest.raises(UnsupportedError, match="compressed with filter"):
            open_source(Place(path))


def test_broken_files(tmp_path):
    data = real("hdf5/tfio/tdset.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(data[:2000])
    assert matches(Place(tmp_path / "a.h5"))
    with pytest.raises(SampleError, match="broken HDF5"):
        open_source(Place(tmp_path / "a.h5"))


@pytest.mark.parametrize("path", every("hdf5/*/*"), ids=lambda path: path.name)
def test_real_files(path):
    assert matches(Place(path))
    try:
        source = open_source(Place(path))
    except UnsupportedError as error:
        assert "pip install hdf5plugin" in str(error)  # noqa: PT017
        return
    except SampleError as error:
        assert "no dataset with rows" in str(error)  # noqa: PT017
        return
    found = list(_dicts(source))
    with h5py.File(path) as file:
        for name in found[0]:
            if name in file:
                expected = file[name][...]
                got = found[0][name] if len(found) == 1 else [row[name] for row in found]
                if expected.dtype == object:
                    assert list(got) == [value.decode() for value in expected]
                else:
                    np.testing.assert_array_equal(np.array(got), expected)


def _dicts(source):
    from tests.ingesting.flat import everything

    return (row for row in everything(source) if isinstance(row, dict))
