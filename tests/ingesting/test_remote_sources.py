"""Scientific sources on a store that is no local disk give the same rows."""

from __future__ import annotations

import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import load, open_source, recognise
from hubzarr.ingesting.source import Skipped
from hubzarr.media import Sample
from tests.ingesting.flat import everything
from tests.realdata import real

DATA = Path(__file__).parent / "data"


@pytest.fixture
def remote():
    """Copies a local folder to a store in memory."""
    files = fsspec.filesystem("memory")

    def copy(folder):
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                files.pipe(f"/copy/{path.relative_to(folder)}", path.read_bytes())
        return Place("memory://copy")

    yield copy
    if files.exists("/copy"):
        files.rm("/copy", recursive=True)


def comparable(value):
    if isinstance(value, Sample):
        return value.compressed_bytes
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if hasattr(value, "tile_shape"):
        return value.read(tuple(slice(0, size) for size in value.shape)).tolist()
    return value.tolist() if isinstance(value, np.ndarray) else value


def rows_at(place):
    return [
        (row.what, row.why.replace(place.url, ""))
        if isinstance(row, Skipped)
        else {name: comparable(value) for name, value in row.items()}
        for row in everything(open_source(place))
    ]


def same(first, second):
    """Equal, where not a number equals itself."""
    return repr(first) == repr(second)


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("dicom/dicomdir", "dicom"),
        ("geotiff", "geotiff"),
        ("nifti", "nifti"),
        ("las", "points"),
        ("audio/librosa", "clips"),
        ("hub/hub2.0.6_lol", "hub2"),
    ],
)
def test_real_folders(remote, folder, kind):
    local = Place(real(folder))
    far = remote(local.url)
    assert recognise(far) is load(kind)
    assert same(rows_at(far), rows_at(local))


@pytest.mark.parametrize(
    ("archive", "inside"),
    [
        ("deeplake-3.9.52", ""),
        ("cloud-volume-12.15.2", "raw"),
        ("cloud-volume-12.15.2", "murmur"),
    ],
)
def test_datasets_and_volumes(remote, tmp_path, archive, inside):
    with tarfile.open(DATA / f"{archive}.tar.xz") as opened:
        opened.extractall(tmp_path, filter="data")
    local = Place(tmp_path / inside)
    far = remote(local.url)
    assert recognise(far).KIND == recognise(local).KIND
    assert same(rows_at(far), rows_at(local))
