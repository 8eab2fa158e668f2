"""Truncated, flipped and deleted objects: a clear error that names the file, the rest readable."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hubzarr.codecs import array_document
from hubzarr.engine import shared_cache
from hubzarr.errors import DamagedError, HubzarrError
from hubzarr.indexing import apply, identity
from hubzarr.session import create_repository, open_session
from hubzarr.storage import LocalStorage
from tests.crash.mortal import values, write

SHAPE, CHUNKS, COMMITS = (400, 4), (1, 4), 9


def truncate(path):
    os.truncate(path, path.stat().st_size // 8)


def empty(path):
    os.truncate(path, 0)


def flip(path):
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2 % 16, len(data), 16):
        data[at] ^= 0x10
    path.write_bytes(data)


def delete(path):
    path.unlink()


DAMAGES = [truncate, empty, flip, delete]


@pytest.fixture
def repository(tmp_path):
    """400 chunks, two of which are written; the second commit after all pages of the first."""
    root = tmp_path / "repository"
    storage = LocalStorage(str(root))
    create_repository(storage, "main", array_document(SHAPE, "i4", CHUNKS), author="a")
    session = open_session(storage, "main")
    for i in range(COMMITS):
        write(session, (slice(0, 300, 100),), i + 1)
        session.commit(str(i))
    shared_cache.clear()
    return root


def read(root, key=(), point=None):
    session = open_session(LocalStorage(str(root)), "main", point, mode="r")
    engine = session.array().engine
    return engine.read(apply(identity(engine.shape), key))


def new_files(root, folder):
    """Files that a further commit of one chunk adds."""
    before = set((root / folder).rglob("*"))
    session = open_session(LocalStorage(str(root)), "main")
    write(session, (0,), 70)
    session.commit("new")
    shared_cache.clear()
    return sorted(p for p in set((root / folder).rglob("*")) - before if p.is_file())


@pytest.mark.parametrize("damage", DAMAGES)
def test_chunk(repository, damage):
    (chunk,) = new_files(repository, "data")
    damage(chunk)
    with pytest.raises(DamagedError, match=chunk.relative_to(repository).as_posix()):
        read(repository)
    assert (read(repository, (slice(1, None),))[99] == COMMITS).all()
    assert (read(repository, (0,), str(COMMITS)) == COMMITS).all()
    # Writing all of it makes the array whole again.
    again = open_session(LocalStorage(str(repository)), "main")
    write(again, (0,), 71)
    again.commit("mended")
    assert (read(repository)[0] == 71).all()


@pytest.mark.parametrize("damage", DAMAGES)
def test_page(repository, damage):
    pages = new_files(repository, "pages")
    assert pages
    for page in pages:
        damage(page)
    with pytest.raises(DamagedError, match=r"pages/[0-9a-f]+") as caught:
        read(repository)
    assert (repository / caught.value.path) in pages
    assert (read(repository, (), str(COMMITS))[0] == COMMITS).all()


@pytest.mark.parametrize("damage", [truncate, empty, flip])
def test_newest_manifest(repository, damage):
    manifest = repository / f"versions/main/{COMMITS:012d}.json"
    damage(manifest)
    with pytest.raises(HubzarrError, match=manifest.name):
        read(repository)
    with pytest.raises(HubzarrError, match=manifest.name):
        open_session(LocalStorage(str(repository)), "main")


@pytest.mark.parametrize("damage", DAMAGES)
def test_older_manifest(repository, damage):
    manifest = repository / f"versions/main/{3:012d}.json"
    damage(manifest)
    assert (read(repository)[0] == COMMITS).all()
    assert (read(repository, (), "4")[0] == 4).all()
    assert (read(repository, (), "2")[0] == 2).all()
    with pytest.raises(HubzarrError, match="3"):
        read(repository, (), "3")


def test_every_flipped_byte_of_a_manifest_is_noticed(repository):
    manifest = repository / f"versions/main/{COMMITS:012d}.json"
    data = manifest.read_bytes()
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 0x01
        manifest.write_bytes(changed)
        with pytest.raises(HubzarrError, match=manifest.name):
            read(repository)
    manifest.write_bytes(data)
    assert (read(repository)[0] == COMMITS).all()


@pytest.mark.parametrize(
    "hint", [None, b"", b"x", b"-1", b"99", b"2", b"9" * 300, b"\xff\x00", b"8\n", b"1_0"]
)
def test_hint_is_never_trusted(repository, hint):
    path = repository / "versions/main/latest"
    assert path.read_bytes() == b"8"
    if hint is None:
        path.unlink()
    else:
        path.write_bytes(hint)
    storage = LocalStorage(str(repository))
    session = open_session(storage, "main")
    assert session.manifest.commit.number == COMMITS
    write(session, (0,), 70)
    assert session.commit("on").number == COMMITS + 1
    assert (values(open_session(storage, "main"))[0] == 70).all()


def test_array_without_damage_reads_zeros_elsewhere(repository):
    expected = np.zeros(SHAPE, "i4")
    expected[:300:100] = COMMITS
    assert (read(repository) == expected).all()
