"""Ingest from source to dataset: rows, reports, broken samples, and going on."""

from __future__ import annotations

import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hubzarr as hub
from hubzarr.api.ingesting import ingest, ingest_report
from hubzarr.errors import ConflictError, InvalidError, InvalidTypeError, SampleError, StorageError
from hubzarr.ingesting import Block, Column, Skipped, Unit
from hubzarr.ingesting.ingest import ingest_into
from hubzarr.ingesting.opening import source_of
from hubzarr.ingesting.reading import read_ahead
from hubzarr.media import Sample
from hubzarr.progress import progress
from tests.ingesting.pictures import picture
from tests.realdata import real


class Numbers:
    """A source of numbers that can be told to fail, as a file does."""

    kind = "numbers"
    info = {"about": "numbers"}  # noqa: RUF012
    columns = (
        Column("n", {"dtype": "int64"}),
        Column("word", {"htype": "text"}),
        Column("kind", {"htype": "class_label", "class_names": ["even", "odd"]}),
    )

    def __init__(self, units: int, rows: int = 10, fail_at: int | None = None) -> None:
        self.name = "numbers"
        self.count = units
        self.size = rows
        self.fail_at = fail_at
        self.read: list[int] = []

    def units(self) -> Iterator[Unit]:
        for number in range(self.count):
            yield Unit(f"unit/{number}", number, self.size)

    def rows(self, unit: Unit) -> Iterator[dict | Block | Skipped]:
        self.read.append(unit.payload)
        if unit.payload == self.fail_at:
            raise OSError("the cable came loose")
        numbers = np.arange(self.size) + unit.payload * self.size
        if unit.payload % 2:
            words = [str(n) for n in numbers]
            yield Block(
                {"n": numbers, "word": words, "kind": (numbers % 2).astype("u4")}, self.size
            )
        else:
            for n in numbers.tolist():
                yield {"n": n, "word": str(n), "kind": n % 2}


def _check(ds, count: int) -> None:
    numbers = np.arange(count)
    assert np.array_equal(ds.n.numpy(), numbers)
    assert ds["word"].text() == [str(n) for n in range(count)]
    names = ds.kind.info.class_names
    labels = ds.kind.numpy()
    assert [names[label] for label in labels] == [("even", "odd")[n % 2] for n in numbers]


@pytest.mark.parametrize("workers", [0, 1, 5])
def test_rows_come_in_order(workers: int):
    ds = hub.empty("me/numbers")
    report = ingest_into(ds, Numbers(9), name="x", num_workers=workers, commit_every=25)
    _check(ds, 90)
    assert (report.rows, report.resumed, report.skipped, report.finished) == (90, 0, 0, True)
    assert ds.info.about == "numbers"
    assert ds.log()[0].message == "ingested x"
    _check(hub.load("me/numbers"), 90)


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("fail_at", [0, 4, 8])
def test_it_goes_on_after_a_failure(workers: int, fail_at: int):
    ds = hub.empty("me/numbers")
    with pytest.raises(OSError, match="cable"):
        ingest_into(ds, Numbers(9, fail_at=fail_at), name="x", num_workers=workers, commit_every=10)
    assert len(ds) == 10 * fail_at
    ds = hub.dataset("me/numbers")
    assert not fail_at or not ingest_report(ds)[0].finished
    source = Numbers(9)
    report = ingest_into(ds, source, name="x", num_workers=workers)
    _check(ds, 90)
    assert report.resumed == 10 * fail_at
    assert sorted(source.read) == list(range(fail_at, 9))
    assert ingest_report(ds) == [report.__class__(**{**vars(report), "resumed": 0})]


def test_a_finished_ingest_does_nothing_again_but_takes_what_is_new():
    ds = hub.empty("me/numbers")
    ingest_into(ds, Numbers(3), name="x")
    before = ds.commit_id
    source = Numbers(3)
    assert ingest_into(ds, source, name="x").rows == 30
    assert source.read == []
    assert ds.commit_id == before
    assert ingest_into(ds, Numbers(5), name="x").rows == 50
    _check(ds, 50)


