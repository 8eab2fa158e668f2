"""One array against NumPy: tiny buffers, a pool that is always used, a store that fails."""

from __future__ import annotations

import contextlib
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.engine.statistics import box_rows
from hubzarr.errors import StorageError
from hubzarr.session import open_session
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.session.support import content, read, repository, write

STEPS = st.tuples(
    st.sampled_from(
        ["write", "row", "step", "fill", "append", "resize", "flush", "commit", "sum", "refresh"]
    ),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from([None] * 4 + ["before", "after", "torn"]),
)


class Pair:
    """A session on a store that fails now and then, and what its array should hold."""

    def __init__(self, chunks: tuple[int, int], limit: int) -> None:
        self.storage = FaultyStorage(repository((6, 3), "i4", chunks))
        self.session = open_session(self.storage, "main")
        self.session.array().engine.buffer_limit = limit
        self.model = np.zeros((6, 3), "i4")
        self.count = 0

    def step(self, what: str, a: int, b: int) -> None:
        self.count += 1
        getattr(self, what)(a, b)

    def set(self, key, value):
        """A write that fails may have been done in part; the next one says the same again."""
        self.model[key] = value
        self.insist(lambda: write(self.session, key, value))

    def insist(self, work):
        """Try again: what the pool could not store earlier is told now, cell by cell."""
        for _ in range(100):
            try:
                return work()
            except StorageError:
                self.storage.schedule()
        raise AssertionError("no end of errors, though the store works")

    def write(self, a, b):
        rows, columns = self.model.shape
        low, left = a % max(rows, 1), b % max(columns, 1)
        self.set((slice(low, low + 1 + b % 5), slice(left, left + 2)), self.count)

    def row(self, a, _):
        if self.model.size:
            self.set((a % len(self.model), slice(None)), self.count)

    def step_(self, a, b):
        self.set((slice(a % 4, None, 1 + b % 3), slice(None, None, -1)), self.count)

    def fill(self, a, _):
        self.set((slice(a % 7, None), slice(None)), 0)

    def append(self, a, _):
        rows = np.full((1 + a % 4, self.model.shape[1]), self.count, "i4")
        self.session.array().append(rows)
        self.model = np.concatenate([self.model, rows])

    def resize(self, a, b):
        shape = (a % 14, b % 6)
        self.session.array().resize(shape)
        kept = self.model[: shape[0], : shape[1]]
        self.model = np.zeros(shape, "i4")
        self.model[: kept.shape[0], : kept.shape[1]] = kept

    def flush(self, _a, _b):
        self.session.flush()

    def commit(self, a, _):
        self.session.commit(str(a))

    def refresh(self, _a, _b):
        self.session.refresh()

    def sum(self, a, b):
        rows, columns = self.model.shape
        if self.model.size:
            low, left = a % rows, b % columns
            found = box_rows(self.session.array().engine, ((low, rows), (left, columns)))
            assert int(found["sum"].sum()) == int(self.model[low:, left:].sum())
            assert int(found["n"].sum()) == self.model[low:, left:].size


@settings(max_examples=120)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 4)),
    st.sampled_from([1, 60, 10**6]),
    st.sampled_from([1, 64 << 10]),
    st.lists(STEPS, max_size=25),
)
def test_against_numpy(chunks, limit, small, steps):
    with mock.patch("hubzarr.engine.array.SMALL_CHUNK", small):
        pair = Pair(chunks, limit)
        for what, a, b, kind in steps:
            if kind is not None:
                pair.storage.schedule(Fault(at=1 + a % 3, verb="put", kind=kind))
            name = "step_" if what == "step" else what
            with contextlib.suppress(StorageError):
                pair.step(name, a, b)
            pair.storage.schedule()
            state = pair.session.array()
            assert state.shape == tuple(state.document["shape"]) == pair.model.shape
            if b % 3 == 0:
                assert np.array_equal(read(pair.session), pair.model), (what, a, b)
        pair.insist(lambda: pair.session.commit("end"))
        assert np.array_equal(read(pair.session), pair.model)
        assert np.array_equal(content(pair.storage, "main"), pair.model)
        pair.sum(0, 0)
        names = [p for verb, p, _ in pair.storage.log if verb == "put" and p.startswith("data/")]
        assert len(names) == len(set(names))
