"""YOLO, compared with a plain reading of the text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubzarr.errors import InvalidError
from hubzarr.ingesting import Place, open_source, recognise
from tests.ingesting.pictures import options_of, picture, rows_of, skipped_of
from tests.realdata import real


def _write(root: Path, labels: dict[str, str], yaml: str | None = "names: [cat, dog]\n") -> Place:
    for name, text in labels.items():
        picture(root / "images" / f"{name}.jpg")
        path = root / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if yaml is not None:
        (root / "data.yaml").write_text(yaml)
    return Place(root)


def test_boxes(tmp_path: Path):
    place = _write(tmp_path, {"train/a": "1 .5 .5 .25 .125\n0 .1 .2 .3 .4 .99\n", "val/b": ""})
    picture(tmp_path / "images" / "val" / "c.png")
    assert recognise(place).KIND == "yolo"
    source = open_source(place)
    options = options_of(source)
    assert list(options) == [
        "images", "filenames", "annotations/boxes", "annotations/labels", "split",
    ]  # fmt: skip
    assert options["annotations/labels"]["class_names"] == ["cat", "dog"]
    assert options["annotations/boxes"]["coords"] == {"type": "fractional", "mode": "CCWH"}
    a, b, c = rows_of(source)
    assert np.array_equal(
        a["annotations/boxes"], np.array([[0.5, 0.5, 0.25, 0.125], [0.1, 0.2, 0.3, 0.4]], "f4")
    )
    assert a["annotations/labels"].tolist() == [1, 0]
    assert b["annotations/boxes"].shape == c["annotations/boxes"].shape == (0, 4)
    assert [row["split"] for row in (a, b, c)] == [0, 1, 1]


def test_polygons(tmp_path: Path):
    place = _write(tmp_path, {"a": "0 0 0 .5 0 .5 .25\n1 .5 .5 .2 .1\n"})
    source = open_source(place)
    assert options_of(source)["annotations/polygons"] == {"htype": "polygon"}
    [row] = rows_of(source)
    assert row["annotations/boxes"].tolist()[0] == [0.25, 0.125, 0.5, 0.25]
    triangle, rectangle = row["annotations/polygons"]
    assert triangle.tolist() == [[0, 0], [0.5, 0], [0.5, 0.25]]
    assert np.allclose(rectangle, [[0.4, 0.45], [0.6, 0.45], [0.6, 0.55], [0.4, 0.55]])


def test_keypoints(tmp_path: Path):
    yaml = "names: {0: person}\nkpt_shape: [2, 3]\n"
    place = _write(tmp_path, {"a": "0 .5 .5 1 1 .1 .2 2 .3 .4 1\n", "b": ""}, yaml)
    source = open_source(place)
    a, b = rows_of(source)
    assert a["annotations/keypoints"].T.tolist() == [
        np.array([0.1, 0.2, 2, 0.3, 0.4, 1], "f4").tolist()
    ]
    assert b["annotations/keypoints"].shape == (6, 0)
    assert "annotations/polygons" not in options_of(source)


def test_darknet(tmp_path: Path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("1 .5 .5 .2 .1\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    source = open_source(Place(tmp_path))
    assert source.kind == "yolo"
    assert options_of(source)["annotations/labels"]["class_names"] == ["cat", "dog"]
    assert rows_of(source)[0]["annotations/labels"].tolist() == [1]


def test_a_folder_around_all(tmp_path: Path):
    _write(tmp_path / "download" / "pets", {"a": "1 .5 .5 .2 .1\n"})
    source = open_source(Place(tmp_path))
    assert options_of(source)["annotations/labels"]["class_names"] == ["cat", "dog"]


def test_names_with_gaps_and_without(tmp_path: Path):
    place = _write(tmp_path, {"a": "2 .5 .5 .2 .1\n"}, "names: {0: cat, 2: dog}\n")
    names = options_of(open_source(place))["annotations/labels"]["class_names"]
    assert names == ["cat", "1", "dog"]
    (tmp_path / "data.yaml").unlink()
    names = options_of(open_source(Place(tmp_path)))["annotations/labels"]["class_names"]
    assert names == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 .5 .5 .2\n", "is no object"),
        ("cat .5 .5 .2 .1\n", "is no object"),
        ("0 .5 .5 .2 nan\n", "is no object"),
        ("-1 .5 .5 .2 .1\n", "is no object"),
        ("7 .5 .5 .2 .1\n", "class that is not among the 2 names"),
    ],
)
def test_broken_lines(tmp_path: Path, text: str, why: str):
    place = _write(tmp_path, {"a": text, "b": "0 .5 .5 .2 .1\n"})
    [skipped] = skipped_of(open_source(place))
    assert skipped.what == "images/a.jpg"
    assert why in skipped.why


def test_polygons_that_come_late_are_not_lost(tmp_path: Path):
    place = _write(tmp_path, {"a": "0 0 0 .5 0 .5 .25\n"})
    [skipped] = skipped_of(open_source(place, polygons=False))
    assert "polygons=True" in skipped.why


def test_bad_keypoint_shape(tmp_path: Path):
    place = _write(tmp_path, {"a": ""}, "names: [a]\nkpt_shape: [2, 7]\n")
    with pytest.raises(InvalidError, match="bad kpt_shape"):
        open_source(place)


@pytest.mark.parametrize("labels", ["labels", "instance_segmentation/labels"])
def test_coco128(labels: str):
    folder = real("yolo/coco128")
    assert recognise(Place(folder)).KIND == "yolo"
    names = None
    if labels != "labels":  # these have the ids of COCO
        names = [str(number) for number in range(91)]
    source = open_source(Place(folder), labels=labels, class_names=names)
    names = options_of(source)["annotations/labels"]["class_names"]
    if labels == "labels":
        assert (len(names), names[0], names[17]) == (80, "person", "horse")
    rows = rows_of(source)
    images = sorted((folder / "images").rglob("*.jpg"))
    assert [row["filenames"] for row in rows] == [str(p.relative_to(folder)) for p in images]
    for row, image in zip(rows, images, strict=True):
        text = folder / labels / "train2017" / f"{image.stem}.txt"
        lines = text.read_text().splitlines() if text.exists() else []
        assert row["annotations/labels"].tolist() == [int(line.split()[0]) for line in lines]
        values = [np.array(line.split()[1:], "f4") for line in lines]
        if labels == "labels":
            assert np.array_equal(row["annotations/boxes"], np.array(values).reshape(-1, 4))
        else:
            found = [polygon.ravel() for polygon in row["annotations/polygons"]]
            assert all(map(np.array_equal, found, values))
