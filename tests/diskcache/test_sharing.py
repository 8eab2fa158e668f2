"""One cache for many threads and processes, some of which are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hubzarr.errors import StorageError
from hubzarr.storage.cache.blocks import BLOCK
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.storage.cache.diskcache import DiskCache
from hubzarr.storage.cache.filelock import file_lock
from hubzarr.storage.cache.usage import TEMPORARY, files_below, temporary_name
from hubzarr.storage.faulty import Fault, FaultyStorage
from hubzarr.storage.local import LocalStorage
from hubzarr.storage.memory import MemoryStorage

PATH = "data/0123456789abcdef/c.0"


@pytest.fixture
def slow(tmp_path):
    """A cached storage whose store takes its time."""
    inner = FaultyStorage(MemoryStorage(f"sharing-{tmp_path.name}"))
    inner.schedule(Fault(kind="delay", delay=0.05, times=1000))
    yield CachedStorage(inner, str(tmp_path / "cache"), 64 << 20)
    inner.inner.delete_dir("")


# -- threads ---------------------------------------------------------------------


def test_threads_that_want_the_same_object_ask_once(slow):
    slow.inner.inner.put(PATH, b"x" * 1000)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(slow.get, [PATH] * 64))
    assert found == [b"x" * 1000] * 64
    assert slow.inner.count("get") == 1


def test_threads_that_want_overlapping_ranges_fetch_each_block_once(slow):
    data = os.urandom(20 * BLOCK + 99)
    slow.inner.inner.put(PATH, data)

    def read(start):
        start *= BLOCK // 3
        return slow.get_range(PATH, start, start + 3 * BLOCK) == data[start : start + 3 * BLOCK]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, [*range(60), *range(60)]))
    fetched = sum(nbytes for verb, _, nbytes in slow.inner.log if verb == "get_range")
    assert fetched <= len(data) + BLOCK


def test_when_the_first_thread_fails_the_others_ask_themselves(slow):
    slow.inner.inner.put(PATH, b"data")
    slow.inner.schedule(
        Fault(kind="before", delay=0.05, error=lambda: StorageError("down"), verb="get")
    )

    def read(_):
        try:
            return slow.get(PATH)
        except StorageError:
            return None

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(8)))
    assert sorted(found, key=bool) == [None, *[b"data"] * 7]
    assert slow.get(PATH) == b"data"


def test_an_interrupt_leaves_nobody_waiting(slow):
    slow.inner.inner.put(PATH, b"data" * BLOCK)
    slow.inner.schedule(Fault(error=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        slow.get_range(PATH, 0, 2 * BLOCK)
    assert slow.get_range(PATH, 0, 8) == b"datadata"


@pytest.mark.parametrize("whole", [False, True])
def test_an_interrupt_before_the_first_request_leaves_nobody_waiting(slow, monkeypatch, whole):
    slow.inner.inner.put(PATH, b"data" * BLOCK)
    flights = slow._kept._flights
    begin = flights.begin

    def interrupted(keys):
        begin(keys)
        raise KeyboardInterrupt

    def read():
        return slow.get(PATH) if whole else slow.get_range(PATH, 0, 2 * BLOCK)

    with monkeypatch.context() as patch:
        patch.setattr(flights, "begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read()
    found = []
    other = threading.Thread(target=lambda: found.append(read()), daemon=True)
    other.start()
    other.join(20)
    assert [data[:8] for data in found] == [b"datadata"]


def test_neighbouring_blocks_come_in_one_request(slow):
    data = os.urandom(32 * BLOCK)
    slow.inner.schedule()
    slow.inner.inner.put(PATH, data)
    assert slow.get_range(PATH, 5 * BLOCK, 5 * BLOCK + 12_000) == data[5 * BLOCK :][:12_000]
    assert slow.inner.log == [("get_range", PATH, BLOCK)]
    assert slow.get_range(PATH, 0, 8 << 20) == data[: 8 << 20]
    assert slow.inner.count("get_range") == 2
    assert slow.get(PATH) == data  # the end was not known yet
    assert slow.inner.count() == 3
    for start in range(0, len(data), BLOCK):
        slow.get_range(PATH, start, start + BLOCK)
    assert slow.inner.count() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_read_can_read(slow):
    slow.inner.inner.put(PATH, b"data" * 1000)
    reader = threading.Thread(target=slow.get, args=[PATH])
    reader.start()
    time.sleep(0.01)
    pid = os.fork()
    if not pid:
        os._exit(0 if slow.get(PATH) == b"data" * 1000 else 1)
    reader.join()
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    if ended == (0, 0):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert ended == (pid, 0)


# -- processes -------------------------------------------------------------------

LIMIT = 8 << 20
SIZES = [3000, 60_000, 700_000, 1_500_000]


def content(number):
    size = SIZES[number % len(SIZES)]
    return (f"{number:08d}".encode() * (size // 8 + 1))[:size]


def path_of(number):
    return f"data/{number:016x}/c.{number}"


class Remote(LocalStorage):
    """A local store that counts as a slow one."""

    is_local = False


def read_at_random(store, folder, seed, seconds):
    """Read until the time is over; exits with an error at the first wrong byte."""
    storage = CachedStorage(Remote(store), folder, LIMIT)
    chosen, deadline = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < deadline:
        number = chosen.randrange(60)
        data = content(number)
        if chosen.random() < 0.5:
            if storage.get(path_of(number)) != data:
                os._exit(3)
        else:
            start = chosen.randrange(len(data))
            stop = start + chosen.randrange(1, 20_000)
            if storage.get_range(path_of(number), start, stop) != data[start:stop]:
                os._exit(3)
    os._exit(0 if storage.counters.reads else 4)


def test_eight_processes_share_a_cache_smaller_than_the_data(tmp_path):
    store, folder = str(tmp_path / "store"), str(tmp_path / "cache")
    for number in range(60):
        Remote(store).put(path_of(number), content(number))
    assert sum(len(content(number)) for number in range(60)) > 3 * LIMIT
    cache = DiskCache(folder, LIMIT)
    context = multiprocessing.get_context("spawn")

    def start(seed, seconds):
        process = context.Process(target=read_at_random, args=(store, folder, seed, seconds))
        process.start()
        return process

    readers = [start(seed, 2.5) for seed in range(7)]
    victim, killed, most = start(100, 60), 0, 0
    while any(reader.is_alive() for reader in readers):
        time.sleep(0.05)
        with cache._usage._locked("usage", 20) as got:  # nothing comes in while we count
            assert got
            files = list(files_below(cache.objects))
        whole = sum(file.size for file in files if TEMPORARY not in file.path)
        most = max(most, whole)
        if any(TEMPORARY in file.path for file in files) and victim.is_alive():
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            killed += 1
            victim = start(100 + killed, 60)
    victim.kill()
    victim.join()
    assert [reader.exitcode for reader in readers] == [0] * 7
    assert killed
    assert LIMIT // 2 < most <= LIMIT
    # What the victims left is cleared away with the next eviction.
    for number in range(40):
        cache.write(f"more {number}", os.urandom(1_000_000))
    assert not [file for file in files_below(cache.objects) if TEMPORARY in file.path]
    assert cache.count()[1] <= LIMIT


def test_a_lock_ends_with_its_process(tmp_path):
    path = str(tmp_path / "lock")
    script = (
        "import sys, time\nfrom hubzarr.storage.cache.filelock import file_lock\n"
        f"with file_lock({path!r}) as got:\n    print(got, flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "True\n"
    with file_lock(path) as got:
        assert not got
    holder.kill()
    holder.communicate()
    with file_lock(path, 5) as got:
        assert got


def test_a_process_that_was_stopped_with_the_lock_holds_up_nobody_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr("hubzarr.storage.cache.usage._PATIENCE", 0.05)
    cache = DiskCache(str(tmp_path), 1 << 20)
    with ThreadPoolExecutor(1) as pool, cache._usage._locked("usage", 0) as got:
        assert got
        assert pool.submit(cache.write, "x", b"abc").result() is False
        monkeypatch.setattr("hubzarr.storage.cache.usage._PATIENCE", 60)
        assert pool.submit(cache.write, "x", b"abc").result() is False  # it rests
    cache.wake()
    assert cache.write("x", b"abc")


def test_threads_exclude_each_other_too(tmp_path):
    path = str(tmp_path / "lock")
    with file_lock(path) as got, ThreadPoolExecutor(1) as pool:

        def attempt():
            with file_lock(path) as other:
                return other

        assert (got, pool.submit(attempt).result()) == (True, False)


def test_unfinished_files_of_the_living_stay(tmp_path):
    cache = DiskCache(str(tmp_path), 1 << 20)
    os.makedirs(f"{cache.objects}/ab")
    mine = f"{cache.objects}/ab/{temporary_name()}"
    dead = f"{cache.objects}/ab/{temporary_name().replace(str(os.getpid()), '999999999')}"
    for path in (mine, dead):
        with open(path, "wb") as file:
            file.write(b"half")
    for number in range(20):
        cache.write(str(number), os.urandom(100_000))
    assert os.path.exists(mine)
    assert not os.path.exists(dead)
