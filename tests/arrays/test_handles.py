"""Handles: conflicts, leaving `with`, threads, copies, and the functions that manage names."""

from __future__ import annotations

import copy
import datetime
import errno
import os
import pickle
import threading

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import (
    ClosedError,
    ConflictError,
    ExistsError,
    InvalidError,
    InvalidNameError,
    NotFoundError,
    SealedError,
    StorageError,
)
from hubzarr.storage.base import storage_error
from hubzarr.storage.faulty import Fault, FaultyStorage

ALWAYS = 1 << 30


@pytest.fixture
def a():
    return hub.from_numpy(np.arange(24).reshape(6, 4), "handles/a", chunks=(2, 4))


def full_disk(array, at=1):
    """Let every write of a handle fail, from the given one on; returns what ends that."""
    session = array._session
    faulty = FaultyStorage(session.storage)
    faulty.schedule(
        Fault(
            verb="write",
            at=at,
            times=ALWAYS,
            error=lambda: storage_error(OSError(errno.ENOSPC, "full"), "write", "/disk/object"),
        )
    )
    session.storage = faulty
    for state in session.states.values():
        state.storage = state.engine.cells.storage = faulty
    return faulty.schedule


# -- conflicts ---------------------------------------------------------------


@pytest.mark.parametrize(("conflict", "value"), [("ours", 7), ("theirs", 8)])
def test_conflicts_are_decided_by_commit(a, conflict, value):
    b = hub.load("handles/a")
    a[0, 0], a[3, 3], b[0, 0], b[5, 1] = 7, 70, 8, 80
    b.commit("b")
    with pytest.raises(ConflictError, match=r"\[0, 0\].*commit [0-9a-f]{16}.*discard\(\)") as e:
        a.commit("a")
    assert (a[0, 0], a[3, 3]) == (7, 70)  # nothing is lost
    assert e.value.other == "main@2"
    with pytest.raises(ConflictError):
        a.refresh()
    assert (a[0, 0], a[3, 3], a[5, 1]) == (7, 70, 21)
    with pytest.raises(InvalidError, match=r"'ours'.*'theirs'"):
        a.commit("a", conflict="mine")
    a.commit("a", conflict=conflict)
    found = hub.load("handles/a")
    assert [found[0, 0], found[3, 3], found[5, 1]] == [value, 70, 80]


def test_conflicts_may_be_dropped(a):
    b = hub.load("handles/a")
    a[0, 0], b[0, 0] = 7, 8
    b.commit("b")
    with pytest.raises(ConflictError):
        a.flush()
    a.discard()
    assert a[0, 0] == 0
    assert a.refresh()
    assert a[0, 0] == 8
    assert not a.refresh()


def test_refresh_keeps_own_changes_on_top(a):
    b = hub.load("handles/a")
    a[0, 0], b[0, 1] = 7, 8
    b.attributes["unit"] = "K"
    b.append([[1, 2, 3, 4]])
    b.commit("b")
    assert a.refresh()
    assert (a[0, 0], a[0, 1], a.shape) == (7, 8, (7, 4))
    assert a.attributes["unit"] == "K"
    assert hub.load("handles/a", mode="r").at(2)[0, 0] == 0


def test_attributes_merge_by_key(a):
    b = hub.load("handles/a")
    a.attributes["mine"], b.attributes["yours"] = 1, 2
    b.commit("b")
    a.commit("a", attributes={"both": [1, {"x": None}]})
    assert dict(a.attributes) == {"mine": 1, "yours": 2, "both": [1, {"x": None}]}
    b.refresh()
    a.attributes["mine"], b.attributes["mine"] = 3, 4
    b.commit("b")
    with pytest.raises(ConflictError, match="mine"):
        a.commit("a")
    a.discard()


# -- with --------------------------------------------------------------------


def test_leaving_with_commits(a):
    with hub.load("handles/a") as b:
        b[0] = 9
    with pytest.raises(ClosedError, match="was closed; load it again"):
        b[0].compute()
    with pytest.raises(ClosedError, match="was closed; load it again"):
        b[0] = 1
    assert (hub.load("handles/a")[0].compute() == 9).all()
    b.close()


