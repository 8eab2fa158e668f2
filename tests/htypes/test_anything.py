"""Whatever is appended to whatever: it is stored, or refused by `SampleError`."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubzarr.errors import InvalidError, SampleError
from hubzarr.htypes import (
    Prepared,
    names,
    new_class_names,
    prepare,
    prepare_many,
    restore,
    settled_by,
    tensor_spec,
)
from hubzarr.media import Link, Sample

_ODD = [
    object(),
    object,
    {1},
    range(3),
    datetime.date(2024, 1, 1),
    ...,
    np.datetime64(1, "s"),
    Link("a.jpg"),
    Sample(b"no file"),
    Sample(array=np.zeros((2, 2), "f4")),
    10**400,
]
_ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.sampled_from(_ODD)
    | hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_side=3, min_side=0))
    | hnp.arrays(object, 2, elements=st.none() | st.integers() | st.text(max_size=2))
)
_ANYTHING = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
_FORMS = ["{}", "sequence[{}]", "link[{}]"]


@pytest.mark.parametrize("name", names())
@given(st.data())
def test_stored_or_refused(name, data):
    htype = data.draw(st.sampled_from(_FORMS)).format(name)
    try:
        spec, info = tensor_spec(htype, chunk_compression="zstd")
    except InvalidError:
        return
    values = data.draw(st.lists(_ANYTHING, min_size=1, max_size=3))
    try:
        spec = settled_by(spec, values)
        info |= {"class_names": new_class_names(spec, values, info)}
        prepared = prepare_many(spec, values, info)
    except SampleError:
        pass
    else:
        assert len(prepared) == len(values)
    for value in values:
        try:
            one = prepare(spec, value, info)
        except SampleError:
            continue
        assert isinstance(one, Prepared)
        assert all(isinstance(n, int) for n in one.shape)
        restore(spec, *one)
