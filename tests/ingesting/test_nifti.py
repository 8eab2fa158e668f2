"""Folders of NIfTI volumes, against nibabel."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from hubzarr.ingesting import nifti
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import recognise
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import real

NIBABEL = pytest.importorskip("nibabel")


def fill(folder, *names):
    for number, name in enumerate(names):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.full((4, 3, 2), number, np.int16)
        NIBABEL.save(NIBABEL.Nifti1Image(values, np.diag([1, 2, 3, 1])), path)
    return Place(folder)


def test_real_files_are_kept_whole():
    folder = real("nifti")
    assert recognise(Place(folder)).KIND == "nifti"
    source = nifti.open_source(Place(folder))
    assert options(source)["volumes"] == {"htype": "nifti", "sample_compression": "nii.gz"}
    found = rows(source)
    assert len(found) == 6
    for row in found:
        path = folder / row["filenames"]
        data = row["volumes"].compressed_bytes
        if path.suffix == ".gz":
            assert data == path.read_bytes()
        else:  # packed, and nothing else: affine and all the header stay
            assert gzip.decompress(data) == path.read_bytes()
        image = NIBABEL.load(path)
        assert row["volumes"].shape == image.shape
        assert np.allclose(row["volumes"].meta["affine"], image.affine)
        expected = np.asarray(image.dataobj)
        assert np.array_equal(row["volumes"].array, expected, equal_nan=True)


def test_unpacked_where_most_files_are(tmp_path):
    source = nifti.open_source(fill(tmp_path, "a.nii", "b.nii", "c.nii.gz"))
    assert options(source)["volumes"]["sample_compression"] == "nii"
    packed = rows(source)[2]["volumes"].compressed_bytes
    assert packed == gzip.decompress(tmp_path.joinpath("c.nii.gz").read_bytes())


def test_bids(tmp_path):
    place = fill(
        tmp_path,
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/ses-2/func/sub-01_ses-2_task-rest_run-1_bold.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
    )
    tmp_path.joinpath("dataset_description.json").write_text("{}")
    source = nifti.open_source(place, filenames=False)
    names = ["volumes", "subject", "session", "task", "run", "suffix"]
    assert [column.name for column in source.columns] == names
    found = [row for unit in source.units() for row in source.rows(unit) if isinstance(row, dict)]
    values = [tuple(row[name] for name in names[1:]) for row in found]
    assert values == [
        ("01", "", "", "", "T1w"),
        ("01", "2", "rest", "1", "bold"),
        ("02", "", "", "", "T1w"),
    ]
    assert [one.what for one in skipped(source)] == ["dataset_description.json"]


def test_classes(tmp_path):
    source = nifti.open_source(fill(tmp_path, "healthy/a.nii", "ill/b.nii", "ill/c.nii"))
    assert [row["labels"] for row in rows(source)] == [0, 1, 1]


def test_single_file(tmp_path):
    place = fill(tmp_path, "a.nii.gz", "b.nii").child("a.nii.gz")
    (row,) = rows(nifti.open_source(place))
    assert row["filenames"] == "a.nii.gz"


def test_broken_file_is_told(tmp_path):
    place = fill(tmp_path, "a.nii.gz", "b.nii.gz", "c.nii")
    whole = tmp_path.joinpath("c.nii").read_bytes()
    tmp_path.joinpath("c.nii").write_bytes(b"garbage" + whole[10:300])
    (one,) = skipped(nifti.open_source(place))
    assert (one.what, one.broken) == ("c.nii", True)


def test_no_match(tmp_path):
    assert not nifti.matches(Place(tmp_path))
    tmp_path.joinpath("a.nii.txt").write_text("no volume")
    assert not nifti.matches(Place(tmp_path))
