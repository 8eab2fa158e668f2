"""Classes and splits told by folders."""

from __future__ import annotations

from collections import Counter

import pytest

from hubzarr.ingesting.class_folders import Layout, layout_of
from hubzarr.ingesting.splits import in_order, is_split


def layout(*paths: str) -> Layout:
    return layout_of(Counter(path.rpartition("/")[0] for path in paths))


@pytest.mark.parametrize(
    ("paths", "classes", "splits"),
    [
        (["a.wav", "b.wav"], (), ()),
        (["x/cat/a.wav", "x/dog/b.wav"], ("cat", "dog"), ()),
        (["cat/a.wav", "cat/wild/b.wav"], ("wild",), ()),
        (["dog/a.wav", "cat/wild/b.wav"], ("cat/wild", "dog"), ()),
        (["cat/a.wav"], ("cat",), ()),
        (["clips/a.wav"], (), ()),
        (["Photos/a.jpg"], (), ()),
        (["training/velodyne/1.bin", "testing/velodyne/1.bin"], (), ("training", "testing")),
        (["train/a.wav", "test/b.wav"], (), ("train", "test")),
        (["seg_test/sea/a.jpg", "seg_train/sea/b.jpg"], ("sea",), ("seg_train", "seg_test")),
        (["train/cat/a.wav", "train/dog/a.wav"], ("cat", "dog"), ()),
        (["train/cat/a.wav", "dog/a.wav"], ("dog", "train/cat"), ()),
        (["a.wav", "b.wav", "c.wav", "old/d.wav"], (), ()),
        ([], (), ()),
    ],
)
def test_layout(paths, classes, splits):
    made = layout(*paths)
    assert (made.classes, made.splits) == (classes, splits)


def test_rows():
    made = layout("train/cat/a", "train/dog/b", "test/cat/c")
    assert made.row("test/dog/unseen") is None
    assert made.row("test/cat/other") == {"labels": 0, "split": 1}
    assert layout("cat/a", "dog/b", "loose").row("loose") is None
    assert layout("a", "b").row("anywhere/c") == {}


def test_splits_have_an_order():
    names = ["test", "val2017", "extra", "train2017", "Valid", "eval"]
    assert in_order(names) == ["train2017", "val2017", "Valid", "eval", "test", "extra"]
    assert [name for name in names if is_split(name)] == [n for n in names if n != "extra"]
