"""`GrainSource` in grain's loaders: samples exactly once, workers, checkpoints."""

from __future__ import annotations

import os
import pickle

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
pytest.importorskip("jax", reason="JAX is not installed")
grain = pytest.importorskip("grain", reason="grain is not installed")

import absl.flags  # noqa: E402
import numpy as np  # noqa: E402

import hubzarr as hub  # noqa: E402
from hubzarr.errors import InvalidTypeError, NotFoundError, OutOfBoundsError  # noqa: E402
from hubzarr.loaders.jax import GrainSource  # noqa: E402


@pytest.fixture
def ds():
    """40 rows: two numbers, the row's number as a label, and a ragged row of numbers."""
    made = hub.empty("tests/rows")
    made.create_tensor("x").extend(np.arange(80, dtype="f4").reshape(40, 2))
    made.create_tensor("y", htype="class_label").extend(np.arange(40))
    made.create_tensor("w", dtype="int32").extend([np.arange(i % 3, dtype="i4") for i in range(40)])
    return made


@pytest.fixture
def source(ds):
    return GrainSource(ds, tensors=["x", "y"])


def doubled(sample):
    return {**sample, "x": 2 * sample["x"]}


def rows(batches):
    return [int(n) for batch in batches for n in np.atleast_1d(batch["y"])]


# -- the source --------------------------------------------------------------------


def test_samples_by_number(ds, source):
    assert len(source) == 40
    np.testing.assert_array_equal(source[3]["x"], [6, 7])
    assert source[-1]["y"] == 39
    some = source._getitems([5, 2, 5])
    assert [int(sample["y"]) for sample in some] == [5, 2, 5]
    assert source._getitems([]) == []
    assert GrainSource(ds)[4]["w"].tolist() == [0]
    assert GrainSource(ds.y)[7] == 7
    assert GrainSource(ds[30:20:-2], return_index=True)[1]["index"] == 28
    np.testing.assert_array_equal(GrainSource(ds, transform=doubled)[3]["x"], [12, 14])


def test_wrong_use_is_told(ds, source):
    with pytest.raises(OutOfBoundsError, match="no sample 40: there are 40"):
        source[40]
    with pytest.raises(IndexError):
        source[-41]
    with pytest.raises(InvalidTypeError, match="expected numbers of samples"):
        source["y"]
    with pytest.raises(NotFoundError, match="'z'"):
        GrainSource(ds, tensors=["z"])
    with pytest.raises(InvalidTypeError, match="ndarray has no samples to load"):
        GrainSource(np.zeros(3))


def test_it_stays_on_its_commit(ds, source):
    ds.y[0] = 17
    assert source[0]["y"] == 0


def test_its_text_tells_other_samples_apart(ds, source):
    copied = pickle.loads(pickle.dumps(source))
    assert repr(copied) == repr(source) == repr(GrainSource(ds, tensors=["x", "y"]))
    assert copied[3]["y"] == 3
    others = [
        GrainSource(ds), GrainSource(ds[:20], tensors=["x", "y"]),
        GrainSource(ds[20:], tensors=["x", "y"]), GrainSource(ds[::-1], tensors=["x", "y"]),
        GrainSource(ds, tensors=["x", "y"], return_index=True),
    ]  # fmt: skip
    ds.y[0] = 17
    others.append(GrainSource(ds, tensors=["x", "y"]))
    assert len({repr(one) for one in [source, *others]}) == 7


# -- grain's loaders ---------------------------------------------------------------


def test_map_datasets(source):
    dataset = grain.MapDataset.source(source).seed(3).shuffle().batch(8)
    got = rows(dataset)
    assert got != list(range(40))
    assert sorted(got) == list(range(40))
    for batch in dataset:
        np.testing.assert_array_equal(batch["x"][:, 0], 2.0 * batch["y"])


def test_threads_and_repeats(source):
    dataset = grain.MapDataset.source(source).shuffle(seed=1).repeat(2).to_iter_dataset()
    batches = list(dataset.batch(10))
    assert sorted(rows(batches[:4])) == sorted(rows(batches[4:])) == list(range(40))


def test_a_checkpoint_of_an_iterator(source):
    dataset = grain.MapDataset.source(source).shuffle(seed=1).to_iter_dataset().batch(8)
    iterator = iter(dataset)
    seen = rows([next(iterator), next(iterator)])
    state = iterator.get_state()
    later = iter(dataset)
    later.set_state(state)
    assert sorted(seen + rows(later)) == list(range(40))


def loader_of(source, workers):
    sampler = grain.samplers.IndexSampler(
        len(source), shuffle=True, seed=5, num_epochs=1,
        shard_options=grain.sharding.NoSharding(),
    )  # fmt: skip
    operations = [grain.transforms.Batch(batch_size=5)]
    return grain.DataLoader(
        data_source=source, sampler=sampler, operations=operations, worker_count=workers
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loaders(source, workers):
    absl.flags.FLAGS.mark_as_parsed()  # which a program by absl.app does; workers look at flags
    loader = loader_of(source, workers)
    iterator = iter(loader)
    seen = rows([next(iterator), next(iterator), next(iterator)])
    state = iterator.get_state()
    rest = rows(iterator)
    assert sorted(seen + rest) == list(range(40))
    if not workers:  # processes take seconds to start
        later = iter(loader_of(source, workers))
        later.set_state(state)
        assert rows(later) == rest
