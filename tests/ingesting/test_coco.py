"""COCO: files as its tools write them, and those of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hubzarr as hub
from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting import Place, coco, open_source, recognise
from hubzarr.media.rle import mask_of_runs, pack_runs, runs_of_mask
from tests.ingesting.pictures import options_of, picture, rows_of, skipped_of
from tests.realdata import real

CATEGORIES = [
    {"id": 3, "name": "cat", "supercategory": "animal"},
    {"id": 17, "name": "dog", "supercategory": "animal"},
]
SQUARE = [[1, 1, 4, 1, 4, 3, 1, 3]]


def _object(number: int, image: int, category: int = 17, **fields) -> dict:
    return {"id": number, "image_id": image, "category_id": category, "bbox": [1, 2, 3, 4]} | fields


def _image(number: int, name: str) -> dict:
    return {"id": number, "file_name": name, "height": 8, "width": 6}


def _write(path: Path, images: list, annotations: list, categories: list = CATEGORIES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {"year": 2026}, "images": images, "annotations": annotations}
    path.write_text(json.dumps(content | {"categories": categories}))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two splits, with files for objects, keypoints and captions, as COCO has them."""
    notes = tmp_path / "annotations"
    for split, number in (("train2017", 1), ("val2017", 2)):
        name = f"{number:012}.jpg"
        picture(tmp_path / split / name, number)
        images = [_image(number, name)]
        objects = [_object(10 * number, number, 3), _object(10 * number + 1, number)]
        objects[0] |= {"segmentation": SQUARE, "area": 6.0, "iscrowd": 0}
        _write(notes / f"instances_{split}.json", images, objects)
        person = [{"id": 3, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}]
        posed = [objects[0] | {"keypoints": [1, 2, 2, 0, 0, 0]}]
        _write(notes / f"person_keypoints_{split}.json", images, posed, person)
        told = [{"id": n, "image_id": number, "caption": f"{split} {n}"} for n in (5, 6)]
        _write(notes / f"captions_{split}.json", images, told, [])
    return tmp_path


def test_files_about_the_same_images_are_put_together(pets: Path):
    place = Place(pets)
    assert recognise(place).KIND == "coco"
    source = open_source(place)
    options = options_of(source)
    assert options["annotations/labels"]["class_names"] == ["cat", "dog"]
    assert options["annotations/keypoints"] == {
        "htype": "keypoints_coco",
        "dtype": "int32",
        "keypoints": ["nose", "tail"],
        "connections": [[1, 2]],
    }
    assert options["split"]["class_names"] == ["train2017", "val2017"]
    train, val = rows_of(source)
    assert (train["split"], val["split"]) == (0, 1)
    assert train["filenames"] == "000000000001.jpg"
    assert (
        train["images"].compressed_bytes == (pets / "train2017" / train["filenames"]).read_bytes()
    )
    assert train["annotations/labels"].tolist() == [0, 1]
    assert train["annotations/ids"].tolist() == [10, 11]
    assert train["annotations/boxes"].tolist() == [[1, 2, 3, 4]] * 2
    assert np.array_equal(train["annotations/areas"], [6.0, np.nan], equal_nan=True)
    assert train["annotations/keypoints"].T.tolist() == [[1, 2, 2, 0, 0, 0], [0] * 6]
    assert val["annotations/captions"] == ["val2017 5", "val2017 6"]
    square, nothing = train["annotations/polygons"]
    assert square.tolist() == [[1, 1], [4, 1], [4, 3], [1, 3]]
    assert nothing.shape == (0, 2)
    assert source.info["categories"][0]["supercategory"] == "animal"
    assert source.info["coco"] == [{"year": 2026}]


def test_images_without_objects_have_rows(tmp_path: Path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    images = [_image(1, "a.png"), _image(2, "b.png")]
    _write(tmp_path / "all.json", images, [_object(1, 2, segmentation=SQUARE)])
    a, b = rows_of(open_source(Place(tmp_path / "all.json")))
    assert a["annotations/boxes"].shape == (0, 4)
    assert a["annotations/polygons"] == []
    assert b["annotations/labels"].tolist() == [1]


def test_masks(tmp_path: Path):
    picture(tmp_path / "a.png")
    wanted = np.zeros((8, 6), bool)
    wanted[2:5, 1:4] = True
    runs = runs_of_mask(wanted)
    written = [
        {"size": [8, 6], "counts": runs},
        {"size": [8, 6], "counts": pack_runs(runs)},
        [[1, 2, 4, 2, 4, 5, 1, 5]],
        [[0, 0, 1, 0, 1, 1, 0, 1], [1, 2, 4, 2, 4, 5, 1, 5]],
        [],
    ]
    objects = [_object(n, 1, segmentation=each) for n, each in enumerate(written)]
    _write(tmp_path / "a.json", [_image(1, "a.png")], objects)
    place = Place(tmp_path)
    source = open_source(place)
    assert options_of(source)["annotations/masks"] == {"htype": "binary_mask"}
    [row] = rows_of(source)
    masks = row["annotations/masks"]
    assert masks.shape == (8, 6, 5)
    for number in range(3):
        assert np.array_equal(masks[:, :, number], wanted)
    both = wanted.copy()
    both[0, 0] = True
    assert np.array_equal(masks[:, :, 3], both)
    assert not masks[:, :, 4].any()
    [row] = rows_of(open_source(place, segmentation="json"))
    assert row["annotations/segmentations"] == [*written[:4], None]
    assert "annotations/masks" not in options_of(open_source(place, segmentation="none"))
    with pytest.raises(InvalidError, match="several polygons or run lengths"):
        open_source(place, segmentation="polygons")
    with pytest.raises(InvalidError, match="bad segmentation"):
        open_source(place, segmentation="pixels")


def test_units_with_masks_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    images = [_image(number, f"{number}.png") for number in range(4)]
    objects = [_object(n, n, segmentation={"size": [8, 6], "counts": [48]}) for n in range(4)]
    _write(tmp_path / "a.json", images, objects)
    monkeypatch.setattr(coco, "UNIT_BYTES", 2 * (48 + (tmp_path / "0.png").stat().st_size) + 20)
    assert [unit.rows for unit in open_source(Place(tmp_path)).units()] == [2, 2]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"category_id": 99}, "category 99 is not in the list"),
        ({"bbox": [1, 2, 3]}, "has 3 numbers"),
        ({"segmentation": {"size": [8, 6], "counts": [3]}}, "broken run lengths"),
    ],
)
def test_broken_annotations(tmp_path: Path, change: dict, why: str):
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    objects = [_object(1, 1) | change, _object(2, 2)]
    _write(tmp_path / "all.json", [_image(1, "a.png"), _image(2, "b.png")], objects)
    [skipped] = skipped_of(open_source(Place(tmp_path)))
    assert why in skipped.why


