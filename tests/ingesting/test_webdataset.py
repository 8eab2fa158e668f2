"""WebDataset archives, against tarfile."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting import Place
from hubzarr.ingesting import webdataset as module
from hubzarr.ingesting.tar_members import tar_members
from hubzarr.ingesting.webdataset import matches, open_source
from hubzarr.media import Sample
from tests.ingesting.flat import everything, options, rows, skipped
from tests.realdata import real


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def picture(number, compression="png"):
    return Sample(array=np.full((8, 8, 3), number, "u1")).encoded(compression)


def samples(count, start=0):
    for n in range(start, start + count):
        yield f"d/{n:04d}.png", picture(n % 256)
        yield f"d/{n:04d}.cls", b"%d" % (n % 3)
        yield f"d/{n:04d}.json", json.dumps({"n": n}).encode()
        yield f"d/{n:04d}.box.npy", npy(np.arange(n % 3))
        yield f"d/{n:04d}.txt.gz", gzip.compress(f"text {n}".encode())


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_columns(tmp_path, mode):
    path = tar(tmp_path / ("a.tar" if mode == "w" else "a.tgz"), samples(5), mode)
    assert matches(Place(path))
    source = open_source(Place(path))
    assert options(source) == {
        "keys": {"htype": "text"},
        "box.npy": {"htype": "generic", "dtype": "int64"},
        "labels": {"htype": "class_label"},
        "images": {"htype": "image", "sample_compression": "png"},
        "json": {"htype": "json"},
        "texts": {"htype": "text"},
    }
    found = rows(pickle.loads(pickle.dumps(source)))
    assert [row["keys"] for row in found] == [f"d/{n:04d}" for n in range(5)]
    assert [row["labels"] for row in found] == [0, 1, 2, 0, 1]
    assert [row["json"]["n"] for row in found] == list(range(5))
    assert [row["texts"] for row in found] == [f"text {n}" for n in range(5)]
    assert [row["box.npy"].tolist() for row in found] == [[], [0], [0, 1], [], [0]]
    assert found[3]["images"].compressed_bytes == picture(3)


def test_stretches_of_whole_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "UNIT_ROWS", 4)
    tar(tmp_path / "x-train-0.tar", samples(10))
    tar(tmp_path / "x-train-1.tar", samples(3, start=10))
    tar(tmp_path / "x-test-0.tar", samples(2, start=13))
    (tmp_path / "index.json").write_text("{}")
    assert matches(Place(tmp_path))
    source = open_source(Place(tmp_path))
    assert [unit.rows for unit in source.units()] == [2, 4, 4, 2, 3]
    found = rows(source)
    assert [row["json"]["n"] for row in found] == [13, 14, *range(13)]
    assert [row["split"] for row in found] == [1, 1, *[0] * 13]


def test_formats_of_pictures_share_a_column(tmp_path):
    members = [("1.png", picture(1)), ("2.jpg", picture(2, "jpeg")), ("3.jpg", picture(3, "jpeg"))]
    source = open_source(Place(tar(tmp_path / "a.tar", members)))
    assert options(source)["images"] == {"htype": "image", "sample_compression": "jpeg"}
    assert [row["images"].compression for row in rows(source)] == ["png", "jpeg", "jpeg"]
    members = [("1.png", picture(1)), ("1.jpg", picture(2, "jpeg")), ("2.png", picture(3))]
    source = open_source(Place(tar(tmp_path / "b.tar", members)))
    assert set(options(source)) == {"keys", "png", "jpg"}
    assert rows(source)[1]["jpg"] is None


def test_pickles_stay_closed(tmp_path):
    data = pickle.dumps(print)
    source = open_source(Place(tar(tmp_path / "a.tar", [("1.pyd", data), ("1.cls", b"1")])))
    (row,) = rows(source)
    assert bytes(row["pyd"]) == data
    objects = io.BytesIO()
    np.save(objects, np.array([print], object))
    members = [("1.npy", npy(np.zeros(2))), ("2.npy", objects.getvalue()), ("3.npy", b"x")]
    source = open_source(Place(tar(tmp_path / "b.tar", members)))
    assert [item.what for item in skipped(source)] == ["b.tar, sample 2", "b.tar, sample 3"]


def test_long_names_and_other_members(tmp_path):
    stem = "folder/" + "long" * 60
    members = [(f"{stem}.txt", b"a"), ("._1.txt", b"x"), ("__meta__.txt", b"y"), ("README", b"z")]
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("folder")) if False else None
        directory = tarfile.TarInfo("folder")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for name, data in [*members, ("2.txt", b"b")]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    found = rows(open_source(Place(tmp_path / "a.tar")))
    assert [(row["keys"], row["texts"]) for row in found] == [(stem, "a"), ("2", "b")]


def test_late_surprises_are_reported(tmp_path):
    members = [("1.cls", b"1"), ("2.cls", b"one"), ("3.cls", b"3"), ("3.json", b"{}")]
    source = open_source(Place(tar(tmp_path / "a.tar", members)), look=1)
    assert [item.what for item in skipped(source)] == ["a.tar, sample 2", "a.tar, sample 3"]
    assert "look at more" in skipped(source)[1].why


def test_broken_archives(tmp_path):
    path = tar(tmp_path / "a.tar", samples(6))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 // 512 * 512 + 100])
    found = list(everything(open_source(Place(path), look=1)))
    assert sum(isinstance(row, dict) for row in found) >= 1
    assert "broken tar" in str(found[-1])
    path.write_bytes(b"x" * 2000)
    assert not matches(Place(path))
    tar(tmp_path / "b.tar", [("README", b"no sample")])
    assert not matches(Place(tmp_path / "b.tar"))
    with pytest.raises(SampleError, match="no sample"):
        open_source(Place(tmp_path / "b.tar"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidError, match="no tar archive"):
        open_source(Place(tmp_path / "empty"))


@pytest.mark.parametrize("name", ["compressed.tar", "sample.tgz", "testgz.tar"])
def test_real_archives(name):
    path = real(f"webdataset/{name}")
    found = rows(open_source(Place(path)))
    expected: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                stem, _, extension = member.name.partition(".")
                expected.setdefault(stem, {})[extension] = archive.extractfile(member).read()
    assert [row["keys"] for row in found] == list(expected)
    for row, files in zip(found, expected.values(), strict=True):
        if "png" in files:
            assert row["images"].compressed_bytes == files["png"]
            assert row["labels"] == int(files["cls"])
        else:
            assert row["texts"] == gzip.decompress(files["txt.gz"]).decode()


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_against_tarfile(tmp_path, style):
    names = ["a.txt", "d/" + "x" * 90 + ".txt", "e" * 80 + "/" + "y" * 90 + ".txt", "ü/ß.txt"]
    if style != tarfile.USTAR_FORMAT:
        names.append("z" * 300 + ".txt")
    with tarfile.open(tmp_path / "a.tar", "w", format=style) as archive:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = number * 300
            member.pax_headers = {"comment": "none"}
            archive.addfile(member, io.BytesIO(bytes([number]) * member.size))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        archive.addfile(link)
    with open(tmp_path / "a.tar", "rb") as file, tarfile.open(tmp_path / "a.tar") as archive:
        found = [(m.name, m.offset, m.start, m.size) for m in tar_members(file)]
        expected = [(m.name, m.offset, m.offset_data, m.size) for m in archive if m.isreg()]
    assert found == expected


@given(st.binary(max_size=3), st.integers(0, 2000), st.booleans())
def test_damaged_archives_are_told(data, position, cut):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a" * 120, "b"):
            member = tarfile.TarInfo(name)
            member.size = 5
            archive.addfile(member, io.BytesIO(b"12345"))
    content = made.getvalue()
    content = content[:position] + data + (b"" if cut else content[position + len(data) :])
    try:
        for member in tar_members(io.BytesIO(content)):
            assert member.start + member.size <= len(content)
    except ValueError:
        pass
