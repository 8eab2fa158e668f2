"""TFRecord files, against an encoder written by hand and real files."""

from __future__ import annotations

import gzip
import pickle
import struct

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import SampleError
from hubzarr.ingesting import Place
from hubzarr.ingesting import tfrecord as module
from hubzarr.ingesting.tf_example import is_sequence_example, parse_example
from hubzarr.ingesting.tfrecord import matches, open_source
from hubzarr.media import Sample
from tests.ingesting.flat import everything, options, rows, skipped
from tests.realdata import real


def varint(number):
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def feature(values, packed=True):
    if values is None:
        return b""
    if any(isinstance(value, bytes) for value in values):
        return message(1, b"".join(message(1, value) for value in values))
    if any(isinstance(value, float) for value in values):
        numbers = [struct.pack("<f", value) for value in values]
        tag, kind = b"\x0d", 2
    else:
        numbers = [varint(value) for value in values]
        tag, kind = b"\x08", 3
    if packed:
        return message(kind, message(1, b"".join(numbers)) if numbers else b"")
    return message(kind, b"".join(tag + number for number in numbers))


def features(content, packed=True):
    return b"".join(
        message(1, message(1, name.encode()) + message(2, feature(values, packed)))
        for name, values in content.items()
    )


def example(content, packed=True):
    return message(1, features(content, packed))


def sequence(context, lists):
    steps = b"".join(
        message(
            1, message(1, name.encode()) + message(2, b"".join(message(1, feature(s)) for s in v))
        )
        for name, v in lists.items()
    )
    return message(1, features(context)) + message(2, steps)


def masked(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def records(*contents):
    out = b""
    for content in contents:
        head = struct.pack("<Q", len(content))
        out += head + masked(head) + content + masked(content)
    return out


FEATURE = (
    st.lists(st.binary(max_size=5), min_size=1)
    | st.lists(st.floats(width=32, allow_nan=False), min_size=1)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)
    | st.none()
)


@given(st.dictionaries(st.text(max_size=5), FEATURE, max_size=4), st.booleans())
def test_examples_come_back(content, packed):
    found = parse_example(example(content, packed))
    assert found.keys() == content.keys()
    for name, values in content.items():
        if values is None:
            assert found[name] is None
        else:
            assert list(found[name]) == values
            if isinstance(found[name], np.ndarray):
                assert found[name].dtype == ("f4" if isinstance(values[0], float) else "i8")


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(data):
    try:
        parse_example(data)
    except ValueError:
        pass


def test_sequences():
    lists = {"frames": [[b"a"], [b"b"]], "boxes": [[1.0, 2.0], [3.0, 4.0]], "n": [[5], [6], [7]]}
    data = sequence({"id": [3]}, {**lists, "ragged": [[1], [2, 3]]})
    assert is_sequence_example(data)
    found = parse_example(data)
    assert found["frames"] == [[b"a"], [b"b"]]
    assert [step.tolist() for step in found["ragged"]] == [[1], [2, 3]]


@pytest.mark.parametrize("packed", [False, True])
def test_columns(tmp_path, packed):
    file = Sample(array=np.zeros((4, 5, 3), "u1")).encoded("png")
    contents = [
        {"image/encoded": [file], "label": [n], "name": [b"n%d" % n], "x": [n / 2] * n, "s": [0.5]}
        for n in range(1, 4)
    ]
    data = records(*(example(content) for content in contents))
    path = tmp_path / ("a.tfrecord.gz" if packed else "a.tfrecord")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert matches(Place(path))
    source = open_source(Place(path))
    assert options(source) == {
        "image/encoded": {"htype": "image", "sample_compression": "png"},
        "label": {"htype": "class_label"},
        "name": {"htype": "text"},
        "s": {"htype": "generic", "dtype": "float32"},
        "x": {"htype": "generic", "dtype": "float32"},
    }
    found = rows(pickle.loads(pickle.dumps(source)))
    assert [row["label"] for row in found] == [1, 2, 3]
    assert [row["name"] for row in found] == ["n1", "n2", "n3"]
    assert [row["x"].tolist() for row in found] == [[0.5], [1.0, 1.0], [1.5, 1.5, 1.5]]
    assert found[0]["image/encoded"].compressed_bytes == file


