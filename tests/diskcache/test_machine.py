"""Any sequence of reads and mishaps: the cache answers as the store would, or asks it."""

from __future__ import annotations

import os
import shutil
import tempfile
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from hubzarr.errors import OfflineError, StorageError
from hubzarr.storage.cache.blocks import BLOCK
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.storage.cache.unreachable import UnreachableStorage
from hubzarr.storage.cache.usage import files_below
from hubzarr.storage.faulty import Fault, FaultyStorage
from hubzarr.storage.memory import MemoryStorage

LIMIT = 6 << 20
SIZES = st.sampled_from([0, 1, 5000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 77])
PLACES = st.integers(0, 6 * BLOCK) | st.sampled_from([0, BLOCK, 2 * BLOCK, 5 * BLOCK])


def content(seed, size):
    return (seed.to_bytes(4, "big") * (size // 4 + 1))[:size]


class Machine(RuleBasedStateMachine):
    paths = Bundle("paths")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.inner = FaultyStorage(MemoryStorage(f"machine-{uuid4().hex}"))
        self.truth = {}
        self.open()

    def open(self):
        self.cached = CachedStorage(self.inner, self.folder, LIMIT)
        unreachable = UnreachableStorage(self.inner.url, "go online")
        self.offline = CachedStorage(unreachable, self.folder, LIMIT, offline=True)

    def files(self):
        return sorted(files_below(self.cached.cache.objects))

    def teardown(self):
        shutil.rmtree(self.folder)
        self.inner.inner.delete_dir("")

    @rule(target=paths, seed=st.integers(0, 1 << 31), size=SIZES, page=st.booleans())
    def put(self, seed, size, page):
        name = f"{len(self.truth):016x}"
        path = f"pages/{name}" if page else f"data/{name}/x/c.0.0"
        self.truth[path] = content(seed, size)
        self.cached.put(path, self.truth[path])
        return path

    @rule(path=paths)
    def get(self, path):
        assert self.cached.get(path) == self.truth[path]

    @rule(chosen=st.lists(paths, max_size=4))
    def get_many(self, chosen):
        paths = [*chosen, "data/ffffffffffffffff/nothing"]
        assert self.cached.get_many(paths) == [self.truth.get(path) for path in paths]

    @rule(path=paths, start=PLACES, length=PLACES)
    def get_range(self, path, start, length):
        found = self.cached.get_range(path, start, start + length)
        assert found == self.truth[path][start : start + length]

    @rule(path=paths, start=PLACES)
    def get_rest(self, path, start):
        assert self.cached.get_range(path, start, None) == self.truth[path][start:]

    @rule(path=paths, length=st.sampled_from([1, 4100, BLOCK, 6 * BLOCK]))
    def get_last(self, path, length):
        assert self.cached.get_range(path, -length, None) == self.truth[path][-length:]

    @rule(path=paths, length=SIZES)
    def get_into(self, path, length):
        out = bytearray(length)
        truth = self.truth[path]
        count = self.cached.get_into(path, memoryview(out))
        assert count == len(truth) or (count > length and len(truth) > length)
        if len(truth) <= length:
            assert out[: len(truth)] == truth

    @rule(path=paths)
    def look(self, path):
        assert self.cached.exists(path)
        assert self.cached.size(path) == len(self.truth[path])
        missing = path + "1"
        assert not self.cached.exists(missing)
        assert self.cached.get(missing) is None
        assert self.cached.get_range(missing, 0, 10) is None
        assert self.cached.get_range(missing, -10, None) is None

    @rule(path=paths, start=PLACES, length=PLACES, whole=st.booleans())
    def ask_offline(self, path, start, length, whole):
        self.inner.log.clear()
        try:
            if whole:
                assert self.offline.get(path) == self.truth[path]
            else:
                found = self.offline.get_range(path, start, start + length)
                assert found == self.truth[path][start : start + length]
        except OfflineError:
            pass
        assert not self.inner.log

    @rule(path=paths)
    def what_was_read_is_there_offline(self, path):
        data = self.cached.get(path)
        self.inner.log.clear()
        if self.cached._kept.size(path) is not None:
            assert self.offline.get(path) == data
            assert self.offline.get_range(path, 10, 20) == data[10:20]

    @rule(path=paths, start=PLACES, length=PLACES)
    def store_fails(self, path, start, length):
        self.inner.schedule(Fault(times=1000, error=lambda: StorageError("down")))
        try:
            found = self.cached.get_range(path, start, start + length)
            assert found == self.truth[path][start : start + length]
        except StorageError:
            pass
        self.inner.schedule()

    @rule(path=paths)
    def distrust(self, path):
        self.cached.distrust(path)
        for _ in range(2):
            assert self.cached.get(path) == self.truth[path]

    @rule(path=paths)
    def delete(self, path):
        self.cached.delete([path])
        self.inner.inner.put(path, self.truth[path])  # an honest store would not
        assert self.cached.get(path) == self.truth[path]

    # Which files there are depends on clocks, so draws must not depend on them.
    @rule(
        kind=st.sampled_from(["delete", "empty", "cut", "flip", "zeros", "swap"]),
        number=st.integers(0, 1 << 16),
        other=st.integers(0, 1 << 16),
        at=st.integers(0, 1 << 22),
    )
    def damage_a_file(self, kind, number, other, at):
        files = self.files()
        if not files:
            return
        path = files[number % len(files)].path
        if kind == "delete":
            os.unlink(path)
            return
        if kind == "swap":
            shutil.copyfile(files[other % len(files)].path, path + "-copy")
            os.replace(path + "-copy", path)
            return
        with open(path, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            at %= max(1, size)
            if kind == "flip":
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 0x10]) if byte else b"")
            elif kind == "zeros":
                file.seek(at)
                file.write(bytes(min(512, size - at)))
            else:
                file.truncate(0 if kind == "empty" else at)

    @rule(kind=st.sampled_from(["usage", "locks", "all", "clear"]))
    def damage_the_folder(self, kind):
        folder = self.cached.cache.folder
        if not os.path.isdir(folder):
            return
        if kind == "usage":
            with open(os.path.join(folder, "usage"), "wb") as file:
                file.write(b"\xff" * 12)
        elif kind == "locks":
            for name in os.listdir(folder):
                if name.endswith(".lock"):
                    os.unlink(os.path.join(folder, name))
        elif kind == "all":
            shutil.rmtree(folder)
        else:
            self.cached.cache.clear()

    @rule()
    def open_again(self):
        self.open()

    @rule(path=paths)
    def writes_fail_for_a_while(self, path):
        real, os.open = os.open, refuse
        try:
            assert self.cached.get(path) == self.truth[path]
        finally:
            os.open = real
        self.cached.cache.wake()

    @invariant()
    def the_size_is_bounded(self):
        assert sum(file.size for file in self.files()) <= LIMIT


def refuse(path, flags, mode=0o777, **rest):
    raise OSError(28, "No space left on device")


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=25, stateful_step_count=40)
