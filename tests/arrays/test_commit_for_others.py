"""What was just written is seen by dask tasks, by pickles and by handles opened next."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError


@pytest.fixture(autouse=True)
def _no_background_syncs() -> Iterator[None]:
    hub.configure(sync_interval=1000)
    yield
    hub.configure(sync_interval=None)


def test_dask_sees_appended_rows() -> None:
    a = hub.array((0, 3), "others/rows")
    a.append([[1, 2, 3], [4, 5, 6]])
    assert a.to_dask().sum(axis=0).compute().tolist() == [5, 7, 9]
    assert float(a.mean(compute=False).compute()) == 3.5


def test_pickles_see_writes() -> None:
    a = hub.array((4,), "others/pickle")
    a[1] = 7
    assert pickle.loads(pickle.dumps(a))[1] == 7


def test_handles_opened_next_see_writes() -> None:
    a = hub.array((4,), "others/load:v0")
    a[1] = 7
    assert hub.load("others/load:v0")[1] == 7
    a[2] = 8
    assert hub.copy("others/load:v0", "others/copy").sum() == 15
    assert hub.versions("others/load")[0].number == 2


def test_a_transaction_is_seen_by_nobody() -> None:
    a = hub.array((4,), "others/transaction")
    with a.transaction("all at once"):
        a[1] = 7
        with pytest.raises(InvalidError, match="end the transaction"):
            a.to_dask()
        with pytest.raises(InvalidError, match="end the transaction"):
            pickle.dumps(a)
        assert hub.load("others/transaction")[1] == 0
    assert np.asarray(hub.load("others/transaction")).tolist() == [0, 7, 0, 0]
