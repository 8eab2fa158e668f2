"""Transactions: nothing of them is seen before the end."""

from __future__ import annotations

import contextlib
import secrets
import time

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import InvalidError


@pytest.fixture
def array():
    a = hub.array((5,), f"memory://{secrets.token_hex(6)}/a", dtype="i4", chunks=(2,))
    yield a
    a.close()


def seen(array):
    return np.asarray(hub.load(array.name, mode="r")[...]).tolist()


def test_flushing_inside_shows_nothing(array):
    with array.transaction("all"):
        array[0] = 1
        array.flush()
        assert seen(array) == [0, 0, 0, 0, 0]
        assert array[0] == 1
    assert seen(array) == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("end", ["commit", "close"])
def test_commits_inside_are_refused_and_all_is_dropped(array, end):
    def half():
        with array.transaction("all"):
            array[0] = 1
            array.append([6])
            getattr(array, end)()

    with pytest.raises(InvalidError, match="end it before"):
        half()
    assert seen(array) == [0, 0, 0, 0, 0]
    assert np.asarray(array[...]).tolist() == [0, 0, 0, 0, 0]
    array[1] = 2
    array.flush()
    assert seen(array) == [0, 2, 0, 0, 0]


def test_writes_after_a_transaction_that_was_dropped_sync_by_themselves():
    a = hub.array((5,), f"memory://{secrets.token_hex(6)}/a", dtype="i4")
    a._session.sync_interval = 0.05
    for value in range(1, 4):
        with contextlib.suppress(KeyError), a.transaction("never"):
            a[0] = 99
            raise KeyError
        a[1] = value
        limit = time.monotonic() + 10
        while a._session.dirty and time.monotonic() < limit:
            time.sleep(0.01)
        assert seen(a) == [0, value, 0, 0, 0]
    a.close()