@pytest.mark.parametrize("other", [Numbers(1), Numbers(3, rows=9)])
def test_a_source_that_changed_is_refused(other: Numbers):
    ds = hub.empty("me/numbers")
    ingest_into(ds, Numbers(2), name="x")
    with pytest.raises(InvalidError, match="has changed since"):
        ingest_into(ds, other, name="x")
    assert len(ds) == 20


def test_rows_of_another_origin_are_kept_apart():
    ds = hub.empty("me/numbers")
    ingest_into(ds, Numbers(1), name="x")
    with pytest.raises(InvalidError, match="append=True"):
        ingest_into(ds, Numbers(1), name="y")
    other = Numbers(2)
    other.columns = (*Numbers.columns[:2], Column("kind", {
        "htype": "class_label", "class_names": ["prime", "odd"],
    }))  # fmt: skip
    report = ingest_into(ds, other, name="y", append=True)
    assert report.rows == 20
    assert ds.kind.info.class_names == ["even", "odd", "prime"]
    assert ds.kind.numpy().tolist() == [0, 1] * 5 + [2, 1] * 10
    assert [each.source for each in ingest_report(ds)] == ["x", "y"]
    ingest_into(ds, other, name="y", append=True)
    assert len(ds) == 50
    wider = Numbers(1)
    wider.columns = (*Numbers.columns, Column("more", {}))
    with pytest.raises(InvalidError, match="no tensors for more"):
        ingest_into(ds, wider, name="z", append=True)


def test_of_two_at_once_one_gives_up():
    one = hub.empty("me/numbers")
    two = hub.load("me/numbers")

    class Raced(Numbers):
        def rows(self, unit: Unit) -> Iterator[dict | Block | Skipped]:
            if unit.payload == 3:
                with pytest.raises(ConflictError, match="another process"):
                    ingest_into(two, Numbers(5), name="x", num_workers=0)
            yield from super().rows(unit)

    ingest_into(one, Raced(5), name="x", num_workers=0, commit_every=10)
    _check(hub.load("me/numbers"), 50)
    two.refresh()
    assert ingest_into(two, Numbers(6), name="x").resumed == 50
    _check(two, 60)


def test_within_a_transaction_it_is_one_commit():
    ds = hub.empty("me/numbers")
    with ds.transaction("all"):
        ingest_into(ds, Numbers(4), name="x", commit_every=10)
    _check(ds, 40)
    assert [commit.message for commit in ds.log()][:2] == ["all", "created"]


def test_progress(monkeypatch: pytest.MonkeyPatch):
    shown = []

    def show(*args: object) -> object:
        shown.append(args)
        return progress(*args)

    monkeypatch.setattr("hubzarr.ingesting.ingest.progress", show)
    source = Numbers(4)
    source.total = 40
    ingest_into(hub.empty("me/a"), source, name="x")
    ingest_into(hub.empty("me/b"), source, name="x", progressbar=False)
    assert shown == [(40, "ingesting x")]


# -- broken samples --------------------------------------------------------------------


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for number in range(30):
        picture(tmp_path / "pets" / ("cats", "dogs")[number % 2] / f"{number:02}.jpg", number)
    return tmp_path / "pets"


BROKEN = {"empty": b"", "text": b"hello world", "cut": b"\xff\xd8\xff\xe0\x00\x10JFIF"}


@pytest.mark.parametrize("how", list(BROKEN))
def test_broken_files_end_the_ingest_or_are_left_out(pets: Path, how: str):
    (pets / "dogs" / "07.jpg").write_bytes(BROKEN[how])
    with pytest.raises(SampleError, match=r"07\.jpg.*skip_broken=True"):
        ingest(pets, "me/pets")
    ds = ingest(pets, "me/pets", skip_broken=True)
    assert len(ds) == 29
    assert ds.labels.numpy().tolist() == [0] * 15 + [1] * 14
    [report] = ingest_report(ds)
    assert report.skipped == 1
    assert report.reasons[0].what.endswith("07.jpg")
    assert "07.jpg" in str(report)


