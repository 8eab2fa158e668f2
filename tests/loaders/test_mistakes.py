"""Mistakes that users make with loaders, and what they are told."""

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, TransformError


@pytest.fixture
def ds():
    made = hub.empty("mistakes/rows")
    made.create_tensor("x", dtype="float32")
    made.create_tensor("notes", htype="json")
    with made:
        for i in range(8):
            made.append({"x": np.full(3, i), "notes": None if i % 2 else {"i": i}})
    return made


def forgets(value):
    """Has no return."""


@pytest.mark.parametrize("transform", [forgets, {"x": forgets}], ids=["sample", "tensor"])
def test_a_transform_that_returns_nothing(ds, transform):
    with pytest.raises(TransformError, match=r"row 0 .* gave None.*is a return missing\?"):
        list(ds.batches(4, transform=transform))
    with pytest.raises(TransformError, match=r"row 0 .* gave None"):
        list(ds.x.batches(4, transform=forgets))


def test_samples_that_are_none_may_stay_so(ds):
    batches = list(ds.batches(4, tensors=["notes"], transform={"notes": lambda note: note}))
    assert batches[0]["notes"] == [{"i": 0}, None, {"i": 2}, None]


def test_a_transform_that_gives_a_tuple(ds):
    with pytest.raises(TransformError, match=r"gave tuple, expected a dict .*form='tuple'"):
        list(ds.batches(4, transform=lambda sample: (sample["x"], 1)))


def test_a_tensor_without_samples_is_named():
    ds = hub.empty("mistakes/short")
    ds.create_tensor("x").extend([1, 2, 3])
    ds.create_tensor("y")
    with pytest.raises(InvalidError, match="tensor 'y' has no samples"):
        ds.batches(2, tensors=["x"])
    assert [batch["x"].tolist() for batch in ds[["x"]].batches(2)] == [[1, 2], [3]]
    assert list(ds[:0].batches(2)) == []
