"""Folders of images, compared with what Pillow reads from the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hubzarr as hub
from hubzarr.api.ingesting import ingest
from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting import Place, folders, open_source, recognise
from hubzarr.media import Sample
from tests.ingesting.pictures import options_of, picture, rows_of, skipped_of
from tests.realdata import real


def _source(path: Path, **options):
    place = Place(path)
    assert recognise(place).KIND == "folders"
    return open_source(place, **options)


def _labels(source) -> list[str]:
    names = options_of(source)["labels"]["class_names"]
    return [names[row["labels"]] for row in rows_of(source)]


def test_classes_are_the_folders(tmp_path: Path):
    data = picture(tmp_path / "dogs" / "rex.jpg", 1)
    picture(tmp_path / "cats" / "tom.jpg", 2)
    picture(tmp_path / "cats" / "wild" / "leo.jpg", 3)
    source = _source(tmp_path)
    assert options_of(source) == {
        "images": {"htype": "image", "sample_compression": "jpeg"},
        "labels": {"htype": "class_label", "class_names": ["cats", "cats/wild", "dogs"]},
    }
    assert _labels(source) == ["cats", "cats/wild", "dogs"]
    assert rows_of(source)[2]["images"].compressed_bytes == data


def test_what_is_above_all_classes_is_none_of_them(tmp_path: Path):
    for name in ("a", "b"):
        picture(tmp_path / "archive" / "all" / name / "1.png")
    assert _labels(_source(tmp_path)) == ["a", "b"]


def test_splits(tmp_path: Path):
    for path in ("train/a/1.jpg", "train/b/2.jpg", "Valid/a/3.jpg"):
        picture(tmp_path / path)
    source = _source(tmp_path)
    assert options_of(source)["split"]["class_names"] == ["train", "Valid"]
    assert [row["split"] for row in rows_of(source)] == [1, 0, 0]
    assert _labels(source) == ["a", "a", "b"]


def test_images_alone_keep_their_names(tmp_path: Path):
    for path in ("2.png", "1.png"):
        picture(tmp_path / path)
    assert [row["filenames"] for row in rows_of(_source(tmp_path))] == ["1.png", "2.png"]
    (tmp_path / "images").mkdir()
    for path in ("2.png", "1.png"):
        (tmp_path / path).rename(tmp_path / "images" / path)
    assert list(options_of(_source(tmp_path))) == ["images", "filenames"]


def test_one_image(tmp_path: Path):
    for name in ("tom.png", "rex.png"):
        picture(tmp_path / "cats" / name)
    ds = ingest(tmp_path / "cats" / "tom.png", "me/tom")
    assert ds.filenames.text() == ["tom.png"]
    assert ds.images[0].tobytes() == (tmp_path / "cats" / "tom.png").read_bytes()


def test_one_class(tmp_path: Path):
    picture(tmp_path / "cats" / "1.png")
    assert _labels(_source(tmp_path)) == ["cats"]


def test_other_files_are_left_out_and_named(tmp_path: Path):
    for name in "abc":
        picture(tmp_path / "cats" / f"{name}.jpg")
    picture(tmp_path / "loose.jpg")
    (tmp_path / "cats" / "notes.txt").write_text("hello")
    source = _source(tmp_path, filenames=True)
    assert [(skip.what, skip.broken) for skip in skipped_of(source)] == [
        ("cats/notes.txt", False),
        ("loose.jpg", False),
    ]
    assert [row["filenames"] for row in rows_of(source)] == [f"cats/{n}.jpg" for n in "abc"]


def test_most_files_decide_on_the_format(tmp_path: Path):
    for path in ("a/1.png", "a/2.jpg", "b/3.jpg", "b/4.bmp"):
        picture(tmp_path / path)
    source = _source(tmp_path)
    assert options_of(source)["images"]["sample_compression"] == "jpeg"
    assert source.info["formats"] == {"png": 1, "jpeg": 2, "bmp": 1}
    chosen = _source(tmp_path, sample_compression="png")
    assert options_of(chosen)["images"]["sample_compression"] == "png"


def test_images_of_16_bits(tmp_path: Path):
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    for number in range(3):
        path = tmp_path / "scans" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Sample(array=deep).encoded("png"))
    images = {"htype": "image", "sample_compression": "png", "dtype": "uint16"}
    assert options_of(_source(tmp_path))["images"] == images
    picture(tmp_path / "scans" / "8.png")
    assert options_of(_source(tmp_path))["images"] == images
    assert "dtype" not in options_of(_source(tmp_path, dtype="uint8"))["images"]
    with pytest.raises(SampleError, match=r'8\.png: .* uint8, .*dtype="uint16" takes both'):
        ingest(tmp_path, "me/strict")
    ds = ingest(tmp_path, "me/scans", dtype="uint16")
    assert np.array_equal(ds.images[0].numpy()[:, :, 0], deep)


def test_long_listings_are_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(5):
        picture(tmp_path / "a" / f"{number}.png")
    picture(tmp_path / "b" / "0.png")
    kept = [unit.payload for unit in _source(tmp_path).units()]
    monkeypatch.setattr(folders, "_KEPT", 3)
    source = _source(tmp_path)
    assert source.files is None
    assert [unit.payload for unit in source.units()] == kept


def test_no_images(tmp_path: Path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InvalidError, match="no images"):
        open_source(Place(tmp_path), "folders")
    with pytest.raises(InvalidError, match="can't tell what"):
        open_source(Place(tmp_path))


def test_weather():
    folder = real("images/weather4")
    source = _source(folder)
    assert options_of(source)["labels"]["class_names"] == ["Cloudy", "Rain", "Shine", "Sunrise"]
    rows = rows_of(source)
    paths = sorted(path for path in folder.rglob("*.*") if path.is_file())
    assert len(rows) == len(paths) == 360
    for row, path in list(zip(rows, paths, strict=True))[::37]:
        with Image.open(path) as image:
            assert np.array_equal(row["images"].array, np.asarray(image))
        assert row["images"].compressed_bytes == path.read_bytes()


def _mixed(folder: Path) -> Path:
    """Five JPEG files, and as PNG one like them, one with transparency, one of 16 bits."""
    for n in range(5):
        picture(folder / f"{n}.jpg", n)
    picture(folder / "plain.png")
    clear = np.zeros((8, 6, 4), np.uint8)
    clear[:4, :, 3] = 100
    (folder / "clear.png").write_bytes(Sample(array=clear).encoded("png"))
    deep = np.arange(48, dtype=np.uint16).reshape(8, 6) * 1000
    (folder / "deep.png").write_bytes(Sample(array=deep).encoded("png"))
    return folder


def test_files_that_do_not_suit_the_others_are_told_with_the_way_out(tmp_path: Path):
    folder = _mixed(tmp_path / "a")
    ds = hub.ingest(folder, "folders/mixed", skip_broken=True, progressbar=False)
    [report] = hub.ingest_report(ds)
    assert (report.rows, report.converted, report.lossy) == (6, 1, 1)
    assert "1 files converted to the format of the others (1 of them from a lossless" in str(report)
    assert ds.images.dtype == np.uint8
    reasons = {Path(each.what).name: each.why for each in report.reasons}
    assert sorted(reasons) == ["clear.png", "deep.png"]
    assert "transparency" in reasons["clear.png"]
    assert 'sample_compression="png"' in reasons["clear.png"]
    assert 'dtype="uint16" with sample_compression="png"' in reasons["deep.png"]
    with pytest.raises(SampleError, match=r"clear\.png: .*transparency.*skip_broken=True"):
        hub.ingest(folder, "folders/strict", progressbar=False)


def test_depths_are_mixed_if_that_is_wanted(tmp_path: Path):
    folder = _mixed(tmp_path / "a")
    options = {"dtype": "uint16", "sample_compression": "png"}
    ds = hub.ingest(folder, "folders/deep", progressbar=False, **options)
    assert len(ds) == 8
    assert ds.images.dtype == np.uint16
    deep = ds.images[ds.filenames.text().index("deep.png")].numpy()
    assert deep[7, 5] == 47_000
