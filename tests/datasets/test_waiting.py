"""Rows that wait to be stored are never seen to wait."""

from __future__ import annotations

import contextlib
import os
import pickle

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, SampleError, StorageError
from hubzarr.media import Sample
from tests.datasets.support import by_hand


@pytest.fixture
def ds(tmp_path):
    made = by_hand(hub.empty(str(tmp_path / "rows")))
    made.create_tensor("images", htype="image", sample_compression="png")
    made.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    made.create_tensor("boxes", htype="bbox")
    return made


def picture(value):
    return Sample(Sample(array=np.full((2, 3, 3), value, "u1")).encoded("png"))


def row(number):
    return {
        "images": picture(number), "labels": number % 2,
        "boxes": np.full((number % 3, 4), number, "f4"),
    }  # fmt: skip


def fill(ds, count):
    for number in range(count):
        ds.append(row(number))


def check(ds, count):
    assert len(ds) == count
    assert [int(image[0, 0, 0]) for image in ds.images.numpy(aslist=True)] == list(range(count))
    assert ds.labels.numpy().reshape(-1).tolist() == [number % 2 for number in range(count)]
    for number, boxes in enumerate(ds.boxes.numpy(aslist=True)):
        np.testing.assert_array_equal(boxes, row(number)["boxes"])


def test_rows_wait_and_all_see_them(ds):
    fill(ds, 5)
    assert ds._session.waiting is not None
    check(ds, 5)
    assert ds._session.waiting is None


def test_more_rows_than_may_wait(ds, monkeypatch):
    monkeypatch.setattr("hubzarr.datasets.waiting._ROWS", 7)
    fill(ds, 50)
    check(ds, 50)


def test_more_bytes_than_may_wait(ds, monkeypatch):
    monkeypatch.setattr("hubzarr.datasets.waiting._BYTES", 500)
    fill(ds, 50)
    check(ds, 50)


def test_they_are_committed(ds, tmp_path):
    fill(ds, 4)
    assert ds.has_head_changes
    ds.commit("four")
    check(hub.load(str(tmp_path / "rows"), mode="r"), 4)


def test_they_are_committed_when_it_is_closed(ds, tmp_path):
    fill(ds, 4)
    ds.close()
    check(hub.load(str(tmp_path / "rows"), mode="r"), 4)


def test_they_are_dropped_with_all_else(ds):
    fill(ds, 2)
    ds.commit("two")
    for number in range(2, 6):
        ds.append(row(number))
    ds.discard()
    check(ds, 2)
    with contextlib.suppress(SampleError), ds:
        ds.append(row(2))
        ds.append(row(3))
        ds.append(row(4) | {"labels": "cow"})
    check(ds, 2)


def test_a_transaction_has_them(ds):
    with ds:
        fill(ds, 6)
    check(ds, 6)
    assert len(ds.log()) <= 2


def test_a_pickled_dataset_has_them(ds):
    fill(ds, 3)
    check(pickle.loads(pickle.dumps(ds)), 3)


def test_what_does_not_fit_changes_nothing(ds):
    fill(ds, 3)
    for wrong in (
        row(3) | {"labels": 7}, row(3) | {"boxes": [1, 2, 3]}, row(3) | {"images": Sample(b"no")}
    ):  # fmt: skip
        with pytest.raises(SampleError):
            ds.append(wrong)
    with pytest.raises(InvalidError, match="boxes"):
        ds.append({"images": picture(3), "labels": 1})
    check(ds, 3)
    ds.append(row(3))
    check(ds, 4)


def test_names_of_classes(tmp_path):
    ds = hub.empty(str(tmp_path / "names"))
    ds.create_tensor("labels", htype="class_label", class_names=["cat"], unknown="extend")
    for name in ("cat", "cat", "dog", "cat", "cow", "dog"):
        ds.append({"labels": name})
    assert ds.labels.text() == ["cat", "cat", "dog", "cat", "cow", "dog"]
    assert ds.labels.info.class_names == ["cat", "dog", "cow"]


def test_values_of_other_kinds(ds):
    fill(ds, 2)
    ds.append(row(2) | {"labels": "cat"})
    ds.append(row(3) | {"images": np.full((2, 3, 3), 3, "u1"), "labels": np.int8(1)})
    check(ds, 4)
    ds.append(row(4) | {"images": None})
    assert ds.images[4].shape == (0, 0, 0)
    assert len(ds) == 5


def test_arrays_are_copied(tmp_path):
    ds = hub.empty(str(tmp_path / "copies"))
    ds.create_tensor("x")
    ds.create_tensor("r", ragged=True)
    x, r = np.zeros(3), np.zeros(2)
    for number in range(4):
        x[:], r[:] = number, number
        ds.append({"x": x, "r": r})
    assert ds.x.numpy()[:, 0].tolist() == [0, 1, 2, 3]
    assert [int(part[0]) for part in ds.r.numpy(aslist=True)] == [0, 1, 2, 3]


