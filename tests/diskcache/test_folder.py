"""The folder of the cache: rights, full disks, least recently used, no secrets."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time

import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, OfflineError
from hubzarr.storage import open_storage
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.storage.cache.caching import server_of
from hubzarr.storage.cache.diskcache import DiskCache, disk_cache
from hubzarr.storage.cache.unreachable import UnreachableStorage
from hubzarr.storage.cache.usage import files_below
from hubzarr.storage.memory import MemoryStorage

PATH = "data/0123456789abcdef/c.0"
posix = pytest.mark.skipif(os.name == "nt", reason="rights of POSIX")


@pytest.fixture
def inner(tmp_path):
    made = MemoryStorage(f"folder-{tmp_path.name}")
    made.put(PATH, b"chunk")
    yield made
    made.delete_dir("")


@posix
def test_only_its_user_may_look_inside(tmp_path):
    cache = DiskCache(str(tmp_path / "deep" / "cache"), 1 << 20)
    cache.write("x", b"abc")
    for folder in (cache.folder, cache.objects):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(cache.path_of("x")).st_mode) == 0o600


@posix
def test_a_folder_that_others_may_write_is_refused(tmp_path):
    (tmp_path / "hubzarr-1").mkdir()
    (tmp_path / "hubzarr-1").chmod(0o777)
    with pytest.raises(InvalidError, match="others may write it"):
        DiskCache(str(tmp_path), 1 << 20)


def test_an_unwritable_folder_warns_and_reads_go_on(tmp_path, inner):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="set cache_dir to another folder"):
        storage = CachedStorage(inner, str(tmp_path / "file" / "cache"), 1 << 20)
    assert storage.get(PATH) == storage.get(PATH) == b"chunk"
    assert not storage.cache.writable


def test_a_full_disk_goes_unnoticed(tmp_path, inner, monkeypatch):
    storage = CachedStorage(inner, str(tmp_path), 1 << 20)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hubzarr.storage.cache.diskcache.write_all", full)
        assert storage.get(PATH) == b"chunk"
        assert storage.get_range(PATH, 1, 3) == b"hu"
    assert not list(files_below(storage.cache.objects))
    assert storage.get(PATH) == b"chunk"  # it rests
    assert not storage.holds(PATH)
    storage.cache.wake()
    assert storage.get(PATH) == b"chunk"
    assert storage.holds(PATH)


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache = DiskCache(str(tmp_path), 1 << 20)
    for number in range(9):
        assert cache.write(str(number), os.urandom(100_000))
        hour = time.time() - 3600 + number
        os.utime(cache.path_of(str(number)), (hour, hour))
    assert cache.read("0") is not None  # a use
    assert cache.write("a", os.urandom(100_000))
    assert cache.write("b", os.urandom(100_000))
    kept = [number for number in "0123456789ab" if cache.length(number) is not None]
    assert kept[0] == "0"
    assert "1" not in kept
    assert kept[-2:] == ["a", "b"]
    assert cache.count()[1] <= 1 << 20


def test_entries_that_would_push_out_everything_are_not_kept(tmp_path):
    cache = DiskCache(str(tmp_path), 1 << 20)
    assert not cache.write("large", bytes(300_000))
    assert cache.write("small", bytes(200_000))


def test_a_limit_that_shrinks_is_kept_to(tmp_path):
    cache = disk_cache(str(tmp_path), 4 << 20)
    for number in range(30):
        cache.write(str(number), os.urandom(100_000))
    assert disk_cache(str(tmp_path), 1 << 20) is cache
    cache.write("one more", b"x")
    assert cache.count()[1] <= 1 << 20
    with pytest.raises(InvalidError, match="cache_size"):
        disk_cache(str(tmp_path), 0)


def test_a_damaged_count_is_made_anew(tmp_path):
    cache = DiskCache(str(tmp_path), 1 << 20)
    for number in range(40):
        with open(os.path.join(cache.folder, "usage"), "wb") as file:
            file.write(bytes(number % 20))
        cache.write(str(number), os.urandom(100_000))
    assert 500_000 < cache.count()[1] <= 1 << 20


def test_clear_leaves_foreign_files(tmp_path):
    cache = DiskCache(str(tmp_path), 1 << 20)
    (tmp_path / "mine.txt").write_text("mine")
    cache.write("x", b"abc")
    assert cache.clear()[0] == 1
    assert cache.count() == (0, 0)
    assert (tmp_path / "mine.txt").exists()
    assert cache.write("x", b"abc")


def test_stores_of_one_url_on_two_servers_do_not_mix(tmp_path):
    first = MemoryStorage(f"server-{tmp_path.name}")
    caches = [CachedStorage(first, str(tmp_path), 1 << 20, server=name) for name in ("a", "b")]
    first.put(PATH, b"of a")
    assert caches[0].get(PATH) == b"of a"
    first.put(PATH, b"of b")
    assert caches[1].get(PATH) == b"of b"
    assert caches[0].get(PATH) == b"of a"
    first.delete_dir("")


def test_no_secret_gets_into_the_folder(tmp_path, cache_dir):
    options = {
        "key": "AKIDSECRET",
        "secret": "hushhush",
        "endpoint_url": "http://127.0.0.1:9",
    }
    storage = open_storage("s3://bucket/x", options)
    assert isinstance(storage, CachedStorage)
    storage.cache.write("warm", b"up")
    storage._keep("pages/0123456789abcdef", b"page")
    found = b""
    for file in files_below(str(cache_dir)):
        with open(file.path, "rb") as opened:
            found += file.path.encode() + opened.read()
    assert b"127.0.0.1:9" in found
    assert not [word for word in (b"AKIDSECRET", b"hushhush") if word in found]
    assert "hushhush" not in repr(storage)
    with_password = {"client_kwargs": {"endpoint_url": "http://u:pw@127.0.0.1:9/"}}
    assert server_of(with_password) == "http://127.0.0.1:9"


def test_only_immutable_paths_are_kept(tmp_path, inner):
    storage = CachedStorage(inner, str(tmp_path), 1 << 20)
    changing = ["data/x/versions/main/latest", "pages/short", "versions/main/latest", "x", "data/a"]
    for path in changing:
        inner.put(path, b"1")
        assert storage.get(path) == storage.get_many([path])[0] == b"1"
        inner.put(path, b"2")
        assert storage.get(path) == b"2"
        assert storage.get_range(path, 0, 1) == b"2"
    for path in ("data/0123456789abcdef/x", "pages/0123456789abcdef"):
        assert storage.get(path) is None
        inner.put(path, b"now")
        assert storage.get(path) == b"now"


def test_offline_never_asks(tmp_path, inner):
    online = CachedStorage(inner, str(tmp_path), 1 << 20)
    offline = CachedStorage(
        UnreachableStorage(inner.url, "go online"), str(tmp_path), 1 << 20, offline=True
    )
    with pytest.raises(OfflineError, match="go online"):
        offline.get(PATH)
    online.get(PATH)
    assert (offline.get(PATH), offline.size(PATH), offline.exists(PATH)) == (b"chunk", 5, True)
    assert offline.get_many([PATH]) == [b"chunk"]
    refused = [
        lambda: offline.list_dir(""),
        lambda: list(offline.list_all("")),
        lambda: offline.get("data/0123456789abcdef/other"),
        lambda: offline.exists("data/0123456789abcdef/other"),
        lambda: offline.exists("versions/main/000000000000.json"),
        lambda: offline.list_dir("versions/main"),
        lambda: offline.put(PATH, b"x"),
        lambda: offline.put_atomic(PATH, b"x"),
        lambda: offline.create(PATH, b"x"),
        lambda: offline.delete([PATH]),
        lambda: offline.delete_dir(""),
    ]
    for ask in refused:
        with pytest.raises(OfflineError):
            ask()
    assert offline.get("versions/main/latest") is None


def test_settings_come_from_the_environment(tmp_path):
    script = (
        "import hubzarr as hub\nfrom hubzarr.storage import open_storage\n"
        "storage = open_storage('s3://bucket/x', {'anon': True})\n"
        "print(type(storage).__name__, storage.cache.limit, storage.offline)\n"
        "try:\n    hub.load('s3://bucket/x')\nexcept hub.errors.OfflineError as error:\n"
        "    print(error.kind)\n"
    )
    environment = os.environ | {
        "HUBZARR_CACHE_DIR": str(tmp_path),
        "HUBZARR_CACHE_SIZE": "3MiB",
        "HUBZARR_OFFLINE": "1",
    }
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.split() == ["CachedStorage", str(3 << 20), "True", "offline"], run.stderr
    assert hub.configure().offline is False
