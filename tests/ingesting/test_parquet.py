"""Parquet files, against pyarrow."""

from __future__ import annotations

import decimal
import io
import json
import pickle
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import SampleError
from hubzarr.ingesting import Place
from hubzarr.ingesting import parquet as module
from hubzarr.ingesting.parquet import matches, open_source
from hubzarr.media import Sample
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import real

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def picture(number, compression="png"):
    return Sample(array=np.full((8, 8, 3), number, "u1")).encoded(compression)


def test_every_type(tmp_path):
    when = datetime(2026, 1, 31, 12, tzinfo=UTC)
    table = pa.table(
        {
            "n": pa.array([1, 2], "int16"),
            "n_null": [1, None],
            "f": pa.array([0.5, None], "float32"),
            "flag": [True, False],
            "text": ["a", None],
            "label": ["cat", "dog"],
            "colour": pa.array(["red", "blue"]).dictionary_encode(),
            "day": [date(2026, 1, 31), date(2026, 2, 1)],
            "when": pa.array([when, None], pa.timestamp("us", "UTC")),
            "lasts": [timedelta(seconds=1), timedelta(hours=1)],
            "price": [decimal.Decimal("1.50"), decimal.Decimal("2.25")],
            "ragged": [[1, 2, 3], []],
            "fixed": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
            "words": [["a", "b"], None],
            "matrix": pa.array([[[1, 2], [3, 4]], [[5, 6]]], pa.list_(pa.list_(pa.float32()))),
            "nested": [{"a": 1, "b": [1, 2]}, None],
            "image": [{"bytes": picture(1), "path": "1.png"}, {"bytes": picture(2), "path": None}],
            "file": [picture(3), picture(4)],
            "raw": [b"\0\xff", None],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    assert matches(Place(path))
    source = open_source(Place(path))
    made = {
        name: made["htype"] + ":" + made.get("dtype", "") for name, made in options(source).items()
    }
    assert made == {
        "n": "generic:int16",
        "n_null": "generic:float64",
        "f": "generic:float32",
        "flag": "generic:bool",
        "text": "text:",
        "label": "class_label:",
        "colour": "class_label:",
        "day": "generic:datetime64[D]",
        "when": "generic:datetime64[us]",
        "lasts": "generic:timedelta64[us]",
        "price": "generic:float64",
        "ragged": "generic:int64",
        "fixed": "generic:float32",
        "words": "list:",
        "matrix": "generic:float32",
        "nested": "json:",
        "image": "image:",
        "file": "image:",
        "raw": "generic:uint8",
    }
    one, two = rows(pickle.loads(pickle.dumps(source)))
    assert (one["n"], one["n_null"], one["text"], two["text"]) == (1, 1.0, "a", "")
    assert np.isnan(two["n_null"])
    assert options(source)["label"]["class_names"] == ["cat", "dog"]
    assert options(source)["colour"]["class_names"] == ["red", "blue"]
    assert (one["label"], two["label"], two["colour"]) == (0, 1, 1)
    assert one["day"] == np.datetime64("2026-01-31")
    assert one["when"] == np.datetime64("2026-01-31T12:00:00")
    assert np.isnat(two["when"])
    assert one["ragged"].tolist() == [1, 2, 3]
    assert two["ragged"].shape == (0,)
    assert two["fixed"].tolist() == [3.0, 4.0]
    assert (one["words"], two["words"]) == (["a", "b"], [])
    assert one["matrix"].tolist() == [[1, 2], [3, 4]]
    assert (one["nested"], two["nested"]) == ({"a": 1, "b": [1, 2]}, None)
    assert one["image"].compressed_bytes == picture(1)
    assert two["file"].compressed_bytes == picture(4)
    assert bytes(one["raw"]) == b"\0\xff"


@given(
    st.lists(st.integers(-(2**40), 2**40) | st.none(), min_size=1),
    st.integers(1, 4),
    st.booleans(),
)
def test_missing_numbers_wherever_they_are(tmp_path_factory, numbers, group, statistics):
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    table = pa.table({"n": pa.array(numbers, "int64")})
    pq.write_table(table, path, row_group_size=group, write_statistics=statistics)
    source = open_source(Place(path))
    found = [row["n"] for row in rows(source)]
    expected = [np.nan if n is None else n for n in numbers]
    np.testing.assert_array_equal(found, expected)
    assert options(source)["n"]["dtype"] == ("float64" if None in numbers else "int64")


def test_files_and_splits(tmp_path):
    for split, numbers in {"test": [7], "train": [1, 2, 3]}.items():
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        table = pa.table({"n": numbers})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet", row_group_size=2)
    (tmp_path / "README.md").write_text("a card")
    assert matches(Place(tmp_path))
    source = open_source(Place(tmp_path))
    assert options(source)["split"]["class_names"] == ["train", "test"]
    assert [(row["n"], row["split"]) for row in rows(source)] == [(7, 1), (1, 0), (2, 0), (3, 0)]
    assert [unit.rows for unit in source.units()] == [1, 2, 1]


def test_partitions(tmp_path):
    for year in (2025, 2026):
        for place in ("a b", "c"):
            folder = tmp_path / f"year={year}" / f"place={place.replace(' ', '%20')}"
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"n": [year]}), folder / "part-0.parquet")
    found = rows(open_source(Place(tmp_path)))
    assert [(row["n"], row["year"], row["place"]) for row in found] == [
        (2025, 2025, 0),
        (2025, 2025, 1),
        (2026, 2026, 0),
        (2026, 2026, 1),
    ]


