"""Samples too large for memory: an array of their own, written and read box by box."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.datasets import layout
from hubzarr.errors import SampleError
from tests.datasets.support import again, by_hand, fresh_url


class Scene:
    """A picture that is computed where it is read, and notes how much that was."""

    dtype = np.dtype("uint8")
    tile_shape = (256, 256)

    def __init__(self, shape=(1500, 1100), salt=0):
        self.shape = shape
        self.salt = salt
        self.largest = 0

    def read(self, box):
        rows, columns = np.ogrid[box]
        pixels = ((rows * 7 + columns * 3 + self.salt) % 251).astype("uint8")
        self.largest = max(self.largest, pixels.size)
        return pixels

    def whole(self):
        return self.read(tuple(slice(0, n) for n in self.shape))


def made(**options):
    ds = by_hand(hub.empty(fresh_url()))
    ds.create_tensor("x", **options)
    return ds


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype": "uint8"}, {"dtype": "uint8", "ragged": True},
     {"htype": "image", "sample_compression": "png"}],
    ids=["open", "dtype", "ragged", "png"],
)  # fmt: skip
def test_a_scene_comes_back(options):
    ds, scene = made(**options), Scene()
    ds.x.append(scene)
    assert scene.largest <= 256 * 256 * 16
    ds.commit("scene")
    found = again(ds)
    assert found.x[0].shape == scene.shape
    np.testing.assert_array_equal(found.x[0].numpy(), scene.whole())
    np.testing.assert_array_equal(found.x[0][100:107, 3].numpy(), scene.whole()[100:107, 3])
    np.testing.assert_array_equal(found.x.numpy(aslist=True)[0], scene.whole())


def test_a_region_is_read_without_the_rest():
    ds = made(dtype="uint8")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (2000, 2000), "uint8")
    scene = Scene(noise.shape)
    scene.read = noise.__getitem__
    ds.x.append(scene)
    ds.commit("scene")
    found = again(ds)
    found.x[0].shape  # noqa: B018 - the index is read
    before = found.io.read_bytes
    np.testing.assert_array_equal(found.x[0][300:310, 700:720].numpy(), noise[300:310, 700:720])
    assert found.io.read_bytes - before < 4 * 256 * 256 + 4096


def test_large_arrays_among_small_ones(monkeypatch):
    monkeypatch.setattr(layout, "LARGE_BYTES", 1000)
    ds = made(dtype="int16", ragged=True)
    arrays = [np.arange(n, dtype="int16").reshape(-1, 5) for n in (10, 3000, 20, 5000, 0)]
    ds.x.extend(arrays)
    for array in arrays:
        ds.x.append(array)
    ds.commit("arrays")
    found = again(ds)
    for got, array in zip(found.x.numpy(aslist=True), arrays * 2, strict=True):
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)
    assert found.x.shapes() == [array.shape for array in arrays] * 2
    found.x[1][2:4] = -1
    found.x[0] = arrays[3]
    found.x[3] = arrays[0]
    found.x.pop(2)
    found.commit("changes")
    expected = [array.copy() for array in (arrays[3], arrays[1], arrays[0], arrays[4])]
    expected[1][2:4] = -1
    for got, array in zip(again(ds).x[:4].numpy(aslist=True), expected, strict=True):
        np.testing.assert_array_equal(got, array)
    np.testing.assert_array_equal(found.at(found.log()[1].number).x[1].numpy(), arrays[1])


def test_a_large_array_makes_a_uniform_tensor_ragged(monkeypatch):
    monkeypatch.setattr(layout, "LARGE_BYTES", 1000)
    ds = made()
    small, large = np.arange(6).reshape(2, 3), np.arange(600).reshape(20, 30)
    ds.x.extend([small, small])
    ds.x.append(large)
    ds.x[0] = large
    ds.commit("ragged")
    for got, array in zip(again(ds).x.numpy(aslist=True), [large, small, large], strict=True):
        np.testing.assert_array_equal(got, array)


def test_two_handles_append_scenes():
    ds = made(dtype="uint8", ragged=True)
    ds.create_tensor("id")
    ds.commit("created")
    handles = [again(ds), again(ds)]
    scenes = [Scene((600, 500), 1), Scene((500, 700), 2)]
    for number, (handle, scene) in enumerate(zip(handles, scenes, strict=True)):
        handle.append({"x": scene, "id": number})
    for handle in handles:
        handle.commit("scene")
    found = again(ds)
    for got, scene in zip(found.x.numpy(aslist=True), scenes, strict=True):
        np.testing.assert_array_equal(got, scene.whole())


def test_a_scene_that_fails_leaves_nothing():
    class Broken(Scene):
        def read(self, box):
            if box[0].start:
                raise SampleError("the file ends here")
            return super().read(box)

    ds = made(dtype="uint8", ragged=True)
    ds.create_tensor("id")
    with pytest.raises(SampleError, match="ends here"):
        ds.append({"id": 1, "x": Broken()})
    assert len(ds.x) == len(ds.id) == 0
    ds.append({"id": 1, "x": Scene()})
    ds.commit("scene")
    assert len(again(ds)) == 1


def test_scenes_need_a_tensor_of_arrays():
    ds = made(htype="text")
    with pytest.raises(SampleError, match="no arrays"):
        ds.x.append(Scene())
    ds = made(htype="image.rgb", sample_compression="png")
    with pytest.raises(SampleError, match="RGB"):
        ds.x.append(Scene())
