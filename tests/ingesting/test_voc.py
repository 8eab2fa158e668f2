"""Pascal VOC, compared with a plain reading of the XML files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hubzarr.errors import InvalidError
from hubzarr.ingesting import Place, open_source, recognise
from tests.ingesting.pictures import options_of, picture, rows_of, skipped_of
from tests.realdata import real

OBJECT = (
    "<object><name>{0}</name><difficult>{1}</difficult><bndbox><xmin>{2}</xmin><ymin>{3}</ymin>"
    "<xmax>{4}</xmax><ymax>{5}</ymax></bndbox><part><name>head</name></part></object>"
)


def annotate(path: Path, *objects: tuple, filename: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    things = "".join(OBJECT.format(*each) for each in objects)
    path.write_text(f"<annotation><filename>{filename}</filename>{things}</annotation>")


def _devkit(root: Path) -> None:
    base = root / "VOC2012"
    for number, name in enumerate(("one", "two", "three")):
        picture(base / "JPEGImages" / f"{name}.jpg", number, (10, 12))
    annotate(base / "Annotations" / "one.xml", ("dog", 0, 1, 2, 3.5, 4), ("cat", 1, 5, 6, 7, 8))
    annotate(base / "Annotations" / "two.xml")
    annotate(base / "Annotations" / "three.xml", ("cat", 0, 1, 1, 2, 2))
    lists = base / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("one\ntwo\n")
    (lists / "val.txt").write_text("three\n")
    (lists / "trainval.txt").write_text("one\ntwo\nthree\n")
    (lists / "cat_train.txt").write_text("one 1\ntwo -1\n")


def test_devkit(tmp_path: Path):
    _devkit(tmp_path)
    place = Place(tmp_path)
    assert recognise(place).KIND == "voc"
    source = open_source(place)
    options = options_of(source)
    assert options["annotations/labels"]["class_names"] == ["cat", "dog"]
    assert options["annotations/boxes"]["coords"] == {"type": "pixel", "mode": "LTRB"}
    assert options["split"]["class_names"] == ["train", "val"]
    one, three, two = rows_of(source)
    assert one["filenames"] == "VOC2012/JPEGImages/one.jpg"
    assert one["annotations/boxes"].tolist() == [[1, 2, 3.5, 4], [5, 6, 7, 8]]
    assert one["annotations/labels"].tolist() == [1, 0]
    assert one["annotations/difficult"].tolist() == [False, True]
    assert (one["split"], two["split"], three["split"]) == (0, 0, 1)
    assert two["annotations/boxes"].shape == (0, 4)
    assert "annotations/class_mask" not in options


def test_masks(tmp_path: Path):
    _devkit(tmp_path)
    numbers = np.arange(120, dtype=np.uint8).reshape(10, 12)
    for folder in ("SegmentationClass", "SegmentationObject"):
        path = tmp_path / "VOC2012" / folder / "one.png"
        path.parent.mkdir()
        image = Image.fromarray(numbers)
        image.putpalette([value % 256 for value in range(768)])
        image.save(path)
    source = open_source(Place(tmp_path))
    one, three, _ = rows_of(source)
    assert options_of(source)["annotations/class_mask"]["htype"] == "segment_mask"
    assert np.array_equal(one["annotations/object_mask"], numbers)
    assert three["annotations/class_mask"].shape == (0, 0)


def test_side_by_side_in_splits(tmp_path: Path):
    for split, name in (("train", "a"), ("test", "b")):
        picture(tmp_path / split / f"{name}.jpg")
        annotate(tmp_path / split / f"{name}.xml", ("cat", 0, 1, 2, 3, 4))
    source = open_source(Place(tmp_path))
    assert source.kind == "voc"
    names = options_of(source)["split"]["class_names"]
    assert [names[row["split"]] for row in rows_of(source)] == ["test", "train"]


def test_the_name_in_the_file_finds_the_image(tmp_path: Path):
    picture(tmp_path / "images" / "photo.jpg")
    annotate(tmp_path / "labels" / "x.xml", ("cat", 0, 1, 2, 3, 4), filename="photo.jpg")
    assert rows_of(open_source(Place(tmp_path)))[0]["filenames"] == "images/photo.jpg"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<annotation>", "not valid XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "document type"),
        ("<annotation><object><name>cat</name></object></annotation>", "no box of four numbers"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, why: str):
    _devkit(tmp_path)
    path = tmp_path / "VOC2012" / "Annotations" / "two.xml"
    path.write_text(text)
    [skipped] = skipped_of(open_source(Place(tmp_path)))
    assert skipped.what == "VOC2012/Annotations/two.xml"
    assert why in skipped.why
    assert skipped.broken


def test_missing_images_and_unknown_classes(tmp_path: Path):
    _devkit(tmp_path)
    (tmp_path / "VOC2012" / "JPEGImages" / "two.jpg").unlink()
    found = skipped_of(open_source(Place(tmp_path), class_names=["dog"]))
    assert ["unknown class 'cat'" in skip.why for skip in found] == [True, True, False]
    assert "image is missing" in found[2].why


def test_nothing(tmp_path: Path):
    with pytest.raises(InvalidError, match="no XML files"):
        open_source(Place(tmp_path), "voc")


def test_blood_cells():
    folder = real("voc/bccd")
    source = open_source(Place(folder))
    names = options_of(source)["annotations/labels"]["class_names"]
    rows = rows_of(source)
    files = sorted((folder / "Annotations").glob("*.xml"))
    assert len(rows) == len(files)
    for row, file in zip(rows, files, strict=True):
        root = ET.parse(file).getroot()
        assert row["filenames"] == f"JPEGImages/{root.findtext('filename')}"
        wanted = [
            [float(box.findtext(corner)) for corner in ("xmin", "ymin", "xmax", "ymax")]
            for box in root.iter("bndbox")
        ]
        assert row["annotations/boxes"].tolist() == wanted
        labels = [names[label] for label in row["annotations/labels"]]
        assert labels == [thing.findtext("name") for thing in root.iter("object")]
        width, height = (int(root.findtext(f"size/{side}")) for side in ("width", "height"))
        assert row["images"].shape == (height, width, 3)
