"""Columns guessed from values, and names that tensors may have."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import SampleError
from hubzarr.htypes import prepare, restore, tensor_spec
from hubzarr.ingesting.columns import REQUIRED, as_json, clean_names, guess
from hubzarr.names import check_segment

NUMBERS = st.integers(-(2**62), 2**62)
KINDS = [
    st.booleans(),
    NUMBERS,
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=20),
    st.lists(NUMBERS, max_size=4),
    st.lists(st.text(max_size=4), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(-9, 9) | st.none(), max_size=3),
]


def same(found, value):
    if isinstance(found, np.ndarray) and isinstance(value, bytes):
        return bytes(found) == value
    if isinstance(value, list):
        return list(found) == value
    if isinstance(found, str) and isinstance(value, bytes):
        return found.encode() == value
    return found == value


@given(st.data(), st.sampled_from(KINDS))
def test_values_are_kept(data, kind):
    values = data.draw(st.lists(kind, min_size=1, max_size=6))
    field = pickle.loads(pickle.dumps(guess("x", values)))
    spec, info = tensor_spec(**field.column.options)
    for value in values:
        converted = field.convert(value)
        prepared = prepare(spec, converted, info)
        assert same(restore(spec, prepared.data, prepared.shape), value)


@pytest.mark.parametrize(
    ("values", "htype", "dtype"),
    [
        ([1, 2.5], "generic", "float64"),
        ([np.float32(1), np.float32(2)], "generic", "float32"),
        ([np.zeros(2, "u1"), np.zeros((3,), "i2")], "generic", "int16"),
        ([[[1, 2]], [[3, 4], [5, 6]]], "generic", "int64"),
        ([[[1, 2], [3]]], "json", None),
        ([True, None], "json", None),
        ([2**70], "json", None),
        ([np.datetime64("2026-01-31", "D")], "generic", "datetime64[D]"),
        ([[b"\0\1"], [b"\2", b""]], "sequence[generic]", "uint8"),
        ([[b"a"], [b"b", b"c"]], "list", None),
        ([None, None], "json", None),
        ([{"a": 1}, 3], "json", None),
    ],
)
def test_kinds(values, htype, dtype):
    options = guess("x", values).column.options
    assert options["htype"] == htype
    assert options.get("dtype") == dtype
    tensor_spec(**options)


def test_labels():
    assert guess("label", [0, 5]).column.options == {"htype": "class_label"}
    assert guess("objects/labels", [[0, 5], []]).column.options == {"htype": "class_label"}
    assert guess("label", [-1, 5]).column.options["htype"] == "generic"
    assert guess("label", [0, 10**9]).column.options["htype"] == "generic"
    assert guess("age", [0, 5]).column.options["htype"] == "generic"


def test_what_does_not_suit_is_told():
    number = guess("n", [1, 2])
    assert number.missing is REQUIRED
    assert pickle.loads(pickle.dumps(number)).missing is REQUIRED
    for value in (None, 1.5, "x", [1]):
        with pytest.raises(SampleError, match="'n'"):
            number.convert(value, "a.file, row 7")
    with pytest.raises(SampleError, match="'t'"):
        guess("t", ["a"]).convert(b"\xff")
    with pytest.raises(SampleError, match="exactly"):
        guess("x", [1, None]).convert(2**53 + 1)
    with pytest.raises(SampleError, match="'label'"):
        guess("label", [1]).convert(-1)


@given(st.lists(st.text(max_size=30), unique=True, max_size=8))
def test_names_are_good_and_differ(keys):
    names = clean_names(keys)
    assert list(names) == keys
    assert len(set(names.values())) == len(keys)
    parts = set()
    for name in names.values():
        for part in name.split("/"):
            check_segment(part)
        parts |= {name[:at] for at, character in enumerate(name) if character == "/"}
    assert not parts & set(names.values())  # no tensor is named like a group


JSONABLE = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(JSONABLE)
def test_json_takes_all(value):
    json.dumps(as_json(value), allow_nan=False)
