"""The weather tutorial on real photographs: JPEG in colour and in grey, and a GIF."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hubzarr as hub
from tests.realdata import real


@hub.compute
def file_to_hub(file_name, sample_out, class_names):
    label_text = os.path.basename(os.path.dirname(file_name))
    label_num = class_names.index(label_text)
    sample_out.labels.append(np.uint32(label_num))
    sample_out.images.append(hub.read(file_name))
    return sample_out


def opened(path: str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


@pytest.fixture(scope="module")
def files() -> list[str]:
    """Some of each class, the GIF and some in grey among them."""
    folder = real("images/weather4")
    chosen = []
    for name in sorted(os.listdir(folder)):
        found = sorted(map(str, Path(folder, name).iterdir()))
        odd = [path for path in found if opened(path).mode != "RGB"]
        chosen += sorted({*found[:5], *odd[:3]})
    return chosen


def reference(path: str) -> Image.Image:
    """A file as Pillow shows it."""
    image = opened(path)
    return image.convert("RGB") if image.mode == "P" else image


def test_tutorial(files):
    class_names = sorted({os.path.basename(os.path.dirname(path)) for path in files})
    assert class_names == ["Cloudy", "Rain", "Shine", "Sunrise"]
    formats = {opened(path).format for path in files}
    assert formats == {"JPEG", "GIF"}

    ds = hub.dataset("hub://user/weather")
    with ds:
        ds.create_tensor("images", htype="image", sample_compression="png")
        ds.create_tensor("labels", htype="class_label", class_names=class_names)
        ds.info.update(description="Kinds of weather")
    with ds:
        report = file_to_hub(class_names=class_names).eval(files, ds, num_workers=2)
    assert (report.rows, report.skipped) == (len(files), ())

    assert Image.fromarray(ds["images"][0].numpy()).size == opened(files[0]).size
    assert ds["labels"].info.class_names == class_names
    assert ds.labels[0].numpy() == 0
    names = [os.path.basename(os.path.dirname(path)) for path in files]
    assert ds.labels.text() == names
    for path, row in zip(files, ds, strict=True):
        image, expected = row.images.numpy(), reference(path)
        assert np.array_equal(image.squeeze(), np.asarray(expected)), path
        assert Image.fromarray(image.squeeze()).mode == expected.mode

    ds.labels.info.class_names = [name.lower() for name in class_names]
    ds.commit("Class names added")
    assert ds.log()[0].message == "Class names added"
    ds.checkout("dev", create=True)
    ds.labels[0] = "sunrise"
    assert ds.branches == ["dev", "main"]
    assert "Class names added" in [commit["message"] for commit in ds.commits]
    ds.checkout("main")
    assert ds.labels[0].text() == "cloudy"
    assert len(hub.load("hub://user/weather")) == len(files)


def test_files_of_the_tensors_format_stay_as_they_are(files):
    ds = hub.dataset("hub://user/jpegs")
    ds.create_tensor("images", htype="image", sample_compression="jpeg")
    ds.create_tensor("labels", htype="class_label", class_names=[])

    @hub.compute
    def only_images(sample_in, sample_out):
        sample_out.images.append(hub.read(sample_in))

    only_images().eval(files, ds, num_workers=2, skip_ok=True)
    kept = [Path(p).read_bytes() == ds.images[i].tobytes() for i, p in enumerate(files)]
    assert kept == [opened(path).format == "JPEG" for path in files]


def test_broken_files_are_reported(files, tmp_path):
    broken = tmp_path / "Rain" / "broken.jpg"
    broken.parent.mkdir()
    broken.write_bytes(Path(files[0]).read_bytes()[:100])
    missing = str(tmp_path / "Rain" / "missing.jpg")
    ds = hub.empty("broken")
    ds.create_tensor("images", htype="image", sample_compression="jpeg")
    ds.create_tensor("labels", htype="class_label", class_names=["Cloudy", "Rain"])
    inputs = [files[0], str(broken), files[1], missing]
    transform = file_to_hub(["Cloudy", "Rain"])
    with pytest.raises(hub.errors.TransformError, match=r"input 1 .*broken\.jpg") as error:
        transform.eval(inputs, ds, num_workers=2)
    assert isinstance(error.value.__cause__, hub.errors.SampleError)
    assert error.value.__cause__.path == str(broken)
    assert len(ds) == 0
    report = transform.eval(inputs, ds, num_workers=2, ignore_errors=True)
    assert [skipped.index for skipped in report.skipped] == [1, 3]
    assert len(ds) == 2
