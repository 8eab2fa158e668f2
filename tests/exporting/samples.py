"""Datasets to export, and what it means that two are the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import hubzarr as hub

CLASSES = ["cat", "dog", 'a "b", c']


def pixels(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="u1")


def everything(name: str = "exports/everything", rows: int = 5) -> hub.Dataset:
    """One tensor of nearly each kind, samples of different shapes, some of them empty."""
    ds = hub.empty(name)
    with ds:
        ds.create_tensor("images", htype="image", sample_compression="png")
        ds.create_tensor("labels", htype="class_label", class_names=CLASSES)
        ds.create_tensor("one", htype="class_label", class_names=["x", "y"])
        ds.create_tensor("caption", htype="text")
        ds.create_tensor("meta", htype="json")
        ds.create_tensor("tags", htype="tag")
        ds.create_tensor("age", dtype="float32")
        ds.create_tensor("count", dtype="int64")
        ds.create_tensor("good", dtype="bool")
        ds.create_tensor("vector", htype="embedding")
        ds.create_tensor("boxes", htype="bbox", coords={"type": "pixel", "mode": "LTRB"})
        ds.create_tensor("objects/labels", htype="class_label", class_names=["a", "b"])
        ds.create_tensor("objects/outlines", htype="polygon")
        ds.create_tensor("series", dtype="int16")
        ds.create_tensor("raw", htype="image", chunk_compression="zstd")
        ds.create_tensor("mask", htype="binary_mask")
        ds.create_tensor("address", htype="link[image]")
        ds.extend(rows_of(rows))
        ds.info["author"] = "somebody"
    return ds


def rows_of(count: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    return {
        "images": [pixels(i, 4 + i, 6, 3) for i in range(count)],
        "labels": [CLASSES[i % 3] for i in range(count)],
        "one": [[i % 2] for i in range(count)],
        "caption": ["", 'quoted, "text"\nüber\tzwei', "x", "007", "null"][:count],
        "meta": [{"i": i, "nested": [None, 1.5]} for i in range(count)],
        "tags": [["t", str(i)][: i % 3] for i in range(count)],
        "age": [i / 3 for i in range(count)],
        "count": [2**53 + 1 + i for i in range(count)],
        "good": [i % 2 == 0 for i in range(count)],
        "vector": [rng.random(4, "f4") for _ in range(count)],
        "boxes": [rng.random((i, 4), "f4") * 4 for i in range(count)],
        "objects/labels": [[j % 2 for j in range(i)] for i in range(count)],
        "objects/outlines": [
            [rng.random((3 + j, 2), "f4") for j in range(i)] for i in range(count)
        ],
        "series": [np.arange(3 * i + 3, dtype="i2").reshape(i + 1, 3) for i in range(count)],
        "raw": [pixels(i, 4, 6, 3) for i in range(count)],
        "mask": [rng.random((4, 5, i + 1)) > 0.5 for i in range(count)],
        "address": [hub.link(f"elsewhere/{i}.png") for i in range(count)],
    }


def value(tensor: Any) -> Any:
    """A sample as something that ``==`` can compare: dtype, shape and values."""
    found = tensor.values()
    return plain(tensor.text() if tensor.htype == "class_label" else found)


def plain(found: Any) -> Any:
    if isinstance(found, np.ndarray | np.generic):
        return str(found.dtype), found.shape, found.tolist()
    if isinstance(found, list):
        return [plain(item) for item in found]
    return found.path if hasattr(found, "path") and not isinstance(found, str) else found


def assert_same(a: hub.DatasetView, b: hub.DatasetView, but: Iterable[str] = ()) -> None:
    """The same rows in the same order, `but` tensors left out."""
    names = [name for name in a.tensors if name not in set(but)]
    assert list(b.tensors) == names
    assert len(a) == len(b)
    for name in names:
        assert a[name].htype == b[name].htype, name
        assert a[name].info.get("class_names") == b[name].info.get("class_names")
        for row in range(len(a)):
            assert value(a[name][row]) == value(b[name][row]), (name, row)
