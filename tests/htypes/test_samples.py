"""What may be appended to tensors of each htype, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hubzarr.errors import DamagedError, SampleError
from hubzarr.htypes import (
    class_numbers,
    frame,
    new_class_names,
    prepare,
    prepare_many,
    restore,
    tensor_spec,
    unframe,
)
from hubzarr.media import Link, Sample, link


def spec_of(htype, **arguments):
    return tensor_spec(htype, **arguments)


class Tensorlike:
    """As PyTorch's tensors that need gradients: they convert after `detach().cpu()` only."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    def cpu(self):
        return self.array


class Arraylike:
    def __array__(self, dtype=None, copy=None):
        return np.arange(3, dtype=dtype)


@pytest.mark.parametrize(
    ("htype", "arguments", "value", "message"),
    [
        ("image", {}, np.zeros(3, "u1"), r"shape \(3,\); expected an image"),
        ("image", {}, np.zeros((2, 2, 2, 2), "u1"), "expected an image"),
        ("image", {}, np.zeros((2, 2), "f4"), r"round\(\)"),
        ("image", {}, [[300]], "value 300 .* from 0 to 255"),
        ("image", {}, [[-1]], "value -1"),
        ("image", {}, link("a.jpg"), r"link\[image\]"),
        ("image", {"sample_compression": "png"}, link("a.jpg"), r"link\[image\]"),
        ("image", {"sample_compression": "png"}, "a.jpg", "hub.read"),
        ("image", {"sample_compression": "png"}, np.zeros((2, 2, 5), "u1"), "can't be a png"),
        ("image.rgb", {}, np.zeros((2, 2, 2), "u1"), "1, 3 or 4 channels"),
        ("class_label", {"class_names": ["cat", "dog"]}, "dgo", "did you mean 'dog'"),
        ("class_label", {"class_names": ["cat", "dog"]}, 2, "has 2 names"),
        ("class_label", {"class_names": ["cat", "dog"]}, [0, 2], "has 2 names"),
        ("class_label", {}, -1, "value -1"),
        ("class_label", {}, 2**40, "value 1099511627776"),
        ("class_label", {}, 1.5, "round"),
        ("class_label", {}, [[1]], "list of class labels"),
        ("tag", {}, [1], "list of strings"),
        ("tag", {}, {"a": 1}, "list of strings"),
        ("bbox", {}, [1, 2, 3], "number of boxes, 4"),
        ("bbox", {}, ["a"], "without loss"),
        ("bbox.3d", {}, [[1, 2, 3, 4]], "3-D boxes"),
        ("binary_mask", {}, [[0, 255]], "from 0 to 1"),
        ("segment_mask", {}, [[0.5]], "round"),
        ("keypoints_coco", {}, [[1], [2]], "keypoints"),
        ("point", {}, [[1, 2, 3, 4]], "points"),
        ("polygon", {}, [[1, 2, 3, 4]], "points"),
        ("polygon", {}, 3, "in place of a list"),
        ("text", {}, 3, "expected a string"),
        ("text", {}, b"abc", r"value.decode\(\)"),
        ("text", {}, "\ud800", "no valid Unicode"),
        ("json", {}, {1: 2}, "expected a string"),
        ("json", {}, [{"a": {2: 1}}], "expected a string"),
        ("json", {}, float("nan"), "put None"),
        ("json", {}, [np.array([np.inf])], "put None"),
        ("json", {}, {1, 2}, "expected dicts"),
        ("json", {}, object(), "expected dicts"),
        ("json", {}, "\ud800", "JSON"),
        ("list", {}, {"a": 1}, "expected a list"),
        ("list", {}, "abc", "expected a list"),
        ("intrinsics", {}, np.eye(4), "3 × 3"),
        ("embedding", {}, [[1, 2]], "vector"),
        ("embedding", {"dtype": "float16"}, [1e6], "too large"),
        ("embedding", {}, [1 + 2j], "value.*real"),
        ("generic", {"dtype": "int8"}, "abc", "without loss"),
        ("generic", {"dtype": "<U3"}, "abcd", "without loss"),
        ("generic", {"dtype": "<M8[s]"}, np.datetime64(1, "ns"), "without loss"),
        ("generic", {"dtype": "int8"}, [[1], [2, 3]], "can't be an array"),
        ("generic", {"dtype": "int8"}, object(), "expected numbers"),
        ("generic", {"dtype": "int8"}, np.ma.array([1], mask=[True]), "filled"),
        ("generic", {"dtype": "bool"}, [2], "from 0 to 1"),
        ("sequence[image]", {}, {"a": 1}, "in place of a list of image"),
        ("sequence[text]", {}, "abc", "in place of a list of text"),
        ("sequence[text]", {}, 3, "in place of a list of text"),
        ("sequence[bbox]", {}, [[1, 2]], "number of boxes, 4"),
        ("link[image]", {}, 3, "expected hub.link"),
        ("link[image]", {}, "", "expected hub.link"),
        ("dicom", {}, np.zeros((2, 2), "i2"), "can't write"),
    ],
)
def test_refused(htype, arguments, value, message):
    spec, info = spec_of(htype, **arguments)
    with pytest.raises(SampleError, match=message):
        prepare(spec, value, info)
    with pytest.raises(SampleError, match=message):
        prepare_many(spec, [value], info)


