"""Any functions on any inputs, by any workers, give what a plain loop gives."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.computing.collecting import Names, SampleOut
from hubzarr.errors import InvalidError, InvalidTypeError

shapes = st.tuples(st.integers(0, 3), st.integers(1, 3))
good = st.lists(shapes, max_size=3)
inputs_of_all_kinds = st.lists(good | st.sampled_from(["raises", "unfit"]), max_size=25)


@hub.compute
def arrays(sample_in, sample_out, dtype):
    if sample_in == "raises":
        raise OSError("no such thing")
    if sample_in == "unfit":
        sample_out.append({"ragged": np.zeros((1, 1), dtype), "label": "b", "text": "x"})
        sample_out.append({"ragged": "no array", "label": "a", "text": "y"})
        return
    for number, shape in enumerate(sample_in):
        sample_out.ragged.append(np.full(shape, number, dtype))
        sample_out.label.append("ab"[number % 2])
        sample_out.text.append(str(shape))


@settings(max_examples=40)
@given(
    inputs=inputs_of_all_kinds,
    workers=st.sampled_from([0, 1, 3]),
    interval=st.sampled_from([0, 1, 4]),
    dtype=st.sampled_from(["uint8", "float32", None]),
    unknown=st.sampled_from(["raise", "extend"]),
)
def test_like_a_loop(inputs, workers, interval, dtype, unknown):
    ds = hub.empty("model", overwrite=True)
    ds.create_tensor("ragged", dtype=dtype)
    names = {"class_names": ["a", "b"]} if unknown == "raise" else {}
    ds.create_tensor("label", htype="class_label", unknown=unknown, **names)
    ds.create_tensor("text", htype="text")
    report = arrays(dtype or "float64").eval(
        inputs, ds, workers, checkpoint_interval=interval, ignore_errors=True
    )
    rows = [
        (shape, number, "ab"[number % 2])
        for given in inputs
        if isinstance(given, list)
        for number, shape in enumerate(given)
    ]
    assert report.inputs == len(inputs)
    assert report.rows == len(ds) == len(rows)
    bad = [i for i, given in enumerate(inputs) if isinstance(given, str)]
    assert [skipped.index for skipped in report.skipped] == bad
    found = ds.ragged.numpy(aslist=True)
    for array, (shape, number, _) in zip(found, rows, strict=True):
        assert array.shape == shape
        assert (array == number).all()
        assert array.dtype == np.dtype(dtype or "float64")
    if rows:
        assert ds.label.text() == [label for *_, label in rows]
    assert list(ds["text"].values()) == [str(shape) for shape, *_ in rows]


def test_two_at_the_same_time_stay_aligned():
    @hub.compute
    def pairs(sample_in, sample_out):
        sample_out.append({"x": sample_in, "y": [sample_in] * (sample_in % 3)})

    one = hub.empty("ds")
    for name in ("x", "y"):
        one.create_tensor(name, dtype="int64")
    one.flush()
    handles = [one, hub.load("ds")]
    threads = [
        threading.Thread(target=pairs().eval, args=(range(100), ds, 2), kwargs=options)
        for ds, options in zip(handles, [{}, {"checkpoint_interval": 30}], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ds = hub.load("ds")
    x = ds.x.numpy().tolist()
    assert sorted(x) == sorted([*range(100)] * 2)
    assert [shape[0] for shape in ds.y.shapes()] == [i % 3 for i in x]


# -- sample_out ---------------------------------------------------------------------------


def test_sample_out():
    columns = {}
    names = Names(("x", "g/a", "g/h/b"), ("x",))
    out = SampleOut(columns, names)
    out.g.append({"a": 1, "h/b": 2})
    out.extend({"x": [3, 4], "g/a": (5,)})
    out.g.h["b"].extend(np.arange(2))
    out["/g/h"].b.append(6)
    assert columns == {"x": [3, 4], "g/a": [1, 5], "g/h/b": [2, 0, 1, 6]}
    assert (len(out), len(out.x), len(out.g.a)) == (4, 2, 2)
    assert bool(SampleOut({}, names))
    assert repr(out.g.a) == "SampleOut('g/a', {'g/a': 2, 'g/h/b': 4, 'x': 2})"
    assert not hasattr(out, "z")
    assert not hasattr(out, "_z")
    for wrong in (5, "text", b"bytes", {"a": 1}):
        with pytest.raises(InvalidTypeError, match="a sequence of samples"):
            out.x.extend(wrong)
    for group in (out, out.g):
        with pytest.raises(InvalidError, match="name the tensors"):
            group.append(5)


def test_report():
    @hub.compute
    def never(sample_in, sample_out):
        raise ValueError("never")

    ds = hub.empty("ds")
    ds.create_tensor("x")
    report = never().eval(["a" * 200] * 30, ds, ignore_errors=True)
    text = str(report)
    assert text.startswith("never: 0 rows from 30 inputs in ")
    assert "30 skipped:\n  input 0 ('aaa" in text
    assert "…): ValueError: never" in text
    assert text.endswith("and 10 more")
    assert len(text.splitlines()[1]) < 130
