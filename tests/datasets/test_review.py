"""What went wrong once: reads between two states, halves of changes, numbers that are not right."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.datasets import layout, ragged
from hubzarr.engine.objects import CellStore
from hubzarr.errors import ConflictError, InvalidError, InvalidTypeError, SampleError
from tests.datasets.support import again, by_hand, create, fresh_url, numbers, row


def fresh():
    return by_hand(hub.empty(fresh_url()))


# -- readers while bytes move ------------------------------------------------------------


def _moved_between(monkeypatch, where, name):
    """A handle whose last row moves behind another one between two steps of the next read."""
    ds = create(numbers=range(4))
    first, second = again(ds), again(ds)
    second.append(row(100, 3))
    second._session.flush()
    first.append(row(50, 7))
    first.commit()
    real = getattr(where, name)

    def between(*args):
        found = np.array(real(*args))
        monkeypatch.setattr(where, name, real)
        second.refresh()
        return found

    monkeypatch.setattr(where, name, between)
    return second


def test_a_sample_moves_while_it_is_read(monkeypatch):
    ds = _moved_between(monkeypatch, ragged, "read_row")
    assert ds.ragged[4].numpy().tolist() == row(50, 7)["ragged"].tolist()


def test_samples_move_while_they_are_read(monkeypatch):
    ds = _moved_between(monkeypatch, ragged.RaggedColumn, "entries")
    assert ds.ragged[4:5].numpy().tolist() == [row(50, 7)["ragged"].tolist()]


# -- all or nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("tensor", ["uniform", "ragged", "text"])
def test_rows_are_removed_from_all_tensors_or_from_none(monkeypatch, tensor):
    ds = again(create(numbers=range(10)))
    real = CellStore.read_cell

    def read_cell(self, write_id, cell, *rest):
        if self._space[1].split("/")[0] == tensor:
            raise OSError("no network")
        return real(self, write_id, cell, *rest)

    monkeypatch.setattr(CellStore, "read_cell", read_cell)
    with pytest.raises(OSError, match="no network"):
        ds.pop(0)
    monkeypatch.undo()
    assert numbers(ds) == list(range(10))
    ds.pop([0, 4])
    ds.append(row(10))
    ds.commit()
    assert numbers(again(ds)) == [1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_rows_that_nobody_stored_are_still_there_after_a_failure(monkeypatch):
    ds = create(numbers=range(3))
    ds.append(row(3))
    monkeypatch.setattr(ragged, "remove_rows", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ds.pop(1)
    monkeypatch.undo()
    assert numbers(ds) == [0, 1, 2, 3]
    ds.commit()
    assert numbers(again(ds)) == [0, 1, 2, 3]


def test_parts_of_several_samples_are_set_or_none():
    ds = fresh()
    ds.create_tensor("x", dtype="uint8", ragged=True).extend([[0] * 6, [0] * 3])
    with pytest.raises(InvalidError, match="sample 1"):
        ds.x[:, 5] = 1
    assert not any(sample.any() for sample in ds.x.numpy(aslist=True))


def test_a_sample_that_can_not_be_measured_is_not_set():
    ds = fresh()
    ds.create_tensor("i", htype="image", dtype="uint8", chunk_compression="none", ragged=True)
    ds.i.extend([np.ones((4, 4, 3), "u1"), np.ones((5, 4, 3), "u1")])
    ds.i.analyze(progressbar=False)
    with pytest.raises(SampleError, match="4 channels"):
        ds.i[0] = np.full((4, 4, 4), 200, "u1")
    assert ds.i[0].shape == (4, 4, 3)
    assert ds.i.max() == 1


# -- numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["kept", "analyzed", "read"])
def test_statistics_count_large_samples(monkeypatch, kind):
    monkeypatch.setattr(layout, "LARGE_BYTES", 1000)
    ds = fresh()
    ds.create_tensor(
        "i", htype="image", dtype="uint8", chunk_compression="none", statistics=kind == "kept"
    )
    rng = np.random.default_rng(1)
    samples = [rng.integers(0, 200, (n, 40, 3), "u1") for n in (2, 50, 60)]
    ds.i.extend(samples)
    if kind == "analyzed":
        ds.i.analyze(progressbar=False)
    for _ in range(2):
        pixels = np.concatenate([sample.reshape(-1, 3) for sample in samples]).astype(float)
        np.testing.assert_allclose(ds.i.mean(axis="channel"), pixels.mean(0))
        np.testing.assert_allclose(ds.i.std(axis="channel"), pixels.std(0))
        np.testing.assert_allclose([ds.i.mean(), ds.i.std()], [pixels.mean(), pixels.std()])
        assert ds.i.max() == pixels.max()
        assert ds.i[1:2].mean() == pytest.approx(samples[1].mean())
        samples[1][3:5] = 255
        ds.i[1][3:5] = 255  # in place


@pytest.mark.parametrize("value", [300, -1, np.nan, "dog", [1, 2], 1j])
@pytest.mark.parametrize("kind", ["uniform", "ragged"])
def test_a_part_that_does_not_fit_is_refused(kind, value):
    ds = fresh()
    ds.create_tensor("x", dtype="uint8", ragged=kind == "ragged").append([0, 0, 0])
    with pytest.raises((InvalidError, InvalidTypeError)):
        ds.x[0][:] = value
    assert ds.x[0].numpy().tolist() == [0, 0, 0]


# -- what is no tensor ---------------------------------------------------------------------


def test_one_number_is_no_sequence_of_samples():
    ds = fresh()
    with pytest.raises(SampleError, match="has no axis"):
        ds.create_tensor("x").extend(np.array(5))


def test_an_array_without_axes_is_no_tensor():
    zarr = pytest.importorskip("zarr")
    ds = fresh()
    ds.create_tensor("x").extend([1, 2])
    zarr.open_group(ds.store, mode="r+").create_array("lone", shape=(), dtype="f4")
    assert list(ds.tensors) == ["x"]
    assert len(ds) == 2


# -- one side removes a tensor that the other one changes ---------------------------------------


def _start(kind):
    """A dataset with a tensor "g/x", which "changed" then gives other samples."""
    ds = fresh()
    ds.create_tensor("g/x", htype="text" if kind == "text" else "generic")
    ds.create_tensor("rest")
    if kind != "first":
        ds["g/x"].extend(["a", "b"] if kind == "text" else [[1, 2], [3, 4]])
        ds.rest.extend([1, 2])
    ds.commit("base")
    return ds


#: By kind: what is appended.
CHANGES = {"text": ["c"], "uniform": [[5, 6]], "converted": [[5]], "first": [[5], [6, 7]]}


def _changed(ds, kind):
    ds["g/x"].extend(CHANGES[kind])


REMOVED = {
    "deleted": lambda ds: ds.delete_tensor("g/x"),
    "deleted with its group": lambda ds: ds.delete_group("g"),
    "renamed": lambda ds: ds.rename_tensor("g/x", "g/y"),
}


def _check_after(ds, kind, how, kept):
    base = {"text": ["a", "b"], "first": []}.get(kind, [[1, 2], [3, 4]])
    expected = {"rest"} | ({"g/x"} if kept else set()) | ({"g/y"} if how == "renamed" else set())
    assert set(ds.tensors) == expected
    for name in expected - {"rest"}:
        wanted = base + (CHANGES[kind] if name == "g/x" else [])
        found = ds[name].values()
        assert [x if kind == "text" else np.asarray(x).tolist() for x in found] == wanted
    nodes = {"", *(p for p in ds._session.paths() if "/" not in p or p in expected)}
    inside = {p for p in ds._session.paths() if any(p.startswith(f"{t}/") for t in expected)}
    assert nodes | inside == set(ds._session.paths())


def _put_on_top(mine, other, by_commit, policy):
    if by_commit:
        mine.commit("second", conflict=policy)
    else:
        other.merge("dev", conflict=policy)


@pytest.mark.parametrize("policy", ["ours", "theirs"])
@pytest.mark.parametrize("remover", ["mine", "theirs"])
@pytest.mark.parametrize("how", REMOVED)
@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("versions", [False, True])
def test_a_tensor_is_removed_or_kept_whole(versions, kind, how, remover, policy):
    ds = _start(kind)
    removes, changes = again(ds), again(ds)
    if versions:
        (removes if remover == "mine" else changes).checkout("dev", create=True)
    REMOVED[how](removes)
    _changed(changes, kind)
    mine, other = (removes, changes) if remover == "mine" else (changes, removes)
    other.commit("first")
    mine_calls = not versions
    if versions:
        mine.commit("second")
    with pytest.raises(ConflictError):
        _put_on_top(mine, other, mine_calls, "raise")
    _put_on_top(mine, other, mine_calls, policy)
    kept = (policy == "ours") == ((remover == "theirs") == mine_calls)
    _check_after(again(ds), kind, how, kept)


# -- one side removes rows and appends others -------------------------------------------------


@pytest.mark.parametrize("commits", [1, 3])
@pytest.mark.parametrize(("policy", "expected"), [
    ("ours", [0, 1, 2, 3, 50]), ("theirs", [1, 2, 3, 7, 8, 9]),
])  # fmt: skip
@pytest.mark.parametrize("converts", [False, True])
def test_rows_stay_together_where_some_were_removed(commits, policy, expected, converts):
    ds = fresh()
    for name in ("u", "v"):
        ds.create_tensor(name).extend([[i, i] for i in range(4)])
    ds.commit("base")
    ds.checkout("dev", create=True)
    ds.pop(0)
    if commits > 1:
        ds.commit("removed")
    u = [[7, 7, 7], [8], [9, 9]] if converts else [[7, 7], [8, 8], [9, 9]]
    ds.extend({"u": u, "v": [[7, 7], [8, 8], [9, 9]]})
    ds.commit("appended")
    ds.checkout("main")
    ds.append({"u": [50, 50], "v": [50, 50]})
    ds.commit("appended")
    with pytest.raises(ConflictError):
        ds.merge("dev")
    ds.merge("dev", conflict=policy)
    for tensor in (ds.u, ds.v):
        assert [sample[0] for sample in tensor.numpy(aslist=True)] == expected


# -- other processes -----------------------------------------------------------------------------


def test_views_and_tensors_go_to_other_processes(tmp_path):
    ds = by_hand(hub.empty(str(tmp_path / "ds")))
    ds.create_tensor("x").extend([[1, 2], [3, 4], [5, 6]])
    ds.create_tensor("g/t", htype="text").extend(["a", "b", "c"])

    def there(value):
        return pickle.loads(pickle.dumps(value))

    assert there(ds[1:]).x.numpy().tolist() == [[3, 4], [5, 6]]
    assert there(ds[[2, 0]]["g/t"]).text() == ["c", "a"]
    assert there(ds.g[1]).t.text() == "b"
    assert list(there(ds[["x"]]).tensors) == ["x"]
    assert there(ds.x[1, 1]).numpy() == 4
    found = there(ds.query("SELECT * WHERE x[0] > 1"))
    assert found.sample_indices == [1, 2]
    assert "WHERE" in found.query_text
    with ds:
        ds.x[0] = [7, 8]
        for handle in (ds, ds.x, ds[1:]):
            with pytest.raises(InvalidError, match="end the transaction first"):
                pickle.dumps(handle)
