"""What is appended comes back after a commit, through a handle that is loaded afresh."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import hubzarr as hub
from tests.datasets.support import again, by_hand, fresh_url
from tests.htypes.strategies import SAMPLES, SAMPLES_OF_FILES, same
from tests.realdata import real

_THREE = hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=4)
ALL = SAMPLES | SAMPLES_OF_FILES | {"generic": hnp.arrays("int16", _THREE)}
NUMBERS = ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64"]


def alike(found, sample):
    """Rows of a uniform tensor of numbers are NumPy scalars."""
    return same(np.asarray(found) if isinstance(found, np.generic) else found, sample)


def made(htype=None, **options):
    ds = by_hand(hub.empty(fresh_url()))
    ds.create_tensor("x", htype=htype, **options)
    return ds


def check(ds, samples, equal=alike):
    """All ways to read a tensor give the samples, before and after a commit."""
    for fresh in (False, True):
        x = again_after_flush(ds).x if fresh else ds.x
        values = list(x.values())
        assert len(x) == len(values) == len(samples)
        for i, sample in enumerate(samples):
            assert equal(values[i], sample), (i, values[i], sample)
            assert equal(x[i].values(), sample)
        some = np.arange(len(samples))[::-2]
        for got, i in zip(x[some].values(), some, strict=True):
            assert equal(got, samples[i])


@pytest.mark.parametrize("sequence", [False, True], ids=["sample", "sequence"])
@pytest.mark.parametrize("htype", ALL)
@settings(max_examples=12)
@given(data=st.data())
def test_every_htype(htype, sequence, data):
    strategy = ALL[htype]
    if sequence:
        if htype in ("polygon", "tag", "list"):
            return  # which are sequences themselves
        strategy = st.lists(strategy, max_size=3)
    compression = "zstd" if htype in SAMPLES_OF_FILES else None
    samples = data.draw(st.lists(strategy, min_size=1, max_size=5))
    dtype = "int16" if htype == "generic" else None
    ds = made(
        f"sequence[{htype}]" if sequence else htype, dtype=dtype, chunk_compression=compression
    )
    first = data.draw(st.integers(0, len(samples)))
    ds.x.extend(samples[:first])
    for sample in samples[first:]:
        ds.x.append(sample)
    check(ds, samples)
    at = data.draw(st.integers(0, len(samples) - 1))
    samples[at] = data.draw(strategy)
    ds.x[at] = samples[at]
    check(ds, samples)
    ds.x.pop(0)
    check(ds, samples[1:])


# -- ragged shapes: lists of arrays as the oracle -----------------------------------------


@st.composite
def ragged(draw):
    dtype = np.dtype(draw(st.sampled_from(NUMBERS)))
    ndim = draw(st.integers(0, 3))
    side = st.integers(0, 3)
    usual = draw(st.tuples(*[side] * ndim))
    shape = st.just(usual) | st.just(usual) | st.tuples(*[side] * ndim)
    return dtype, draw(st.lists(shape.flatmap(lambda s: hnp.arrays(dtype, s)), max_size=12))


@given(ragged(), st.data())
def test_ragged_arrays(drawn, data):
    dtype, arrays = drawn
    ds = made(dtype=dtype.name, ragged=data.draw(st.booleans(), "ragged"))
    oracle: list[np.ndarray] = []
    left = list(arrays)
    while left:
        count = data.draw(st.integers(1, len(left)))
        batch, left = left[:count], left[count:]
        if data.draw(st.booleans()):
            ds.flush()
        ds.x.extend(batch)
        oracle += batch
    check(ds, oracle)
    assert ds.x.shapes() == [array.shape for array in oracle]
    if not oracle:
        return
    shapes = np.array([array.shape for array in oracle])
    low, high = ds.x.shape_interval
    assert low == (len(oracle), *shapes.min(0).tolist())
    assert high == (len(oracle), *shapes.max(0).tolist())
    if len(set(ds.x.shapes())) == 1:
        np.testing.assert_array_equal(ds.x.numpy(), np.stack(oracle))
    for _ in range(3):
        at = data.draw(st.integers(0, len(oracle) - 1))
        array = oracle[at]
        if array.ndim and array.size:
            key = data.draw(hnp.basic_indices(array.shape, allow_newaxis=False))
            np.testing.assert_array_equal(ds.x[at][key].numpy(), array[key])
            oracle[at] = array.copy()
            oracle[at][key] = 1
            ds.x[at][key] = 1
        else:
            oracle[at] = arrays[data.draw(st.integers(0, len(arrays) - 1))]
            ds.x[at] = oracle[at]
    check(ds, oracle)
    gone = data.draw(st.sets(st.integers(0, len(oracle) - 1)))
    ds.x.pop(sorted(gone))
    check(ds, [array for i, array in enumerate(oracle) if i not in gone])
    ds.x.clear()
    check(ds, [])
    ds.x.append(oracle[0])
    check(ds, oracle[:1])


@pytest.mark.parametrize("dtype", ["<M8[ns]", "<m8[s]", "<U3", ">i4", ">f8", "complex128"])
def test_more_dtypes(dtype):
    whole = np.arange(6).astype("M8[s]").astype(dtype) if "M8" in dtype else np.arange(6)
    whole = whole.astype(dtype)
    for samples in ([whole, whole[::-1]], [whole[:4].reshape(2, 2), whole.reshape(3, 2)]):
        ds = made()
        ds.x.extend(samples)
        for found, sample in zip(again_after_flush(ds).x.numpy(aslist=True), samples, strict=True):
            np.testing.assert_array_equal(found, sample)
            assert found.dtype == sample.dtype.newbyteorder("=")


def again_after_flush(ds):
    ds.flush()
    return again(ds)


# -- labels ---------------------------------------------------------------------------


def test_labels_by_name_and_number_one_and_many():
    ds = made("class_label", class_names=["cat", "dog", "owl"])
    ds.x.extend(["dog", 2, "cat"])
    assert not ds.x.is_dynamic
    ds.x.append(["owl", "cat"])
    ds.x.append([])
    ds.x.append([1])
    expected = [1, 2, 0, [2, 0], [], [1]]
    names = ["dog", "owl", "cat", ["owl", "cat"], [], ["dog"]]
    for found in (ds, again_after_flush(ds)):
        assert [np.asarray(value).tolist() for value in found.x.numpy(aslist=True)] == expected
        assert found.x.text() == names
        assert found.x[3].text() == ["owl", "cat"]
        assert found.x.shape == (6, None)
        assert found.x.shapes() == [(), (), (), (2,), (0,), (1,)]
        assert found.x[:3].shape == (3,)
        assert found.x[:3].numpy().tolist() == [1, 2, 0]


def test_new_names_of_labels():
    ds = made("class_label", unknown="extend")
    ds.x.extend(["b", "a"])
    ds.x.append("c")
    ds.x[0] = "d"
    found = again_after_flush(ds)
    assert found.x.info.class_names == ["b", "a", "c", "d"]
    assert found.x.text() == ["d", "a", "c"]


# -- files --------------------------------------------------------------------------------

FORMATS = {"png": {}, "jpeg": {"quality": 90}, "webp": {"lossless": True}, "bmp": {}, "tiff": {}}


def picture(number, form):
    pixels = np.random.default_rng(number).integers(0, 255, (5 + number, 7, 3), "uint8")
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **FORMATS[form])
    return out.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_files_are_kept_byte_for_byte(tmp_path, form):
    ds = made("image", sample_compression=form)
    files = [picture(number, form) for number in range(4)]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.{form}").write_bytes(data)
    ds.x.extend([hub.read(str(tmp_path / f"{n}.{form}")) for n in range(4)])
    shutil.rmtree(tmp_path)  # nothing refers to the files any more
    found = again_after_flush(ds)
    for number, data in enumerate(files):
        assert found.x[number].tobytes() == data
        expected = np.asarray(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(found.x[number].numpy(), expected)
        assert found.x[number].shape == expected.shape
    assert found.x.shape == (4, None, 7, 3)
    np.testing.assert_array_equal(found.x[2][1:4, 2].numpy(), expected_of(files[2])[1:4, 2])


def expected_of(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_other_formats_and_arrays_are_converted():
    ds = made("image", sample_compression="png")
    jpeg, pixels = picture(1, "jpeg"), np.arange(60, dtype="u1").reshape(4, 5, 3)
    ds.x.extend([hub.Sample(jpeg) if hasattr(hub, "Sample") else expected_of(jpeg), pixels])
    found = again_after_flush(ds)
    np.testing.assert_array_equal(found.x[0].numpy(), expected_of(jpeg))
    np.testing.assert_array_equal(found.x[1].numpy(), pixels)
    assert found.x[1].tobytes().startswith(b"\x89PNG")
    found.x[1][1:3, :, 0] = 200
    pixels[1:3, :, 0] = 200
    np.testing.assert_array_equal(again_after_flush(found).x[1].numpy(), pixels)


@pytest.mark.parametrize(
    ("name", "form"),
    [("hopper.png", "png"), ("hopper.jpg", "jpeg"), ("hopper.webp", "webp"), ("hopper.bmp", "bmp")],
)
def test_real_files(name, form):
    path = real(f"images/odd/{name}")
    ds = made("image", sample_compression=form)
    ds.x.append(hub.read(str(path)))
    found = again_after_flush(ds)
    assert found.x[0].tobytes() == path.read_bytes()
    np.testing.assert_array_equal(found.x[0].numpy(), np.asarray(Image.open(path)))


def test_links(tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(picture(number, "png"))
    ds = made("link[image]")
    ds.x.extend([hub.link(str(path)) for path in paths])
    found = again_after_flush(ds)
    assert [link.path for link in found.x.values()] == [str(path) for path in paths]
    for sample, path in zip(found.x.numpy(aslist=True), paths, strict=True):
        np.testing.assert_array_equal(sample, np.asarray(Image.open(path)))


def test_statistics_of_samples_survive_updates():
    ds = made("image", sample_compression="png", statistics=True)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (4 + n, 5, 3), "uint8") for n in range(6)]
    ds.x.extend(images)
    ds.flush()
    images[2] = rng.integers(0, 255, (9, 2, 3), "uint8")
    ds.x[2] = images[2]
    images[4][1:3] = 7
    ds.x[4][1:3] = 7
    ds.x.pop([0, 5])
    images = images[1:5]
    found = again_after_flush(ds)
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
    np.testing.assert_allclose(found.x.mean(axis="channel"), pixels.mean(0))
    np.testing.assert_allclose(found.x.std(axis="channel"), pixels.std(0))
    np.testing.assert_allclose(
        found.x[1:3].mean(), np.concatenate([image.ravel() for image in images[1:3]]).mean()
    )
    assert found.x.min() == pixels.min()
    assert found.x.max() == pixels.max()