def test_sequence_columns(tmp_path):
    made = [
        sequence({"id": [n]}, {"tokens": [[t] for t in range(n)], "boxes": [[1.0, 2.0]] * n})
        for n in (2, 3)
    ]
    (tmp_path / "a.tfrecord").write_bytes(records(*made))
    found = rows(open_source(Place(tmp_path / "a.tfrecord")))
    assert [row["tokens"].tolist() for row in found] == [[0, 1], [0, 1, 2]]
    assert [row["boxes"].shape for row in found] == [(2, 2), (3, 2)]


def test_missing_values(tmp_path):
    contents = [{"n": [1], "t": [b"a"], "l": [1, 2]}, {"n": [], "t": None, "l": []}]
    path = tmp_path / "a.tfrecord"
    path.write_bytes(records(*map(example, contents)))
    found = rows(open_source(Place(path)))
    assert found[0]["n"] == 1.0
    assert np.isnan(found[1]["n"])
    assert found[1]["t"] == ""
    assert found[1]["l"].shape == (0,)
    late = open_source(Place(path), look=1)
    assert "missing" in skipped(late)[0].why
    path.write_bytes(records(*map(example, [{"a": [1]}, {"a": [1], "b": [2]}])))
    assert "look at more" in skipped(open_source(Place(path), look=1))[0].why


def test_units_and_splits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "UNIT_ROWS", 4)
    for split, count in (("val", 3), ("train", 10)):
        made = [example({"n": [n]}) for n in range(count)]
        (tmp_path / f"{split}.tfrecord-00000-of-00001").write_bytes(records(*made))
    source = open_source(Place(tmp_path))
    assert [unit.rows for unit in source.units()] == [4, 4, 2, 3]
    found = rows(source)
    assert [int(row["n"]) for row in found] == [*range(10), *range(3)]
    assert [row["split"] for row in found] == [0] * 10 + [1] * 3


def test_damage(tmp_path):
    made = [example({"n": [n]}) for n in range(5)]
    good = records(*made)
    path = tmp_path / "a.tfrecord"
    each = len(good) // 5
    path.write_bytes(good[: each + 14] + b"\0" + good[each + 15 :])
    found = list(everything(open_source(Place(path))))
    assert [getattr(row, "what", None) for row in found] == [
        None,
        "a.tfrecord, record 1",
        *[None] * 3,
    ]
    path.write_bytes(good[:-3])
    found = list(everything(open_source(Place(path))))
    assert found[4].why == "it is cut off"
    path.write_bytes(good[: 2 * each] + b"\xff" + good[2 * each + 1 :])
    found = list(everything(open_source(Place(path))))
    assert len(found) == 3
    assert "rest of the file" in found[2].why
    path.write_bytes(b"")
    with pytest.raises(SampleError, match="no record"):
        open_source(Place(path))


def test_records_of_other_kinds(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(records(b"\xff\xfe", b"\xff\xfd\xfc"))
    found = rows(open_source(Place(path)))
    assert [bytes(row["records"]) for row in found] == [b"\xff\xfe", b"\xff\xfd\xfc"]


def test_real_detection_data():
    found = rows(open_source(Place(real("tfrecord/detection"))))
    assert [row["image/filename"] for row in found] == ["3.jpg", "1.jpg", "2.jpg"] or len(
        found
    ) == 3
    for row in found:
        picture = row["image/encoded"]
        assert picture.shape[:2] == (row["image/height"], row["image/width"])
        assert row["image/object/class/label"].shape == row["image/object/bbox/xmin"].shape


@pytest.mark.parametrize(
    ("path", "count"),
    [("tfrecord/csv_example_gen", 5091), ("tfrecord/penguin", 334), ("tfrecord/mnist", 1000)],
)
def test_real_files(path, count):
    assert len(rows(open_source(Place(real(path))))) == count
