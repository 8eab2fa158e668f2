"""Broken samples are named, left out or replaced; a store that fails is none of them."""

from __future__ import annotations

import gc
import shutil
import weakref

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.arrays import handle
from hubzarr.errors import DamagedError, NotFoundError, SampleError, StorageError, TransformError
from hubzarr.loaders import Loader
from hubzarr.loaders.options import checked
from hubzarr.storage import open_storage
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.loaders.support import encoded, fresh_url, joined, numbered, picture, threads_are_gone


def _pictures(folder, broken=(), rows=12):
    """A dataset of images, some of which can't be decoded, and of numbers."""
    ds = hub.empty(fresh_url())
    ds.create_tensor("image", htype="image", sample_compression="png")
    ds.create_tensor("number").extend(range(rows))
    files = [encoded(picture(i, 16, 16)) for i in range(rows)]
    for i in broken:  # the header is whole, pixels are not
        middle = len(files[i]) // 2
        files[i] = files[i][:middle] + bytes(20) + files[i][middle + 20 :]
    ds.image.extend([hub.Sample(file) for file in files])
    ds.commit()
    return ds


# -- files that can't be decoded -----------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_a_broken_image_is_named(tmp_path, shuffle):
    ds = _pictures(tmp_path, broken=[7])
    with pytest.raises(SampleError, match="row 7 of the dataset, tensor 'image': ") as caught:
        list(ds.batches(5, shuffle=shuffle))
    assert (caught.value.row, caught.value.tensor) == (7, "image")
    assert threads_are_gone()
    with pytest.raises(SampleError, match="row 7 of the dataset, tensor 'image': "):
        list(ds.image.batches(5, shuffle=shuffle, prefetch=0))
    with pytest.raises(SampleError, match="row 7 of the dataset, tensor 'image': "):
        list(ds[5:].batches(5, shuffle=shuffle))


def test_batches_before_a_broken_one_come(tmp_path):
    ds = _pictures(tmp_path, broken=[11])
    running = iter(ds.batches(3))
    assert joined(next(running)["number"].tolist() for _ in range(3)) == list(range(9))
    with pytest.raises(SampleError, match="row 11 "):
        next(running)


@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_broken_images_are_left_out(tmp_path, shuffle):
    ds = _pictures(tmp_path, broken=[0, 7])
    loader = ds.batches(5, shuffle=shuffle, on_error="skip")
    for _ in range(2):  # in each epoch, and listed once
        batches = list(loader)
        assert sorted(joined(batch["number"].tolist() for batch in batches)) == [
            1, 2, 3, 4, 5, 6, 8, 9, 10, 11,
        ]  # fmt: skip
        for batch in batches:
            assert np.array_equal(batch["image"], ds.image[batch["number"].tolist()].numpy())
    assert sorted((row, tensor) for row, tensor, _ in loader.skipped) == [
        (0, "image"),
        (7, "image"),
    ]
    row, _, error = loader.skipped[0]
    assert isinstance(error, SampleError)
    assert f"row {row} of the dataset" in str(error)
    # Numbers do not need the images.
    assert sum(len(batch["number"]) for batch in ds.batches(5, tensors=["number"])) == 12


def test_broken_images_are_replaced_by_others_of_the_batch(tmp_path):
    ds = _pictures(tmp_path, broken=[1, 3, 4])
    loader = ds.batches(5, on_error="replace")
    found = [batch["number"].tolist() for batch in loader]
    assert found == [[0, 2, 2, 0, 0], [5, 6, 7, 8, 9], [10, 11]]
    assert [row for row, _, _ in loader.skipped] == [1, 3, 4]


@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_a_batch_of_which_nothing_is_left(tmp_path, on_error):
    ds = _pictures(tmp_path, broken=[4, 5, 6, 7])
    loader = ds.batches(4, on_error=on_error)
    assert [batch["number"].tolist() for batch in loader] == [[0, 1, 2, 3], [8, 9, 10, 11]]
    running = iter(loader)
    next(running)
    next(running)
    assert loader.state_dict()["position"] == 12


