"""Datasets for a DataLoader of one's own: by number, and in the loader's order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError, NotFoundError, OutOfBoundsError, TransformError
from tests.frameworks import torch_cases as cases

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.utils.data import DataLoader, DistributedSampler, WeightedRandomSampler  # noqa: E402

from hubzarr.loaders.torch import IterableDataset, MapDataset  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
    # torchdata's own, in Python 3.13 and later
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torchdata"),
]


@pytest.fixture
def ds():
    return cases.dataset()


# -- by number -----------------------------------------------------------------------


def test_samples_by_number(ds):
    data = MapDataset(ds)
    assert len(data) == 103
    sample = data[7]
    assert (sample["x"].item(), sample["text"]) == (7, "row 7")
    assert sample["ragged"].tolist() == [7, 7, 7]
    assert data[-1]["x"].item() == 102
    assert [one["x"].item() for one in data.__getitems__([5, -103, 5, 99])] == [5, 0, 5, 99]
    assert data.__getitems__([]) == []
    assert hub.loaders.torch.MapDataset is MapDataset
    assert repr(data).startswith("<hubzarr.MapDataset 103 samples of x, image, text, ragged ")


def test_numbers_outside(ds):
    data = MapDataset(ds)
    for number in (103, -104):
        with pytest.raises(OutOfBoundsError, match=f"no sample {number}: there are 103"):
            data[number]
    assert sum(1 for _ in MapDataset(ds[:5])) == 5  # a loop ends by IndexError


def test_options_of_samples(ds):
    data = MapDataset(ds[10:20], ["x"], return_index=True, transform=cases.doubled)
    assert {k: v.item() for k, v in data[3].items()} == {"x": 26, "row": 13, "index": 13}
    data = MapDataset(ds, ["x", "text"], form="tuple", transform={"x": float})
    assert data[4] == (4.0, "row 4")
    assert MapDataset(ds.x)[4].item() == 4
    with pytest.raises(NotFoundError, match="no tensor 'y'"):
        MapDataset(ds, ["y"])
    with pytest.raises(TransformError, match="row 7 of the dataset"):
        MapDataset(ds, ["x"], transform=cases.broken_at_7_and_50)[7]


def test_a_batch_is_read_at_once(ds, monkeypatch):
    data = MapDataset(ds, ["x", "image"])
    source = data._reading.source
    asked = []
    load = type(source).load

    def noted(self, name, rows, *options):
        asked.append((name, rows.tolist()))
        return load(self, name, rows, *options)

    monkeypatch.setattr(type(source), "load", noted)
    (batch,) = DataLoader(data, batch_sampler=[[30, 2, 30, 9]])
    assert batch["x"].tolist() == [30, 2, 30, 9]
    assert asked == [("x", [2, 9, 30]), ("image", [2, 9, 30])]


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (1, "spawn")])
def test_in_a_data_loader(ds, workers, context):
    data = MapDataset(ds, ["x", "image", "text"])
    torch.manual_seed(3)
    loader = DataLoader(
        data, 10, shuffle=True, num_workers=workers, multiprocessing_context=context
    )
    seen = []
    for batch in loader:
        assert batch["image"][:, 0, 0, 0].tolist() == batch["x"].tolist()
        assert batch["text"] == [f"row {i}" for i in batch["x"].tolist()]
        seen += batch["x"].tolist()
    assert sorted(seen) == list(range(103))
    assert seen != sorted(seen)


def test_samplers(ds):
    data = MapDataset(ds, ["x"])
    parts = [
        [i for b in DataLoader(data, 7, sampler=DistributedSampler(data, 2, rank, shuffle=False))
         for i in b["x"].tolist()]
        for rank in range(2)
    ]  # fmt: skip
    assert sorted(set(parts[0] + parts[1])) == list(range(103))
    weights = np.zeros(103)
    weights[[3, 50]] = 1
    for batch in DataLoader(data, 7, sampler=WeightedRandomSampler(weights, 30)):
        assert set(batch["x"].tolist()) <= {3, 50}


def test_pickled_datasets(ds):
    data = pickle.loads(pickle.dumps(MapDataset(ds, ["text"])))
    assert data[3] == {"text": "row 3"}


def test_later_writes_are_not_seen(ds):
    data = MapDataset(ds, ["x"])
    ds.x.append(5)
    assert len(data) == 103


# -- in order ------------------------------------------------------------------------


def _rows(loader):
    return [batch["x"].tolist() for batch in loader]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_in_the_order_of_the_loader(ds, workers):
    loader = ds.pytorch(10, tensors=["x"], shuffle=True, seed=4)
    expected = [_rows(loader) for _ in range(2)]
    data = IterableDataset(ds, 10, tensors=["x"], shuffle=True, seed=4)
    mine = DataLoader(data, batch_size=None, num_workers=workers)
    assert len(mine) == 11
    assert [_rows(mine) for _ in range(2)] == expected


def test_spawned_workers_count_epochs_too(ds):
    loader = ds.pytorch(30, tensors=["x"], shuffle=True)
    expected = [_rows(loader) for _ in range(2)]
    data = IterableDataset(ds, 30, tensors=["x"], shuffle=True)
    for epoch in range(2):
        mine = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="spawn")
        assert _rows(mine) == expected[epoch]


def test_epochs_of_workers_that_stay(ds):
    loader = ds.pytorch(10, tensors=["x"], shuffle=True)
    expected = [_rows(loader) for _ in range(3)]
    data = IterableDataset(ds, 10, tensors=["x"], shuffle=True)
    mine = DataLoader(data, batch_size=None, num_workers=2, persistent_workers=True)
    assert [_rows(mine) for _ in range(2)] == expected[:2]
    data.set_epoch(1)
    assert _rows(mine) == expected[1]
    assert _rows(mine) == expected[2]
    with pytest.raises(InvalidError, match="epoch=-1"):
        data.set_epoch(-1)


def test_epochs_of_several_numbers_of_workers(ds):
    """Also of workers that did not go through the epochs before, such as a look at one batch."""
    loader = ds.pytorch(10, tensors=["x"], shuffle=True)
    expected = [_rows(loader) for _ in range(6)]
    data = IterableDataset(ds, 10, tensors=["x"], shuffle=True)
    assert next(iter(data))["x"].tolist() == expected[0][0]
    for epoch, workers in enumerate([2, 1, 2, 0, 2], 1):
        mine = DataLoader(data, batch_size=None, num_workers=workers)
        assert _rows(mine) == expected[epoch], workers


def test_samples_in_order(ds):
    data = IterableDataset(ds, None, tensors=["x", "text"])
    mine = DataLoader(data, batch_size=8, num_workers=2)
    seen = [i for batch in mine for i in batch["x"].tolist()]
    assert sorted(seen) == list(range(103))
    assert len(data) == 103
    whole = [sample["x"].item() for sample in DataLoader(data, batch_size=None, num_workers=2)]
    assert whole == list(range(103))


def test_ranks_and_workers(ds):
    seen = []
    for rank in range(3):
        data = IterableDataset(ds, 6, tensors=["x"], shuffle="full", rank=rank, world_size=3)
        seen += [
            i for rows in _rows(DataLoader(data, batch_size=None, num_workers=2)) for i in rows
        ]
    assert sorted(seen) == list(range(103))


# -- torchdata -----------------------------------------------------------------------


def _stateful(data, workers, **given):
    package = pytest.importorskip(
        "torchdata.stateful_dataloader", reason="torchdata is not installed"
    )
    return package.StatefulDataLoader(data, batch_size=None, num_workers=workers, **given)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize(
    ("batch_size", "stop"), [(10, 0), (10, 1), (10, 4), (10, 7), (10, 11), (None, 4), (None, 103)]
)
def test_stateful_loaders_go_on_exactly(ds, workers, batch_size, stop):
    given = {"tensors": ["x"], "shuffle": True, "window": 25}
    epochs = ds.pytorch(batch_size, **given)
    expected = [_rows(epochs) for _ in range(2)]
    first = _stateful(IterableDataset(ds, batch_size, **given), workers)
    batches = iter(first)
    seen = [next(batches)["x"].tolist() for _ in range(stop)]
    state = first.state_dict()
    del batches, first
    later = _stateful(IterableDataset(ds, batch_size, **given), workers)
    later.load_state_dict(state)
    assert seen + _rows(later) == expected[0]
    assert _rows(later) == expected[1]


def test_states_between_snapshots(ds):
    given = {"tensors": ["x"], "shuffle": True}
    expected = _rows(ds.pytorch(5, **given))
    first = _stateful(IterableDataset(ds, 5, **given), 2, snapshot_every_n_steps=4)
    batches = iter(first)
    seen = [next(batches)["x"].tolist() for _ in range(7)]
    state = first.state_dict()
    later = _stateful(IterableDataset(ds, 5, **given), 2)
    later.load_state_dict(state)
    assert seen + _rows(later) == expected
    del batches


def test_states_of_loaders_fit_datasets(ds):
    given = {"tensors": ["x"], "shuffle": True}
    loader = ds.pytorch(10, **given)
    seen = [batch["x"].tolist() for _, batch in zip(range(3), loader, strict=False)]
    for workers in (0, 2):
        data = IterableDataset(ds, 10, **given)
        data.load_state_dict(loader.state_dict())
        rest = _rows(DataLoader(data, batch_size=None, num_workers=workers))
        assert sorted(i for rows in seen + rest for i in rows) == list(range(103))


def test_states_of_other_workers_are_refused(ds):
    data = IterableDataset(ds, 10, tensors=["x"])
    state = {**data.state_dict(), "worker": 1, "workers": 2, "batches": 3}
    with pytest.raises(InvalidError, match="worker 1 of 2, this is 0 of 1"):
        data.load_state_dict(state)
    other = IterableDataset(ds[:50], 10, tensors=["x"])
    with pytest.raises(InvalidError, match="length"):
        other.load_state_dict(data.state_dict())
