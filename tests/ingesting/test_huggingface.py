"""Hugging Face: saved to disk, in memory, and from a hub that is a folder here."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import types
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from hubzarr.errors import InvalidError, InvalidTypeError, SampleError, UnsupportedError
from hubzarr.ingesting import Place, recognise
from hubzarr.ingesting import huggingface as module
from hubzarr.ingesting.huggingface import (
    from_huggingface,
    huggingface_place,
    matches,
    open_source,
)
from hubzarr.media import Sample, extras
from tests.ingesting.flat import options, rows

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
    "tokens": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "Sequence"},
}


def picture(number):
    return Sample(array=np.full((8, 8, 3), number, "u1")).encoded("png")


def table(count, start=0):
    numbers = range(start, start + count)
    made = pa.table(
        {
            "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in numbers],
            "label": [n % 2 for n in numbers],
            "tokens": pa.array([list(range(n % 3)) for n in numbers], pa.list_(pa.int32())),
        }
    )
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    return made.replace_schema_metadata(metadata)


def save(folder, *tables, batch=2):
    """What `Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True)
    names = [f"data-{n:05d}-of-{len(tables):05d}.arrow" for n in range(len(tables))]
    for name, one in zip(names, tables, strict=True):
        with pa.ipc.new_stream(folder / name, one.schema) as stream:
            stream.write_table(one, max_chunksize=batch)
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


class Features(dict):
    def to_dict(self):
        return dict(self)


class Dataset:
    """What is used of `datasets.Dataset`."""

    def __init__(self, data, indices=None):
        self.data = types.SimpleNamespace(table=data)
        self.features = Features(FEATURES)
        self._indices = None
        if indices is not None:
            self._indices = types.SimpleNamespace(table=pa.table({"indices": indices}))


def test_saved_splits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_UNIT_ROWS", 4)
    save(tmp_path / "d" / "test", table(3, start=8))
    save(tmp_path / "d" / "train", table(5), table(3, start=5))
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["test", "train"]}')
    assert recognise(Place(tmp_path / "d")).KIND == "huggingface"
    source = open_source(Place(tmp_path / "d"))
    assert options(source)["label"] == {"htype": "class_label", "class_names": ["no", "yes"]}
    assert options(source)["split"]["class_names"] == ["train", "test"]
    found = rows(pickle.loads(pickle.dumps(source)))
    assert [row["image"].compressed_bytes for row in found] == [picture(n) for n in range(11)]
    assert [row["label"] for row in found] == [n % 2 for n in range(11)]
    assert [row["tokens"].tolist() for row in found] == [list(range(n % 3)) for n in range(11)]
    assert [row["split"] for row in found] == [0] * 8 + [1] * 3
    assert [unit.rows for unit in source.units()] == [4, 1, 3, 3]


def test_one_saved_data_set(tmp_path):
    save(tmp_path / "d", table(3))
    assert matches(Place(tmp_path / "d"))
    assert "split" not in options(open_source(Place(tmp_path / "d")))
    (tmp_path / "d" / "data-00000-of-00001.arrow").write_bytes(b"no Arrow")
    with pytest.raises(SampleError, match="broken Arrow"):
        open_source(Place(tmp_path / "d"))


def test_in_memory_with_a_selection():
    splits = {"test": Dataset(table(2, start=6)), "train": Dataset(table(6), indices=[5, 0, 3])}
    source = from_huggingface(splits)
    found = rows(source)
    expected = [picture(n) for n in (5, 0, 3, 6, 7)]
    assert [row["image"].compressed_bytes for row in found] == expected
    assert [row["label"] for row in found] == [1, 0, 1, 0, 1]
    assert [row["split"] for row in found] == [0, 0, 0, 1, 1]
    assert len(rows(from_huggingface(Dataset(table(4))))) == 4


def test_other_objects_are_refused():
    with pytest.raises(InvalidTypeError, match="Dataset or DatasetDict"):
        from_huggingface([1, 2])
    other = Dataset(pa.table({"other": [1]}))
    with pytest.raises(SampleError, match="other columns"):
        from_huggingface({"train": Dataset(table(1)), "test": other})


class FakeHub(types.ModuleType):
    """A hub whose repositories are folders; branches are folders in them."""

    def __init__(self, root: Path, target: Path) -> None:
        super().__init__("huggingface_hub")
        self.root, self.target = root, target

    def HfApi(self, token):
        return self

    def _files(self, name, revision):
        folder = self.root / name / (revision or "main").replace("/", "_")
        return folder, sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())

    def list_repo_files(self, name, *, repo_type, revision):
        assert repo_type == "dataset"
        return self._files(name, revision)[1]

    def snapshot_download(self, name, *, repo_type, revision, allow_patterns, token):
        folder, files = self._files(name, revision)
        for file in files:
            if any(fnmatch(file, pattern) for pattern in allow_patterns):
                (self.target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / file, self.target / file)
        return str(self.target)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    made = FakeHub(tmp_path / "hub", tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "huggingface_hub", made)
    monkeypatch.setitem(extras._loaded, "huggingface_hub", made)
    return made


def put(hub, path, one):
    file = hub.root / path
    file.parent.mkdir(parents=True)
    pq.write_table(one, file)


def test_from_the_hub(hub):
    put(hub, "ann/pets/main/data/train-00000-of-00001.parquet", table(4))
    (hub.root / "ann/pets/main/README.md").write_text("not wanted")
    place = huggingface_place("hf://ann/pets")
    module_found = recognise(place)
    assert module_found.KIND == "parquet"
    assert not (hub.target / "README.md").exists()
    assert [row["label"] for row in rows(module_found.open_source(place))] == [0, 1, 0, 1]


def test_the_branch_of_converted_files(hub):
    put(hub, "ann/csv/refs_convert_parquet/small/train/0000.parquet", table(2))
    put(hub, "ann/csv/refs_convert_parquet/large/train/0000.parquet", table(3))
    put(hub, "ann/csv/refs_convert_parquet/large/test/0000.parquet", table(1))
    place = huggingface_place("hf://datasets/ann/csv", config="large")
    found = rows(recognise(place).open_source(place))
    assert [row["split"] for row in found] == [1, 0, 0, 0]
    with pytest.raises(InvalidError, match=r"no Parquet file in 'tiny'"):
        huggingface_place("ann/csv", config="tiny")


def test_without_the_package(monkeypatch):
    monkeypatch.delitem(extras._loaded, "huggingface_hub", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UnsupportedError, match="huggingface_hub"):
        huggingface_place("hf://ann/pets")