def test_a_uniform_tensor_becomes_ragged(tmp_path):
    ds = hub.empty(str(tmp_path / "forms"))
    ds.create_tensor("x")
    for size in (2, 2, 2, 3, 2, 2):
        ds.append({"x": np.arange(size)})
    assert [len(part) for part in ds.x.numpy(aslist=True)] == [2, 2, 2, 3, 2, 2]


def test_tensors_come_and_go(ds):
    fill(ds, 3)
    ds.delete_tensor("boxes")
    ds.append({"images": picture(3), "labels": 1})
    ds.append({"images": picture(4), "labels": 0})
    ds.rename_tensor("labels", "classes")
    ds.append({"images": picture(5), "classes": 1})
    assert len(ds) == 6
    assert ds.classes.numpy().reshape(-1).tolist() == [0, 1, 0, 1, 0, 1]


def test_tensors_of_other_lengths_are_refused(ds):
    fill(ds, 3)
    ds.labels.append(1)
    with pytest.raises(InvalidError, match="differ in length"):
        ds.append(row(3))
    ds.labels.pop()
    ds.append(row(3))
    check(ds, 4)


def test_two_handles_of_one_session(tmp_path):
    ds = hub.empty(str(tmp_path / "groups"))
    group = ds.create_group("more")
    group.create_tensor("x")
    for number in range(6):
        if number % 2:
            group.append({"x": number})
        else:
            ds.append({"more/x": number})
        ds["more"].append({"x": -number})
    assert group.x.numpy().tolist() == [0, 0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5]


def test_two_processes_of_appends_both_survive(ds, tmp_path):
    ds.append(row(0))
    ds.commit("one")
    other = hub.load(str(tmp_path / "rows"))
    ds.append(row(1))
    ds.append(row(2))
    other.append(row(3))
    other.append(row(4))
    ds.commit("mine")
    other.commit("theirs")
    ds.refresh()
    check(ds, 5)


def test_a_full_store_loses_no_row(ds, monkeypatch):
    fill(ds, 3)
    ds.commit("three")
    real = type(ds._session.storage).put

    def full(self, path, data):
        raise StorageError("no space left", path=path)

    ds.append(row(3))
    ds.append(row(4))
    monkeypatch.setattr(type(ds._session.storage), "put", full)
    with pytest.raises(StorageError):
        ds.commit("two more")
    monkeypatch.setattr(type(ds._session.storage), "put", real)
    ds.commit("two more")
    check(ds, 5)


def test_settling_that_fails_keeps_the_rows(ds, monkeypatch):
    fill(ds, 4)
    added = []

    def fails(session, path, entry, values):
        if path == "boxes" and not added:
            added.append(path)
            raise StorageError("no space left", path=path)
        real(session, path, entry, values)

    from hubzarr.datasets import waiting

    real = waiting.add
    monkeypatch.setattr(waiting, "add", fails)
    with pytest.raises(StorageError):
        len(ds)
    check(ds, 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_commit_them(ds, tmp_path):
    fill(ds, 2)
    ds.commit("two")
    ds.append(row(2))
    ds.append(row(3))
    child = os.fork()
    if not child:
        os._exit(0 if len(ds) == 2 and not ds.has_head_changes else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    check(ds, 4)


def test_a_kept_handle_on_the_array_sees_them(tmp_path):
    ds = hub.empty(str(tmp_path / "handles"))
    ds.create_tensor("x")
    for number in range(3):
        ds.append({"x": [number, number]})
    array = ds.x.array
    assert array.shape == (3, 2)
    for number in range(3, 6):
        ds.append({"x": [number, number]})
    assert array.shape == (6, 2)
    assert int(array.sum()) == 30


class _Interrupted(list):
    """Ctrl-C comes when it is appended to."""

    def append(self, value):
        super().append(value)
        raise KeyboardInterrupt


def test_an_interrupt_leaves_whole_rows():
    ds = by_hand(hub.empty("waiting/interrupt"))
    for name in ("a", "b", "c"):
        ds.create_tensor(name, dtype="int64")
    for i in range(3):
        ds.append({"a": i, "b": i, "c": i})
    lanes = ds._waiting._lanes
    assert lanes["a"].values  # rows do wait
    kept = lanes["b"].values
    lanes["b"].values = _Interrupted(kept)
    with pytest.raises(KeyboardInterrupt):
        ds.append({"a": 9, "b": 9, "c": 9})
    lanes["b"].values = list(lanes["b"].values)
    ds.append({"a": 3, "b": 3, "c": 3})
    assert [ds[name].numpy().tolist() for name in "abc"] == [[0, 1, 2, 3]] * 3
