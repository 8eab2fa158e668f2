"""Samples between functions of a pipeline read like samples of tensors."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.computing.inputs import Digest, described
from hubzarr.computing.rows import RowValues, ValueOf
from hubzarr.errors import NotFoundError
from hubzarr.media import Sample


def test_values():
    picture = np.arange(24, dtype="uint8").reshape(2, 4, 3)
    file = Sample(Sample(array=picture).encoded("png"))
    value = ValueOf(file)
    assert (value.shape, value.dtype, len(value)) == ((2, 4, 3), np.dtype("uint8"), 2)
    assert np.array_equal(value.numpy(), picture)
    assert np.array_equal(value[0], picture[0])
    assert np.array_equal(np.asarray(value), picture)
    assert value.numpy(aslist=True)[0].shape == (2, 4, 3)
    assert ValueOf("cat").text() == "cat"
    assert ValueOf("cat").data() == {"value": "cat"}
    assert ValueOf({"a": 1}).dict() == {"a": 1}
    assert ValueOf([1, [2]]).list() == [1, [2]]
    assert ValueOf([1, [2]]).numpy().dtype == object
    assert ValueOf([1, 2]).dtype.kind == "i"
    assert ValueOf(3.5).text() == "3.5"


def test_rows():
    row = RowValues({"a": 1, "g/b": 2, "g/h/c": 3})
    assert row.g.h.c.values() == 3
    assert list(row) == ["a", "g/b", "g/h/c"]
    assert list(row.g) == ["b", "h/c"]
    assert row.g.tensors["b"].values() == 2
    assert "g/b" in row
    assert "b" not in row
    with pytest.raises(NotFoundError, match="did you mean 'a'"):
        row["aa"]
    with pytest.raises(AttributeError):
        _ = row.x
    assert not hasattr(row, "_x")


def test_digests_tell_inputs_apart():
    def of(*items):
        digest = Digest()
        digest.add(items)
        return str(digest)

    assert of("a", "b") == of("a", "b")
    assert len({of("a", "b"), of("b", "a"), of("ab"), of(b"a", "b"), of(1, 2), of("1", "2")}) == 6
    assert described(hub.read("a.jpg")) != described(hub.read("b.jpg"))
    assert described(object()) == described(object())
    assert described((1, {"a": None})) == "[1, {'a': None}]"
