"""Series of DICOM slices, against pydicom and volumes that another program made of them."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from hubzarr.errors import InvalidError
from hubzarr.ingesting import dicom
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import recognise
from tests.ingesting.flat import everything, options, rows, skipped
from tests.realdata import real

pydicom = pytest.importorskip("pydicom")


def write_slice(path, *, series="1.2", instance=1, position=(0, 0, 0), axes=None, **tags):
    """A DICOM file of 2 × 3 pixels."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.SeriesInstanceUID = series
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{series}.{instance or 0}"
    if instance is not None:
        image.InstanceNumber = instance
    if position is not None:
        image.ImagePositionPatient = list(position)
        image.ImageOrientationPatient = list(axes or (1, 0, 0, 0, 1, 0))
    image.Rows, image.Columns, image.SamplesPerPixel = 2, 3, 1
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PixelData = np.full(6, instance or 0, "<u2").tobytes()
    for name, value in tags.items():
        setattr(image, name, value)
    pydicom.dcmwrite(path, image, enforce_file_format=True)
    return path


def instances(place):
    return [row["instance"] for row in rows(dicom.open_source(Place(place)))]


@pytest.mark.parametrize("name", ["generic_jpeg", "siemens_anatomical"])
def test_real_series_in_order_of_their_places(name):
    """The same slices as in the volume that dicom2nifti's authors made of the series."""
    import nibabel

    folder = real(f"dicom_series/{name}")
    assert recognise(Place(folder)).KIND == "dicom"
    found = [row for row in everything(dicom.open_source(Place(folder))) if isinstance(row, dict)]
    assert len(found) == 4
    volume = nibabel.load(folder / "001_ground_truth.nii.gz").get_fdata()
    slices = np.stack([row["images"].array for row in found])
    # The axes of the volume are in another order; along one of them lie our slices.
    axis = volume.shape.index(4)
    sums = np.moveaxis(volume, axis, 0).reshape(4, -1).sum(axis=1)
    ours = slices.reshape(4, -1).sum(axis=1)
    assert np.allclose(sums, ours) or np.allclose(sums, ours[::-1])
    places = [row["position"] for row in found]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert np.allclose(steps, steps[0])


def test_real_files_are_kept_whole():
    folder = real("dicom/dicomdir")
    assert recognise(Place(folder)).KIND == "dicom"
    source = dicom.open_source(Place(folder))
    assert options(source)["images"] == {"htype": "dicom"}
    found = [row for row in everything(source) if isinstance(row, dict)]
    assert len(found) == 14
    uids = options(source)["series"]["class_names"]
    for row in found:
        path = Path(row["images"].path)
        assert row["images"].compressed_bytes == path.read_bytes()
        expected = pydicom.dcmread(path)
        assert uids[row["series"]] == expected.SeriesInstanceUID
        assert row["instance"] == expected.InstanceNumber
        assert np.array_equal(row["images"].array, expected.pixel_array)
        assert source.info["series"][expected.SeriesInstanceUID]["Modality"] == expected.Modality
    assert [one.what for one in skipped(source)] == ["DICOMDIR"]


def test_real_assortment():
    source = dicom.open_source(Place(real("dicom")))
    told = {one.what: one for one in skipped(source)}
    assert told["no_meta.dcm"].broken
    assert not told["dicomdir/DICOMDIR"].broken
    assert sum(unit.rows for unit in source.units()) == 27


def test_ordered_by_place_not_by_name_or_number(tmp_path):
    for number, height in enumerate((3.0, 1.0, 2.0, -4.0)):
        write_slice(tmp_path / f"{number}.dcm", instance=number, position=(5, 5, height))
    assert instances(tmp_path) == [3, 1, 2, 0]


def test_ordered_along_the_axis_of_the_slices(tmp_path):
    for number, x in enumerate((9.0, 7.0, 8.0)):  # sagittal: slices follow each other in x
        position = (x, number * 100, number * 100)
        write_slice(
            tmp_path / f"{number}", instance=number, position=position, axes=(0, 1, 0, 0, 0, 1)
        )
    assert instances(tmp_path) == [1, 2, 0]


