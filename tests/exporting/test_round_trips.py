"""What is exported and ingested again is what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import hubzarr as hub
from hubzarr.exporting import target
from hubzarr.ingesting import exported, exported_zarr
from tests.exporting.samples import assert_same, everything, pixels, rows_of
from tests.realdata import real

#: Target, format, and tensors that have no place in it.
WAYS = {
    "file.parquet": None,
    "parts": "parquet",
    "shards": "webdataset",
    "mds": "mds",
    "group.zarr": None,
    "flat": "folder",
}


def there_and_back(ds: hub.DatasetView, name: str, format: str | None, **options: Any) -> Any:
    report = hub.export(ds, name, format, **options)
    back = hub.ingest(name, f"back/{Path(name).stem}", progressbar=False, overwrite=True)
    return report, back


def size_of(path: Path) -> tuple[int, int]:
    """Files at a place, and their bytes."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return len(files), sum(p.stat().st_size for p in files)


@pytest.mark.parametrize(("name", "format"), WAYS.items())
def test_everything(tmp_path: Path, name: str, format: str | None) -> None:
    ds = everything()
    report, back = there_and_back(ds, str(tmp_path / name), format)
    assert (report.rows, report.left_out) == (5, {})
    assert report.tensors == tuple(ds.tensors)
    assert (report.files, report.nbytes) == size_of(tmp_path / name)
    assert_same(ds, back)
    assert back.info["author"] == "somebody"
    assert dict(back.boxes.info)["coords"] == {"type": "pixel", "mode": "LTRB"}
    assert [back.images[i].tobytes() for i in range(5)] == [
        ds.images[i].tobytes() for i in range(5)
    ]


@pytest.mark.parametrize(("name", "format"), WAYS.items())
def test_views(tmp_path: Path, name: str, format: str | None) -> None:
    ds = everything()
    view = ds[[3, 1, 4]][["labels", "raw", "count", "images"]]
    report, back = there_and_back(view, str(tmp_path / name), format)
    assert report.rows == 3
    assert_same(view, back)


@pytest.mark.parametrize(("name", "format"), WAYS.items())
def test_groups(tmp_path: Path, name: str, format: str | None) -> None:
    ds = everything()
    ds.create_tensor("objects/images", htype="image", sample_compression="png").extend(
        rows_of(5)["images"]
    )
    _, back = there_and_back(ds["objects"], str(tmp_path / name), format)
    assert_same(ds["objects"], back)


def test_lists_of_files(tmp_path: Path) -> None:
    ds = hub.empty("exports/clips")
    ds.create_tensor("frames", htype="sequence[image]", sample_compression="png")
    ds.create_tensor("names", htype="sequence[text]")
    ds.extend(
        {
            "frames": [[pixels(i + j, 3, 4, 3) for j in range(i)] for i in range(1, 4)],
            "names": [["a"] * i for i in range(3)],
        }
    )
    for name in ("clips.parquet", "clips.zarr"):
        assert_same(ds, there_and_back(ds, str(tmp_path / name), None)[1])
    report = hub.export(ds, tmp_path / "clips", "mds")
    assert list(report.left_out) == ["frames"]


def test_the_marks_are_the_same_in_both_directions() -> None:
    assert (target.DOCUMENT, target.MARK) == (exported._DOCUMENT, exported._MARK)
    assert exported_zarr._EXPORT == target.MARK


def test_records_of_ingests_do_not_travel(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    ds = hub.ingest(str(tmp_path / "a.csv"), "exports/first", progressbar=False)
    assert "ingested" in ds.info
    _, back = there_and_back(ds, str(tmp_path / "b.zarr"), None)
    assert len(back.info["ingested"]) == 1
    assert back.x.numpy().tolist() == [1, 3]


def test_class_folders_of_real_pictures(tmp_path: Path) -> None:
    source = real("images/weather4")
    ds = hub.ingest(str(source), "exports/weather", progressbar=False)
    report, back = there_and_back(ds, str(tmp_path / "weather"), "folder")
    assert report.files == len(ds) + 1
    files = list((tmp_path / "weather").rglob("*.jpg"))
    assert len(files) == len(ds)
    stored = sorted(ds.images[i].tobytes() for i in range(len(ds)))
    assert sorted(p.read_bytes() for p in files) == stored
    assert back.labels.numpy().tolist() == ds.labels.numpy().tolist()
    assert_same(ds[::40], back[::40])


FORMATS = ["x.parquet", "x.zarr", "x_mds", "x_tar", "x_folder"]
WORDS = {"x_mds": "mds", "x_tar": "webdataset", "x_folder": "folder"}
DTYPES = st.sampled_from(["uint8", "int16", "float32", "float64", "uint64"])


@settings(max_examples=10)
@given(data=st.data(), name=st.sampled_from(FORMATS[:4]))
def test_ragged_arrays(tmp_path_factory: Any, data: st.DataObject, name: str) -> None:
    dtype = data.draw(DTYPES)
    ndim = data.draw(st.integers(1, 3))
    shapes = arrays.array_shapes(min_dims=ndim, max_dims=ndim, max_side=4)
    elements = {"allow_nan": False} if dtype.startswith("f") else {}
    samples = data.draw(
        st.lists(arrays.arrays(dtype, shapes, elements=elements or None), min_size=2, max_size=6)
    )
    texts = data.draw(st.lists(st.text(max_size=9), min_size=len(samples), max_size=len(samples)))
    ds = hub.empty("exports/ragged", overwrite=True)
    ds.create_tensor("x", dtype=dtype)
    ds.create_tensor("t", htype="text")
    ds.extend({"x": samples, "t": texts})
    place = tmp_path_factory.mktemp("ragged") / name
    assert_same(ds, there_and_back(ds, str(place), WORDS.get(name))[1])


def test_remote_targets() -> None:
    ds = everything()
    for name, format in [("m.zarr", None), ("m.parquet", None), ("m", "mds"), ("t", "webdataset")]:
        url = f"memory://exports-{name}/{name}"
        report, back = there_and_back(ds, url, format)
        assert report.files > 0
        assert_same(ds, back)


def test_a_dataset_without_rows(tmp_path: Path) -> None:
    ds = hub.empty("exports/nothing")
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("label", htype="class_label", class_names=["a"])
    for name, format in [*WAYS.items(), ("x.csv", None)]:
        report = hub.export(ds, tmp_path / name, format)
        assert report.rows == 0


def test_samples_of_nothing(tmp_path: Path) -> None:
    ds = hub.empty("exports/holes")
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("n")
    ds.extend({"images": [pixels(0, 2, 3, 3), None, pixels(1, 2, 3, 3)], "n": np.arange(3)})
    for name in ("h.parquet", "h.zarr"):
        back = there_and_back(ds, str(tmp_path / name), None)[1]
        assert back.images[1].numpy().size == 0
        assert back.images[2].tobytes() == ds.images[2].tobytes()
    hub.export(ds, tmp_path / "h", "folder")
    assert (tmp_path / "h/labels.csv").read_text().splitlines()[2] == ",1"