@pytest.mark.parametrize(
    ("htype", "value", "expected"),
    [
        ("image", np.ones((2, 3), "u1"), np.ones((2, 3, 1), "u1")),
        ("image", [[1, 2]], np.array([[[1], [2]]], "u1")),
        ("image.rgb", np.array([[7]], "u1"), np.full((1, 1, 3), 7, "u1")),
        ("image.rgb", np.array([[[1, 2, 3, 4]]], "u1"), np.array([[[1, 2, 3]]], "u1")),
        ("image.gray", np.array([[[9]]], "u1"), np.array([[9]], "u1")),
        ("image.gray", np.array([[[9, 9, 9, 0]]], "u1"), np.array([[9]], "u1")),
        ("bbox", [1, 2, 3, 4], np.array([[1, 2, 3, 4]], "f4")),
        ("bbox", [], np.zeros((0, 4), "f4")),
        ("bbox", np.array([[1, 2, 3, 4]], "i8"), np.array([[1, 2, 3, 4]], "f4")),
        ("point", (1, 2), np.array([[1, 2]], "i4")),
        ("keypoints_coco", [1, 2, 2], np.array([[1], [2], [2]], "i4")),
        ("binary_mask", np.array([[0, 1]]), np.array([[False, True]])),
        ("embedding", Tensorlike(np.arange(2.0)), np.array([0, 1], "f4")),
        ("embedding", Arraylike(), np.array([0, 1, 2], "f4")),
        ("embedding", np.array([np.inf, np.nan]), np.array([np.inf, np.nan], "f4")),
        ("class_label", np.int64(3), np.array(3, "u4")),
        ("class_label", True, np.array(1, "u4")),
        ("tag", "red", ["red"]),
        ("tag", np.array(["red", "big"]), ["red", "big"]),
        ("list", (1, (2, 3)), [1, [2, 3]]),
        ("list", np.eye(2, dtype=int), [[1, 0], [0, 1]]),
        ("json", {"a": np.float32(0.5), "b": np.arange(2)}, {"a": 0.5, "b": [0, 1]}),
        ("json", [np.True_, np.int8(-1)], [True, -1]),
        ("json", None, None),
        ("text", np.str_("hello"), "hello"),
        ("text", np.array("hello"), "hello"),
        ("link[image]", "s3://bucket/cat.jpg", Link("s3://bucket/cat.jpg")),
        ("sequence[class_label]", [1, 2], [np.array(1, "u4"), np.array(2, "u4")]),
        ("polygon", np.zeros((2, 3, 2)), [np.zeros((3, 2), "f4")] * 2),
    ],
)  # fmt: skip
def test_accepted(htype, value, expected):
    spec, info = spec_of(htype)
    for prepared in (prepare(spec, value, info), *_many(spec, value, info)):
        back = restore(spec, *prepared)
        if isinstance(expected, np.ndarray):
            assert back.dtype == expected.dtype
            assert back.shape == expected.shape == prepared[1]
            np.testing.assert_array_equal(back, expected)
        elif isinstance(expected, list) and isinstance(expected[0], np.ndarray):
            for a, b in zip(back, expected, strict=True):
                np.testing.assert_array_equal(a, b, strict=True)
        else:
            assert back == expected
            assert type(back) is type(expected)


