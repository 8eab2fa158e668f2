"""Scientific and media sources, ingested: what the dataset gives is what lay in the files."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.ingesting.ingest import ingest_into
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import open_source
from hubzarr.media import Sample
from tests.ingesting.flat import everything
from tests.ingesting.volume_samples import volumes
from tests.realdata import real

DATA = Path(__file__).parent / "data"


def ingested(source, folder):
    ds = hub.empty(str(folder / "ds"))
    ingest_into(ds, source, name="source", progressbar=False, skip_broken=True)
    return hub.load(str(folder / "ds"))


def unpacked(name, folder):
    with tarfile.open(DATA / f"{name}.tar.xz") as archive:
        archive.extractall(folder / "from", filter="data")
    return folder / "from"


@pytest.mark.parametrize(
    "folder", ["nifti", "dicom_series", "geotiff", "las", "pcd", "audio/fsdd", "hub/hub2.0.6_lol"]
)
def test_real_files_stay_as_they_are(folder, tmp_path):
    source = open_source(Place(real(folder)))
    ds = ingested(source, tmp_path)
    expected = [row for row in everything(source) if isinstance(row, dict)]
    assert len(ds) == len(expected)
    assert list(ds.tensors) == [column.name for column in source.columns]
    for number, row in enumerate(expected):
        for name, value in row.items():
            if isinstance(value, Sample):
                assert ds[name][number].tobytes() == value.compressed_bytes


def test_tensors_of_deep_lake(tmp_path):
    source = open_source(Place(unpacked("deeplake-3.9.52", tmp_path)))
    ds = ingested(source, tmp_path)
    rows = [row for row in everything(source) if isinstance(row, dict)]
    assert len(ds) == len(rows)
    assert ds.label.info.class_names == ["cat", "dog", "owl"]
    for number, row in enumerate(rows):
        assert ds.text[number].text() == row["text"]
        assert ds["group/inner/x"][number].numpy().tolist() == row["group/inner/x"].tolist()
        for name in ("fixed", "ragged", "boxes", "labels", "large", "mask"):
            assert np.array_equal(ds[name][number].numpy(), row[name]), name
        assert ds.png[number].tobytes() == row["png"].compressed_bytes


def test_volume_is_one_large_sample(tmp_path):
    source = open_source(Place(unpacked("cloud-volume-12.15.2", tmp_path) / "labels64"))
    ds = ingested(source, tmp_path)
    expected = volumes()["labels64"][0]
    assert ds.scale_0.shape == (1, *expected.shape)
    assert np.array_equal(ds.scale_0[0].numpy(), expected)
    assert np.array_equal(ds.scale_0[0][3:9, 2:5].numpy(), expected[3:9, 2:5])
    assert ds.info["axes"] == ["x", "y", "z", "channel"]
