"""Batches that are prepared piece by piece, and files and arrays of any size in them."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.computing import working
from hubzarr.errors import TransformError


class Scan:
    """A sample that is too large for memory, as far as anybody knows."""

    dtype = np.dtype("uint8")
    tile_shape = (64, 64, 1)

    def __init__(self, value):
        self.shape = (100, 90, 1)
        self.value = value

    def read(self, box):
        return np.full([s.stop - s.start for s in box], self.value, "uint8")


@hub.compute
def mixed(number, out, scans, broken=None):
    if number == broken:
        out.images.append(np.zeros((3, 3, 1), "float64"))
    elif number in scans:
        out.images.append(Scan(number))
    else:
        out.images.append(np.full((4 + number % 3, 5, 1), number, "uint8"))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(working, "_PREPARED_AT", 100)


def dataset():
    ds = hub.empty("ds")
    ds.create_tensor("images", htype="image", dtype="uint8", chunk_compression="zstd")
    ds.flush()
    return ds


def check(ds, numbers, scans):
    assert len(ds.images) == len(numbers)
    for row, number in enumerate(numbers):
        shape = (100, 90, 1) if number in scans else (4 + number % 3, 5, 1)
        assert (ds.images[row].numpy() == np.full(shape, number)).all()
        assert ds.images[row].shape == shape


@pytest.mark.parametrize("scans", [(), (0,), (21, 40, 41)])
@pytest.mark.parametrize("workers", [0, 2])
def test_large_samples_among_small_ones(scans, workers):
    ds = dataset()
    mixed(scans).eval(range(60), ds, num_workers=workers)
    check(hub.load("ds"), range(60), scans)


def test_errors_have_the_number_of_their_input():
    ds = dataset()
    with pytest.raises(TransformError, match=r"input 50 \(50\)") as error:
        mixed((21,), 50).eval(range(60), ds, num_workers=1)
    assert (error.value.index, len(ds)) == (50, 0)
    report = mixed((21,), 50).eval(range(60), ds, num_workers=1, ignore_errors=True)
    assert [skipped.index for skipped in report.skipped] == [50]
    check(ds, [i for i in range(60) if i != 50], (21,))


def test_small_numbers_stay_one_array():
    job = working.Job(
        (lambda x, out: out.x.append(np.full(30, x, "int32")),), None,
        working.Names(("x",), ("x",)),
    )  # fmt: skip
    ds = hub.empty("ds")
    ds.create_tensor("x", dtype="int32")
    plans = working.Plan("x", ds.x._entry.spec, {})
    batch = job.work({"x": plans}, range(10))
    assert isinstance(batch.columns["x"].values, np.ndarray)
    assert batch.columns["x"].values[:, 7].tolist() == list(range(10))
