"""Samples of every htype, as users give them, with what must come back."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubzarr.media import Link

_TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
_FLOATS = {"allow_nan": True, "width": 32}

json_values = st.recursive(
    _LEAVES | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


def arrays(dtype, *lengths, elements=None):
    """Arrays whose axes have lengths of the given strategies or numbers."""
    shape = st.tuples(*(st.just(n) if isinstance(n, int) else n for n in lengths))
    return shape.flatmap(lambda s: hnp.arrays(dtype, s, elements=elements))


few = st.integers(0, 5)
some = st.integers(1, 6)

# htype: what to append, so that the same comes back
SAMPLES = {
    "generic": hnp.arrays(
        "int16", hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    ),
    "image": arrays("uint8", some, some, st.integers(1, 5)),
    "image.rgb": arrays("uint8", some, some, 3),
    "image.gray": arrays("uint8", some, some),
    "class_label": st.integers(0, 2**32 - 1).map(np.uint32) | arrays("uint32", few),
    "tag": st.lists(_TEXT, max_size=4),
    "bbox": arrays("float32", few, 4),
    "bbox.3d": arrays("float32", few, st.integers(7, 10)) | arrays("float32", few, 8, 3),
    "binary_mask": arrays("bool", some, some) | arrays("bool", some, some, few),
    "segment_mask": arrays("uint32", some, some),
    "instance_label": arrays("uint32", some, some) | st.integers(0, 9).map(np.uint32),
    "keypoints_coco": arrays("int32", few.map(lambda k: 3 * k), few),
    "point": arrays("int32", few, st.integers(2, 3)),
    "polygon": st.lists(arrays("float32", some, st.just(2)), max_size=4),
    "text": _TEXT,
    "json": json_values,
    "list": st.lists(json_values, max_size=4),
    "intrinsics": arrays("float32", 3, 3),
    "embedding": arrays("float32", few),
    "link[image]": _TEXT.filter(bool).map(Link),
}
# Given without compression, which these want.
SAMPLES_OF_FILES = {
    "video": arrays("uint8", few, some, some, 3),
    "audio": arrays("float32", few, st.integers(1, 2)),
    "dicom": arrays("int16", some, some),
    "nifti": arrays("int16", some, some, some),
    "point_cloud": arrays("float64", few, st.integers(3, 5)),
    "mesh": arrays("float64", few, 3),
}


def same(a, b) -> bool:
    """Whether two samples are equal: values, types, shapes; NaN equals NaN."""
    if isinstance(b, list):
        return isinstance(a, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(b, np.ndarray | np.generic):
        b = np.asarray(b)
        return (
            isinstance(a, np.ndarray)
            and a.shape == b.shape
            and a.dtype == b.dtype
            and a.tobytes() == b.tobytes()
        )
    return type(a) is type(b) and a == b
