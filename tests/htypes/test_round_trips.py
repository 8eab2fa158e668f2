"""What `restore` gives is what `prepare` took, for every htype."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hubzarr.htypes import (
    TensorSpec,
    empty,
    frame,
    names,
    prepare,
    prepare_many,
    restore,
    settled,
    tensor_spec,
    unframe,
)
from hubzarr.media import Link, Sample
from tests.htypes.strategies import SAMPLES, SAMPLES_OF_FILES, arrays, same, some

_ALL = SAMPLES | SAMPLES_OF_FILES


def made(htype):
    base = htype.removeprefix("sequence[").removesuffix("]")
    compression = "zstd" if base in SAMPLES_OF_FILES else None
    spec, info = tensor_spec(htype, chunk_compression=compression)
    return spec, info


def there_and_back(spec, value, info):
    spec = settled(spec, value)
    prepared = prepare(spec, value, info)
    assert isinstance(prepared.shape, tuple)
    if spec.stores == "array":
        assert isinstance(prepared.data, np.ndarray)
        assert prepared.data.shape == prepared.shape
        if spec.numpy_dtype is not None:
            assert prepared.data.dtype == spec.numpy_dtype
    else:
        assert isinstance(prepared.data, bytes)
    if spec.ndim is not None:
        assert len(prepared.shape) == spec.ndim
    return restore(spec, *prepared)


def test_every_htype_is_tested():
    assert {h.removeprefix("link[").removesuffix("]") for h in _ALL} >= set(names())


@pytest.mark.parametrize("htype", _ALL)
@given(data=st.data())
def test_one_sample(htype, data):
    spec, info = made(htype)
    value = data.draw(_ALL[htype])
    assert same(there_and_back(spec, value, info), value)


@pytest.mark.parametrize("htype", _ALL)
@given(data=st.data())
def test_sequences(htype, data):
    spec, info = made(f"sequence[{htype}]")
    values = data.draw(st.lists(_ALL[htype], max_size=4))
    back = there_and_back(spec, values, info)
    assert same(back, values)
    prepared = prepare(settled(spec, values), values, info)
    assert prepared.shape[0] == len(values)
    if htype == "image" and values:
        assert prepared.shape[1:] == tuple(np.max([v.shape for v in values], axis=0))


@pytest.mark.parametrize("htype", _ALL)
@given(data=st.data())
def test_many_as_one_by_one(htype, data):
    spec, info = made(htype)
    values = data.draw(st.lists(_ALL[htype], min_size=1, max_size=5))
    spec = settled(spec, values[0])
    many = prepare_many(spec, values, info)
    back = (
        list(many)
        if isinstance(many, np.ndarray)
        else [restore(spec, *prepared) for prepared in many]
    )
    assert same([np.asarray(b) if isinstance(b, np.generic) else b for b in back], values)


@given(arrays("uint8", some, some, st.sampled_from([1, 3, 4])))
def test_arrays_become_files(image):
    spec, info = tensor_spec("image", sample_compression="png")
    prepared = prepare(spec, image, info)
    assert prepared.data.startswith(b"\x89PNG")
    assert prepared.shape == image.shape
    assert same(restore(spec, *prepared), image)
    assert same(np.asarray(Image.open(BytesIO(prepared.data))).reshape(image.shape), image)


@given(st.lists(arrays("uint8", some, some, 3), max_size=3))
def test_sequences_of_files(images):
    spec, info = tensor_spec("sequence[image]", sample_compression="png")
    samples = [Sample(Sample(array=image).encoded("png")) for image in images]
    prepared = prepare(spec, samples, info)
    blobs, shapes = unframe(prepared.data)
    assert blobs == [sample.compressed_bytes for sample in samples]
    assert shapes == [image.shape for image in images]
    assert same(restore(spec, *prepared), images)


def test_sequences_of_links():
    spec, info = tensor_spec("sequence[link[image]]")
    links = [Link("a.jpg"), Link("s3://bucket/b.png")]
    assert there_and_back(spec, links, info) == links


@given(
    st.lists(
        st.binary(max_size=20).flatmap(
            lambda b: st.tuples(
                st.just(b), st.lists(st.integers(0, 2**32 - 2), max_size=4).map(tuple)
            )
        ),
        max_size=6,
    )
)
def test_frames(items):
    blobs, shapes = [b for b, _ in items], [s for _, s in items]
    packed = frame(blobs, shapes)
    assert unframe(packed) == (blobs, shapes)


def test_the_frame_is_laid_out_as_documented():
    packed = frame([b"abc", b"", b"de"], [(3,), (), (1, 2)])
    head = b"\x01\x02\x00\x00" + b"\x03\x00\x00\x00"
    ends = b"".join(n.to_bytes(8, "little") for n in (3, 3, 5))
    none = 0xFFFFFFFF
    dims = b"".join(n.to_bytes(4, "little") for n in (3, none, none, none, 1, 2))
    assert packed == head + ends + dims + b"abcde"
    assert frame([b"x"], [(1,)]) == (
        b"\x01\x01\x00\x00\x01\x00\x00\x00" + b"\x01" + bytes(7) + b"\x01\0\0\0" + bytes(4) + b"x"
    )


@pytest.mark.parametrize("htype", _ALL)
def test_empty_samples(htype):
    spec, info = made(htype)
    prepared = empty(spec)
    assert prepare(spec, None, info)[1] == prepared.shape
    back = restore(spec, *prepared)
    if spec.stores == "array":
        assert back.size == 0
    elif htype == "json" or spec.is_link:
        assert back is None
    else:
        assert len(back) == 0


def test_empty_files():
    spec, info = tensor_spec("image", sample_compression="jpeg")
    prepared = prepare(spec, None, info)
    assert prepared == (b"", (0, 0, 0))
    assert restore(spec, *prepared).shape == (0, 0, 0)
    assert prepare(spec, np.zeros((0, 5, 3), "u1"), info) == (b"", (0, 5, 3))


def test_samples_of_one_item_can_be_written_to():
    spec, info = tensor_spec("polygon")
    (back,) = restore(spec, *prepare(spec, [[[0, 0], [1, 0], [1, 1]]], info))
    back[0] = 5
    assert back[0].tolist() == [5, 5]


@pytest.mark.parametrize(
    "dtype", [">i4", "<M8[ns]", "m8[s]", "c8", "f2", "<U5", "S3", "bool", "u8"]
)
def test_dtypes(dtype):
    value = np.array([1, 0, 1]).astype(dtype)
    for htype in ("generic", "sequence[generic]"):
        spec, info = tensor_spec(htype, dtype=dtype)
        given = value if htype == "generic" else [value]
        back = restore(spec, *prepare(spec, given, info))
        back = back if htype == "generic" else back[0]
        assert np.array_equal(back, value)
        assert back.dtype == value.dtype.newbyteorder("=")
        assert TensorSpec.from_json(spec.to_json()) == spec
