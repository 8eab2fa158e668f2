"""Tables, compared with pandas and pyarrow."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, ipc, parquet

from hubzarr.errors import InvalidError, InvalidTypeError, SampleError
from hubzarr.ingesting import Block, Place, csv_rows, open_source, recognise
from hubzarr.ingesting.csv_rows import CsvRows
from hubzarr.ingesting.tables import from_table
from hubzarr.media import Sample
from tests.ingesting.pictures import options_of, picture, rows_of, skipped_of
from tests.realdata import real


def _columns(source) -> dict[str, list]:
    """All values by column."""
    found: dict[str, list] = {}
    for unit in source.units():
        for block in source.rows(unit):
            assert isinstance(block, Block)
            assert block.rows == unit.rows
            for name, values in block.columns.items():
                assert len(values) == block.rows
                found.setdefault(name, []).extend(values)
    return found


def _csv(path: Path, text: str) -> Place:
    path.write_text(text)
    return Place(path)


def test_types_of_csv(tmp_path: Path):
    place = _csv(
        tmp_path / "a.csv",
        "n,x,gap,code,big,day,at,yes,note,label\n"
        '1,1.5,3,007,12345678901234567890,2026-01-31,2026-01-31T12:00:00,true,"a, ""b""\nc",cat\n'
        "-2,2,,008,1,2026-02-01,2026-02-01 00:00:01,false,NA,dog\n",
    )
    assert recognise(place).KIND == "table"
    source = open_source(place)
    kinds = {k: o.get("dtype") or o["htype"] for k, o in options_of(source).items()}
    assert kinds == {
        "n": "int64", "x": "float64", "gap": "float64", "code": "text", "big": "text",
        "day": "datetime64[D]", "at": "datetime64[us]", "yes": "bool", "note": "text",
        "label": "class_label",
    }  # fmt: skip
    values = _columns(source)
    assert values["n"] == [1, -2]
    assert np.array_equal(values["gap"], [3, np.nan], equal_nan=True)
    assert values["code"] == ["007", "008"]
    assert values["note"] == ['a, "b"\nc', "NA"]
    assert values["day"][1] == np.datetime64("2026-02-01")
    assert values["at"][0].item() == datetime.datetime(2026, 1, 31, 12)
    assert values["yes"] == [True, False]
    assert options_of(source)["label"]["class_names"] == ["cat", "dog"]
    assert values["label"] == [0, 1]


def test_types_are_those_of_all_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_rows, "_BLOCK", 64)
    lines = [f"{n},{n}" for n in range(100)] + ["100,x"]
    source = open_source(_csv(tmp_path / "a.csv", "a,b\n" + "\n".join(lines)))
    assert len(list(source.units())) > 5
    values = _columns(source)
    assert values["a"] == list(range(101))
    assert values["b"] == [*map(str, range(100)), "x"]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=12)


@given(st.lists(st.tuples(TEXT, st.integers(-(2**53), 2**53)), min_size=1, max_size=40))
def test_pieces_end_with_records(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    frame = pd.DataFrame(rows, columns=["word", "n"])
    frame["word"] = "w" + frame["word"]
    frame.to_csv(path, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_BLOCK", 16)
        values = _columns(open_source(Place(path)))
    assert values["word"] == frame["word"].tolist()
    assert [int(n) for n in values["n"]] == frame["n"].tolist()


@pytest.mark.parametrize(("mark", "name"), [("\t", "a.tsv"), (";", "a.csv"), ("|", "a.csv")])
def test_delimiters(tmp_path: Path, mark: str, name: str):
    text = mark.join("ab") + "\n" + mark.join("12") + "\n"
    assert _columns(open_source(_csv(tmp_path / name, text))) == {"a": [1], "b": [2]}


def test_gzipped_csv(tmp_path: Path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y\r\n"))
    place = Place(tmp_path / "a.csv.gz")
    assert recognise(place).KIND == "table"
    assert _columns(open_source(place)) == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("", InvalidError, "column names"),
        ("a,a\n1,2\n", InvalidError, "share a name"),
        ("a,b\n1,2\n3\n", SampleError, r"a\.csv"),
    ],
)
def test_broken_csv(tmp_path: Path, text: str, error: type, why: str):
    with pytest.raises(error, match=why):
        open_source(_csv(tmp_path / "a.csv", text))


def test_encodings(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes("Größe;n\nklein;1\n".encode("latin-1"))
    with pytest.raises(SampleError, match="encoding="):
        open_source(Place(tmp_path / "a.csv"))
    source = open_source(Place(tmp_path / "a.csv"), encoding="latin-1")
    assert _columns(source) == {"Größe": ["klein"], "n": [1]}


def test_csv_without_rows(tmp_path: Path):
    source = open_source(_csv(tmp_path / "a.csv", "a,b\n"))
    assert list(options_of(source)) == ["a", "b"]
    assert list(source.units()) == []


def test_quotes_that_never_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_rows, "_LONGEST", 1000)
    monkeypatch.setattr(csv_rows, "_BLOCK", 64)
    with pytest.raises(InvalidError, match="quotes in pairs"):
        CsvRows(_csv(tmp_path / "a.csv", 'a\n"' + "x\n" * 2000)).known  # noqa: B018


TABLE = pa.table(
    {
        "n": pa.array([1, 2, 3], pa.int16()),
        "x": [1.5, None, 2],
        "word": ["a", None, "c"],
        "list": [[1, 2], [], None],
        "pair": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)),
        "words": [["a"], None, ["b", "c"]],
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "struct": [{"a": 1}, None, {"a": None}],
        "bytes": [b"ab", None, b""],
        "price": pa.array([1, None, 3], pa.decimal128(5, 2)),
        "took": pa.array([1, None, 3], pa.duration("ms")),
    }
)


def _check(values: dict[str, list]) -> None:
    assert values["n"] == [1, 2, 3]
    assert np.array_equal(values["x"], [1.5, np.nan, 2], equal_nan=True)
    assert values["word"] == ["a", "", "c"]
    assert [v.tolist() for v in values["list"]] == [[1, 2], [], []]
    assert [v.tolist() for v in values["pair"]] == [[1, 2], [3, 4], [5, 6]]
    assert values["words"] == [["a"], [], ["b", "c"]]
    assert values["kind"] == [0, 1, 0]
    assert values["struct"] == [{"a": 1}, None, {"a": None}]
    assert [v.tobytes() for v in values["bytes"]] == [b"ab", b"", b""]
    assert np.array_equal(values["price"], [1, np.nan, 3], equal_nan=True)
    assert np.isnat(values["took"][1])


def test_tables_in_memory():
    _check(_columns(from_table(TABLE)))
    with pytest.raises(InvalidTypeError, match="DataFrame"):
        from_table([1, 2])


@pytest.mark.parametrize("form", ["file", "stream", "feather"])
def test_arrow_files(tmp_path: Path, form: str):
    path = tmp_path / f"a.{'feather' if form == 'feather' else 'arrow'}"
    if form == "feather":
        feather.write_feather(TABLE, path, compression="zstd", chunksize=2)
    else:
        make = ipc.new_file if form == "file" else ipc.new_stream
        with make(path, TABLE.schema) as writer:
            writer.write_table(TABLE, max_chunksize=2)
    source = open_source(Place(path))
    assert [unit.rows for unit in source.units()] == [2, 1]
    _check(_columns(source))


def test_broken_arrow_files(tmp_path: Path):
    (tmp_path / "a.arrow").write_bytes(b"ARROW1??" * 9)
    with pytest.raises(SampleError, match="broken Arrow file"):
        open_source(Place(tmp_path / "a.arrow"))


def test_data_frames():
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], "Int64"),
            "kind": pd.Categorical(["b", "a"], categories=["b", "a"]),
            "mixed": [1, "x"],
            "day": pd.to_datetime(["2026-01-31", None]),
            "box": [[1, 2], [3]],
            5: [0.5, 1.5],
        }
    )
    source = from_table(frame)
    values = _columns(source)
    assert np.array_equal(values["n"], [1, np.nan], equal_nan=True)
    assert options_of(source)["kind"]["class_names"] == ["b", "a"]
    assert values["mixed"] == ["1", "x"]
    assert np.isnat(values["day"][1])
    assert [v.tolist() for v in values["box"]] == [[1, 2], [3]]
    assert values["5"] == [0.5, 1.5]


def test_names_of_columns():
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=[("a", "x"), ("a", "y"), "__b", ""])
    assert list(options_of(from_table(frame))) == ["a/x", "a/y", "b", "field"]
    with pytest.raises(InvalidTypeError, match="column 'c'"):
        from_table(pd.DataFrame({"c": [1j, 2]}))


def test_large_tables_come_in_pieces():
    frame = pd.DataFrame({"n": np.arange(20_000)})
    source = from_table(frame)
    assert len(list(source.units())) == 3
    assert _columns(source)["n"] == list(range(20_000))


# -- tables that name files ------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "parquet", "feather"])
@pytest.mark.parametrize("folder", ["", "images/", "train/images/"])
def test_paths_of_images(tmp_path: Path, form: str, folder: str):
    data = [picture(tmp_path / folder / f"{name}.jpg", n) for n, name in enumerate("abc")]
    frame = pd.DataFrame({"age": [3, 4, 5], "file": [f"{name}.jpg" for name in "bca"]})
    path = tmp_path / f"pets.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "parquet":
        parquet.write_table(pa.Table.from_pandas(frame), path)
    else:
        feather.write_feather(frame, path)
    place = Place(tmp_path)
    assert recognise(place).KIND == "table"
    source = open_source(place)
    assert list(options_of(source)) == ["images", "age", "file"]
    rows = rows_of(source)
    assert [row["images"].compressed_bytes for row in rows] == [data[1], data[2], data[0]]
    assert [row["age"] for row in rows] == [3, 4, 5]
    assert [row["file"] for row in rows] == ["b.jpg", "c.jpg", "a.jpg"]


def test_names_without_extension_and_numbers(tmp_path: Path):
    for number in (7, 8):
        picture(tmp_path / "train" / f"{number}.png", number)
    frame = pd.DataFrame({"id": [8, 7], "label": ["dog", "cat"]})
    frame.to_csv(tmp_path / "train.csv", index=False)
    source = open_source(Place(tmp_path), "table", path_column="id")
    rows = rows_of(source)
    assert rows[0]["images"].compressed_bytes == (tmp_path / "train" / "8.png").read_bytes()
    assert [row["label"] for row in rows] == [1, 0]


def test_several_columns_of_paths(tmp_path: Path):
    for name in "ab":
        picture(tmp_path / "image" / f"{name}.jpg")
        picture(tmp_path / "mask" / f"{name}.png")
    (tmp_path / "all.csv").write_text(
        "image,mask\nimage/a.jpg,mask/a.png\nimage/b.jpg,mask/b.png\n"
    )
    options = options_of(open_source(Place(tmp_path)))
    assert options["image_images"] == {"htype": "image", "sample_compression": "jpeg"}
    assert options["mask_images"] == {"htype": "image", "sample_compression": "png"}


def test_missing_files(tmp_path: Path):
    for name in "ab":
        picture(tmp_path / f"{name}.jpg")
    (tmp_path / "all.csv").write_text("file,n\na.jpg,1\nno.jpg,2\n,3\nb.jpg,4\n")
    source = open_source(Place(tmp_path))
    found = skipped_of(source)
    assert [skip.what for skip in found] == ["no.jpg", "row 2"]
    assert all(skip.broken for skip in found)


def test_several_tables(tmp_path: Path):
    picture(tmp_path / "a.jpg")
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("file\na.jpg\n")
    (tmp_path / "notes.csv").write_text("x\n1\n")
    with pytest.raises(InvalidError, match="say table="):
        open_source(Place(tmp_path))
    assert len(rows_of(open_source(Place(tmp_path), table="test.csv"))) == 1
    with pytest.raises(InvalidError, match="no column 'path'"):
        open_source(Place(tmp_path), table="test.csv", path_column="path")
    with pytest.raises(InvalidError, match="name no files"):
        open_source(Place(tmp_path), table="notes.csv", path_column="x")


def test_absolute_paths_in_a_data_frame(tmp_path: Path):
    data = picture(tmp_path / "a.png")
    [row] = rows_of(from_table(pd.DataFrame({"path": [str(tmp_path / "a.png")]})))
    assert row["images"].compressed_bytes == data


def test_words_in_memory_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x.png", "sub/x.png", "sub/y.png"):
        picture(tmp_path / name)
    frame = pd.DataFrame({"b": ["x", "y"], "c": ["x.png", "y.png"], "d": ["y.png", "none.png"]})
    assert list(options_of(from_table(frame[["b", "d"]]))) == ["b", "d"]
    assert list(options_of(from_table(frame))) == ["images", "b", "c", "d"]
    assert list(options_of(from_table(frame, files="sub"))) == ["c_images", "d_images", *"bcd"]
    assert list(options_of(from_table(frame, files=False))) == [*"bcd"]
    rows = rows_of(from_table(frame, path_column="b", files="sub"))
    assert [row["images"].shape for row in rows] == [(8, 6, 3)] * 2
    with pytest.raises(InvalidError, match="leave out path_column"):
        from_table(pd.DataFrame({"b": ["p", "q"]}), path_column="b")
    with pytest.raises(InvalidError, match="files=False exclude"):
        from_table(frame, path_column="b", files=False)


def test_names_without_extension_need_a_sign(tmp_path: Path):
    for name in "xyz":
        picture(tmp_path / "train" / f"{name}.png")
    table = tmp_path / "a.csv"

    def columns(text: str, **options) -> list[str]:
        return list(options_of(open_source(_csv(table, text), **options)))

    assert columns("b\nx\ny\n") == ["images", "b"]
    assert columns("b\nx\ny\n", files=False) == ["b"]
    assert columns("b\nx\nq\n") == ["b"]
    assert columns("b,image_id,c\nx,y,z\nx,z,y\n") == ["images", "b", "image_id", "c"]
    assert columns("b,c\nx,y\ny,z\n") == ["b", "c"]
    assert columns("b,file\nx,train/y.png\n") == ["images", "b", "file"]


def test_missing_files_come_with_the_way_out(tmp_path: Path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "all.csv").write_text("file\na.jpg\nno.jpg\n")
    [skip] = skipped_of(open_source(Place(tmp_path)))
    assert skip.why.endswith("files=False takes column 'file' as it is")


def test_folders_with_nothing_but_a_table(tmp_path: Path):
    (tmp_path / "README.md").write_text("Pets.")
    (tmp_path / "pets.csv").write_text("name,file\ntom,tom.jpg\n")
    place = Place(tmp_path)
    assert recognise(place).KIND == "table"
    assert list(options_of(open_source(place))) == ["name", "file"]
    (tmp_path / "more.csv").write_text("name\nrex\n")
    with pytest.raises(InvalidError, match=r"give a table in it itself \(more.csv, pets.csv\)"):
        recognise(Place(tmp_path))
    with pytest.raises(InvalidError, match=r"say table=\.\.\., of more.csv, pets.csv"):
        open_source(Place(tmp_path), "table")
    assert list(options_of(open_source(Place(tmp_path), "table", table="more.csv"))) == ["name"]


def test_bccd():
    path = real("csv/bccd_test.csv")
    frame = pd.read_csv(path)
    values = _columns(open_source(Place(path)))
    assert list(values) == list(frame.columns)
    for name, found in values.items():
        assert found == frame[name].tolist()


def test_bccd_with_images(tmp_path: Path):
    images = real("voc/bccd") / "JPEGImages"
    frame = pd.read_csv(real("csv/bccd_test.csv"))
    frame = frame[frame.filename.map(lambda name: (images / name).exists())]
    frame.to_csv(tmp_path / "boxes.csv", index=False)
    rows = rows_of(open_source(Place(tmp_path / "boxes.csv"), files=str(images)))
    assert [row["xmin"] for row in rows] == frame.xmin.tolist()
    assert rows[0]["images"].shape == (480, 640, 3)


def test_bytes_of_images():
    picture_bytes = pa.array([_png(1), _png(2)])
    source = from_table(pa.table({"image": picture_bytes, "n": [1, 2]}))
    assert options_of(source)["image"] == {"htype": "image", "sample_compression": "png"}
    values = _columns(source)
    assert [v.compressed_bytes for v in values["image"]] == picture_bytes.to_pylist()


def _png(seed: int) -> bytes:
    array = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Sample(array=array).encoded("png")


def test_web_addresses_are_not_looked_up(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(Place, "is_file", lambda self: asked.append(self.url) or False)
    source = from_table(pd.DataFrame({"url": ["https://example.org/a.jpg"] * 3, "n": [1, 2, 3]}))
    assert not [url for url in asked if "example.org" in url]
    assert _columns(source)["url"] == ["https://example.org/a.jpg"] * 3
