"""Manifests and hints that were seen: right for one life of a repository, and droppable."""

from __future__ import annotations

import hashlib
import os

import pytest

from hubzarr.storage.cache.diskcache import DiskCache
from hubzarr.storage.cache.known import KnownManifests, manifest_parts


def manifest(commit, number=0):
    body = f'{{"hubzarr":1,"id":"{commit:016x}","number":{number}'.encode()
    digest = hashlib.blake2b(body + b"}", digest_size=16).hexdigest()
    return body + f',"digest":"{digest}"}}'.encode()


def path_of(number, version="main"):
    return f"versions/{version}/{number:012d}.json"


def hint(number, life, data):
    return f"{number} {life:016x}\n".encode() + data


@pytest.fixture
def known(tmp_path):
    return KnownManifests(DiskCache(str(tmp_path), 1 << 20), "s3://bucket/x")


def test_by_path_and_by_commit(known):
    known.keep(path_of(3), manifest(7))
    assert known.get(path_of(3)) == known.by_commit(f"{7:016x}") == manifest(7)
    assert known.get(path_of(4)) is None
    assert known.by_commit("7") is known.by_commit("../../etc/passwd") is None
    assert known.newest("main") == 3
    assert known.newest("dev") is None


def test_versions_with_any_name(known):
    names = ["main", "Main", "v1.0", "naïve-日本", "x" * 128, "commits"]
    for number, name in enumerate(names):
        known.keep(path_of(number, name), manifest(number))
    assert known.names("versions") == sorted(f"{name}/" for name in names)
    for number, name in enumerate(names):
        assert known.names(f"versions/{name}") == [f"{number:012d}.json"]
        assert known.get(path_of(number, name)) == manifest(number)
    assert known.names("data") == known.names("versions/a/b") == []


@pytest.mark.parametrize(
    "data", [b"", b"{}", manifest(1)[:-1], manifest(1).replace(b'"number":0', b'"number":1')]
)
def test_damaged_manifests_are_not_kept(known, data):
    known.keep(path_of(1), manifest(9))
    known.keep(path_of(1), data)
    assert known.get(path_of(1)) == manifest(9)
    known.keep_hint("versions/main/latest", hint(3, 0, data))
    assert known.newest("main") == 1


def test_another_manifest_under_the_same_path_means_another_repository(known):
    for number in range(3):
        known.keep(path_of(number), manifest(number))
    known.keep(path_of(0), manifest(0))
    assert known.newest("main") == 2
    known.keep(path_of(0), manifest(99))
    assert known.newest("main") == 0
    assert known.get(path_of(2)) is None
    assert known.by_commit(f"{2:016x}") == manifest(2)  # an id means one commit for ever


@pytest.mark.parametrize(
    "tell",
    [
        lambda known: known.keep(path_of(2), None),
        lambda known: known.check_absent(path_of(2)),
        lambda known: known.check_listing("versions/main", "", [path_of(0)[-17:]]),
        lambda known: known.check_listing("versions", "", ["dev/"]),
    ],
)
def test_what_is_gone_is_forgotten(known, tell):
    known.keep(path_of(0), manifest(0))
    known.keep(path_of(2), manifest(2))
    known.check_absent(path_of(5))
    known.check_listing("versions/main", f"{2:012d}.json", [])
    known.check_listing("versions/main", "", [f"{n:012d}.json" for n in range(5)])
    known.check_listing("data", "", [])
    assert known.newest("main") == 2
    tell(known)
    assert known.newest("main") is None


def test_a_hint_counts_while_the_version_began_with_the_same_commit(known):
    hints = "versions/main/latest"
    known.keep_hint(hints, hint(17, 1, manifest(5, 17)))
    assert known.newest("main") is None  # nobody saw how the version begins
    known.keep(path_of(0), manifest(1))
    assert known.newest("main") == 17
    assert known.get(path_of(17)) == known.by_commit(f"{5:016x}") == manifest(5, 17)
    assert known.get(hints) == hint(17, 1, manifest(5, 17))
    known.keep(path_of(0), manifest(2))
    assert known.newest("main") == 0
    known.keep_hint(hints, hint(17, 1, manifest(5, 17)))  # an old one that lingers
    assert known.newest("main") == 0
    assert known.get(path_of(17)) is None
    for foreign in (None, b"", b"17", b"17 xyz\n", b"\xff" * 99):
        known.keep_hint(hints, foreign)
    assert known.newest("main") == 0


def test_paths():
    assert manifest_parts(path_of(5)) == ("main", 5)
    for path in ("versions/main/latest", "versions/a/b/000000000000.json", "x/" + path_of(1)):
        assert manifest_parts(path) is None


def test_what_is_seen_again_is_not_written_again_but_counts_as_used(known, monkeypatch):
    cache = known._cache
    known.keep(path_of(0), manifest(1))
    known.keep_hint("versions/main/latest", hint(0, 1, manifest(1)))
    commit = f"{known._folder}/commits/{1:016x}"
    os.utime(commit, (1, 1))
    monkeypatch.setattr(cache, "write", lambda *_: pytest.fail("it is there already"))
    known.keep(path_of(0), manifest(1))
    known.keep_hint("versions/main/latest", hint(0, 1, manifest(1)))
    assert os.stat(commit).st_mtime > 1
