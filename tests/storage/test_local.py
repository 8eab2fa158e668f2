"""The local storage among processes, on full disks and in bad places."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest

from hubzarr.errors import StorageError, UnsupportedError
from hubzarr.storage import LocalStorage, local, open_storage

NAMES = [f"versions/main/{number:012d}.json" for number in range(40)]


def _race(root, number, start, wins):
    storage = LocalStorage(root)
    start.wait()
    own = f"process {number};".encode() * 2_000
    wins.put((number, [name for name in NAMES if storage.create(name, own)]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_create_has_one_winner_among_processes(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    context = multiprocessing.get_context(method)
    count = 8 if method == "fork" else 2
    start, wins = context.Barrier(count), context.Queue()
    root = str(tmp_path / "root")
    racers = [
        context.Process(target=_race, args=(root, number, start, wins)) for number in range(count)
    ]
    for racer in racers:
        racer.start()
    found = dict(wins.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(60)
    assert sorted(name for names in found.values() for name in names) == NAMES
    storage = LocalStorage(root)
    for number, names in found.items():
        for name in names:
            assert storage.get(name) == f"process {number};".encode() * 2_000
    left = sorted(os.listdir(tmp_path / "root" / "versions" / "main"))
    assert left == [name.rpartition("/")[2] for name in NAMES]


@pytest.mark.parametrize("write", ["put_atomic", "create"])
def test_readers_never_see_a_part(tmp_path, write):
    storage = LocalStorage(str(tmp_path))
    size = 300_000
    done = threading.Event()
    torn = []

    def read():
        reader = LocalStorage(str(tmp_path))
        while not done.is_set():
            for name in reader.list_dir("d"):
                data = reader.get(f"d/{name}")
                if data is not None and (len(data) != size or len(set(data)) != 1):
                    torn.append(len(data))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(60):
        data = bytes([number]) * size
        if write == "create":
            assert storage.create(f"d/{number}", data)
        else:
            storage.put_atomic("d/latest", data)
    done.set()
    thread.join()
    assert not torn


def test_temporary_files_do_not_show(tmp_path):
    storage = LocalStorage(str(tmp_path))
    storage.put("d/a", b"1")
    (tmp_path / "d" / ".tmp-0123456789abcdef").write_bytes(b"left by a crash")
    assert storage.list_dir("d") == ["a"]
    assert list(storage.list_all("")) == ["d/a"]
    storage.delete_dir("d")
    assert storage.list_dir("") == []


def test_root_may_be_given_in_several_ways(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    url = f"file://{tmp_path.as_posix()}/r"
    for place in ("r", "./r/", "~/r", str(tmp_path / "r"), tmp_path / "r", url):
        storage = open_storage(place)
        assert storage.url == url, place
        assert open_storage(storage.url).url == url


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="it is a file, not a directory"):
        LocalStorage(str(tmp_path / "file"))
    with pytest.raises(StorageError, match="a part of the path is a file"):
        LocalStorage(str(tmp_path / "file" / "below"))


def test_root_that_becomes_a_file(tmp_path):
    storage = LocalStorage(str(tmp_path / "later"))
    (tmp_path / "later").write_bytes(b"")
    for ask in (
        lambda: storage.get("x"),
        lambda: storage.size("x"),
        lambda: storage.list_dir(""),
        lambda: storage.put("x", b"1"),
        lambda: storage.create("d/x", b"1"),
        lambda: storage.put_atomic("d/x", b"1"),
    ):
        with pytest.raises(StorageError, match="directory"):
            ask()


@pytest.mark.parametrize("verb", ["put", "put_atomic", "create"])
def test_parent_that_is_a_file(tmp_path, verb):
    storage = LocalStorage(str(tmp_path))
    storage.put("a", b"1")
    with pytest.raises(StorageError, match=r"can't write '.*a/b.*a part of the path is a file"):
        getattr(storage, verb)("a/b/c", b"2")
    assert list(storage.list_all("")) == ["a"]


def test_name_of_a_directory(tmp_path):
    storage = LocalStorage(str(tmp_path))
    storage.put("a/b", b"1")
    with pytest.raises(StorageError, match="it is a directory"):
        storage.put("a", b"2")
    with pytest.raises(StorageError):
        storage.put_atomic("a", b"2")
    assert storage.create("a", b"2") is False
    assert os.listdir(tmp_path) == ["a"]
    assert storage.get("a/b") == b"1"


FULL = """
    import os, resource, signal, sys
    from hubzarr.errors import StorageError
    from hubzarr.storage import LocalStorage
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    storage = LocalStorage(sys.argv[1])
    for data in (bytes(100_000), [bytes(40_000)] * 3):
        for verb in (storage.put, storage.put_atomic, storage.create):
            try:
                verb("d/x", data)
            except StorageError as error:
                assert error.reason == "EFBIG" and "d/" in str(error), error
            else:
                raise SystemExit("no error")
            assert os.listdir(os.path.join(sys.argv[1], "d")) == [], os.listdir(sys.argv[1])
    assert storage.counters.writes == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of resources")
def test_a_write_that_does_not_fit_leaves_nothing(tmp_path):
    code = textwrap.dedent(FULL)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EACCES", "EROFS", "EIO"])
