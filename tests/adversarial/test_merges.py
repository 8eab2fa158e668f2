"""Merges at their edges: no axes, NaN, fill values, rows behind rows."""

from __future__ import annotations

import numpy as np
import pytest

from hubzarr.engine.statistics import box_rows
from hubzarr.errors import ConflictError
from hubzarr.session import open_session
from tests.session.support import append, content, read, repository, write


def pair(*args, **options):
    storage = repository(*args, **options)
    return storage, open_session(storage, "main"), open_session(storage, "main")


@pytest.mark.parametrize("dtype", ["i4", "f8", "c16", "M8[s]"])
def test_array_without_axes(dtype):
    storage, a, b = pair((), dtype, ())
    one, two, three = np.array([1, 2, 3]).astype(dtype)
    write(a, (), one)
    write(b, (), two)
    a.commit("one")
    with pytest.raises(ConflictError):
        b.commit("two")
    assert read(b) == two
    b.commit("two", conflict="ours")
    assert content(storage, "main") == two
    write(a, (), three)
    a.commit("three", conflict="theirs")
    assert content(storage, "main") == two


def test_equal_values_on_both_sides_of_an_array_without_axes():
    storage, a, b = pair((), "f8", ())
    for session in (a, b):
        write(session, (), np.nan)
        session.commit("nan")
    assert np.isnan(content(storage, "main"))


def test_complex_numbers_that_differ_beside_a_nan():
    storage, a, b = pair((2,), "c16", (2,))
    write(a, slice(None), [complex(np.nan, 1), 1])
    a.commit("one")
    b.refresh()
    write(b, 0, complex(np.nan, 2))
    write(a, 1, 5)
    a.commit("five")
    b.commit("two")
    out = content(storage, "main")
    assert out[0].imag == 2
    assert out[1] == 5


@pytest.mark.parametrize("late", [False, True])
def test_writing_fill_values_where_nothing_was_changes_nothing(late):
    storage, a, b = pair((8,), "i4", (2,))
    write(b, slice(None), 0)
    if late:
        b.flush()
    write(a, slice(None), 3)
    a.commit("three")
    b.commit("none")
    assert content(storage, "main").tolist() == [3] * 8
    write(b, slice(None), 0)
    b.commit("zeros")
    assert content(storage, "main").tolist() == [0] * 8


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_appends_beside_writes_growth_and_statistics(chunk):
    storage = repository((5, 2), "i4", (chunk, 1))
    sessions = [open_session(storage, "main") for _ in range(4)]
    for k, session in enumerate(sessions):
        append(session, np.full((k + 1, 2), k + 1))
        write(session, (k, 0), 100 + k)
    for k, session in enumerate(sessions):
        session.commit(str(k))
    out = content(storage, "main")
    model = np.zeros((5, 2), "i4")
    model[:4, 0] = [100, 101, 102, 103]
    tail = [np.full((k + 1, 2), k + 1) for k in range(4)]
    assert np.array_equal(out, np.concatenate([model, *tail]))
    engine = open_session(storage, "main").array().engine
    assert int(box_rows(engine, ((0, 15), (0, 2)))["sum"].sum()) == int(out.sum())
    assert int(box_rows(engine, ((3, 9), (0, 2)))["sum"].sum()) == int(out[3:9].sum())


def test_an_append_after_a_resize_that_failed_still_goes_behind_others(monkeypatch):
    storage, a, b = pair((4,), "i4", (4,))
    state = a.array()
    monkeypatch.setattr(state.engine, "resize", lambda _: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        state.resize((9,))
    monkeypatch.undo()
    append(a, [1])
    append(b, [2])
    b.commit("b")
    a.commit("a")
    assert content(storage, "main").tolist() == [0, 0, 0, 0, 2, 1]


def test_a_conflict_keeps_everything_through_more_writes_and_attempts():
    storage, a, b = pair((12,), "i4", (4,))
    write(a, 0, 1)
    a.commit("a")
    write(b, slice(0, 2), [2, 7])
    append(b, [5])
    for attempt in range(3):
        with pytest.raises(ConflictError):
            b.commit("b")
        write(b, 4 + attempt, 9)
        write(a, 11, attempt + 1)
        a.commit("more")
    b.commit("b", conflict="ours")
    assert content(storage, "main").tolist() == [2, 7, 0, 0, 9, 9, 9, 0, 0, 0, 0, 3, 5]