def test_features_of_hugging_face(tmp_path):
    features = {
        "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
        "image": {"_type": "Image"},
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    image = [{"bytes": picture(n, "jpeg"), "path": None} for n in range(3)]
    table = pa.table({"image": image, "label": [1, 0, -1]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(Place(tmp_path / "a.parquet"))
    assert options(source)["label"] == {"htype": "class_label", "class_names": ["no", "yes"]}
    assert options(source)["image"] == {"htype": "image", "sample_compression": "jpeg"}
    assert [row["label"] for row in rows(source)] == [1, 0, None]


def test_blocks_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_BYTES", 8000)
    rng = np.random.default_rng(0)
    table = pa.table({"x": [rng.random(100) for _ in range(50)]})
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(Place(tmp_path / "a.parquet"))
    (unit,) = source.units()
    assert max(block.rows for block in source.rows(unit)) <= 10
    monkeypatch.setattr(module, "_PIECE_BYTES", 16_000)
    assert len(list(source.units())) == 4
    found = np.array([row["x"] for row in rows(source)])
    np.testing.assert_array_equal(found, table["x"].to_pylist())


def test_damage(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(10_000))}), path, row_group_size=5000)
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    with pytest.raises(SampleError, match="broken Parquet"):
        open_source(Place(path))
    pq.write_table(pa.table({"m": [1]}), tmp_path / "b.parquet")
    path.write_bytes(data)
    with pytest.raises(SampleError, match="other columns"):
        open_source(Place(tmp_path))
    middle = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0).dictionary_page_offset
    path.write_bytes(data[:middle] + b"\xff" * 40 + data[middle + 40 :])
    (item,) = skipped(open_source(Place(path)))
    assert item.what == "a.parquet, rows 0 to 5000 of row group 1"


def test_real_partitions():
    folder = real("parquet/petastorm_0.7.6")
    found = rows(open_source(Place(folder)))
    files = sorted(folder.glob("*/*.parquet"))
    expected = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    assert len(found) == expected.num_rows == 100
    for row, reference in zip(found, expected.to_pylist(), strict=True):
        assert row["id"] == reference["id"]
        assert row["id_float"] == reference["id_float"]
        assert row["id_odd"] == reference["id_odd"]
        assert row["image_png"].compressed_bytes == reference["image_png"]
        assert bytes(row["matrix"]) == reference["matrix"]
        assert row["decimal"] == pytest.approx(float(reference["decimal"]), rel=1e-15)
        if reference["integer_nullable"] is None:
            assert np.isnan(row["integer_nullable"])
        else:
            assert row["integer_nullable"] == reference["integer_nullable"]
    assert [row["partition_key"] for row in found[::10]] == list(range(10))