@pytest.mark.parametrize("verb", ["put", "put_atomic", "create"])
def test_errors_of_the_system(tmp_path, monkeypatch, code, verb):
    storage = LocalStorage(str(tmp_path))
    storage.put("d/old", b"1")

    def fail(fd, data):
        os.write(fd, b"half")
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(local, "write_all", fail)
    with pytest.raises(StorageError, match=r"can't write '.*d/.*': \w.*: \w") as caught:
        getattr(storage, verb)("d/x", b"data")
    assert caught.value.reason == code
    assert pickle.loads(pickle.dumps(caught.value)).reason == code
    assert os.listdir(tmp_path / "d") == ["old"]


def test_interrupt_leaves_no_part(tmp_path, monkeypatch):
    def interrupt(fd, data):
        os.write(fd, b"half")
        raise KeyboardInterrupt

    storage = LocalStorage(str(tmp_path))
    storage.put("d/old", b"1")
    monkeypatch.setattr(local, "write_all", interrupt)
    for verb in (storage.put, storage.put_atomic, storage.create):
        with pytest.raises(KeyboardInterrupt):
            verb("d/x", b"data")
    assert os.listdir(tmp_path / "d") == ["old"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write, writev = os.write, getattr(os, "writev", None)
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data)[:7]))
    if writev:
        monkeypatch.setattr(os, "writev", lambda fd, views: write(fd, views[0][:70_001]))
    storage = LocalStorage(str(tmp_path))
    storage.put("x", b"0123456789" * 3)
    assert storage.get("x") == b"0123456789" * 3
    parts = [bytes([number]) * 50_000 for number in range(5)]
    storage.put("y", parts)
    assert storage.get("y") == b"".join(parts)


@pytest.mark.parametrize("size", [5_000, 65_536, 200_000])
@pytest.mark.parametrize("block", [999, 65_536])
def test_short_reads_are_continued(tmp_path, monkeypatch, size, block):
    data = os.urandom(size)
    storage = LocalStorage(str(tmp_path))
    storage.put("x", data)
    read, pread, readv = os.read, getattr(os, "pread", None), getattr(os, "readv", None)
    monkeypatch.setattr(os, "read", lambda fd, count: read(fd, min(count, block)))
    if pread:
        monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 999), at))
    if readv:
        monkeypatch.setattr(os, "readv", lambda fd, views: readv(fd, [views[0][:999]]))
    assert storage.get("x") == data
    assert storage.get_range("x", 10, 150_000) == data[10:150_000]
    for cut in (0, len(data) // 2, len(data)):
        parts = bytearray(cut), bytearray(len(data) - cut)
        assert storage.get_into("x", *map(memoryview, parts)) == len(data)
        assert b"".join(parts) == data


def _without_links(source, target, **options):
    raise OSError(errno.EPERM, "Operation not permitted")


def test_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", _without_links)
    storage = LocalStorage(str(tmp_path))
    with pytest.raises(UnsupportedError, match="single_writer=True"):
        storage.create("d/x", b"1")
    assert storage.atomic_create is False
    assert os.listdir(tmp_path / "d") == []
    alone = LocalStorage(str(tmp_path), single_writer=True)
    assert alone.create("d/x", b"1") is True
    assert alone.create("d/x", b"2") is False
    assert alone.get("d/x") == b"1"
    assert os.listdir(tmp_path / "d") == ["x"]


def test_a_repeated_link_that_won_is_ours(tmp_path, monkeypatch):
    link = os.link

    def link_twice(source, target, **options):
        link(source, target, **options)
        link(source, target, **options)

    monkeypatch.setattr(os, "link", link_twice)
    storage = LocalStorage(str(tmp_path))
    assert storage.create("d/x", b"1") is True
    assert storage.create("d/x", b"2") is False


def test_a_directory_that_vanishes_is_made_again(tmp_path, monkeypatch):
    mkdir = os.mkdir
    calls = []

    def vanish_once(path, *args, **options):
        mkdir(path, *args, **options)
        if path.endswith("b"):
            calls.append(path)
            if len(calls) == 1:
                os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", vanish_once)
    storage = LocalStorage(str(tmp_path))
    storage.put("a/b/c", b"1")
    assert storage.get("a/b/c") == b"1"
    assert len(calls) == 2


def test_fsync_reaches_file_and_directories(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), fsync(fd)))
    storage = LocalStorage(str(tmp_path / "root"), fsync=True)
    storage.create("a/b/c", b"1")
    found = {os.stat(tmp_path / place).st_ino for place in (".", "root", "root/a", "root/a/b/c")}
    assert found <= set(synced)
    assert os.stat(tmp_path / "root/a/b").st_ino in synced
    assert pickle.loads(pickle.dumps(storage)).fsync is True


def test_no_file_stays_open(tmp_path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no list of open files")
    storage = LocalStorage(str(tmp_path))
    storage.put("d/x", b"1")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        storage.get("d/x"), storage.get("d"), storage.get("none"), storage.list_dir("")
        storage.get_range("d/x", 0, 1), storage.size("d/x"), storage.create("d/x", b"2")
        storage.put_atomic("d/y", b"1"), storage.get_into("d/x", memoryview(bytearray(1)))
    assert len(os.listdir("/proc/self/fd")) == before