def test_single_samples_are_left_out(tmp_path):
    ds = _pictures(tmp_path, broken=[0, 7])
    loader = ds.batches(None, on_error="skip")
    found = []
    for sample in loader:
        found.append(int(sample["number"]))
        assert loader.state_dict()["position"] == found[-1] + 1
    assert found == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_skipped_samples_keep_no_batch_alive(tmp_path):
    ds = _pictures(tmp_path)
    seen = []

    def fail(row):
        if row["number"] == 3:
            seen.append(weakref.ref(row["image"]))
            raise ValueError("no")
        return row

    loader = ds.batches(5, transform=fail, on_error="skip", prefetch=0)
    for _ in loader:
        pass
    gc.collect()
    assert seen[0]() is None
    assert loader.skipped[0][2].__traceback__ is None


# -- links ---------------------------------------------------------------------------------


def test_targets_of_links_that_are_gone(tmp_path):
    ds = hub.empty(fresh_url())
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        path.write_bytes(encoded(picture(i)))
    ds.create_tensor("link", htype="link[image]").extend([hub.link(str(path)) for path in paths])
    ds.create_tensor("number").extend(range(8))
    paths[2].unlink()
    paths[5].write_bytes(b"no image at all")
    with pytest.raises(SampleError, match=r"row 2 of the dataset, tensor 'link': .*no such file"):
        list(ds.batches(3))
    loader = ds.batches(3, on_error="skip")
    batches = list(loader)
    assert [batch["number"].tolist() for batch in batches] == [[0, 1], [3, 4], [6, 7]]
    for batch in batches:
        assert np.array_equal(batch["link"], [picture(i) for i in batch["number"].tolist()])
    assert [row for row, _, _ in loader.skipped] == [2, 5]


# -- transforms ----------------------------------------------------------------------------


def _no_multiples_of_five(row):
    if row["number"] % 5 == 0:
        raise KeyError("five")
    return {"number": row["number"] * 10}


def test_failing_transforms_of_samples(tmp_path):
    ds = _pictures(tmp_path)
    with pytest.raises(TransformError, match="row 0 of the dataset, transform: KeyError: 'five'"):
        list(ds.batches(4, transform=_no_multiples_of_five))
    loader = ds.batches(4, transform=_no_multiples_of_five, on_error="skip")
    assert [batch["number"].tolist() for batch in loader] == [
        [10, 20, 30], [40, 60, 70], [80, 90, 110],
    ]  # fmt: skip
    assert [(row, tensor) for row, tensor, _ in loader.skipped] == [
        (0, None), (5, None), (10, None),
    ]  # fmt: skip
    loader = ds.batches(4, transform=_no_multiples_of_five, on_error="replace")
    assert next(iter(loader))["number"].tolist() == [10, 10, 20, 30]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_failing_transforms_of_tensors(tmp_path, prefetch):
    def crop(pixels):
        if pixels[0, 0, 0] == first:
            raise SampleError("too dark")
        return pixels[:4]

    ds = _pictures(tmp_path)
    first = ds.image[6].numpy()[0, 0, 0]
    bad = [i for i in range(12) if ds.image[i].numpy()[0, 0, 0] == first]
    options = {"transform": {"image": crop}, "prefetch": prefetch}
    with pytest.raises(TransformError, match=f"row {bad[0]} of the dataset, tensor 'image': too"):
        list(ds.batches(4, **options))
    loader = ds.batches(4, on_error="skip", return_index=True, **options)
    batches = list(loader)
    assert joined(batch["index"].tolist() for batch in batches) == [
        i for i in range(12) if i not in bad
    ]
    assert all(batch["image"].shape[1:] == (4, 16, 3) for batch in batches)
    assert [row for row, _, _ in loader.skipped] == bad


# -- the store -----------------------------------------------------------------------------


def _damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _on_disk(tmp_path):
    """A dataset of ten chunks, one of which is damaged."""
    ds = hub.empty(str(tmp_path / "ds"))
    values = np.random.default_rng(0).integers(0, 256, (40, 64, 1024), np.uint8)
    ds.create_tensor("x").extend(values)
    ds.create_tensor("n").extend(range(40))
    ds.commit()
    return ds, values


