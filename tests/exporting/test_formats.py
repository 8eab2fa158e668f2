"""What is exported, read by the libraries of each format."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import zarr
from PIL import Image

import hubzarr as hub
from hubzarr.errors import ExistsError, InvalidError, InvalidTypeError, SampleError
from hubzarr.exporting import FORMATS, folder
from hubzarr.exporting.naming import safe_folder
from hubzarr.ingesting import Place
from hubzarr.ingesting.mds import open_source
from tests.exporting.samples import CLASSES, everything, pixels


def pictures(name: str = "exports/pictures", count: int = 4, **more: Any) -> hub.Dataset:
    ds = hub.empty(name)
    ds.create_tensor("images", htype="image", sample_compression="jpeg")
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog/wild"])
    for key, options in more.items():
        ds.create_tensor(key, **options)
    rows = {"images": [pixels(i, 5, 6 + i, 3) for i in range(count)]}
    ds.extend(rows | {"labels": [i % 2 for i in range(count)]}, skip_ok=bool(more))
    return ds


def test_csv() -> None:
    ds = everything()
    report = hub.export(ds, "out.csv")
    assert list(report.left_out) == ["images", "raw"]
    with open("out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ds.labels.text()
    assert [row["caption"] for row in rows] == ds.caption.text()
    assert [json.loads(row["meta"]) for row in rows] == ds.meta.dict()
    assert [np.float32(row["age"]) for row in rows] == ds.age.numpy().tolist()
    assert [int(row["count"]) for row in rows] == ds["count"].numpy().tolist()
    assert [json.loads(row["objects/labels"]) for row in rows][2] == ["a", "b"]
    assert [json.loads(row["boxes"]) for row in rows] == [
        box.tolist() for box in ds.boxes.numpy(aslist=True)
    ]
    hub.export(ds, "out.csv", overwrite=True, tensors=["count", "good"], delimiter=";")
    assert Path("out.csv").read_text().splitlines()[1] == f"{2**53 + 1};True"


def test_missing_numbers_are_empty_cells() -> None:
    ds = hub.empty("exports/missing")
    ds.create_tensor("x").extend([1.5, np.nan])
    hub.export(ds, "x.csv")
    assert Path("x.csv").read_text() == 'x\n1.5\n""\n'
    hub.export(ds, "x.parquet")
    assert pyarrow.parquet.read_table("x.parquet")["x"].to_pylist() == [1.5, None]


def test_parquet() -> None:
    ds = everything()
    hub.export(ds, "out.parquet")
    table = pyarrow.parquet.read_table("out.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types["labels"].startswith("dictionary<values=string")
    assert types["boxes"] == "list<element: fixed_size_list<element: float>[4]>"
    assert types["vector"] == "fixed_size_list<element: float>[4]"
    assert types["series"] == "list<element: fixed_size_list<element: int16>[3]>"
    assert types["images"] == "struct<bytes: binary, path: string>"
    assert table["labels"].to_pylist() == ds.labels.text()
    assert table["vector"].to_pylist() == ds.vector.numpy().tolist()
    assert table["mask"].to_pylist() == [m.tolist() for m in ds["mask"].numpy(aslist=True)]
    assert [p["bytes"] for p in table["images"].to_pylist()] == [
        ds.images[i].tobytes() for i in range(5)
    ]
    first = Image.open(io.BytesIO(table["raw"][0].as_py()["bytes"]))
    assert np.array_equal(np.asarray(first), ds.raw[0].numpy())


def test_parquet_for_hugging_face() -> None:
    hub.export(pictures(), "out.parquet", labels="numbers")
    schema = pyarrow.parquet.read_schema("out.parquet")
    assert str(schema.field("labels").type) == "int64"
    assert json.loads(schema.metadata[b"huggingface"])["info"]["features"] == {
        "images": {"_type": "Image"},
        "labels": {"names": ["cat", "dog/wild"], "_type": "ClassLabel"},
    }
    hub.export(pictures("exports/named"), "named.parquet")
    named = json.loads(pyarrow.parquet.read_schema("named.parquet").metadata[b"huggingface"])
    assert named["info"]["features"]["labels"] == {"dtype": "string", "_type": "Value"}
    datasets = pytest.importorskip("datasets")
    loaded = datasets.Dataset.from_parquet("out.parquet")
    assert loaded.features["labels"].names == ["cat", "dog/wild"]


def test_parquet_in_parts() -> None:
    ds = hub.empty("exports/parts")
    ds.create_tensor("x", dtype="uint8").extend(pixels(0, 40, 1 << 20))
    report = hub.export(ds, "parts", "parquet", maxsize=20_000_000, compression="none")
    assert report.files == 3
    files = sorted(Path("parts").glob("*.parquet"))
    metadata = [pyarrow.parquet.read_metadata(file) for file in files]
    assert sum(m.num_rows for m in metadata) == 40
    groups = [m.row_group(i).total_byte_size for m in metadata for i in range(m.num_row_groups)]
    assert max(groups) < 40 << 20
    with pytest.raises(InvalidError, match="compression='zip'"):
        hub.export(ds, "more", "parquet", compression="zip")
    assert not Path("more").exists()


def test_webdataset() -> None:
    ds = pictures(caption={"htype": "text"}, boxes={"htype": "bbox"})
    ds.caption.extend(["a", "b", "c", "d"])
    ds.boxes.extend([np.full((i, 4), i) for i in range(4)])
    report = hub.export(ds, "shards", "webdataset", maxcount=3)
    assert report.files == 3
    names = []
    for shard in sorted(Path("shards").glob("*.tar")):
        with tarfile.open(shard) as archive:
            names += archive.getnames()
            if shard.name == "shard-000001.tar":
                label = archive.extractfile("000003.cls")
                assert label is not None
                assert label.read() == b"1"
                array = archive.extractfile("000003.boxes.npy")
                assert array is not None
                assert np.load(io.BytesIO(array.read())).tolist() == [[3.0] * 4] * 3
                picture = archive.extractfile("000003.jpg")
                assert picture is not None
                assert picture.read() == ds.images[3].tobytes()
    assert names[:5] == ["000000.jpg", "000000.cls", "000000.txt", "000000.boxes.npy", "000001.jpg"]
    about = json.loads(Path("shards/dataset.json").read_text())
    assert about["tensors"]["labels"]["info"]["class_names"] == ["cat", "dog/wild"]
    assert about["source"]["commit"] == ds.commit_id


def test_mds() -> None:
    ds = everything()
    hub.export(ds, "mds", "mds", maxsize=4000)
    index = json.loads(Path("mds/index.json").read_text())
    assert len(index["shards"]) > 1
    assert sum(shard["samples"] for shard in index["shards"]) == 5
    for shard in index["shards"]:
        assert (
            Path("mds", shard["raw_data"]["basename"]).stat().st_size
            == (shard["raw_data"]["bytes"])
        )
    encodings = dict(
        zip(index["shards"][0]["column_names"], index["shards"][0]["column_encodings"], strict=True)
    )
    assert encodings["images"] == "png"
    assert encodings["labels"] == "int"
    assert encodings["vector"] == "ndarray:float32:4"
    source = open_source(Place("mds"))
    rows = [row for unit in source.units() for row in source.rows(unit)]
    assert [int(row["count"]) for row in rows] == ds["count"].numpy().tolist()


def test_mds_read_by_its_library() -> None:
    streaming = pytest.importorskip("streaming")
    hub.export(pictures(), "mds", "mds")
    assert len(streaming.LocalDataset("mds")) == 4


def test_zarr() -> None:
    ds = everything()
    hub.export(ds, "out.zarr")
    group = zarr.open_group("out.zarr", mode="r")
    assert group["vector"][:].tolist() == ds.vector.numpy().tolist()
    assert list(group["caption"][:]) == ds.caption.text()
    assert group["labels"].attrs["class_names"] == CLASSES
    index, data = group["images/index"][:], group["images/bytes"][:]
    start, length, *shape = index[3]
    picture = Image.open(io.BytesIO(data[start : start + length].tobytes()))
    assert np.asarray(picture).shape == tuple(shape) == ds.images[3].shape
    assert group.attrs["author"] == "somebody"
    assert group.metadata.consolidated_metadata is not None


def test_class_folders() -> None:
    ds = pictures()
    hub.export(ds, "out", "folder")
    assert sorted(p.relative_to("out").as_posix() for p in Path("out").rglob("*.jpg")) == [
        "cat/000000.jpg", "cat/000002.jpg", "dog/wild/000001.jpg", "dog/wild/000003.jpg",
    ]  # fmt: skip
    assert Path("out/cat/000002.jpg").read_bytes() == ds.images[2].tobytes()


def test_names_of_files_come_back() -> None:
    ds = pictures(filenames={"htype": "text"})
    ds.filenames.extend(["a/tom.JPG", "rex.png", "x", "y.jpeg"])
    hub.export(ds, "flat", "folder")
    assert sorted(p.relative_to("flat").as_posix() for p in Path("flat/images").rglob("*.*")) == [
        "images/a/tom.JPG", "images/rex.jpg", "images/x.jpg", "images/y.jpeg",
    ]  # fmt: skip
    ds.filenames[2] = "../../evil"
    hub.export(ds, "safe", "folder")
    assert sorted(p.name for p in Path("safe/images").iterdir()) == [
        f"00000{i}.jpg" for i in range(4)
    ]


def test_folders_stay_where_they_are() -> None:
    assert safe_folder("../../x") == "x"
    assert safe_folder("/etc") == "etc"
    assert safe_folder("a\\b\0c") == "a_b_c"


def test_what_suits_no_format() -> None:
    ds = hub.empty("exports/odd")
    ds.create_tensor("x").extend([1, 2])
    for format in ("folder", "coco", "yolo"):
        with pytest.raises(InvalidError, match="no tensor"):
            hub.export(ds, f"out_{format}", format)
        assert not Path(f"out_{format}").exists()
    with pytest.raises(InvalidError, match=r"unknown format 'xml'; known ones: folder, csv"):
        hub.export(ds, "out", "xml")
    with pytest.raises(InvalidError, match="can't tell the format from 'out'"):
        hub.export(ds, "out")
    with pytest.raises(InvalidError, match="format 'csv' has no option 'sep'; it has delimiter"):
        hub.export(ds, "out.csv", sep=";")
    with pytest.raises(InvalidTypeError, match="opened by hub"):
        hub.export("exports/odd", "out.csv")  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match=r"expected a list of names"):
        hub.export(ds, "out.csv", tensors="x")
    assert set(FORMATS) >= {"folder", "csv", "parquet", "zarr"}


def test_nothing_half_written_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ds = pictures()
    hub.export(ds, "out", "folder", layout="flat")
    before = Path("out/labels.csv").read_text()

    def broken(*args: Any) -> Any:
        raise SampleError("no such luck")

    monkeypatch.setattr(folder, "_write_files", broken)
    with pytest.raises(SampleError, match="no such luck"):
        hub.export(ds, "out", "folder", layout="flat", overwrite=True)
    assert Path("out/labels.csv").read_text() == before
    with pytest.raises(SampleError, match="no such luck"):
        hub.export(ds, "new", "folder", layout="flat")
    with pytest.raises(SampleError, match="no such luck"):
        hub.export(ds, "memory://half/new", "folder", layout="flat")
    assert [p.name for p in Path().iterdir()] == ["out"]
    assert hub.export(ds, "memory://half/new", "csv").files == 1


def test_only_exports_are_overwritten() -> None:
    ds = pictures()
    mine = Path("mine/notes.txt")
    mine.parent.mkdir()
    mine.write_text("dear diary")
    for overwrite in (False, True):
        with pytest.raises(ExistsError, match="not empty"):
            hub.export(ds, "mine", "folder", overwrite=overwrite)
    assert mine.read_text() == "dear diary"
    mine.unlink()
    hub.export(ds, "mine", "folder")
    hub.export(ds[:1], "mine", "folder", overwrite=True)
    assert len(list(Path("mine").rglob("*.jpg"))) == 1
    hub.export(ds, "out.zarr")
    hub.export(ds[:1], "out.zarr", overwrite=True)
    assert zarr.open_group("out.zarr", mode="r")["labels"].shape == (1,)
    with pytest.raises(ExistsError):
        hub.export(ds, "mine", "csv", overwrite=True)
    hub.export(ds, "a.csv")
    with pytest.raises(ExistsError, match="overwrite=True"):
        hub.export(ds, "a.csv")


@pytest.mark.parametrize(
    ("target", "format"),
    [("out.zip", "folder"), ("out.zarr.zip", "zarr"), ("out.csv", "folder"), ("out.tar", "mds")],
)
def test_folders_have_no_names_of_files(target: str, format: str) -> None:
    with pytest.raises(InvalidError, match=f"writes a folder.*{target}"):
        hub.export(pictures(), target, format)
    assert list(Path().iterdir()) == []


def test_export_is_of_one_commit() -> None:
    ds = pictures()
    view = ds[:]
    ds.labels[0] = "dog/wild"
    hub.export(ds, "a.csv")
    assert Path("a.csv").read_text().splitlines()[1] == "dog/wild"
    assert len(view) == 4


def test_to_xarray() -> None:
    xarray = pytest.importorskip("xarray")
    ds = everything()
    days = ds.to_xarray()
    assert isinstance(days, xarray.Dataset)
    assert days.labels.values.tolist() == ds.labels.text()
    assert days.caption.values.tolist() == ds.caption.text()
    assert np.array_equal(days.raw.values, ds.raw.numpy())
    assert days.raw.dims == ("row", "y", "x", "channel")
    assert days.attrs["left_out"][0] == "images"
    assert days.attrs["author"] == "somebody"
    some = ds[[4, 0]].to_xarray()
    assert some["count"].values.tolist() == ds["count"].numpy()[[4, 0]].tolist()
    assert some.row.values.tolist() == [4, 0]
    with pytest.raises(InvalidError, match="one shape"):
        ds[["images"]].to_xarray()