def test_an_exception_inside_with_keeps_what_was_written(a):
    """As with a file: only a transaction promises all or nothing."""
    with pytest.raises(ZeroDivisionError) as caught:  # noqa: PT012, SIM117
        with hub.load("handles/a") as b:
            b[0] = 9
            b[1] = 1 // 0
    assert not getattr(caught.value, "__notes__", [])
    assert (hub.load("handles/a")[0].compute() == 9).all()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012, SIM117
        with hub.load("handles/a").transaction("none") as b:
            b[0] = 10
            b[1] = 1 // 0
    assert (hub.load("handles/a")[0].compute() == 9).all()


def test_an_exception_inside_with_is_not_hidden_by_one_of_close(a):
    b = hub.load("handles/a")
    with pytest.raises(ZeroDivisionError) as caught, b:  # noqa: PT012
        b[0] = 9
        repair = full_disk(b)
        b[1] = 1 // 0
    (note,) = caught.value.__notes__
    assert "closing handles/a failed" in note
    assert "free some" in note
    repair()
    b.close()  # it stayed open, with what it holds
    assert (hub.load("handles/a")[0].compute() == 9).all()


def test_errors_of_close_are_raised(a):
    b = hub.load("handles/a")
    with pytest.raises(StorageError, match="free some"), b:  # noqa: PT012
        b[0] = 9
        repair = full_disk(b)
    repair()
    b.flush()
    assert (hub.load("handles/a")[0].compute() == 9).all()


# -- failures leave the array as it was --------------------------------------


@pytest.mark.parametrize("before", [0, 5, 6])
@pytest.mark.parametrize("rows", [1, 9, 40])
def test_an_append_that_fails_leaves_the_array_as_it_was(before, rows, monkeypatch):
    monkeypatch.setenv("HUBZARR_BUFFER_BYTES", "1")
    a = hub.array((before, 4), "handles/append", dtype="i8", chunks=(2, 4), fill_value=-1)
    x = np.arange(before * 4).reshape(before, 4)
    a[...] = x
    a.commit("before")
    repair = full_disk(a)
    with pytest.raises(StorageError, match="free some"):
        a.append(np.full((rows, 4), 99))
    assert a.shape == x.shape
    assert np.array_equal(a[...], x)
    repair()
    a.resize((before + 3, 4))
    assert (a[before:].compute() == -1).all()
    a.resize((before, 4))
    a.append(np.full((rows, 4), 7))
    a.commit("after")
    again = hub.load("handles/append")
    assert np.array_equal(again, np.concatenate([x, np.full((rows, 4), 7)]))
    assert again.sum() == x.sum() + rows * 28


def test_appends_of_the_wrong_shape_or_type(a):
    for rows in (np.zeros((2, 5)), np.zeros(4), 3, [[1, 2], [3]], "x", np.zeros((1, 4), complex)):
        with pytest.raises((InvalidError, TypeError), match="handles/a"):
            a.append(rows)
    assert a.shape == (6, 4)
    assert not a._session.dirty


def test_a_shrinking_that_fails_leaves_the_array_as_it_was(a):
    x = a.compute()
    repair = full_disk(a)
    with pytest.raises(StorageError):
        a.resize((3, 3))
    assert a.shape == (6, 4)
    assert np.array_equal(a[...], x)
    repair()
    a.resize((3, 3))
    a.resize((6, 4))
    expected = np.zeros_like(x)
    expected[:3, :3] = x[:3, :3]
    assert np.array_equal(a[...], expected)
    a.commit("smaller")
    assert np.array_equal(hub.load("handles/a"), expected)


# -- threads and copies ------------------------------------------------------