def test_ordered_by_number_where_places_are_missing_or_directions_differ(tmp_path):
    write_slice(tmp_path / "a/1.dcm", instance=5, position=(0, 0, 1))
    write_slice(tmp_path / "a/2.dcm", instance=4, position=None)
    write_slice(tmp_path / "b/1.dcm", series="1.3", instance=8, position=(0, 0, 1))
    turned = {"position": (0, 0, 2), "axes": (0, 1, 0, 0, 0, 1)}
    write_slice(tmp_path / "b/2.dcm", series="1.3", instance=7, **turned)
    assert instances(tmp_path) == [4, 5, 7, 8]


def test_series_that_are_mixed_in_a_folder(tmp_path):
    for number in range(6):
        write_slice(tmp_path / f"{number}.dcm", series=f"1.{number % 2}", instance=number)
    source = dicom.open_source(Place(tmp_path))
    assert options(source)["series"]["class_names"] == ["1.0", "1.1"]
    assert [(row["series"], row["instance"]) for row in rows(source)] == [
        *((0, 0), (0, 2), (0, 4)),
        *((1, 1), (1, 3), (1, 5)),
    ]


def test_missing_numbers_and_places(tmp_path):
    write_slice(tmp_path / "a.dcm", instance=None, position=None)
    (row,) = rows(dicom.open_source(Place(tmp_path)))
    assert row["instance"] == -1
    assert np.isnan(row["position"]).all()


def test_many_slices_are_several_units(tmp_path):
    for number in range(130):
        write_slice(tmp_path / f"{number:03}.dcm", instance=number, position=(0, 0, number))
    source = dicom.open_source(Place(tmp_path))
    units = list(source.units())
    assert [unit.rows for unit in units] == [64, 64, 2]
    again = pickle.loads(pickle.dumps(source))
    assert [row["instance"] for row in rows(again)] == list(range(130))


def test_values_that_break_the_rules_do_not_stop_it(tmp_path):
    with pydicom.config.disable_value_validation():
        write_slice(tmp_path / "a.dcm", PatientID="x" * 80, StudyDate="yesterday")
    write_slice(tmp_path / "b.dcm", instance=2)
    assert instances(tmp_path) == [1, 2]


def test_files_that_hold_no_image(tmp_path):
    path = write_slice(tmp_path / "report.dcm")
    report = pydicom.dcmread(path)
    del report.Rows, report.PixelData
    report.save_as(path)
    write_slice(tmp_path / "image.dcm")
    tmp_path.joinpath("cut.dcm").write_bytes(path.read_bytes()[:140])
    tmp_path.joinpath("notes.txt").write_text("...")
    tmp_path.joinpath("noise.dcm").write_bytes(bytes(range(256)) * 3)
    told = {one.what: one.broken for one in skipped(dicom.open_source(Place(tmp_path)))}
    assert told == {"cut.dcm": True, "noise.dcm": True, "notes.txt": False, "report.dcm": False}


def test_single_file_without_extension(tmp_path):
    path = write_slice(tmp_path / "IM0001")
    assert recognise(Place(path)).KIND == "dicom"
    assert instances(path) == [1]


def test_no_match(tmp_path):
    assert not dicom.matches(Place(tmp_path))
    tmp_path.joinpath("README").write_text("no image " * 30)
    assert not dicom.matches(Place(tmp_path))
    assert not dicom.matches(Place(tmp_path / "missing"))
    with pytest.raises(InvalidError, match="no images of DICOM"):
        dicom.open_source(Place(tmp_path))


def test_file_that_goes_away_is_told(tmp_path):
    write_slice(tmp_path / "in/a.dcm")
    write_slice(tmp_path / "in/b.dcm", instance=2)
    source = dicom.open_source(Place(tmp_path / "in"))
    shutil.move(tmp_path / "in/a.dcm", tmp_path / "a.dcm")
    assert [(one.what, one.broken) for one in skipped(source)] == [("a.dcm", True)]
