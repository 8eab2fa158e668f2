"""Samples of the datasets in data/, which Deep Lake 3.9.52 and Hub 2.8.5 wrote.

`data/make_hub.py` wrote them with that software; tests read them and compare with these.
"""

from __future__ import annotations

import numpy as np

ROWS = 6
NAMES = ["cat", "dog", "owl"]


def picture(row, channels=3):
    """A small picture whose size changes from row to row."""
    shape = (4 + row, 5, channels)
    return (np.arange(np.prod(shape)).reshape(shape) * 7 + row).astype(np.uint8)


def large(row):
    """An array that is cut into tiles in one row."""
    shape = (80, 90) if row == 2 else (3, 4)
    return (np.arange(np.prod(shape)).reshape(shape) % 11 + row).astype(np.float64)


def samples():
    """Options of each tensor and its samples."""
    rows = range(ROWS)
    return {
        "png": ({"htype": "image", "sample_compression": "png"}, [picture(i) for i in rows]),
        "grey": ({"htype": "image", "sample_compression": "png"}, [picture(i, 1) for i in rows]),
        "strip": ({"htype": "image", "chunk_compression": "png"}, [picture(i) for i in rows]),
        "lz4": ({"htype": "image", "sample_compression": "lz4"}, [picture(i) for i in rows]),
        "lz4s": ({"htype": "image", "chunk_compression": "lz4"}, [picture(i) for i in rows]),
        "labels": (
            {"htype": "class_label", "class_names": NAMES},
            [np.arange(i % 3, dtype=np.uint32) for i in rows],
        ),
        "label": (
            {"htype": "class_label", "class_names": NAMES},
            [np.array([i % 3], np.uint32) for i in rows],
        ),
        "boxes": (
            {"htype": "bbox", "coords": {"type": "pixel", "mode": "LTWH"}},
            [np.full((i % 3, 4), i / 2, np.float32) for i in rows],
        ),
        "fixed": ({"dtype": "float64"}, [np.full((3, 4), i / 4) for i in rows]),
        "ragged": ({"dtype": "int64"}, [np.arange(i) for i in rows]),
        "scalar": ({"dtype": "int16"}, [np.array([i - 3], np.int16) for i in rows]),
        "text": ({"htype": "text"}, ["", "héllo", "b", "c" * 40, "d", "e"]),
        "texts": ({"htype": "text", "chunk_compression": "lz4"}, list("abcdef")),
        "json": ({"htype": "json"}, [{"row": i, "list": [1, None, "x"]} for i in rows]),
        "list": ({"htype": "list"}, [[1, "a"] * i for i in rows]),
        "mask": (
            {"htype": "binary_mask", "sample_compression": "lz4"},
            [picture(i, 2) % 2 == 1 for i in rows],
        ),
        "group/inner/x": ({"dtype": "float32"}, [np.array([i], np.float32) for i in rows]),
        "sequence": (
            {"htype": "sequence[image]", "sample_compression": "png"},
            [[picture(i) for i in range(count % 3)] for count in rows],
        ),
        "large": ({"dtype": "float64"}, [large(i) for i in rows]),
    }


def newer_samples():
    """What Hub 2.8 does not have."""
    polygons = [[np.full((3 + j, 2), i, np.float32) for j in range(i)] for i in range(ROWS)]
    return {
        "polygon": ({"htype": "polygon"}, polygons),
        "tag": ({"htype": "tag"}, [["x", "y"], ["z"], [], ["a"], ["b"], ["c"]]),
    }
