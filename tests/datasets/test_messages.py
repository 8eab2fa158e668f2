"""Errors say what was wrong, what was expected and what to do, and change nothing."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import (
    ClosedError,
    ExistsError,
    HubzarrError,
    InvalidError,
    InvalidNameError,
    InvalidTypeError,
    NotFoundError,
    OutOfBoundsError,
    ReadOnlyError,
    SampleError,
)
from tests.datasets.support import again, by_hand, create, fresh_url, numbers, row


@pytest.fixture
def ds():
    made = by_hand(hub.empty(fresh_url()))
    made.create_tensor("images", htype="image", sample_compression="png")
    made.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    made.create_tensor("boxes/left", htype="bbox")
    made.create_tensor("words", htype="text")
    made.create_tensor("numbers")
    made.extend(
        {
            "images": [np.zeros((4, 5, 3), "u1"), np.zeros((6, 5, 3), "u1")],
            "labels": ["cat", "dog"],
            "boxes/left": [[[1, 2, 3, 4]], []],
            "words": ["one", "two"],
            "numbers": [[1, 2], [3, 4]],
        }
    )
    made.commit("two rows")
    return made


CASES = {
    "a name": (lambda ds: ds["imges"], NotFoundError, "did you mean 'images'"),
    "an attribute": (lambda ds: ds.imges, AttributeError, "did you mean 'images'"),
    "a name in a row": (lambda ds: ds.append({"lables": 1}), NotFoundError, "mean 'labels'"),
    "a name in a group": (lambda ds: ds["boxes/lft"], NotFoundError, "boxes/left"),
    "a group": (lambda ds: ds.delete_group("boxs"), NotFoundError, "mean 'boxes'"),
    "delete": (lambda ds: ds.delete_tensor("word"), NotFoundError, "mean 'words'"),
    "half a row": (lambda ds: ds.append({"labels": 1}), InvalidError, "append_empty=True"),
    "no row": (lambda ds: ds.append({}), InvalidError, "name at least one"),
    "a list as a row": (lambda ds: ds.append([1]), InvalidError, "mapping"),
    "no columns": (lambda ds: ds.extend([{"labels": 1}]), InvalidError, "mapping"),
    "lengths": (
        lambda ds: ds.extend({"labels": [1], "words": ["a", "b"]}, skip_ok=True),
        InvalidError,
        "labels: 1, words: 2",
    ),
    "a string of samples": (lambda ds: ds.words.extend("abc"), SampleError, "append"),
    "a number of samples": (lambda ds: ds.numbers.extend(3), SampleError, "append"),
    "a path": (lambda ds: ds.images.append("cat.png"), SampleError, r"hub\.read"),
    "no file": (lambda ds: ds.images.append(hub.read("no.png")), SampleError, "no such file"),
    "a class": (lambda ds: ds.labels.append("cow"), SampleError, "'cow'.*cat"),
    "a class number": (lambda ds: ds.labels.append(7), SampleError, "7"),
    "boxes": (lambda ds: ds["boxes/left"].append([1, 2, 3]), SampleError, r"of boxes, 4\)"),
    "text": (lambda ds: ds.words.append(3), SampleError, r"str\(value\)"),
    "fractions": (lambda ds: ds.numbers.append([0.5, 1]), SampleError, "float64"),
    "more axes": (lambda ds: ds.numbers.append([[1, 2]]), SampleError, "another tensor"),
    "a shape": (lambda ds: ds.images.append(np.zeros(3, "u1")), SampleError, r"height, width"),
    "taken": (lambda ds: ds.create_tensor("words"), ExistsError, "exist_ok=True"),
    "in a tensor": (lambda ds: ds.create_tensor("words/a"), ExistsError, "'words' is a tensor"),
    "a group's name": (lambda ds: ds.create_tensor("boxes"), ExistsError, "group"),
    "rename": (lambda ds: ds.rename_tensor("words", "labels"), ExistsError, "labels"),
    "no name": (lambda ds: ds.create_tensor(""), InvalidNameError, "needs a name"),
    "a bad name": (lambda ds: ds.create_tensor("a?"), InvalidNameError, "leave out"),
    "an htype": (lambda ds: ds.create_tensor("a", htype="imge"), InvalidError, "mean 'image'"),
    "a codec": (lambda ds: ds.create_tensor("a", sample_compression="png8"), InvalidError, "png"),
    "an option": (lambda ds: ds.create_tensor("a", class_name=["x"]), InvalidError, "class_name"),
    "statistics": (
        lambda ds: ds.create_tensor("a", htype="text", statistics=True), InvalidError, "pixels",
    ),
    "a row": (lambda ds: ds[2], OutOfBoundsError, "2 rows"),
    "a sample": (lambda ds: ds.words[-3], OutOfBoundsError, "2 rows"),
    "a mask": (lambda ds: ds.words[[True]], OutOfBoundsError, "mask of 1"),
    "a float": (lambda ds: ds.words[0.5], InvalidTypeError, "selected by"),
    "a bool": (lambda ds: ds.words[True], InvalidTypeError, "can't be selected"),
    "a key": (lambda ds: ds[0]["words", "labels"], InvalidTypeError, "one name"),
    "two rows": (lambda ds: ds[0][0], InvalidError, r"ds\[3\]\.images"),
    "an update": (lambda ds: ds.update({"words": "a"}), InvalidError, "select them first"),
    "many values": (lambda ds: ds.words.__setitem__(slice(2), ["a"]), InvalidError, "1 samples"),
    "a part": (
        lambda ds: ds.images[0].__setitem__((0, 0), [1, 2]), HubzarrError, "broadcast|shape",
    ),
    "pop": (lambda ds: ds.pop(5), OutOfBoundsError, "2 rows"),
    "append to some": (lambda ds: ds.words[:1].append("a"), InvalidError, "whole tensor"),
    "one array": (lambda ds: ds.images.numpy(), InvalidError, "aslist=True"),
    "an array": (lambda ds: ds.images.array, InvalidError, "not rows of one array"),
    "names of numbers": (lambda ds: ds.numbers.text(), InvalidError, "'generic'"),
    "an object": (lambda ds: ds.words.dict(), InvalidError, "needs json"),
    "bytes of many": (lambda ds: ds.words.tobytes(), InvalidError, "select it first"),
    "nothing changed": (lambda ds: ds.commit("again"), InvalidError, "allow_empty=True"),
    "a version": (lambda ds: ds.checkout("dve"), NotFoundError, "main"),
    "a merge": (lambda ds: ds.merge("dve"), NotFoundError, "main"),
    "a point": (lambda ds: ds.at(99), NotFoundError, "99"),
    "a split": (lambda ds: ds.random_split([1, 2]), InvalidError, "add up to 3"),
    "weights": (lambda ds: ds.sample_by([1]), InvalidError, "2 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_mistakes(ds, case):
    act, error, words = CASES[case]
    before = {name: tensor.values() for name, tensor in ds.tensors.items()}
    with pytest.raises(error, match=f"(?s){words}"):
        act(ds)
    assert list(ds.tensors) == list(before)
    for name, samples in before.items():
        found = ds[name].values()
        assert len(found) == len(samples)
        assert all(map(np.array_equal, found, samples))
    ds.words[0] = "still"
    ds.commit("still works")
    assert again(ds).words.text() == ["still", "two"]


def test_rows_that_went():
    ds = create(numbers=range(5))
    view, sample = ds[3:], ds.text[4]
    ds.pop([0, 1])
    for read in (view.text.values, view.ragged.numpy, view.uniform.numpy, sample.values):
        with pytest.raises(OutOfBoundsError, match="3 rows by now"):
            read()
    with pytest.raises(OutOfBoundsError, match="3 rows"):
        view.text[1:] = "gone"
    with pytest.raises(OutOfBoundsError):
        view[1].update(row(9))
    assert numbers(ds) == [2, 3, 4]


def test_a_tensor_that_went():
    ds = create(numbers=range(2))
    text = ds.text
    ds.delete_tensor("text")
    with pytest.raises(NotFoundError, match="'text'"):
        text.values()
    with pytest.raises(NotFoundError, match="'text'"):
        text.append("a")


def test_handles_that_only_read():
    ds = create(numbers=range(2))
    old = ds.at(ds.log()[0].number)
    for act in (
        lambda: old.append(row(3)),
        lambda: old[0].update(row(3)),
        lambda: old.text.append("a"),
        lambda: old.pop(0),
        lambda: old.create_tensor("new"),
        lambda: old.text.clear(),
        lambda: old.delete_tensor("text"),
        lambda: old.rename_tensor("text", "words"),
    ):
        with pytest.raises(ReadOnlyError, match="r\\+"):
            act()
    assert numbers(old) == [0, 1]


def test_closed_handles():
    ds = create(numbers=range(2))
    ds.close()
    for act in (lambda: ds.append(row(3)), lambda: ds.text.values(), lambda: ds.text.append("a")):
        with pytest.raises(ClosedError, match="load it again"):
            act()