def _chunks(tmp_path):
    files = [path for path in (tmp_path / "ds").rglob("*") if path.is_file()]
    return sorted(path for path in files if path.stat().st_size > 200_000)


@pytest.fixture
def damaged(tmp_path):
    hub.configure(cache_bytes=0)
    ds, values = _on_disk(tmp_path)
    name = f"{tmp_path / 'ds'}"
    ds.close()
    assert len(_chunks(tmp_path)) == 10
    _damage(_chunks(tmp_path)[3])
    yield hub.load(name), values
    hub.configure(cache_bytes=None)


@pytest.mark.parametrize("shuffle", [False, True, "full"])
def test_a_damaged_chunk_breaks_its_samples_only(damaged, shuffle):
    ds, values = damaged
    with pytest.raises(SampleError, match=r"row \d+ of the dataset, tensor 'x': ") as caught:
        list(ds.batches(8, shuffle=shuffle))
    assert isinstance(caught.value.__cause__, DamagedError)
    assert threads_are_gone()
    loader = ds.batches(8, shuffle=shuffle, on_error="skip")
    seen = []
    for batch in loader:
        assert np.array_equal(batch["x"], values[batch["n"]])
        seen += batch["n"].tolist()
    bad = sorted(row for row, _, _ in loader.skipped)
    assert len(bad) == 4
    assert bad == list(range(bad[0], bad[0] + 4))
    assert bad[0] % 4 == 0
    assert sorted([*seen, *bad]) == list(range(40))
    # The other tensor is whole.
    assert sum(len(batch["n"]) for batch in ds.batches(8, tensors=["n"])) == 40


def test_a_missing_chunk_breaks_its_samples_only(tmp_path):
    hub.configure(cache_bytes=0)
    _on_disk(tmp_path)[0].close()
    _chunks(tmp_path)[5].unlink()
    ds = hub.load(str(tmp_path / "ds"))
    loader = ds.batches(8, on_error="replace")
    found = joined(batch["n"].tolist() for batch in loader)
    assert len(found) == 40
    assert len(loader.skipped) == 4
    hub.configure(cache_bytes=None)


def test_data_that_is_gone_is_no_broken_sample(tmp_path):
    loader = numbered(64, url=str(tmp_path / "ds")).batches(4, on_error="skip", window=8)
    running = iter(loader)
    next(running)
    shutil.rmtree(tmp_path / "ds")
    handle._opened.sessions.clear()  # as after much other work
    with pytest.raises(NotFoundError, match="gone"):
        list(running)
    assert loader.skipped == []


@pytest.mark.parametrize("on_error", ["raise", "skip", "replace"])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_store_that_fails_is_no_broken_sample(tmp_path, on_error, prefetch):
    hub.configure(cache_bytes=0)
    numbered(64, (50_000,), url=str(tmp_path / "ds")).close()
    storage = FaultyStorage(open_storage(str(tmp_path / "ds")))
    ds = hub.load(str(tmp_path / "ds"))
    source = ds._source()
    object.__setattr__(source._handle, "storage", storage)
    options = {"batch_size": 4, "on_error": on_error, "prefetch": prefetch, "window": 8}
    loader = Loader(source, checked(source, options))
    running = iter(loader)
    next(running)
    storage.schedule(Fault(at=1, times=10**6))
    with pytest.raises(StorageError, match="out of reach"):
        for _ in running:
            pass
    assert loader.skipped == []
    storage.schedule()
    assert threads_are_gone()
    assert sum(len(batch["x"]) for batch in loader) == 64
    hub.configure(cache_bytes=None)


def test_an_epoch_of_which_nothing_is_left():
    ds = hub.empty("tests/all_broken")
    ds.create_tensor("x").extend(range(10))
    loader = ds.batches(4, transform=lambda sample: sample["y"], on_error="skip")
    with pytest.raises(TransformError, match=r"all samples of the epoch are broken.*KeyError: 'y'"):
        list(loader)
    assert len(loader.skipped) == 10
    assert loader.epoch == 1
