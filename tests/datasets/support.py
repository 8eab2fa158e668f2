"""Datasets whose rows say in every tensor which row they are."""

from __future__ import annotations

import secrets

import numpy as np

import hubzarr as hub

NAMES = ("uniform", "ragged", "text")


def fresh_url():
    return f"memory://datasets-{secrets.token_hex(6)}"


def row(number, length=None):
    """A row that says its number in each tensor; the ragged sample's length may be given."""
    count = 1 + number % 5 if length is None else length
    return {
        "uniform": [number, -number],
        "ragged": np.full((count, 2), number, "i4"),
        "text": f"row {number}",
    }


def columns(numbers):
    rows = [row(number) for number in numbers]
    return {name: [each[name] for each in rows] for name in NAMES}


def create(url=None, numbers=()):
    """A dataset of a uniform, a ragged and a text tensor, committed."""
    ds = by_hand(hub.empty(url or fresh_url()))
    ds.create_tensor("uniform")
    ds.create_tensor("ragged", dtype="int32", ragged=True)
    ds.create_tensor("text", htype="text")
    if len(numbers):
        ds.extend(columns(numbers))
    ds.commit("created")
    return ds


def url_of(ds):
    return ds._session.storage.url


def again(ds):
    """The dataset, loaded afresh."""
    return by_hand(hub.load(url_of(ds)))


def by_hand(ds):
    """Commit only when told to, however slow the machine is."""
    ds._session.sync_interval = ds._session.interval = None
    return ds


def numbers(ds):
    """The numbers of all rows, after checking that all tensors agree about them."""
    found = np.asarray(ds.uniform.numpy()).reshape(-1, 2)
    out = found[:, 0].tolist()
    assert found[:, 1].tolist() == [-number for number in out]
    assert list(ds.text.text()) == [f"row {number}" for number in out]
    ragged = ds.ragged.numpy(aslist=True)
    assert len(ragged) == len(out)
    for sample, number in zip(ragged, out, strict=True):
        assert sample.dtype == np.int32
        assert sample.ndim == 2
        assert len(sample)
        assert (sample == number).all()
    assert len(ds) == len(out)
    return out
