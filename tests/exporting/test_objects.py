"""COCO and YOLO: boxes, polygons, masks and keypoints, there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError
from hubzarr.exporting.roles import boxes_as
from hubzarr.exporting.table import Table
from hubzarr.media.rle import mask_of_runs
from tests.exporting.samples import assert_same, pixels
from tests.realdata import real

yaml = pytest.importorskip("yaml")


def scenes(mode: str = "LTWH", kind: str = "pixel", **more: Any) -> hub.Dataset:
    """Three images of 20 × 40 with none, one and two objects."""
    ds = hub.empty(f"exports/scenes_{mode}_{kind}", overwrite=True)
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("boxes", htype="bbox", coords={"type": kind, "mode": mode})
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    for key, options in more.items():
        ds.create_tensor(key, **options)
    box = {
        "LTWH": [4, 2, 8, 10], "LTRB": [4, 2, 12, 12], "CCWH": [8, 7, 8, 10],
    }[mode]  # fmt: skip
    size = np.array([40, 20, 40, 20]) if kind == "fractional" else np.ones(4)
    with ds:
        for i in range(3):
            ds.images.append(pixels(i, 20, 40, 3))
            ds.boxes.append(np.array([box] * i, "f4").reshape(-1, 4) / size.astype("f4"))
            ds.labels.append(np.arange(i))
    return ds


@pytest.mark.parametrize("mode", ["LTWH", "LTRB", "CCWH"])
@pytest.mark.parametrize("kind", ["pixel", "fractional"])
def test_boxes_in_all_coordinates(mode: str, kind: str) -> None:
    ds = scenes(mode, kind)
    field = Table(ds).field("boxes")
    pixel = boxes_as(field, ds.boxes[1].numpy(), (20, 40, 3), "pixel", "LTWH")
    assert np.allclose(pixel, [[4, 2, 8, 10]])
    fraction = boxes_as(field, ds.boxes[1].numpy(), (20, 40, 3), "fractional", "CCWH")
    assert np.allclose(fraction, [[0.2, 0.35, 0.2, 0.5]])
    hub.export(ds, "coco", "coco")
    document = json.loads(Path("coco/annotations.json").read_text())
    assert [a["image_id"] for a in document["annotations"]] == [2, 3, 3]
    assert [a["category_id"] for a in document["annotations"]] == [1, 1, 2]
    assert np.allclose([a["bbox"] for a in document["annotations"]], [[4, 2, 8, 10]] * 3)
    assert document["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert document["images"][0] == {
        "id": 1, "file_name": "000000.png", "width": 40, "height": 20,
    }  # fmt: skip
    hub.export(ds, "yolo", "yolo")
    assert Path("yolo/labels/000000.txt").read_text() == ""
    line = Path("yolo/labels/000002.txt").read_text().splitlines()[1].split()
    assert line[0] == "1"
    assert np.allclose([float(word) for word in line[1:]], [0.2, 0.35, 0.2, 0.5])
    settings = yaml.safe_load(Path("yolo/data.yaml").read_text())
    assert settings["names"] == {0: "cat", 1: "dog"}


def test_masks_become_run_lengths() -> None:
    ds = scenes(masks={"htype": "binary_mask"})
    rng = np.random.default_rng(0)
    masks = [rng.random((20, 40, i)) > 0.5 for i in range(3)]
    ds.masks.extend(masks)
    hub.export(ds, "coco", "coco")
    document = json.loads(Path("coco/annotations.json").read_text())
    found = document["annotations"][2]["segmentation"]
    assert found["size"] == [20, 40]
    assert np.array_equal(mask_of_runs(found["counts"], 20, 40), masks[2][:, :, 1])
    assert document["annotations"][2]["area"] == masks[2][:, :, 1].sum()


def test_polygons_and_keypoints() -> None:
    names = ["nose", "tail"]
    ds = scenes(
        polygons={"htype": "polygon"}, keypoints={"htype": "keypoints_coco", "keypoints": names}
    )
    corners = np.array([[4, 2], [12, 2], [12, 12]], "f4")
    ds.polygons.extend([[corners] * i for i in range(3)])
    ds.keypoints.extend([np.array([[5, 4, 2, 6, 6, 0]] * i).reshape(-1, 6).T for i in range(3)])
    hub.export(ds, "coco", "coco")
    document = json.loads(Path("coco/annotations.json").read_text())
    entry = document["annotations"][0]
    assert entry["segmentation"] == [[4, 2, 12, 2, 12, 12]]
    assert (entry["keypoints"], entry["num_keypoints"]) == ([5, 4, 2, 6, 6, 0], 1)
    assert document["categories"][0]["keypoints"] == names
    hub.export(ds, "posed", "yolo")
    assert yaml.safe_load(Path("posed/data.yaml").read_text())["kpt_shape"] == [2, 3]
    words = Path("posed/labels/000001.txt").read_text().split()
    assert np.allclose([float(w) for w in words[5:]], [0.125, 0.2, 2, 0.15, 0.3, 0])
    hub.export(ds, "outlined", "yolo", style="polygons")
    words = Path("outlined/labels/000001.txt").read_text().split()
    assert np.allclose([float(w) for w in words[1:]], [0.1, 0.1, 0.3, 0.1, 0.3, 0.6])


def test_splits_become_folders() -> None:
    ds = scenes(split={"htype": "class_label", "class_names": ["train", "val"]})
    ds.split.extend([0, 1, 0])
    hub.export(ds, "yolo", "yolo")
    names = sorted(p.relative_to("yolo/images").as_posix() for p in Path("yolo").rglob("*.png"))
    assert names == ["train/000000.png", "train/000002.png", "val/000001.png"]
    settings = yaml.safe_load(Path("yolo/data.yaml").read_text())
    assert (settings["train"], settings["val"]) == ("images/train", "images/val")


def test_coco_tells_that_splits_are_left_out() -> None:
    ds = scenes(split={"htype": "class_label", "class_names": ["train", "val"]})
    ds.split.extend([0, 1, 0])
    report = hub.export(ds, "coco", "coco")
    assert "each split" in report.left_out["split"]
    assert report.tensors == ("images", "boxes", "labels")
    assert list(json.loads(Path("coco/dataset.json").read_text())["tensors"]) == [*report.tensors]


def test_styles_need_their_tensors() -> None:
    with pytest.raises(InvalidError, match="'polygons'"):
        hub.export(scenes(), "yolo", "yolo", style="polygons")
    ds = hub.empty("exports/unnamed")
    ds.create_tensor("images", htype="image", sample_compression="png").append(pixels(0, 4, 4, 3))
    ds.create_tensor("boxes", htype="bbox").append(np.ones((1, 4)))
    ds.create_tensor("labels", htype="class_label").append([0])
    with pytest.raises(InvalidError, match="class_names"):
        hub.export(ds, "coco", "coco")


def test_real_coco_comes_back() -> None:
    ds = hub.ingest(
        str(real("coco/sahi")), "exports/sahi", progressbar=False,
        annotations="terrain1_coco.json",
    )  # fmt: skip
    report = hub.export(ds, "coco", "coco")
    back = hub.ingest("coco", "exports/sahi_back", progressbar=False)
    assert_same(ds, back, report.left_out)


def test_real_yolo_comes_back() -> None:
    ds = hub.ingest(str(real("yolo/coco128")), "exports/coco128", progressbar=False)
    hub.export(ds[:20], "yolo", "yolo")
    back = hub.ingest("yolo", "exports/coco128_back", progressbar=False)
    order = np.argsort([Path(name).name for name in ds[:20].filenames.text()])
    names = ("annotations/boxes", "annotations/labels")
    assert_same(ds[order][list(names)], back[list(names)])
    assert [back.images[i].tobytes() for i in range(20)] == [
        ds.images[int(i)].tobytes() for i in order
    ]