def test_threads_share_a_handle():
    a = hub.array((64, 8), "handles/threads", dtype="i8", chunks=(4, 8))
    errors = []

    def work(me):
        try:
            for i in range(me, 64, 4):
                a[i] = i
                a[i, me] += 1
                assert a[i, me] == i + 1
                assert a[i : i + 1].sum() == 8 * i + 1
                if i % 8 == me:
                    a.flush()
            a.append(np.full((1, 8), 1000 + me))
            a.attributes[str(me)] = me
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    a.commit("done")
    found = hub.load("handles/threads")[...].compute()
    expected = np.repeat(np.arange(64)[:, None], 8, axis=1)
    expected[np.arange(64), np.arange(64) % 4] += 1
    assert np.array_equal(found[:64], expected)
    assert sorted(found[64:, 0].tolist()) == [1000, 1001, 1002, 1003]
    assert sorted(a.attributes) == list("0123")


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_are_handles_of_their_own(a, again):
    a[0] = 9  # committed, so that the copy has it
    b = again(a)
    assert np.array_equal(b, a)
    assert (b.name, b.version, b.commit_id) == (a.name, a.version, a.commit_id)
    b[1] = 8
    assert a[1, 0] == 4
    b.commit("copy")
    a.refresh()
    assert a[1, 0] == 8
    view = again(a[1:, ::-2])
    assert np.array_equal(view, a[1:, ::-2].compute())
    if again is not copy.copy:  # which has the same handle
        view[0] = 5
        assert a[1, 1] == 8
    reading = again(a.at(1))
    assert reading.read_only
    assert reading[1, 0] == 4
    inside = again({"a": a[2:], "of": [a]})
    assert inside["of"][0].shape == (6, 4)


def test_inside_dask(a):
    delayed = pytest.importorskip("dask").delayed

    def total(part, times):
        return int(part.sum()) * times

    assert delayed(total)(a[1:3], 2).compute(scheduler="processes", num_workers=1) == 2 * 60


# -- names -------------------------------------------------------------------


def test_creating_what_exists(a):
    with pytest.raises(ExistsError, match=r"hub.load\('handles/a'\).*exist_ok.*overwrite=True"):
        hub.array((6, 4), "handles/a")
    same = hub.array((6, 4), "handles/a", dtype="i8", exist_ok=True)
    assert np.array_equal(same, a)
    with pytest.raises(ExistsError, match=r"has?.*shape \(6, 4\) and dtype int64"):
        hub.array((2,), "handles/a", exist_ok=True)
    with pytest.raises(InvalidError, match="exclude each other"):
        hub.array((2,), "handles/a", exist_ok=True, overwrite=True)
    new = hub.array((2,), "handles/a", overwrite=True)
    assert new.tolist() == [0, 0]
    assert np.array_equal(new.at(1), np.arange(24).reshape(6, 4))
    assert a.refresh()
    assert a.shape == (2,)


def test_versions_start_independently(a):
    other = hub.array((3,), "handles/a:v1")
    assert [v.name for v in other.versions()] == ["main", "v1"]
    assert hub.load("handles/a").shape == (6, 4)
    assert hub.load("handles/a:v1").shape == (3,)
    assert hub.exists("handles/a:v1")
    assert not hub.exists("handles/a:v2")


def test_copy_rename_delete_list(a):
    a.attributes["k"] = 1
    b = hub.copy("handles/a", "handles/b:v3")
    assert np.array_equal(b, a)
    assert (b.version, dict(b.attributes)) == ("v3", {"k": 1})
    with pytest.raises(ExistsError, match="v3"):
        hub.copy("handles/a", "handles/b:v3")
    old = hub.copy("handles/a@1", "handles/a:old")
    assert "k" not in old.attributes
    hub.rename("handles/b", "handles/c")
    assert hub.list("handles") == ["handles/a", "handles/c"]
    hub.rename("handles/c:v3", "handles/c:v4")
    assert [v.name for v in hub.versions("handles/c")] == ["v4"]
    for bad in (("handles/c:v4", "handles/d:v4"), ("handles/c", "handles/d:v4")):
        with pytest.raises(InvalidNameError):
            hub.rename(*bad)
    with pytest.raises(ExistsError, match="handles/a"):
        hub.rename("handles/c", "handles/a")
    with pytest.raises(NotFoundError, match="handles/x"):
        hub.rename("handles/x", "handles/y")
    hub.delete("handles/c")
    assert hub.list() == ["handles/a"]
    hub.delete("handles/a:old")
    with pytest.raises(NotFoundError, match="main"):
        hub.delete("handles/a:old")
    a.seal()
    with pytest.raises(SealedError, match="force"):
        hub.delete("handles/a")
    hub.delete("handles/a", force=True)
    assert hub.list() == []


