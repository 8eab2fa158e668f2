"""Transactions of nothing."""

from __future__ import annotations

import hubzarr as hub


def test_a_transaction_that_changes_nothing_makes_no_commit() -> None:
    ds = hub.empty("tests/nothing")
    ds.create_tensor("x").extend([1, 2])
    ds.flush()
    before = ds.commit_id
    with ds:
        pass
    assert ds.commit_id == before
    with ds.transaction("said so"):
        pass
    assert ds.commit_id != before
    assert ds.log()[0].message == "said so"


def test_a_transaction_that_changes_something_makes_one() -> None:
    ds = hub.empty("tests/something")
    before = ds.commit_id
    with ds:
        ds.create_tensor("x")
        ds.x.append(1)
    assert ds.commit_id != before
    assert len(hub.load("tests/something").x) == 1
