"""Each kind of mistake and mishap: what the message says, and that nothing was lost."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

import hubzarr as hub
from hubzarr import errors
from hubzarr.engine import shared_cache
from hubzarr.storage.base import storage_error
from hubzarr.storage.faulty import Fault, FaultyStorage

X = np.arange(24).reshape(6, 4)


@pytest.fixture
def a():
    return hub.from_numpy(X, "messages/a", chunks=(2, 4))


@pytest.fixture
def repository(a, tmp_path):
    """The folder of a repository with two commits, and no handle on it that caches."""
    a[0] = 9
    a.commit("nine")
    shared_cache.clear()
    return tmp_path / "root" / "messages" / "a"


def unharmed():
    assert np.array_equal(hub.load("messages/a"), X)
    assert hub.list() == ["messages/a"]


# -- names -------------------------------------------------------------------

BAD_NAMES = [
    ("", "name"),
    (" ", "name"),
    ("a/b/../c", r"\.\."),
    ("messages/../../../etc/passwd", r"\.\."),
    ("messages//a", "empty"),
    ("messages/a:", "version"),
    ("messages/a:../x", "version"),
    ("messages/a:x/y", "version"),
    ("messages/a@", "point"),
    ("messages/a@soon", "point is a commit number"),
    ("messages/\x00a", "name"),
    ("messages/a\n", "name"),
    ("a" * 400, "long"),
]


@pytest.mark.parametrize(("name", "message"), BAD_NAMES)
def test_bad_names_and_path_traversal(a, name, message, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for call in (hub.load, hub.exists, hub.delete, lambda n: hub.array((2,), n)):
        with pytest.raises(errors.InvalidNameError, match=message) as caught:
            call(name)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(errors.InvalidNameError, match=message):
        hub.copy("messages/a", name)
    with pytest.raises(errors.InvalidNameError, match=message):
        hub.rename("messages/a", name)
    if name:
        with pytest.raises(errors.InvalidNameError):
            hub.list(name)
    assert sorted(tmp_path.rglob("*")) == before
    unharmed()


def test_bad_names_of_versions(a):
    for bad in ("", "../x", "x/y", "x@1", "x:y"):
        with pytest.raises(errors.InvalidNameError, match="version"):
            a.branch(bad)
    assert [v.name for v in a.versions()] == ["main"]
    for call in (hub.delete, lambda n: hub.array((2,), n), lambda n: hub.copy("messages/a", n)):
        with pytest.raises(errors.InvalidNameError, match=r"leave out\s@1"):
            call("messages/a@1")
    unharmed()


# -- what is not there -------------------------------------------------------


def test_unknown_names_versions_and_points(a):
    a.branch("dev")
    for call, message in [
        (lambda: hub.load("messages/none"), "messages/none"),
        (lambda: hub.load("messages/a:v9"), "v9.*dev, main"),
        (lambda: hub.load("messages/a@99"), "99.*newest is 1"),
        (lambda: hub.load("messages/a@0123456789abcdef"), "0123456789abcdef"),
        (lambda: hub.load("messages/a@1999-01-01"), "1999-01-01"),
        (lambda: hub.delete("messages/none"), r"hub.list\(\)"),
        (lambda: hub.delete("messages/a:v9"), "v9.*dev, main"),
        (lambda: hub.copy("messages/none", "messages/b"), "messages/none"),
        (lambda: hub.rename("messages/none", "messages/b"), "messages/none"),
        (lambda: a.checkout("v9"), "v9"),
        (lambda: a.merge("v9"), "v9"),
        (lambda: a.diff("v9", "main"), "v9"),
    ]:
        with pytest.raises(errors.NotFoundError, match=message) as caught:
            call()
        assert isinstance(caught.value, KeyError)
    assert not hub.exists("messages/none")
    assert not hub.exists("messages/a:v9")
    unharmed()


# -- wrong shapes and dtypes -------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shape": (-1, 2)}, errors.InvalidError, "negative"),
        ({"shape": (1.5,)}, errors.InvalidTypeError, "integers"),
        ({"shape": "abc"}, errors.InvalidTypeError, "integers"),
        ({"shape": (2**40, 2**40)}, errors.InvalidError, "2\\*\\*63"),
        ({"dtype": "nope"}, errors.InvalidTypeError, "nope.*expected"),
        ({"dtype": object}, errors.InvalidTypeError, "can't be stored"),
        ({"chunks": (0, 1)}, errors.InvalidError, "from 1 up"),
        ({"chunks": (1,)}, errors.InvalidError, "one for each axis"),
        ({"chunks": "big"}, errors.InvalidTypeError, "'auto'"),
        ({"chunks": (2, 2), "shards": (3, 3)}, errors.InvalidError, "multiples"),
        ({"codec": "zip"}, errors.InvalidError, "expected 'zstd'"),
        ({"codec": "zstd:99"}, errors.InvalidError, "from -131072 to 22"),
        ({"dtype": "u1", "fill_value": -1}, errors.InvalidError, "fill value -1"),
        ({"attributes": {"k": {1, 2}}}, errors.InvalidTypeError, "'k'"),
        ({"dimension_names": ["x"]}, errors.InvalidError, "dimension"),
    ],
)
def test_what_cannot_be_created(a, options, error, message):
    with pytest.raises(error, match=message):
        hub.array(**{"shape": (6, 4), "name": "messages/bad"} | options)
    assert not hub.exists("messages/bad")
    unharmed()


def test_what_cannot_be_written(a):
    for value, message in [
        (np.zeros(5), r"shape \(5,\).*shape \(6, 4\)"),
        ("text", "str.*int64"),
        (1j, "complex"),
        (2**80, "wider dtype"),
    ]:
        with pytest.raises((errors.InvalidError, errors.InvalidTypeError), match=message):
            a[...] = value
    for rows, message in [(np.zeros((2, 5)), r"expected \(k, 4\)"), (np.zeros(4), "expected")]:
        with pytest.raises(errors.InvalidError, match=message):
            a.append(rows)
    for shape, message in [((6,), "2 axes"), ((-1, 4), "negative"), ((6, 2**62), "2\\*\\*63")]:
        with pytest.raises(errors.InvalidError, match=message):
            a.resize(shape)
    with pytest.raises(errors.InvalidTypeError, match="integers"):
        a.resize((6.5, 4))
    assert a.shape == (6, 4)
    a.flush()
    assert a.log(limit=1, syncs=True)[0].number == 1  # not even an empty commit
    unharmed()


# -- what only reads ---------------------------------------------------------


def writes(b):
    return [
        lambda: b.__setitem__(0, 1),
        lambda: b.__setitem__((slice(2), 0), 1),
        lambda: b[1:].__setitem__(0, 1),
        lambda: b.append([[1, 2, 3, 4]]),
        lambda: b.resize((7, 4)),
        lambda: b.attributes.update(k=1),
        lambda: b.commit("x"),
        lambda: b.seal(),
        lambda: b.revert(0),
        lambda: b.merge("dev"),
        lambda: b.transaction("x").__enter__(),
    ]


def test_read_only_handles(a):
    a.branch("dev")
    for b in (hub.load("messages/a", mode="r"), hub.load("messages/a@1"), a.at(1)):
        for write in writes(b):
            with pytest.raises(errors.ReadOnlyError, match=r"only reads.*mode='r\+'") as caught:
                write()
            assert isinstance(caught.value, PermissionError)
        assert np.array_equal(b, X)
        b.flush()
        b.close()
    with pytest.raises(errors.InvalidError, match=r"'r'.*'r\+'"):
        hub.load("messages/a", mode="w")
    unharmed()


def test_sealed_versions(a):
    a.branch("dev")
    other = hub.load("messages/a")
    other[0] = 5
    a.seal("done")
    for b in (a, hub.load("messages/a")):
        for write in writes(b):
            with pytest.raises(errors.SealedError, match=r"sealed.*branch") as caught:
                write()
            assert isinstance(caught.value, errors.ReadOnlyError)
    with pytest.raises(errors.SealedError, match=r"sealed meanwhile.*kept.*branch\(\)"):
        other.commit("too late")
    assert other[0, 0] == 5
    saved = other.branch("saved")
    assert (saved[0].compute() == 5).all()
    unharmed()


# -- damage ------------------------------------------------------------------


def flip(path):
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2 % 16, len(data), 16):  # each page of a pack
        data[at] ^= 0xFF
    path.write_bytes(data)


def objects(repository, folder):
    return sorted(p for p in (repository / folder).rglob("*") if p.is_file())


def newest_chunk(repository):
    newest = json.loads(max(objects(repository, "versions/main")).read_text())
    return objects(repository, f"data/{newest['writes'][-1]}")[-1]


@pytest.mark.parametrize("harm", [flip, lambda p: p.write_bytes(b""), lambda p: p.unlink()])
def test_damaged_chunks(repository, harm):
    chunk = newest_chunk(repository)
    harm(chunk)
    a = hub.load("messages/a")
    with pytest.raises(errors.DamagedError, match=str(chunk.relative_to(repository))) as caught:
        a[0].compute()
    assert isinstance(caught.value, OSError)
    assert np.array_equal(a[2:], X[2:])  # the rest is there
    assert np.array_equal(a.at(1), X)  # and so is what was before
    a[:2] = 7  # writing all of a chunk mends it
    a.commit("mended")
    assert (hub.load("messages/a")[:2].compute() == 7).all()


@pytest.mark.parametrize("harm", [flip, lambda p: p.write_bytes(b"{}")])
def test_damaged_manifests(repository, harm):
    manifest = repository / "versions" / "main" / f"{2:012d}.json"
    kept = manifest.read_bytes()
    harm(manifest)
    for mode in ("r", "r+"):
        with pytest.raises(errors.DamagedError, match=manifest.name):
            hub.load("messages/a", mode=mode)
    assert np.array_equal(hub.load("messages/a@1"), X)
    manifest.write_bytes(kept)
    assert (hub.load("messages/a")[0].compute() == 9).all()


def test_damaged_pages(tmp_path):
    a = hub.array((3000, 2), "messages/many", dtype="i8", chunks=(1, 2))
    a[...] = 3
    a.close()
    pages = objects(tmp_path / "root" / "messages" / "many", "pages")
    assert pages
    for page in pages:
        flip(page)
    shared_cache.clear()
    with pytest.raises(errors.DamagedError, match=r"pages/[0-9a-f]+"):
        hub.load("messages/many")[...].compute()
    for page in pages:
        flip(page)
    assert hub.load("messages/many").sum() == 18000


def test_manifests_of_another_format(repository):
    manifest = repository / "versions" / "main" / f"{2:012d}.json"
    text = manifest.read_text()
    assert '"hubzarr":1' in text
    manifest.write_text(text.replace('"hubzarr":1', '"hubzarr":99', 1))
    with pytest.raises(errors.UnsupportedError, match=r"format 99.*release"):
        hub.load("messages/a")


# -- the store refuses -------------------------------------------------------


def test_a_full_disk(a, monkeypatch):
    session = a._session
    full = FaultyStorage(session.storage)
    full.schedule(
        Fault(
            verb="write",
            times=1 << 30,
            error=lambda: storage_error(OSError(errno.ENOSPC, "full"), "write", "/disk/object"),
        )
    )
    session.storage = full
    for state in session.states.values():
        state.storage = state.engine.cells.storage = full
    a[0, 0] = 77
    a.attributes["k"] = 1
    monkeypatch.setattr(session.states[""].engine, "buffer_limit", 1 << 10)
    for call in (lambda: a.commit("x"), a.flush, a.close, lambda: a.append(np.ones((1 << 12, 4)))):
        assert a[0, 0] == 77
        with pytest.raises(errors.StorageError, match=r"/disk/object.*free some") as caught:
            call()
        assert isinstance(caught.value, OSError)
    unharmed()
    full.schedule()
    a.commit("space again")
    found = hub.load("messages/a")
    assert (found[0, 0], found.attributes["k"]) == (77, 1)
    assert np.array_equal(found[1:6], X[1:])


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permissions of that kind here")
def test_a_root_that_is_not_writable(a, tmp_path, monkeypatch):
    root = tmp_path / "closed"
    if os.geteuid():
        root.mkdir()
        root.chmod(0o555)
    else:  # nothing is closed to root but what is no directory
        root.write_text("a file")
    monkeypatch.setenv("HUBZARR_ROOT", str(root))
    with pytest.raises(errors.StorageError, match="closed") as caught:
        hub.array((4,), "messages/a")
    assert isinstance(caught.value, OSError)
    monkeypatch.setenv("HUBZARR_ROOT", str(tmp_path / "root"))
    unharmed()


def test_refused_by_the_system(a, monkeypatch):
    """As for a user without rights, whoever runs this test."""

    def refuse(*_args, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    a[0, 0] = 77
    with monkeypatch.context() as patch:
        for name in ("mkdir", "makedirs", "open", "link", "rename", "replace"):
            patch.setattr(os, name, refuse)
        with pytest.raises(errors.StorageError, match="denied: correct the rights"):
            a.commit("x")
    assert a[0, 0] == 77
    assert np.array_equal(a.at(1), X)
    a.commit("allowed again")
    assert hub.load("messages/a")[0, 0] == 77


def test_each_error_is_also_the_builtin():
    for name, builtin in {
        "InvalidError": ValueError, "InvalidNameError": ValueError, "InvalidTypeError": TypeError,
        "OutOfBoundsError": IndexError, "NotFoundError": KeyError, "ExistsError": FileExistsError,
        "ReadOnlyError": PermissionError, "SealedError": PermissionError,
        "ConflictError": RuntimeError, "StorageError": OSError, "DamagedError": OSError,
        "UnsupportedError": RuntimeError, "ClosedError": ValueError,
        "TransformError": RuntimeError,
    }.items():  # fmt: skip
        found = getattr(errors, name)
        assert issubclass(found, builtin)
        assert issubclass(found, errors.HubzarrError)
