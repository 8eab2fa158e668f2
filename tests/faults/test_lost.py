"""A create that says "taken" of what it stored itself: its answer was lost, and then damaged."""

from __future__ import annotations

import pytest

from hubzarr.session import open_session
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.session.support import append, content, repository, write


class Distant(FaultyStorage):
    is_local = False


@pytest.mark.parametrize("others", [False, True])
def test_no_row_is_stored_twice(others):
    storage = repository((0, 2), "i4", (4, 2))
    faulty = Distant(storage)
    session = open_session(faulty, "main")
    append(session, [[1, 1]])
    session.commit("one")
    append(session, [[2, 2]])
    faulty.schedule(Fault(verb="create", kind="lost", at=2 if others else 1))
    if others:
        other = open_session(storage, "main")
        append(other, [[9, 9]])
        other.commit("other")
    assert session.commit("two").message == "two"
    expected = [[1, 1], [9, 9], [2, 2]] if others else [[1, 1], [2, 2]]
    assert content(storage, "main").tolist() == expected
    assert session.manifest.commit.number == (3 if others else 2)
    append(session, [[3, 3]])
    session.commit("three")
    assert content(storage, "main").tolist() == [*expected, [3, 3]]


def test_a_value_of_ones_own_is_no_conflict():
    storage = repository((4, 2), "i4", (4, 2))
    faulty = Distant(storage)
    session = open_session(faulty, "main")
    write(session, (0,), 5)
    faulty.schedule(Fault(verb="create", kind="lost"))
    assert session.commit("five").number == 1
    assert content(storage, "main")[0].tolist() == [5, 5]
