"""Worker processes without a framework: batches through shared memory, errors, ends."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import TransformError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.workers import WorkerPool
from hubzarr.loaders.workers.packing import WorkerFramework, pack, place, unpack


@pytest.fixture
def ds():
    ds = hub.empty("workers/cases")
    ds.create_tensor("x").extend(np.arange(50 * 300).reshape(50, 300))
    ds.create_tensor("text", htype="text").extend([f"row {i}" for i in range(50)])
    ds.create_tensor("ragged").extend([np.full(100 * (i % 7 + 1), i) for i in range(50)])
    return ds


def listed(batch):
    return {
        name: value.tolist()
        if isinstance(value, np.ndarray)
        else [np.array(v).tolist() for v in value]
        for name, value in batch.items()
    }


def from_workers(loader, workers, epoch=0, position=0, **given):
    pool = WorkerPool(loader._reading.source, loader.options, workers, **given)
    skipped = []
    try:
        for _, batch in pool.run(epoch, position, Framework(), skipped):
            yield batch
    finally:
        pool.close()
        assert not [p for p in multiprocessing.active_children() if "loader" in p.name]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("ragged", ["pad", "list"])
def test_workers_give_what_threads_give(ds, workers, ragged):
    loader = ds.batches(4, shuffle=True, ragged={"ragged": ragged})
    expected = [listed(batch) for batch in loader]
    assert [listed(batch) for batch in from_workers(loader, workers)] == expected
    assert [listed(batch) for batch in from_workers(loader, workers, 0, 8)] == expected[2:]


def test_workers_that_are_spawned(ds):
    loader = ds.batches(20, tensors=["x"])
    batches = [batch["x"] for batch in from_workers(loader, 1, context="spawn")]
    assert np.array_equal(np.concatenate(batches), np.arange(50 * 300).reshape(50, 300))


def test_one_pool_goes_through_many_epochs_and_parts_of_them(ds):
    loader = ds.batches(4, tensors=["x"], shuffle=True)
    epochs = [[batch["x"][:, 0].tolist() for batch in loader] for _ in range(3)]
    pool = WorkerPool(loader._reading.source, loader.options, 2)
    try:
        for epoch, stop in ((0, 99), (1, 2), (0, 5), (2, 99)):
            found = []
            batches = pool.run(epoch, 0, Framework(), [])
            for _, (_, batch) in zip(range(stop), batches, strict=False):
                found.append(batch["x"][:, 0].tolist())
            batches.close()
            assert found == epochs[epoch][:stop]
    finally:
        pool.close()
    pool.close()
    assert not pool.usable


def test_errors_say_which_worker_they_come_from(ds):
    def transform(value):
        raise ValueError("never")

    loader = ds.batches(4, tensors=["x"], transform={"x": transform})
    with pytest.raises(TransformError, match=r"row 0 of the dataset, tensor 'x'.*never") as caught:
        next(from_workers(loader, 2))
    (note,) = caught.value.__notes__
    assert note.startswith("In worker 0:")
    assert "ValueError: never" in note


def test_arrays_travel_beside_the_rest():
    to = WorkerFramework(direct=True)
    slot = np.zeros(1 << 16, np.uint8)
    to.begin(slot)
    inside = to.empty((100, 10), np.dtype("f4"))
    inside[...] = 3
    outside = np.arange(1000)[::2]
    dates = np.full(200, "2020-01-01", "datetime64[D]")
    value = {"a": inside, "b": [outside, "text", 7], "c": dates, "small": np.ones(2), "none": None}
    packed, arrays, used = pack(value, slot, to.used)
    assert packed.spans[0] == (0, 4000)
    assert len(packed.rest) < 1000
    assert used <= len(slot)
    place(packed, arrays, slot)
    again = unpack(packed, slot.copy(), Framework())
    slot[:] = 0
    assert (again["a"] == 3).all()
    assert np.array_equal(again["b"][0], outside)
    assert again["b"][1:] == ["text", 7]
    assert again["c"].dtype == "M8[D]"
    assert np.array_equal(again["c"], dates)
    assert again["small"].tolist() == [1, 1]


def test_memory_runs_out_into_other_memory():
    to = WorkerFramework(direct=True)
    slot = np.zeros(4096, np.uint8)
    to.begin(slot)
    parts = [to.empty((2000,), np.dtype("u1")) for _ in range(3)]
    for number, part in enumerate(parts):
        part[...] = number
    packed, arrays, used = pack(parts, slot, to.used)
    assert used > len(slot)
    larger = np.zeros(used, np.uint8)
    place(packed, arrays, larger)
    assert [one[0] for one in unpack(packed, larger, Framework())] == [0, 1, 2]
