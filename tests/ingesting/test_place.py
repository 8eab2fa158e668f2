"""Places: the same folder local, on a store of fsspec, and in a ZIP file."""

from __future__ import annotations

import os
import pickle
import uuid
import zipfile
from pathlib import Path

import fsspec
import pytest

from hubzarr.errors import InvalidTypeError, NotFoundError
from hubzarr.ingesting import Place

FILES = {
    "a.txt": b"a",
    "b/c.jpg": b"cc",
    "b/d/e.nii.gz": b"",
    "b/.hidden": b"h",
    "__MACOSX/b/c.jpg": b"m",
    "z.JPG": b"zzz",
}
SEEN = ["a.txt", "b/c.jpg", "b/d/e.nii.gz", "z.JPG"]


@pytest.fixture(params=["local", "memory", "zip"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        for path, data in FILES.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        return Place(tmp_path)
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for path, data in FILES.items():
                archive.writestr(path, data)
        return Place(f"zip://::{tmp_path}/all.zip")
    base = f"memory://{uuid.uuid4().hex}"
    fs = fsspec.filesystem("memory")
    for path, data in FILES.items():
        fs.pipe_file(f"{base}/{path}", data)
    return Place(base)


def test_walk_gives_files_in_order_without_hidden_ones(place: Place):
    found = list(place.walk())
    assert [file.relative(place) for file in found] == SEEN
    assert [file.read() for file in found] == [FILES[path] for path in SEEN]
    assert [file.size() for file in found] == [len(FILES[path]) for path in SEEN]
    assert [file.suffix for file in found] == [".txt", ".jpg", ".nii.gz", ".jpg"]
    assert list(place.files()) == [(path, len(FILES[path])) for path in SEEN]


def test_children_and_child(place: Place):
    names = [child.name for child in place.children()]
    assert names == ["__MACOSX", "a.txt", "b", "z.JPG"]
    assert place.children() is place.children()
    folder = place.child("b")
    assert folder.is_dir()
    assert not folder.is_file()
    assert [child.name for child in folder.children()] == [".hidden", "c.jpg", "d"]
    file = place.child("b/c.jpg")
    assert file == folder.child("c.jpg")
    assert hash(file) == hash(folder.child("c.jpg"))
    assert file.is_file()
    assert file.parent() == folder
    with file.open() as opened:
        assert opened.read() == b"cc"


def test_local_copies_live_as_long_as_their_place(place: Place):
    file = place.child("z.JPG")
    path = file.local()
    assert Path(path).read_bytes() == b"zzz"
    assert path.endswith("JPG" if place.is_local else ".jpg")
    remote = not place.is_local
    del file
    assert Path(path).exists() is not remote


def test_missing_things(place: Place):
    nothing = place.child("b/no.jpg")
    assert not nothing.exists()
    assert not nothing.is_dir()
    for act in (nothing.read, nothing.open, nothing.size, nothing.children):
        with pytest.raises(NotFoundError, match=r"no\.jpg"):
            act()


def test_pickles(place: Place):
    again = pickle.loads(pickle.dumps(place))
    assert again == place
    assert [file.relative(again) for file in again.walk()] == SEEN


def test_a_walk_from_a_file_gives_the_file(place: Place):
    file = place.child("a.txt")
    assert list(file.walk()) == [file]


def test_names():
    assert Place("x/photo.TAR.GZ").suffix == ".tar.gz"
    assert Place("x/photo.tar.gz").stem == "photo"
    assert Place("train-images-idx3-ubyte.gz").suffix == ".gz"
    assert Place(".hidden").suffix == ""
    assert Place("s3://bucket/a/").name == "a"
    assert Place("s3://bucket").url == "s3://bucket"
    assert Place("file:///a/b").url == "/a/b"
    assert Place("zip://a/b.txt::s3://bucket/x.zip").name == "b.txt"
    assert Place("/").child("a").url == "/a"
    with pytest.raises(InvalidTypeError, match="expected a path or a URL"):
        Place(3)  # type: ignore[arg-type]


def test_links_that_lead_in_circles_end(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    place = Place(tmp_path)
    assert [file.relative(place) for file in place.walk()] == ["a/x.txt"]
    assert list(place.files()) == [("a/x.txt", 1)]


def test_broken_links_are_seen_and_pipes_are_not(tmp_path: Path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    place = Place(tmp_path)
    assert [file.name for file in place.walk()] == ["gone.jpg"]
    assert list(place.files()) == [("gone.jpg", 0)]
    with pytest.raises(NotFoundError):
        place.child("gone.jpg").read()
