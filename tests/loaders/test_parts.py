"""The first window in parts: the same batches, sooner."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.datasets import layout
from hubzarr.datasets.loading import TensorsSource
from hubzarr.engine.cache import shared_cache
from hubzarr.errors import SampleError
from hubzarr.loaders import windows
from hubzarr.loaders.loaded import parts_of
from hubzarr.loaders.recent import RecentWindows
from tests.loaders.support import gallery, same

ROWS = 60


@pytest.fixture
def fresh(monkeypatch):
    """No window is known from before."""
    monkeypatch.setattr(windows, "recent_windows", RecentWindows())


@pytest.fixture
def small_parts(monkeypatch, fresh):
    """Few rows lie together, and a few are much."""
    monkeypatch.setattr(windows, "MUCH", 0)
    monkeypatch.setattr(TensorsSource, "block", lambda self: 3)


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    with gallery(tmp_path_factory.mktemp("files"), rows=ROWS) as made:
        yield made


@given(st.data())
def test_rows_come_in_the_order_in_which_they_are_needed(data):
    count = data.draw(st.integers(0, 50))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    homes = np.sort(rng.integers(0, 20, count))
    needed = rng.permutation(count)[: data.draw(st.integers(0, count))]
    first = data.draw(st.integers(1, 10))
    order, bounds = parts_of(needed, homes, first)
    assert np.sort(order).tolist() == list(range(count))
    assert (bounds[0], bounds[-1]) == (0, count)
    parts = [order[a:b] for a, b in itertools.pairwise(bounds)]
    assert all(len(part) and (np.diff(part) > 0).all() for part in parts)
    # Rows that lie together are in one part.
    assert sum(len(np.unique(homes[part])) for part in parts) == len(np.unique(homes))
    if len(parts) > 1 and len(needed):
        assert np.isin(needed[:first], parts[0]).all()
        soon = np.isin(homes, homes[needed[:first]])
        assert np.sort(parts[0]).tolist() == np.flatnonzero(soon).tolist()


OPTIONS = {
    "whole": {},
    "alone": {"prefetch": 0},
    "samples": {"batch_size": None},
    "windows": {"window": 25},
    "full": {"shuffle": "full"},
    "in order": {"shuffle": False},
    "rank": {"rank": 1, "world_size": 3, "pad": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_same_batches(ds, monkeypatch, small_parts, options):
    options = {"batch_size": 4, "shuffle": True, "return_index": True} | options
    loader = ds.batches(**options, ragged="list")
    found = list(loader)
    monkeypatch.setattr(windows, "MUCH", 1 << 60)
    monkeypatch.setattr(windows, "recent_windows", RecentWindows())
    for first, second in zip(found, ds.batches(**options, ragged="list"), strict=True):
        assert list(first) == list(second)
        assert all(same(first[name], second[name]) for name in first)
    assert len(list(loader)) == len(found)


@pytest.mark.parametrize("position", [1, 7, 14])
def test_resumed(ds, small_parts, position):
    loader = ds.batches(4, shuffle=True, tensors=["number", "ragged"], ragged="list")
    wanted = [batch["number"].tolist() for batch in loader]
    loader = ds.batches(4, shuffle=True, tensors=["number", "ragged"], ragged="list")
    loop = iter(loader)
    found = [next(loop)["number"].tolist() for _ in range(position)]
    again = ds.batches(4, shuffle=True, tensors=["number", "ragged"], ragged="list")
    again.load_state_dict(loader.state_dict())
    assert found + [batch["number"].tolist() for batch in again] == wanted


@pytest.fixture
def many(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "_CHUNK_BYTES", 1 << 13)
    ds = hub.empty(str(tmp_path / "ds"))
    ds.create_tensor("x", dtype="i4", chunk_compression="none")
    ds.extend({"x": np.repeat(np.arange(4000), 16).reshape(4000, 16)})
    ds.commit()
    yield ds
    ds.close()


def reads(ds, work):
    shared_cache.clear()
    counters = ds._session.storage.counters
    before = counters.read_bytes
    work()
    return counters.read_bytes - before


def test_the_first_batch_reads_a_part(many, monkeypatch, fresh):
    monkeypatch.setattr(windows, "MUCH", 0)
    monkeypatch.setattr(TensorsSource, "block", lambda self: many.x.array.chunks[0])
    loader = many.batches(2, shuffle=True, prefetch=0)
    one = reads(many, lambda: next(iter(loader)))
    whole = reads(many, lambda: list(loader))
    again = reads(many, lambda: list(loader))
    assert 0 < one < 0.6 * whole
    assert (whole >= 4000 * 64, again) == (True, 0)


def test_a_loop_that_was_left_is_no_whole_window(many, monkeypatch, fresh):
    monkeypatch.setattr(windows, "MUCH", 0)
    monkeypatch.setattr(TensorsSource, "block", lambda self: many.x.array.chunks[0])
    for prefetch in (0, 2):
        loader = many.batches(2, shuffle=True, prefetch=prefetch)
        next(iter(loader))
        found = np.concatenate([batch["x"][:, 0] for batch in loader])
        assert np.sort(found).tolist() == list(range(4000))
        assert np.sort([batch["x"][0, 0] for batch in loader]).size == 2000


def test_a_loop_that_was_left_reads_on_for_the_next_one(many, monkeypatch, fresh):
    monkeypatch.setattr(windows, "MUCH", 0)
    monkeypatch.setattr(TensorsSource, "block", lambda self: many.x.array.chunks[0])
    loader = many.batches(2, shuffle=True, prefetch=2)
    next(iter(loader))
    until = time.monotonic() + 30
    while not loader._reading.kept and time.monotonic() < until:
        time.sleep(0.01)
    assert reads(many, lambda: list(loader)) == 0


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("on_error", ["skip", "replace", "raise"])
def test_broken_rows_of_later_parts(many, tmp_path, monkeypatch, fresh, prefetch, on_error):
    monkeypatch.setattr(windows, "MUCH", 0)
    chunk = many.x.array.chunks[0]
    monkeypatch.setattr(TensorsSource, "block", lambda self: chunk)
    (file,) = [path for path in tmp_path.rglob("c.1.0") if path.is_file()]
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    shared_cache.clear()
    loader = many.batches(2, shuffle=True, prefetch=prefetch, on_error=on_error)
    if on_error == "raise":
        with pytest.raises(SampleError, match="tensor 'x'"):
            list(loader)
        return
    found = np.concatenate([batch["x"][:, 0] for batch in loader])
    good = [n for n in range(4000) if n // chunk != 1]
    assert sorted(set(found.tolist())) == good
    assert len(loader.skipped) == chunk
