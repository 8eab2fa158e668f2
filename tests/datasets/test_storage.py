"""Datasets on every kind of storage, as plain zarr, and what they cost there."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import zarr
from PIL import Image

from hubzarr.datasets import Dataset
from hubzarr.media import Sample
from hubzarr.session import create_repository, open_session
from hubzarr.storage import LocalStorage
from tests.datasets.support import NAMES, again, columns, create, numbers, row
from tests.storage.conftest import EXACT_ERRORS, KINDS, google_xml, opened  # noqa: F401

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}


def handle_on(storage):
    return Dataset(open_session(storage, "main"), "x")


# One that only takes a single writer can't have two handles that commit.
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"fsspec-local", *EXACT_ERRORS}))
def test_rows_on_every_storage(request, tmp_path, kind):
    storage = KINDS[kind](request, tmp_path)
    create_repository(storage, "main", GROUP, author="me")
    ds = handle_on(storage)
    ds.create_tensor("uniform")
    ds.create_tensor("ragged", dtype="int32", ragged=True)
    ds.create_tensor("text", htype="text")
    ds.extend(columns(range(5)))
    ds.commit("five")
    other = handle_on(storage)
    other.append(row(10))
    ds[1].update(row(20, 6))
    ds.append(row(11))
    ds.commit("two")
    other.commit("one")
    found = handle_on(storage)
    assert numbers(found) == [0, 20, 2, 3, 4, 11, 10]
    found.pop(0)
    found.checkout("dev", create=True)
    found.append(row(30))
    found.commit("dev")
    other.refresh()
    other.merge("dev")
    assert numbers(handle_on(storage)) == [20, 2, 3, 4, 11, 10, 30]
    assert numbers(other.at(2)) == [0, 20, 2, 3, 4, 11]


def test_zarr_reads_uniform_tensors_and_a_few_lines_read_ragged_ones():
    ds = create(numbers=range(9))
    ds[3].update(row(70, 4))
    ds.append(row(12))
    ds.commit("more")
    expected = numbers(ds)
    group = zarr.open_group(ds.store, mode="r")
    np.testing.assert_array_equal(group["uniform"][:, 0], expected)
    assert group["uniform"].attrs["hubzarr"]["tensor"]["htype"] == "generic"
    for name in ("ragged", "text"):
        index, content = group[f"{name}/index"][:], group[f"{name}/bytes"]
        assert len(index) == len(expected)
        for number, (start, length, *shape) in zip(expected, index.tolist(), strict=True):
            data = content[start : start + length].tobytes()
            if name == "text":
                assert data.decode() == f"row {number}"
            else:
                sample = np.frombuffer(data, "<i4").reshape(shape)
                assert (sample == number).all()
                assert shape == list(ds.ragged.shapes()[expected.index(number)])


def size_of(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@pytest.mark.parametrize("how", ["append", "extend"])
def test_a_hundred_commits_store_little_more_than_their_rows(tmp_path, how):
    path = tmp_path / "ds"
    ds = create(str(path))
    ds.create_tensor("files", htype="image", sample_compression="jpeg")
    ds.delete_tensor("ragged")
    ds.commit("created")
    rng = np.random.default_rng(0)
    start = size_of(path)
    rows = 0
    for commit in range(100):
        batch = []
        for _ in range(10):
            data = jpeg_like(rng)
            rows += len(data)
            batch.append({"uniform": [commit, 0], "text": f"{commit}", "files": Sample(data)})
        if how == "append":
            for each in batch:
                ds.append(each)
        else:
            ds.extend({name: [each[name] for each in batch] for name in batch[0]})
        ds.commit(f"{commit}")
    assert len(again(ds)) == 1000
    assert size_of(path) - start <= 2 * rows


def jpeg_like(rng):
    """A small JPEG with as many bytes behind it as a photograph has."""
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), "uint8")).save(out, "jpeg")
    return out.getvalue() + rng.bytes(20_000)


def test_readers_and_writers_in_threads(tmp_path):
    """No thread waits for a lock that another holds while it waits for the first."""
    ds = create(str(tmp_path / "ds"), range(20))
    ds.create_tensor("images", htype="image", sample_compression="png", statistics=True)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (30, 20 + n, 3), "uint8") for n in range(20)]
    ds.images.extend(images)
    ds._session.sync_interval = 0.01  # background syncs go on all the time
    failures = []

    def work(number):
        try:
            for i in range(8):
                if number % 2:
                    ds.append(row(100 * number + i) | {"images": images[i]})
                    ds.extend(columns(range(3)) | {"images": images[:3]})
                else:
                    assert len(ds.images.numpy(aslist=True)) >= 20
                    assert ds.images.mean(axis="channel").shape == (3,)
                    np.testing.assert_array_equal(ds.images[i].numpy(), images[i])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
    ds.flush()
    ds._session.sync_interval = None
    assert len(again(ds)) == 20 + 2 * 8 * 4
    assert set(NAMES) < set(again(ds).tensors)


def test_local_storage_keeps_no_stray_files(tmp_path):
    ds = create(str(tmp_path / "ds"), range(5))
    storage = LocalStorage(str(tmp_path / "ds"))
    before = size_of(tmp_path)
    assert numbers(handle_on(storage)) == [0, 1, 2, 3, 4]
    assert numbers(ds) == [0, 1, 2, 3, 4]
    assert size_of(tmp_path) == before