def test_damage_after_the_header_is_found_by_verify(tmp_path: Path):
    for number in range(3):
        data = bytearray(picture(tmp_path / "pets" / "cats" / f"{number}.png", number, (30, 30)))
    data[len(data) // 2] ^= 255
    (tmp_path / "pets" / "cats" / "2.png").write_bytes(data)
    pets = tmp_path / "pets"
    assert len(ingest(pets, "me/unseen")) == 3
    for statistics in (False, True):
        name = f"me/pets{statistics}"
        with pytest.raises(SampleError, match=r"2\.png"):
            ingest(pets, name, verify=True, statistics=statistics)
        ds = ingest(pets, name, verify=True, statistics=statistics, skip_broken=True)
        assert len(ds) == 2
        assert "2.png" in ingest_report(ds)[0].reasons[0].what
    ds = ingest(pets, "me/measured", statistics=True, skip_broken=True, verify=True)
    assert len(ds) == 2


def test_what_came_before_a_broken_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Pictures(Numbers):
        columns = (Column("images", {"htype": "image", "sample_compression": "png"}),)

        def rows(self, unit: Unit) -> Iterator[dict]:
            for row in range(self.size):
                bad = (unit.payload, row) == (2, 3)
                array = np.zeros((2, 2, 9 if bad else 3), "u1")
                yield {"images": Sample(array=array)}

    ds = hub.empty("me/pictures")
    with pytest.raises(SampleError):
        ingest_into(ds, Pictures(4), name="x")
    assert len(hub.load("me/pictures")) == 20
    report = ingest_into(ds, Pictures(4), name="x", skip_broken=True)
    assert (report.rows, report.resumed, report.skipped) == (39, 20, 1)


def test_files_of_other_formats_are_converted_and_counted(pets: Path):
    data = picture(pets / "cats" / "zz.png", 5)
    ds = ingest(pets, "me/pets")
    [report] = ingest_report(ds)
    assert report.converted == 1
    assert "1 files converted" in str(report)
    wanted = Sample(data).array.astype(int)
    assert ds.images[15].numpy().shape == wanted.shape
    assert ds.images.sample_compression == "jpeg"


def test_files_of_no_use_are_told_without_an_error(pets: Path):
    (pets / "cats" / "notes.txt").write_text("hello")
    [report] = ingest_report(ingest(pets, "me/pets"))
    assert (report.rows, report.skipped) == (30, 1)
    assert report.reasons[0] == Skipped("cats/notes.txt", "its name is none of an image")


def test_statistics(pets: Path):
    ds = ingest(pets, "me/pets", statistics=True)
    pixels = np.stack([ds.images[n].numpy() for n in range(30)]).reshape(-1, 3)
    assert np.allclose(ds.images.mean(axis="channel"), pixels.mean(axis=0))


# -- names of sources ------------------------------------------------------------------


def test_kept_bytes(pets: Path):
    ds = ingest(str(pets), "me/pets", progressbar=False)
    files = sorted((pets / "cats").iterdir()) + sorted((pets / "dogs").iterdir())
    assert [ds.images[n].tobytes() for n in range(30)] == [path.read_bytes() for path in files]


def test_zip_files(pets: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(pets.rglob("*.jpg")):
            archive.write(path, path.relative_to(tmp_path))
    ds = ingest(tmp_path / "pets.zip", "me/pets", num_workers=4)
    assert ds.labels.info.class_names == ["cats", "dogs"]
    assert [ds.images[n].tobytes() for n in range(30)] == [
        path.read_bytes() for path in sorted(pets.rglob("*.jpg"))
    ]


def test_data_frames(pets: Path):
    files = sorted(map(str, pets.rglob("*.jpg")))
    frame = pd.DataFrame({"path": files, "weight": np.arange(30) / 4})
    ds = ingest(frame, "me/frame")
    assert list(ds.tensors) == ["images", "path", "weight"]
    assert np.array_equal(ds.weight.numpy(), frame.weight)


def test_only_the_same_data_frame_counts_as_ingested():
    frame = pd.DataFrame({"a": [1, 2]})
    ingest(frame, "me/frame")
    assert len(ingest(frame.copy(), "me/frame")) == 2
    with pytest.raises(InvalidError, match="append=True"):
        ingest(frame + 1, "me/frame")
    assert ingest(frame + 1, "me/frame", append=True).a.numpy().tolist() == [1, 2, 2, 3]


def test_a_file_in_the_place_of_another_is_seen(pets: Path):
    ingest(pets, "me/pets")
    (pets / "cats" / "10.jpg").rename(pets / "cats" / "11.jpg")
    with pytest.raises(InvalidError, match="has changed since"):
        ingest(pets, "me/pets")


def test_kaggle(pets: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def download(handle: str) -> str:
        asked.append(handle)
        if handle == "me/secret":
            raise PermissionError("403")
        return str(pets)

    module = types.SimpleNamespace(dataset_download=download)
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    ds = ingest("kaggle://me/pets", "me/pets")
    assert len(ds) == 30
    assert ingest_report(ds)[0].source == "kaggle://me/pets"
    ingest("kaggle://me/pets/versions/3", "me/pets3")
    assert asked == ["me/pets", "me/pets/versions/3"]
    with pytest.raises(StorageError, match="403"):
        ingest("kaggle://me/secret", "me/x")
    for bad in ("kaggle://pets", "kaggle://a/b/c", "kaggle://a/b/versions/new"):
        with pytest.raises(InvalidError, match="expected kaggle://owner/dataset"):
            ingest(bad, "me/x")


def test_what_is_no_source():
    with pytest.raises(InvalidTypeError, match="can't ingest a int"):
        ingest(3, "me/x")
    with pytest.raises(InvalidError, match="goes with a path"):
        ingest(pd.DataFrame({"a": [1]}), "me/x", kind="coco")


def test_options_reach_the_source(pets: Path):
    ds = ingest(pets, "me/pets", filenames=True, sample_compression="png")
    assert ds.images.sample_compression == "png"
    assert ds.filenames.text()[0] == "cats/00.jpg"
    with pytest.raises(InvalidError, match="colour"):
        ingest(pets, "me/other", colour=True)
    with pytest.raises(InvalidError, match="unknown kind of source 'x'"):
        ingest(pets, "me/other", kind="x")


def test_overwrite(pets: Path):
    ingest(pets, "me/pets")
    ds = ingest(pd.DataFrame({"a": [1]}), "me/pets", overwrite=True)
    assert list(ds.tensors) == ["a"]
    assert len(ds) == 1


# -- reading ahead ---------------------------------------------------------------------


def test_no_more_is_read_than_fits():
    source = Numbers(50, rows=1000)
    parts = read_ahead(source, source.units(), workers=2, max_bytes=1)
    for taken, part in enumerate(parts, start=1):
        assert part.unit.payload == taken - 1
        assert len(source.read) <= taken + 3


def test_reading_stops_with_the_reader():
    source = Numbers(50)
    parts = read_ahead(source, source.units(), workers=2)
    next(parts)
    parts.close()
    assert len(source.read) < 10


@pytest.mark.parametrize(
    ("path", "rows"),
    [("images/weather4", 360), ("voc/bccd", 60), ("yolo/coco128", 28), ("coco/panopticapi", 2)],
)
def test_real_data_reads_back(path: str, rows: int):
    folder = real(path)
    ds = ingest(folder, "me/real")
    assert len(ds) == rows
    source, _ = source_of(folder)
    made = (row for unit in source.units() for row in source.rows(unit))
    for number, row in enumerate(made):
        if number % 7:
            continue
        for name, value in row.items():
            found = ds[name][number]
            if isinstance(value, Sample):
                same = value.compression == found.sample_compression
                assert not same or found.tobytes() == value.compressed_bytes
            elif isinstance(value, str):
                assert found.text() == value
            elif name.endswith("polygons"):
                assert all(map(np.array_equal, found.numpy(), value))
            else:
                assert np.array_equal(found.numpy(), value)


def test_reports_by_name(tmp_path):
    name = str(tmp_path / "pets")
    ds = hub.ingest(pd.DataFrame({"age": [3, 4]}), name)
    assert hub.ingest_report(name) == hub.ingest_report(ds)
    hub.array((2,), str(tmp_path / "a")).close()
    with pytest.raises(InvalidTypeError, match="is an array: only datasets"):
        hub.ingest_report(str(tmp_path / "a"))
