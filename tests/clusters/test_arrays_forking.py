"""Forked sessions: what workers stored becomes one commit, exactly or not at all."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.errors import ConflictError, InvalidError, InvalidTypeError, NotFoundError
from hubzarr.session.forks.forking import (
    Written,
    combine,
    fork_session,
    merge_forks,
    open_fork,
    write_block,
)


@pytest.fixture
def a(tmp_path):
    made = hub.array((10, 10), str(tmp_path / "a"), chunks=(4, 4), dtype="f8")
    made[:] = np.arange(100.0).reshape(10, 10)
    made.commit("base")
    with made:
        yield made


def box_of(*spans):
    return tuple(spans)


def test_one_commit_with_exact_statistics(a):
    fork = fork_session(a._session)
    want = np.asarray(a).copy()
    want[0:6], want[6:10] = -1.5, 7
    one = write_block(fork, "", ((0, 6), (0, 10)), want[0:6])
    two = write_block(fork, "", ((6, 10), (0, 10)), want[6:10])
    assert np.asarray(hub.load(a.name))[0, 0] == 0  # nothing shows before the commit
    merge_forks(a._session, [one, [two]])
    commit = a.commit("both halves")
    assert commit.number == 2
    assert set(commit.writes) >= {f"{i:016x}" for i in {*one.ids.tolist(), *two.ids.tolist()}}
    seen = hub.load(a.name)
    np.testing.assert_array_equal(seen, want)
    reads = seen.io.copy()
    assert (seen.mean(), seen.min(), seen.max()) == (want.mean(), -1.5, 7)
    assert (seen.io - reads).reads == 0
    np.testing.assert_allclose(seen.std(), want.std(), rtol=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_any_cut_into_boxes_gives_what_numpy_gives(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, rng.integers(1, 4)).tolist())
    chunks = tuple(rng.integers(1, 6, len(shape)).tolist())
    a = hub.array(shape, f"memory://forks/{seed}-{rng.bytes(4).hex()}", chunks=chunks, dtype="i4")
    x = rng.integers(0, 3, shape).astype("i4")
    if rng.random() < 0.7:
        a[...] = x
    else:
        x[:] = 0
    fork = fork_session(a._session)
    cuts = [np.unique([0, n, *rng.integers(0, n + 1, 2)]) for n in shape]
    results = []
    for index in np.ndindex(*[len(c) - 1 for c in cuts]):
        box = tuple((int(c[i]), int(c[i + 1])) for c, i in zip(cuts, index, strict=True))
        if rng.random() < 0.8:
            where = tuple(slice(*span) for span in box)
            x[where] = rng.integers(0, 3, x[where].shape)
            results.append(write_block(fork, "", box, x[where].copy()))
    rng.shuffle(results)
    merge_forks(a._session, combine(results[:3]) + results[3:])
    np.testing.assert_array_equal(a, x)
    assert a.sum() == x.sum()
    np.testing.assert_allclose(a.std(), x.std(), rtol=1e-9, atol=1e-12)
    a.discard()
    a.close()


def test_array_without_axes(tmp_path):
    a = hub.array((), str(tmp_path / "one"), dtype="f4")
    fork = fork_session(a._session)
    merge_forks(a._session, [write_block(fork, "", (), np.array(3, "f4"))])
    a.commit("three")
    assert hub.load(a.name)[()] == 3


def test_uncommitted_changes_are_carried(a):
    with a.transaction("all"):
        a[0, 0] = -5
        a.resize((12, 10))
        fork = pickle.loads(pickle.dumps(fork_session(a._session)))
        one = write_block(fork, "", ((0, 1), (1, 10)), np.full((1, 9), -6.0))
        two = write_block(fork, "", ((11, 12), (0, 10)), np.full((1, 10), -7.0))
        merge_forks(a._session, [one, two])
    seen = np.asarray(hub.load(a.name))
    assert seen[0].tolist() == [-5, *[-6] * 9]
    assert seen[10].tolist() == [0] * 10
    assert seen[11].tolist() == [-7] * 10
    assert len(a.log()) == 3


def test_arrays_made_in_a_transaction_can_be_forked(tmp_path):
    a = hub.array((4,), str(tmp_path / "root"), dtype="i2")
    session = a._session
    document = pickle.loads(pickle.dumps(session.array("").document))
    with a.transaction("more"):
        session.create_array("b", document)
        fork = fork_session(session)
        assert [path for path, _ in fork.nodes] == ["", "b"]
        merge_forks(session, [write_block(fork, "b", ((0, 4),), np.arange(4, dtype="i2"))])
    assert hub.load(a.name)._session.array("b").engine.cells.home == "b"


def test_overlapping_tasks_conflict(a):
    fork = fork_session(a._session)
    one = write_block(fork, "", ((0, 6), (0, 10)), np.zeros((6, 10)))
    two = write_block(fork, "", ((5, 10), (0, 10)), np.ones((5, 10)))
    with pytest.raises(ConflictError, match=r"two tasks wrote \[5:6, 0:4\] of .*a:main"):
        merge_forks(a._session, [one, two])
    assert not a._session.dirty
    np.testing.assert_array_equal(a, np.arange(100.0).reshape(10, 10))


@pytest.mark.parametrize("order", [(0.0, 6.0), (6.0, 0.0)])
def test_fill_values_count_as_written_where_nothing_is_stored(tmp_path, order):
    z = hub.array((8,), str(tmp_path / "z"), chunks=(4,))
    fork = z.fork()
    clash = [fork.write(slice(0, 1), value) for value in order]
    with pytest.raises(ConflictError, match=r"two tasks wrote \[0:1\]"):
        z.join(clash, "both")
    assert z.log()[0].number == 0
    beside = [fork.write(slice(i, i + 1), value) for i, value in enumerate(order)]
    assert z.join([*beside, fork.write(slice(4, 8), 0.0)], "beside").number == 1
    assert z[:].tolist() == [*order, 0, 0, 0, 0, 0, 0]
    assert z.sum() == 6


def test_fill_values_do_not_undo_what_the_session_wrote_meanwhile(tmp_path):
    z = hub.array((8,), str(tmp_path / "z"), chunks=(4,))
    fill = z.fork().write(slice(0, 4), 0.0)
    z[1] = 5
    z.join([fill], "fill")
    assert z[:4].tolist() == [0, 5, 0, 0]


def test_what_the_session_changed_meanwhile(a):
    fork = fork_session(a._session)
    one = write_block(fork, "", ((0, 2), (0, 10)), np.full((2, 10), -1.0))
    a[3, 3] = 1000  # another element of a chunk that the task wrote: both count
    merge_forks(a._session, [one])
    assert a[0, 0] == -1
    assert a[3, 3] == 1000
    two = write_block(fork, "", ((3, 4), (3, 4)), np.full((1, 1), -1.0))
    with pytest.raises(ConflictError, match=r"elements \[3, 3\]"):
        merge_forks(a._session, [two])
    assert a[3, 3] == 1000
    np.testing.assert_allclose(a.sum(), np.asarray(a).sum())


def test_others_commit_meanwhile(a):
    other = hub.load(a.name)
    fork = fork_session(a._session)
    other[9, 9] = 5
    other.append(np.full((3, 10), 8.0))
    other.commit("theirs")
    merge_forks(a._session, [write_block(fork, "", ((8, 10), (0, 8)), np.full((2, 8), 6.0))])
    a.commit("mine")
    seen = np.asarray(hub.load(a.name))
    assert seen.shape == (13, 10)
    assert seen[9].tolist() == [6] * 8 + [98, 5]
    assert seen[10:].sum() == 8 * 30


def test_the_same_results_twice_count_once(a):
    fork = fork_session(a._session)
    one = write_block(fork, "", ((0, 4), (0, 4)), np.full((4, 4), -1.0))
    merge_forks(a._session, [one, one])
    a.commit("once")
    merge_forks(a._session, [one])
    assert np.asarray(a)[:4, :4].sum() == -16


def test_results_of_another_array_are_refused(a, tmp_path):
    b = hub.array((10, 10), str(tmp_path / "b"), chunks=(4, 4), dtype="f8")
    one = write_block(fork_session(b._session), "", ((0, 4), (0, 4)), np.ones((4, 4)))
    with pytest.raises(InvalidError, match="another array"):
        merge_forks(a._session, [one])


def test_cells_outside_and_cut_arrays_are_refused(a):
    fork = fork_session(a._session)
    one = write_block(fork, "", ((8, 10), (0, 10)), np.ones((2, 10)))
    outside = Written(
        "", one.layout, None, np.add(one.cells, [9, 0]), one.ids, one.before, one.rows
    )
    with pytest.raises(InvalidError, match="outside the grid"):
        merge_forks(a._session, [outside])
    a.resize((4, 10))
    with pytest.raises(ConflictError, match="was cut from shape"):
        merge_forks(a._session, [one])


def test_bad_blocks_are_refused(a):
    fork = fork_session(a._session)
    with pytest.raises(InvalidError, match="does not lie inside"):
        write_block(fork, "", ((8, 11), (0, 10)), np.ones((3, 10)))
    with pytest.raises(InvalidError, match="don't fill"):
        write_block(fork, "", ((8, 10), (0, 10)), np.ones((3, 10)))
    with pytest.raises(InvalidTypeError, match="expected values of float64"):
        write_block(fork, "", ((8, 10), (0, 10)), np.ones((2, 10), "f4"))
    with pytest.raises(NotFoundError, match="no array at 'x'"):
        write_block(fork, "x", (), np.ones(()))


def test_new_cells_behind_the_end(tmp_path):
    """What tasks store directly, before the owner makes room for it."""
    a = hub.array((0,), str(tmp_path / "flat"), chunks=(8,), dtype="u1")
    writer = open_fork(fork_session(a._session))
    array = writer.array()
    with writer.write_id("", [(1,)]) as write_id:
        array.cells.store_cell(write_id, (1,), np.arange(8, dtype="u1"))
    one = array.written(write_id, np.array([[1]]))
    a.resize((16,))
    merge_forks(a._session, [one])
    a.commit("grown")
    assert np.asarray(hub.load(a.name)).tolist() == [0] * 8 + list(range(8))
    assert a.sum() == 28


def test_no_object_is_written_twice(a):
    """Write ids are few, but a task that runs again stores under another one."""
    fork = fork_session(a._session)
    box, block = ((0, 4), (0, 4)), np.ones((4, 4))
    first = write_block(fork, "", box, block)
    again = write_block(fork, "", box, block)
    elsewhere = write_block(fork, "", ((4, 8), (0, 4)), block)
    assert first.ids[0] != again.ids[0]
    assert elsewhere.ids[0] in (first.ids[0], again.ids[0])


def test_an_id_is_not_used_again_after_an_error(a, monkeypatch):
    fork = fork_session(a._session)
    first = write_block(fork, "", ((0, 4), (0, 4)), np.ones((4, 4)))
    cells = open_fork(fork).array().cells

    def fails(*_):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(cells, "store_cell", fails)
        with pytest.raises(OSError, match="no space"):
            write_block(fork, "", ((4, 8), (0, 4)), np.ones((4, 4)))
    later = write_block(fork, "", ((4, 8), (0, 4)), np.ones((4, 4)))
    assert later.ids[0] != first.ids[0]


def test_threads_share_one_writer(a):
    fork = fork_session(a._session)
    boxes = [((i, i + 2), (j, j + 2)) for i in range(0, 10, 2) for j in range(0, 10, 2)]
    with ThreadPoolExecutor(8) as pool:
        work = [
            pool.submit(write_block, fork, "", b, np.full((2, 2), b[0][0] * 1.0)) for b in boxes
        ]
        merge_forks(a._session, [task.result() for task in work])
    a.commit("rows")
    np.testing.assert_array_equal(np.asarray(hub.load(a.name))[:, 0], np.arange(10) // 2 * 2)
    assert len(a.log()) == 3


def _forked_child(fork, value):
    return write_block(fork, "", ((0, 4), (0, 4)), np.full((4, 4), value))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_children_take_ids_of_their_own(a):
    fork = fork_session(a._session)
    mine = write_block(fork, "", ((4, 8), (0, 4)), np.ones((4, 4)))
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        theirs = pool.submit(_forked_child, fork, 2.0).result(60)
    assert mine.ids[0] != theirs.ids[0]


def test_a_process_that_sees_another_place_is_told(a, tmp_path):
    fork = fork_session(a._session)
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    try:
        with pytest.raises(NotFoundError, match="the place must be one that all workers share"):
            write_block(fork, "", ((0, 4), (0, 4)), np.ones((4, 4)))
    finally:
        (tmp_path / "elsewhere").rename(tmp_path / "a")


def test_small_pickles(a):
    fork = fork_session(a._session)
    assert len(pickle.dumps(fork)) < 1000
    one = write_block(fork, "", ((0, 4), (0, 4)), np.ones((4, 4)))
    assert len(pickle.dumps(one)) < 2000
