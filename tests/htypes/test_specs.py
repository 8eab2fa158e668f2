"""Arguments of `create_tensor`: what is possible, what is filled in, what is refused and how."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest

from hubzarr import htypes
from hubzarr.errors import InvalidError, UnsupportedError
from hubzarr.htypes import HTYPES, TensorSpec, describe, settled, tensor_spec
from hubzarr.media import Sample


@pytest.mark.parametrize("name", htypes.names())
@pytest.mark.parametrize("form", ["{}", "sequence[{}]", "link[{}]", "sequence[link[{}]]"])
def test_every_htype_in_every_form(name, form):
    htype = form.format(name)
    chunk = "lz4"
    if "link" in form and HTYPES[name].files is None:
        with pytest.raises(InvalidError, match="are no files"):
            tensor_spec(htype)
        return
    spec, info = tensor_spec(htype, chunk_compression=chunk)
    assert (spec.htype, spec.base, spec.chunk_compression) == (htype, name, chunk)
    assert (spec.is_sequence, spec.is_link) == ("sequence" in form, "link" in form)
    assert spec.stores in ("array", "text", "json", "link", "sequence")
    assert TensorSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    json.dumps(info)
    assert describe(spec)[1:].startswith(f" {htype}")


@pytest.mark.parametrize(
    ("arguments", "dtype", "sample", "chunk", "stores"),
    [
        ({}, None, None, "zstd", "array"),
        ({"htype": None}, None, None, "zstd", "array"),
        ({"dtype": "float32"}, "float32", None, "zstd", "array"),
        ({"dtype": np.int8, "chunk_compression": "gzip:5"}, "int8", None, "gzip:5", "array"),
        ({"dtype": str}, "str", None, "zstd", "text"),
        ({"htype": "image"}, "uint8", None, "zstd", "array"),
        ({"htype": "image", "sample_compression": "jpg"}, "uint8", "jpeg", None, "file"),
        ({"htype": "image", "sample_compression": "lz4"}, "uint8", None, "lz4", "array"),
        ({"htype": "binary_mask", "sample_compression": "lz4"}, "bool", None, "lz4", "array"),
        ({"htype": "text", "chunk_compression": "lz4"}, "str", None, "lz4", "text"),
        ({"htype": "polygon"}, "float32", None, "zstd", "sequence"),
        ({"htype": "link[image]"}, "str", None, "zstd", "link"),
        ({"htype": "sequence"}, None, None, "zstd", "sequence"),
        ({"htype": "segment_mask", "dtype": "uint8"}, "uint8", None, "zstd", "array"),
    ],
)
def test_defaults(arguments, dtype, sample, chunk, stores):
    spec, _ = tensor_spec(**arguments)
    assert spec.dtype == dtype
    assert spec.sample_compression == sample
    assert spec.chunk_compression == chunk
    assert spec.stores == stores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"htype": "imgae"}, "did you mean 'image'"),
        ({"htype": "sequence[image"}, "expected a name"),
        ({"htype": "sequence[sequence[image]]"}, "expected a name"),
        ({"htype": "link[sequence[image]]"}, "expected a name"),
        ({"htype": "image]"}, "expected a name"),
        ({"htype": 3}, "expected its name"),
        ({"htype": "image", "sample_compression": "jpeg", "chunk_compression": "lz4"}, "one of"),
        ({"htype": "image", "sample_compression": "lz4", "chunk_compression": "gzip"}, "one of"),
        ({"htype": "image", "sample_compression": "zip"}, "no sample compression"),
        ({"htype": "image", "sample_compression": 7}, "name of a file format"),
        ({"htype": "image", "chunk_compression": "png"}, "for sample_compression"),
        ({"htype": "image", "chunk_compression": "zstd:99"}, "level"),
        ({"htype": "video"}, "without compression"),
        ({"htype": "video", "sample_compression": "png"}, "expected one of"),
        ({"htype": "bbox", "sample_compression": "png"}, "are no files"),
        ({"htype": "json", "sample_compression": "png"}, "are no files"),
        ({"htype": "link[image]", "sample_compression": "png"}, "leave it out"),
        ({"htype": "image", "dtype": "nonsense"}, "expected a dtype"),
        ({"htype": "image", "dtype": object}, "can't be stored"),
        ({"htype": "json", "dtype": "int32"}, "has no arrays"),
        ({"htype": "class_label", "dtype": "float32"}, "expected one such as uint32"),
        ({"htype": "image", "class_names": ["a"]}, "expected one of encoding"),
        ({"htype": "class_label", "class_names": ["a", "a"]}, "twice"),
        ({"htype": "class_label", "class_names": "ab"}, "expected a list of strings"),
        ({"htype": "class_label", "class_names": [1]}, "expected strings"),
        ({"htype": "class_label", "unknown": "ignore"}, "'extend' or 'raise'"),
        ({"htype": "bbox", "coords": {"mode": "LTRX"}}, "'LTRB'"),
        ({"htype": "bbox", "coords": {"form": "LTRB"}}, "'mode'"),
        ({"htype": "keypoints_coco", "connections": [[1, 2, 3]]}, "pairs"),
        ({"htype": "image", "intrinsics": [[1, 2], [3, 4]]}, "3 × 3"),
        ({"htype": "image", "encoding": 3}, "expected a dict"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(InvalidError, match=message):
        tensor_spec(**arguments)


def test_information():
    names = np.array(["cat", "dog"])
    spec, info = tensor_spec("class_label", class_names=names)
    assert info == {"class_names": ["cat", "dog"]}
    assert not spec.extends
    assert tensor_spec("class_label")[0].extends
    assert tensor_spec("class_label", class_names=names, unknown="extend")[0].extends
    assert tensor_spec("bbox", coords={"type": "pixel", "mode": "LTWH"})[1] == {
        "coords": {"type": "pixel", "mode": "LTWH"}
    }
    assert tensor_spec("bbox")[1] == {"coords": {}}
    _, info = tensor_spec("keypoints_coco", keypoints=["nose"], connections=[(0, 0)])
    assert info == {"keypoints": ["nose"], "connections": [[0, 0]]}
    assert tensor_spec("image", intrinsics=np.eye(3))[1]["intrinsics"][0] == [1.0, 0.0, 0.0]


def test_defaults_are_not_shared():
    tensor_spec("class_label")[1]["class_names"].append("cat")
    assert tensor_spec("class_label")[1] == {"class_names": []}


@pytest.mark.parametrize(
    ("htype", "value", "expected"),
    [
        ("generic", 3, ("generic", "int64")),
        ("generic", True, ("generic", "bool")),
        ("generic", [[1.5]], ("generic", "float64")),
        ("generic", np.zeros(2, "f2"), ("generic", "float16")),
        ("generic", "hello", ("text", "str")),
        ("generic", {"a": 1}, ("json", None)),
        ("generic", Sample(array=np.zeros((2, 2), "u2")), ("generic", "uint16")),
        ("generic", None, ("generic", None)),
        ("sequence[generic]", [1, 2.5], ("sequence[generic]", "float64")),
        ("sequence[generic]", ["a"], ("sequence[text]", "str")),
        ("sequence[generic]", [], ("sequence[generic]", None)),
        ("image", np.zeros((2, 2), "f4"), ("image", "uint8")),
        ("text", "a", ("text", "str")),
    ],
)
def test_first_sample_settles(htype, value, expected):
    spec = settled(tensor_spec(htype, chunk_compression="lz4")[0], value)
    assert (spec.htype, spec.dtype) == expected
    assert spec.chunk_compression == "lz4"


def test_htypes_of_newer_releases():
    with pytest.raises(UnsupportedError, match="newer"):
        TensorSpec.from_json({"htype": "hologram"})


def test_pictures_are_one_column():
    for row in htypes.table():
        assert len(row[0]) == 1
        assert unicodedata.east_asian_width(row[0]) in ("N", "Na", "A"), row