def test_missing_images(tmp_path: Path):
    picture(tmp_path / "a.png")
    _write(tmp_path / "all.json", [_image(1, "a.png"), _image(2, "b.png")], [_object(1, 1)])
    [skipped] = skipped_of(open_source(Place(tmp_path)))
    assert (skipped.what, skipped.broken) == ("b.png", True)
    assert "missing" in skipped.why


def test_splits_in_folders(tmp_path: Path):
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg")
        _write(tmp_path / split / "_annotations.coco.json", [_image(0, "a.jpg")], [_object(0, 0)])
    source = open_source(Place(tmp_path))
    assert options_of(source)["split"]["class_names"] == ["train", "valid"]
    assert len(rows_of(source)) == 2


def test_two_files_that_say_the_same_are_refused(tmp_path: Path):
    picture(tmp_path / "a.png")
    for name in ("one.json", "two.json"):
        _write(tmp_path / name, [_image(1, "a.png")], [_object(1, 1)])
    with pytest.raises(InvalidError, match=r"both annotate 'a\.png'"):
        open_source(Place(tmp_path))
    assert len(rows_of(open_source(Place(tmp_path), annotations="two.json"))) == 1


def test_both_ways_out_of_two_files_that_say_the_same(tmp_path: Path):
    picture(tmp_path / "a.png")
    for name in ("one.json", "two.json"):
        _write(tmp_path / name, [_image(1, "a.png")], [_object(1, 1)])
    with pytest.raises(InvalidError, match=r"annotations=\.\.\., .* append=True"):
        hub.ingest(tmp_path, "coco/twice", progressbar=False)
    hub.ingest(tmp_path / "one.json", "coco/twice", progressbar=False)
    ds = hub.ingest(tmp_path / "two.json", "coco/twice", append=True, progressbar=False)
    assert ds.filenames.text() == ["a.png", "a.png"]


def test_other_json_is_none_of_coco(tmp_path: Path):
    (tmp_path / "package.json").write_text('{"name": "x", "images": []}')
    assert not coco.matches(Place(tmp_path))
    _write(tmp_path / "bad.json", [{"id": 1, "file_name": 5}], [])
    assert coco.matches(Place(tmp_path))
    with pytest.raises(SampleError, match="not of the form of COCO"):
        open_source(Place(tmp_path))


def test_panoptic():
    folder = real("coco/panopticapi")
    source = open_source(Place(folder))
    assert source.kind == "coco"
    content = json.loads((folder / "panoptic_examples.json").read_text())
    objects = json.loads((folder / "panoptic_coco_detection_format.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    classes = options_of(source)["panoptic/labels"]["class_names"]
    rows = {row["image_ids"]: row for row in rows_of(source)}
    assert len(rows) == len(content["annotations"]) == 2
    for annotation in content["annotations"]:
        row = rows[annotation["image_id"]]
        with Image.open(folder / "panoptic_examples" / annotation["file_name"]) as image:
            colours = np.asarray(image.convert("RGB")).astype(int)
        ids = colours @ [1, 256, 65536]
        assert np.array_equal(row["panoptic/mask"], ids)
        segments = annotation["segments_info"]
        assert row["panoptic/ids"].tolist() == [segment["id"] for segment in segments]
        assert [classes[label] for label in row["panoptic/labels"]] == [
            names[segment["category_id"]] for segment in segments
        ]
        # The masks of the other file cover what the segments do.
        mine = [each for each in objects["annotations"] if each["image_id"] == row["image_ids"]]
        for number, each in enumerate(mine):
            mask = row["annotations/masks"][:, :, number]
            assert mask.sum() == each["area"]
            counts = each["segmentation"]["counts"]
            if isinstance(counts, list):
                assert np.array_equal(mask, mask_of_runs(counts, *mask.shape))


def test_sahi():
    folder = real("coco/sahi")
    with pytest.raises(InvalidError, match="choose one of them with annotations"):
        open_source(Place(folder))
    source = open_source(Place(folder), annotations="terrain2_coco.json")
    content = json.loads((folder / "terrain2_coco.json").read_text())
    [row] = rows_of(source)
    assert row["annotations/boxes"].tolist() == [each["bbox"] for each in content["annotations"]]
    wanted = [np.reshape(each["segmentation"][0], (-1, 2)) for each in content["annotations"]]
    assert all(map(np.array_equal, row["annotations/polygons"], wanted))
    [skipped] = skipped_of(open_source(Place(folder / "terrain_all_coco.json")))
    assert skipped.what == "terrain3.png"
