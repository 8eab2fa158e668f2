"""What is where: of all kinds, the right one answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubzarr.errors import InvalidError, NotFoundError
from hubzarr.ingesting import Place, kinds, open_source, recognise
from hubzarr.ingesting.recognise import MODULES, load
from tests.ingesting.pictures import picture, rows_of
from tests.realdata import DATA, real

REAL = {
    "audio": "clips",
    "audio/fsdd": "clips",
    "cifar/cifar10_tiny": "cifar",
    "coco/panopticapi": "coco",
    "coco/sahi": "coco",
    "coco/sahi/terrain1_coco.json": "coco",
    "csv/bccd_test.csv": "table",
    "dicom": "dicom",
    "dicom_series": "dicom",
    "geotiff": "geotiff",
    "hdf5/tfio": "hdf5",
    "hub/hub1_same_shapes": "hub2",
    "hub/hub2.0.6_lol": "hub2",
    "idx/mnist": "idx",
    "images/hub_cats_dogs": "folders",
    "images/odd": "folders",
    "images/weather4": "folders",
    "las": "points",
    "mds": "mds",
    "nifti": "nifti",
    "numpy/stent.npz": "npy",
    "parquet": "parquet",
    "pcd": "points",
    "ply": "points",
    "tfrecord": "tfrecord",
    "video": "clips",
    "voc/bccd": "voc",
    "voc": "voc",
    "webdataset": "webdataset",
    "yolo/coco128": "yolo",
    "zarr_v2/zarrjs": "zarr",
}


@pytest.mark.parametrize("path", REAL)
def test_real_data(path: str):
    assert REAL[path] == recognise(Place(real(path))).KIND


def test_whatever_there_is_no_kind_fails():
    real(".")
    for path in sorted(DATA.glob("*/*")):
        place = Place(path)
        for name in MODULES:
            assert load(name).matches(place) in (True, False)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("what", ["nothing", "empty", "folder", "noise"])
def test_no_kind_takes_what_it_should_not(tmp_path: Path, name: str, what: str):
    place = Place(tmp_path / "x")
    if what == "empty":
        (tmp_path / "x").write_bytes(b"")
    elif what == "folder":
        (tmp_path / "x").mkdir()
    elif what == "noise":
        (tmp_path / "x").mkdir()
        for suffix in ("txt", "md", "json", "bin", "xml", "yaml", "py", "log"):
            (tmp_path / "x" / f"a.{suffix}").write_bytes(b"noise")
    assert load(name).matches(place) is False


def test_each_kind_has_its_name():
    assert len(set(kinds())) == len(MODULES)


def test_nothing_is_there(tmp_path: Path):
    with pytest.raises(NotFoundError, match="check the path"):
        recognise(Place(tmp_path / "no"))
    with pytest.raises(InvalidError, match="say it with kind"):
        recognise(Place(tmp_path))


def test_annotations_come_before_images(tmp_path: Path):
    picture(tmp_path / "a" / "x.jpg")
    assert recognise(Place(tmp_path)).KIND == "folders"
    (tmp_path / "list.csv").write_text("file\na/x.jpg\n")
    assert recognise(Place(tmp_path)).KIND == "table"
    (tmp_path / "a" / "x.xml").write_text("<annotation/>")
    assert recognise(Place(tmp_path)).KIND == "voc"


def test_one_folder_around_all_is_looked_through(tmp_path: Path):
    inner = tmp_path / "download" / "pets-main"
    picture(inner / "images" / "a.jpg")
    (inner / "annotations").mkdir()
    (inner / "annotations" / "all.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}'
    )
    (tmp_path / "__MACOSX").mkdir()
    place = Place(tmp_path)
    assert recognise(place).KIND == "coco"
    assert [row["filenames"] for row in rows_of(open_source(place))] == ["a.jpg"]