def _many(spec, value, info):
    many = prepare_many(spec, [value, value], info)
    return [(np.asarray(m), m.shape) for m in many] if isinstance(many, np.ndarray) else many


def test_labels_by_name():
    spec, info = spec_of("class_label", class_names=["cat", "dog"])
    assert prepare(spec, "dog", info).data == 1
    assert prepare(spec, ["dog", "cat"], info).data.tolist() == [1, 0]
    assert prepare(spec, ["dog", 0], info).data.tolist() == [1, 0]
    assert prepare_many(spec, ["dog", "cat"], info).tolist() == [1, 0]
    assert prepare_many(spec, np.array(["dog", "cat"]), info).tolist() == [1, 0]
    ragged = prepare_many(spec, [["dog"], ["cat", "dog"], []], info)
    assert [p.data.tolist() for p in ragged] == [[1], [0, 1], []]
    mixed = prepare_many(spec, ["dog", 0], info)
    assert [int(p.data) for p in mixed] == [1, 0]
    with pytest.raises(SampleError, match="no class 'cow'"):
        prepare_many(spec, ["dog", "cow"], info)
    with pytest.raises(SampleError, match="has 2 names"):
        prepare_many(spec, [0, 5], info)
    sequences, info = spec_of("sequence[class_label]", class_names=["cat", "dog"])
    assert restore(sequences, *prepare(sequences, ["dog", ["cat"]], info)) == [1, [0]]


def test_new_names_of_classes():
    spec, info = spec_of("class_label")
    assert new_class_names(spec, ["b", "a", "b", 3, ["c"]], info) == ["b", "a", "c"]
    assert new_class_names(spec, np.array(["b", "a"]), {"class_names": ["a"]}) == ["b"]
    assert new_class_names(spec, np.arange(3), info) == []
    closed, info = spec_of("class_label", class_names=["a"])
    assert new_class_names(closed, ["b"], info) == []
    assert new_class_names(spec_of("text")[0], ["b"], {}) == []
    sequences, info = spec_of("sequence[class_label]")
    assert new_class_names(sequences, [["x", "y"], ["x"]], info) == ["x", "y"]


def test_class_numbers():
    numbers, new = class_numbers(["b", "c", 0], ["a", "b"], extend=True)
    assert (numbers.tolist(), new) == ([1, 2, 0], ["c"])
    assert class_numbers([], ["a"])[0].shape == (0,)
    with pytest.raises(SampleError, match="name or number"):
        class_numbers([1.5], ["a"])
    with pytest.raises(SampleError, match="twice"):
        class_numbers(["a"], ["a", "a"])


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"name": ["a", "b", "a"], "number": [1.0, 2.0, 3.0]})
    spec, info = spec_of("class_label", class_names=["a", "b"])
    assert prepare_many(spec, frame["name"], info).tolist() == [0, 1, 0]
    assert prepare_many(spec, frame["name"].astype("category"), info).tolist() == [0, 1, 0]
    spec, info = spec_of("generic", dtype="float32")
    assert prepare_many(spec, frame["number"], info).dtype == np.float32
    spec, info = spec_of("text")
    assert [p.data for p in prepare_many(spec, frame["name"], info)] == [b"a", b"b", b"a"]