# -- the rest of the API -----------------------------------------------------


def test_points_in_time(a):
    before = datetime.datetime.now(datetime.UTC)
    a[0] = 9
    commit = a.commit("nine")
    for point in (1, "1", np.int64(1), before, before.isoformat(), a.log()[1].id):
        assert a.at(point)[0, 1] == 1
    for point in (2, commit.id, datetime.datetime.now(), commit.time):
        assert a.at(point)[0, 1] == 9
    assert hub.load("handles/a@1")[0, 1] == 1
    for point, error, message in [
        (99, NotFoundError, "has no commit 99; its newest is 2"),
        ("2001-01-01", NotFoundError, "at or before 2001-01-01"),
        ("f" * 16, NotFoundError, "f" * 16),
        ("soon", InvalidNameError, "a point is a commit number"),
        (1.5, InvalidNameError, "a point is a commit number"),
    ]:
        with pytest.raises(error, match=message):
            a.at(point)


def test_revert(a):
    a[0] = 9
    with pytest.raises(InvalidError, match=r"commit\(\) them first.*discard"):
        a.revert(0)
    assert a.revert(1, "back", discard=True).message == "back"
    assert a[0, 1] == 1


def test_what_it_says_of_itself(a):
    a.attributes["<b>"] = "&"
    a[0] = 1
    a.flush()
    info = a.info
    assert (info["shape"], info["dtype"], info["chunks"]) == ((6, 4), "int64", (2, 4))
    assert (info["cells"], info["nbytes"], info["number"]) == (3, 192, 2)
    assert 0 < a.nbytes_stored < 1000
    assert repr(a) == "<hubzarr.Array handles/a:main@2 shape=(6, 4) dtype=int64 chunks=(2, 4)>"
    assert "&lt;b&gt;" in a._repr_html_()
    assert a.at(0).read_only
    assert "read-only" in repr(a.at(0))
    assert "of='handles/a'" in repr(a[0])


def test_counters(a):
    a.flush()
    before = a.io.copy()
    a.mean()
    assert (a.io - before).reads == 0
    a[0] = 3
    a.flush()
    assert (a.io - before).writes >= 2


def test_lazy_statistics_of_views(a):
    x = a.compute()
    names = ["mean", "std", "var", "min", "max", "sum", "count"]
    for name in [*names, "nanmean", "nanstd", "nanvar", "nansum", "nanmin", "nanmax"]:
        lazily = getattr(a[1:, ::2], name)(axis=0, compute=False)
        expected = x[1:, ::2].shape[0] if name == "count" else getattr(np, name)(x[1:, ::2], axis=0)
        np.testing.assert_allclose(lazily.compute(scheduler="synchronous"), expected, rtol=1e-12)


def test_attributes(a):
    a.attributes = {"x": np.float64(2), "y": np.arange(2)}
    assert dict(a.attributes) == {"x": 2.0, "y": [0, 1]}
    del a.attributes["x"]
    for bad in ({"z": object()}, {"z": float("nan")}, {3: 1}):
        with pytest.raises(TypeError, match="attribute"):
            a.attributes.update(bad)
        with pytest.raises(TypeError, match="attribute"):
            hub.array((2,), "handles/bad", attributes=bad)
    with pytest.raises(TypeError, match="mapping"):
        hub.array((2,), "handles/bad", attributes=[1])
    assert not hub.exists("handles/bad")
    with pytest.raises(NotFoundError, match="no attribute 'q'; there are: y"):
        a.attributes["q"]
    assert dict(hub.load("handles/a").attributes) == {"y": [0, 1]}


