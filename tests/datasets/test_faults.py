"""Storage that fails, samples that don't fit, blocks that raise: a row is whole or not there."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.datasets import Dataset
from hubzarr.errors import InvalidError, SampleError, StorageError
from hubzarr.session import open_session
from hubzarr.storage import LocalStorage
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.datasets.support import again, columns, create, fresh_url, numbers, row

ALWAYS = 1 << 30


def faulty(tmp_path, name, start):
    """A dataset on a storage that can be told to fail."""
    path = tmp_path / name
    create(str(path), start).close()
    storage = FaultyStorage(LocalStorage(str(path)))
    return storage, Dataset(open_session(storage, "main"), name)


def loaded(tmp_path, name):
    return hub.load(str(tmp_path / name))


def big_row(number):
    """A row whose bytes fill several cells."""
    return {**row(number), "ragged": np.full((1_200_000, 2), number, "i4")}


def operations(tmp_path, start, make):
    storage, ds = faulty(tmp_path, "counted", start)
    before = storage.count()
    ds.append(make(100))
    ds.commit("one row")
    return storage.count() - before


@pytest.mark.parametrize("kind", ["before", "torn", "after"])
@pytest.mark.parametrize("start", [(), (1, 2)], ids=["empty", "filled"])
def test_an_append_fails_at_any_operation(tmp_path, kind, start):
    count = operations(tmp_path, start, row)
    assert count >= 3
    for at in range(1, count + 1):
        storage, ds = faulty(tmp_path, str(at), start)
        storage.schedule(Fault(at=storage.count() + at, times=ALWAYS, kind=kind))
        stored = True
        try:
            ds.append(row(100))
            ds.commit("one row")
        except StorageError:
            stored = False
        storage.schedule()
        found = numbers(loaded(tmp_path, str(at)))
        assert found in ([*start], [*start, 100]), at
        assert not stored or found[-1] == 100
        ds.flush()  # what failed is tried again, and never twice
        assert numbers(loaded(tmp_path, str(at)))[: len(start)] == [*start]
        ds.append(row(101))
        ds.flush()
        found = numbers(loaded(tmp_path, str(at)))
        assert found in ([*start, 101], [*start, 100, 101]), at
        assert numbers(ds) == found


def test_a_large_row_fails_while_it_is_appended(tmp_path):
    for at in range(1, 5):
        storage, ds = faulty(tmp_path, str(at), [1])
        storage.schedule(Fault(verb="write", at=at, times=ALWAYS))
        with pytest.raises(StorageError):  # noqa: PT012 - whichever of both stores it
            ds.append(big_row(100))
            ds.commit("one row")
        storage.schedule()
        assert numbers(loaded(tmp_path, str(at))) == [1]
        found = numbers(ds)
        assert found in ([1], [1, 100])
        ds.append(row(101))
        ds.commit("later")
        assert numbers(loaded(tmp_path, str(at))) == [*found, 101]


def test_a_conversion_fails(tmp_path):
    for at in range(1, 6):
        url = str(tmp_path / str(at))
        ds = hub.empty(url)
        ds.create_tensor("x", dtype="int64").extend([[1, 2], [3, 4]])
        ds.close()
        storage = FaultyStorage(LocalStorage(url))
        ds = Dataset(open_session(storage, "main"), "x")
        storage.schedule(Fault(at=storage.count() + at, times=2))
        try:
            ds.x.append([5, 6, 7])
            ds.commit("ragged")
        except StorageError:
            ds.discard()
        storage.schedule()
        found = [x.tolist() for x in hub.load(url).x.numpy(aslist=True)]
        assert found in ([[1, 2], [3, 4]], [[1, 2], [3, 4], [5, 6, 7]])
        ds.x.append([8])
        ds.commit("later")
        assert [x.tolist() for x in hub.load(url).x.numpy(aslist=True)] == [*found, [8]]


# -- samples that don't fit ------------------------------------------------------


def spoilt(at, count=6):
    rows = columns(range(10, 10 + count))
    rows["text"][at] = 3.5
    return rows


@pytest.mark.parametrize("at", [0, 3, 5])
@pytest.mark.parametrize("start", [(), (1, 2)], ids=["empty", "filled"])
def test_a_bad_sample_leaves_nothing(start, at):
    ds = create(numbers=start)
    with pytest.raises(SampleError, match="'text'") as caught:
        ds.extend(spoilt(at))
    assert caught.value.index == at
    assert numbers(ds) == [*start]
    assert not ds._session.dirty or not start
    ds.append(row(3))
    ds.flush()
    assert numbers(again(ds)) == [*start, 3]


def test_a_bad_sample_behind_many_rows(monkeypatch):
    monkeypatch.setattr("hubzarr.datasets.writing._BATCH", 4)
    ds = create(numbers=[1])
    with pytest.raises(SampleError):
        ds.extend(spoilt(17, 20))
    assert numbers(ds) == [1]
    skipped = ds.extend(spoilt(17, 20), ignore_errors=True)
    assert [number for number, _ in skipped] == [17]
    assert numbers(ds) == [1, *(n for n in range(10, 30) if n != 27)]


def test_bad_samples_are_left_out_with_their_rows():
    ds = create(numbers=[1])
    rows = columns(range(10, 20))
    rows["text"][3] = rows["text"][4] = b"no text"
    rows["ragged"][0] = rows["ragged"][4] = "no numbers"
    skipped = ds.extend(rows, ignore_errors=True)
    assert [number for number, _ in skipped] == [0, 3, 4]
    assert all(isinstance(error, SampleError) for _, error in skipped)
    ds.flush()
    assert numbers(again(ds)) == [1, 11, 12, 15, 16, 17, 18, 19]


def test_a_failed_append_settles_nothing():
    ds = hub.empty(fresh_url())
    ds.create_tensor("x")
    ds.create_tensor("label", htype="class_label", class_names=["a"], unknown="extend")
    with pytest.raises(SampleError):
        ds.extend({"x": [1, "a"], "label": ["b", "c"]})
    with pytest.raises(SampleError):
        ds.extend({"label": ["b", "c"], "x": [1, "a"]})
    assert ds.x.dtype is None
    assert ds.label.info.class_names == ["a"]
    assert ds.x.shape == (0,)
    ds.append({"x": [1.5, 2], "label": "d"})
    assert ds.x.numpy().tolist() == [[1.5, 2]]
    assert ds.label.info.class_names == ["a", "d"]


def test_a_failed_append_makes_no_tensor_ragged():
    ds = hub.empty(fresh_url())
    ds.create_tensor("x").extend([1, 2])
    with pytest.raises(SampleError, match="1 axes"):
        ds.x.append([1, 2])
    assert not ds.x.is_dynamic
    with pytest.raises(SampleError, match="1 axes"):
        ds.x[0] = [1, 2]
    assert ds.x.numpy().tolist() == [1, 2]


def test_an_update_changes_all_or_nothing():
    ds = create(numbers=range(4))
    with pytest.raises(SampleError):
        ds[1].update({"uniform": [7, -7], "text": 7})
    with pytest.raises(SampleError):
        ds.text[1:3] = ["seven", 8]
    with pytest.raises(InvalidError, match="2 samples for 3 rows"):
        ds.text[1:] = ["seven", "eight"]
    assert numbers(ds) == [0, 1, 2, 3]


# -- blocks ------------------------------------------------------------------------


@pytest.mark.parametrize("block", ["with", "transaction"])
@pytest.mark.parametrize("start", [(), (1, 2)], ids=["empty", "filled"])
def test_a_block_that_raises_leaves_nothing(start, block):
    ds = create(numbers=start)
    commits = ds._session.manifest.commit.number
    inside = ds if block == "with" else ds.transaction("never")
    with pytest.raises(ZeroDivisionError), inside:  # noqa: PT012 - the end of the block raises
        ds.extend(columns(range(10, 20)))
        ds.pop(0)
        ds[0].update(row(50))
        ds.create_tensor("new").append(1)
        ds.flush()
        raise ZeroDivisionError
    assert ds._session.manifest.commit.number == commits
    assert numbers(ds) == numbers(again(ds)) == [*start]
    assert "new" not in ds
    ds.append(row(3))
    ds.flush()
    assert numbers(again(ds)) == [*start, 3]


def test_one_commit_for_a_block():
    ds = create()
    before = ds._session.manifest.commit.number
    with ds, ds:
        for number in range(30):
            ds.append(row(number))
            ds.flush()
    assert ds._session.manifest.commit.number == before + 1
    assert numbers(again(ds)) == [*range(30)]