@pytest.mark.parametrize(
    ("htype", "values", "shape"),
    [
        ("class_label", np.arange(3), (3,)),
        ("class_label", [1, 2], (2,)),
        ("generic", [1, 2.5], (2,)),
        ("bbox", np.zeros((5, 2, 4)), (5, 2, 4)),
        ("bbox", [[1, 2, 3, 4]] * 3, (3, 1, 4)),
        ("embedding", [[1.0, 2.0]] * 4, (4, 2)),
        ("embedding", [np.zeros(3)] * 4, (4, 3)),
        ("embedding", Tensorlike(np.zeros((4, 3))), None),
        ("image", np.zeros((5, 2, 3), "u1"), (5, 2, 3, 1)),
        ("image.rgb", np.zeros((5, 2, 3, 3), "u1"), (5, 2, 3, 3)),
        ("image.gray", np.zeros((5, 2, 3), "u1"), (5, 2, 3)),
        ("binary_mask", np.zeros((5, 2, 3), int), (5, 2, 3)),
    ],
)
def test_uniform_batches_are_one_array(htype, values, shape):
    spec, info = spec_of(htype)
    if shape is None:
        values, shape = values.array, values.array.shape
    many = prepare_many(spec, values, info)
    assert isinstance(many, np.ndarray)
    assert many.shape == shape
    assert spec.numpy_dtype in (None, many.dtype)


def test_batches_that_convert_colours():
    spec, info = spec_of("image.gray")
    many = prepare_many(spec, np.full((2, 4, 5, 3), 9, "u1"), info)
    assert [p.shape for p in many] == [(4, 5), (4, 5)]
    spec, info = spec_of("image.rgb")
    many = prepare_many(spec, np.full((2, 4, 5), 9, "u1"), info)
    assert [p.shape for p in many] == [(4, 5, 3), (4, 5, 3)]


def test_a_string_is_no_batch():
    for htype in ("text", "link[image]", "json", "class_label"):
        spec, info = spec_of(htype)
        with pytest.raises(SampleError, match="list"):
            prepare_many(spec, "abc", info)


def test_errors_in_batches_say_which_sample():
    spec, info = spec_of("text")
    with pytest.raises(SampleError) as caught:
        prepare_many(spec, ["a", "b", 3], info)
    assert caught.value.index == 2


def test_gray_as_pillow_makes_it():
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), "u1")
    spec, info = spec_of("image.gray")
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(prepare(spec, colours, info).data, expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16"])
def test_images_of_pillow(mode):
    image = Image.new(mode, (4, 3))
    for compression in (None, "png"):
        dtype = "uint16" if mode == "I;16" else "uint8"
        spec, info = spec_of("image", sample_compression=compression, dtype=dtype)
        prepared = prepare(spec, image, info)
        assert prepared.shape[:2] == (3, 4)
        assert restore(spec, *prepared).shape == prepared.shape


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x01",
        b"\x02" + bytes(7),
        b"\x01\x00\x01" + bytes(5),
        bytes([1, 255, 0, 0, 255, 255, 255, 255]),
        frame([b"abc"], [(3,)])[:-1],
        frame([b"abc"], [(3,)]) + b"x",
        frame([b"abc"], [(3,)])[:15],
    ],
)
def test_damaged_sequences(packed):
    with pytest.raises(DamagedError):
        unframe(packed)


def test_damaged_bytes():
    text, _ = spec_of("text")
    with pytest.raises(DamagedError, match="UTF-8"):
        restore(text, b"\xff", ())
    json, _ = spec_of("json")
    with pytest.raises(DamagedError, match="JSON"):
        restore(json, b"{", ())
    polygon, _ = spec_of("polygon")
    with pytest.raises(DamagedError, match="shape"):
        restore(polygon, frame([b"abc"], [(3, 2)]), (1, 3, 2))


def test_a_broken_file_is_named():
    spec, info = spec_of("image", sample_compression="png")
    for data in (b"", b"garbage"):
        with pytest.raises(SampleError, match=r"cat\.png") as caught:
            prepare(spec, Sample(data, path="cat.png"), info)
        assert caught.value.path == "cat.png"
    deep = Sample(Sample(array=np.zeros((2, 2), "u2")).encoded("png"), path="deep.png")
    with pytest.raises(SampleError, match=r"deep\.png: .*dtype='uint16'"):
        prepare(spec, deep, info)
