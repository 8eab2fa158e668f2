"""Samples by number, and the memory that batches lie in."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidTypeError, OutOfBoundsError, TransformError
from hubzarr.loaders.memory import KEPT, LEAST, Memory
from hubzarr.loaders.samples import Samples

U1 = np.dtype("u1")


@pytest.fixture
def ds():
    """20 rows: a pair, and a text."""
    made = hub.empty("tests/samples")
    made.create_tensor("x").extend(np.arange(40).reshape(20, 2))
    made.create_tensor("t", htype="text").extend([f"row {i}" for i in range(20)])
    return made


# -- samples -----------------------------------------------------------------------


def test_any_numbers_in_any_order(ds):
    samples = Samples(ds)
    assert len(samples) == 20
    numbers = [7, -1, 0, 7]
    for number, sample in zip(numbers, samples.many(numbers), strict=True):
        np.testing.assert_array_equal(sample["x"], np.arange(40).reshape(20, 2)[number])
        assert sample["t"] == f"row {number % 20}"
    assert samples.many([]) == []
    assert samples[np.int32(4)]["t"] == "row 4"


def test_numbers_that_are_none(ds):
    samples = Samples(ds)
    for wrong in (20, -21):
        with pytest.raises(OutOfBoundsError, match=f"no sample {wrong}: there are 20"):
            samples[wrong]
    for wrong in (True, 1.5, "t"):
        with pytest.raises(InvalidTypeError, match="expected numbers of samples"):
            samples[wrong]


def test_what_has_no_samples():
    with pytest.raises(InvalidTypeError, match="list has no samples to load"):
        Samples([1, 2])


def test_options(ds):
    view = Samples(ds[10:], tensors=["t"], transform={"t": len}, return_index=True)
    assert view[0] == {"t": 6, "index": 10}
    with pytest.raises(TransformError, match="row 3 of the dataset"):
        Samples(ds, transform=lambda sample: sample["nothing"])[3]


def test_copies_read_the_same(ds):
    samples = Samples(ds)
    copied = pickle.loads(pickle.dumps(samples))
    ds.x[5] = [0, 0]
    for one in (samples, copied):
        assert one[5]["x"].tolist() == [10, 11]
    assert repr(copied) == repr(samples)
    assert repr(Samples(ds)) != repr(samples)


def test_many_threads(ds):
    samples, found = Samples(ds), {}

    def look(start):
        numbers = range(start, start + 200)
        found[start] = [samples[number % 20]["t"] == f"row {number % 20}" for number in numbers]

    threads = [threading.Thread(target=look, args=(7 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(all(right) for right in found.values())


# -- memory ------------------------------------------------------------------------


def test_memory_in_use_is_never_given_away():
    memory, random = Memory(), np.random.default_rng(0)
    held = {}
    for step in range(400):
        if held and random.random() < 0.45:
            del held[random.choice(list(held))]
        array = memory.empty((int(random.integers(1, 4)), LEAST), U1)
        array[...] = step % 251
        # Whatever shares the memory keeps it: slices, reshapes, views of buffers.
        way = step % 4
        held[step] = [array, array[:1, ::7], memoryview(array), array.T.view("i1")][way]
        for number, one in held.items():
            assert (np.asarray(one).view("u1") == number % 251).all()
    assert len(memory._pieces) <= KEPT


def test_memory_comes_back():
    memory = Memory()
    places = set()
    for _ in range(50):
        batch = memory.empty((4, LEAST), U1)
        places.add(batch.ctypes.data)
        del batch
    assert len(places) == 1
    small = memory.empty((LEAST,), U1)
    assert small.ctypes.data not in places  # a far larger piece is not spent on it


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 40_000)])
@pytest.mark.parametrize("dtype", ["u1", "f8", "c16", "M8[s]", "O", "U3"])
def test_memory_of_any_shape_and_dtype(shape, dtype):
    array = Memory().empty(shape, np.dtype(dtype))
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[...] = np.zeros((), dtype)
    if dtype != "O":
        assert not array.size or array.ctypes.data % 64 == 0  # nothing lies nowhere


def test_batches_that_are_kept_stay_as_they_are():
    x = np.arange(40 * LEAST, dtype="u1").reshape(40, LEAST) + np.arange(40, dtype="u1")[:, None]
    ds = hub.empty("tests/kept")
    ds.create_tensor("x").extend(x)
    for prefetch in (0, 2):
        loader = ds.batches(3, prefetch=prefetch)
        batches = [batch["x"] for batch in loader]
        np.testing.assert_array_equal(np.concatenate(batches), x)


def test_a_fork_within_a_lock_keeps_nobody_waiting():
    """A forked process inherits the lock as some thread of its parent held it."""
    memory = Memory()
    with memory._lock:
        assert memory.empty((1000, 100), np.dtype("f8")).shape == (1000, 100)
    assert memory._pieces == []