def test_processes_do_not_share_handles(a):
    """A fork commits what it wrote itself, and nothing of its parent."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    a[0] = 9
    child = os.fork()
    if not child:
        code = 1
        try:
            code = int(a[0, 0] == 9)
            a[1] = 8
            a.flush()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    a.flush()
    assert a[...][:2, 0].tolist() == [9, 8]


@pytest.mark.parametrize("shape", [(5, 4), (5,), (6, 3)])
@pytest.mark.parametrize("committed", [True, False])
def test_an_append_that_fails_at_any_write(shape, committed, monkeypatch):
    """Rows before it were stored, buffered or both, by this handle."""
    monkeypatch.setenv("HUBZARR_BUFFER_BYTES", "100")
    tail = shape[1:]
    for at in range(1, 8):
        a = hub.array((0, *tail), f"fails/a{at}", dtype="i8", chunks=(2, *tail))
        x = np.arange(np.prod(shape)).reshape(shape) + 1
        a.append(x[:4])
        if committed:
            a.commit("some")
        a.append(x[4:])
        repair = full_disk(a, at)
        rows = np.full((7, *tail), 99)
        try:
            a.append(rows)
            x = np.concatenate([x, rows])
        except StorageError:
            pass
        assert a.shape == x.shape
        assert np.array_equal(a[...], x)
        repair()
        assert a.sum() == x.sum()
        a.append(rows[:2] - 1)
        a[0] = 3
        x[0] = 3
        x = np.concatenate([x, rows[:2] - 1])
        a.commit("after")
        found = hub.load(a.name)
        assert np.array_equal(found, x)
        assert (found.sum(), found.max()) == (x.sum(), x.max())
        hub.delete(a.name)


def test_rows_survive_a_buffer_that_is_too_small(monkeypatch):
    """The buffer of a row's cell once left for the store before the row was in it."""
    monkeypatch.setenv("HUBZARR_BUFFER_BYTES", "1")
    x = np.zeros((40, 4), "i8")
    a = hub.array(x.shape, "handles/small", dtype="i8", chunks=(2, 4))
    for step in range(200):
        row = step * 7 % 40
        a[row] = x[row] = step
    assert np.array_equal(a[...], x)
    a.commit("rows")
    assert np.array_equal(hub.load("handles/small"), x)


def test_numpy_functions_that_write() -> None:
    a = hub.from_numpy(np.arange(6), "writers")
    want = np.arange(6)
    for x in (a, want):
        np.copyto(x, 3)
        np.put(x, [1, 4], [10, 40])
        np.putmask(x, np.asarray(x) > 30, -1)
        np.add.at(x, [0, 0], 5)
        np.cumsum(np.arange(6), out=x)
    np.testing.assert_array_equal(a, want)
    out = np.zeros(())
    np.mean(a, out=out)
    assert out == want.mean()


def test_a_sealed_version_keeps_its_name() -> None:
    a = hub.from_numpy(np.arange(3), "sealed-name:v0")
    a.seal("done")
    with pytest.raises(SealedError, match="its name stays"):
        hub.rename("sealed-name:v0", "sealed-name:v1")
    assert hub.load("sealed-name:v0").sum() == 3


def test_no_branch_of_a_deleted_repository() -> None:
    a = hub.from_numpy(np.arange(3), "gone-for-good")
    hub.delete("gone-for-good")
    with pytest.raises(NotFoundError, match="deleted or renamed"):
        a.branch("ghost")
    assert not hub.exists("gone-for-good")
    assert repr(a)


def test_repr_of_a_closed_handle() -> None:
    a = hub.array((3,), "closed-repr")
    a.close()
    assert "closed" in repr(a)


def test_commits_are_points() -> None:
    a = hub.from_numpy(np.arange(3), "points-are-commits")
    first = a.log()[0]
    a[0] = 9
    second = a.commit("nine")
    assert a.at(first)[0] == 0
    assert a.diff(first, second, values=True).nodes[0].elements == 1
    a.revert(first)
    assert a[0] == 0
