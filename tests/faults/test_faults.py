"""Arrays and datasets behind a faulty proxy: no wrong byte, no lost or doubled commit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import DamagedError, ExistsError, HubzarrError, StorageError
from tests.faults.conftest import BROKEN, WRONG

ALL = BROKEN | WRONG


def test_an_array_lives_through_all_faults(behind, direct):
    server, root, options = behind(**ALL, jitter_ms=2, seed=11)
    values = np.arange(4000, dtype="int64").reshape(100, 40)
    grid = hub.array((100, 40), f"{root}/grid", "int64", chunks=(10, 20), storage_options=options)
    for start in range(0, 100, 20):
        grid[start : start + 20] = values[start : start + 20]
        grid.commit(f"rows {start}")
    assert (grid[:] == values).all()
    dev = grid.branch("dev")
    dev[0] = 0
    dev.commit("zeroes")
    grid.append(values[:3])
    grid.commit("appended")
    grid.merge("dev")
    again = hub.load(f"{root}/grid", storage_options=options)
    expected = np.concatenate([values, values[:3]])
    expected[0] = 0
    assert (again[:] == expected).all()
    assert again.sum() == expected.sum()
    assert (again.at(5)[:] == values).all()
    server.reset()
    messages = ["Merge dev@1 into main", "appended", *(f"rows {n}" for n in range(80, -1, -20))]
    clean = hub.load(f"{root}/grid", storage_options=direct)
    assert [commit.message for commit in clean.log()][:7] == messages
    assert (clean[:] == expected).all()


def test_a_dataset_lives_through_all_faults(behind, direct):
    server, root, options = behind(**ALL, seed=5)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (8 + i % 5, 9, 3), "uint8") for i in range(24)]
    ds = hub.dataset(f"{root}/pets", storage_options=options)
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    for start in range(0, 24, 8):
        part = slice(start, start + 8)
        ds.extend({"images": images[part], "labels": [i % 2 for i in range(24)][part]})
        ds.commit(f"rows {start}")
    again = hub.load(f"{root}/pets", storage_options=options)
    assert len(again) == 24
    assert all((again.images[i].numpy() == images[i]).all() for i in range(24))
    server.reset()
    clean = hub.load(f"{root}/pets", storage_options=direct)
    assert clean.labels.numpy().tolist() == [i % 2 for i in range(24)]
    messages = [commit.message for commit in clean.log()]
    assert messages[:3] == ["rows 16", "rows 8", "rows 0"]
    assert all((clean.images[i].numpy() == images[i]).all() for i in range(24))


def insist(act):
    """Do it again until it works, as a user would."""
    for _ in range(40):
        try:
            return act()
        except (StorageError, DamagedError):
            continue
    return act()


def test_what_failed_can_be_done_again(behind, direct):
    """Without retries below: nearly every second operation fails."""
    server, root, options = behind()
    hub.array((0, 4), f"{root}/grid", "int64", chunks=(3, 4), storage_options=options).close()
    server.set(**ALL, seed=4)
    options |= {"retries": 0}
    grid = insist(lambda: hub.load(f"{root}/grid", storage_options=options))
    failures = 0
    for i in range(6):
        before = len(grid)
        try:
            grid.append([[i] * 4])
        except (StorageError, DamagedError):
            failures += 1
            assert len(grid) == before
            insist(lambda row=[[i] * 4]: grid.append(row))
        insist(lambda message=f"row {i}": grid.commit(message))
        assert len(grid) == i + 1
    with suppress(ExistsError):  # made, but what came after failed
        insist(lambda: grid.branch("dev"))
    dev = insist(lambda: hub.load(f"{root}/grid:dev", storage_options=options))
    dev[0] = -1
    insist(lambda: dev.commit("first"))
    insist(lambda: grid.merge("dev"))
    server.reset()
    expected = np.repeat(np.arange(6)[:, None], 4, 1)
    expected[0] = -1
    clean = hub.load(f"{root}/grid", storage_options=direct)
    assert clean[:].tolist() == expected.tolist()
    messages = [commit.message for commit in clean.log()]
    assert messages[:7] == ["Merge dev@1 into main", *(f"row {i}" for i in range(5, -1, -1))]


def test_racing_writers_lose_and_double_nothing(behind, direct):
    """With so few retries that some commits fail: those may be stored or not, once."""
    server, root, options = behind()
    hub.array((0, 2), f"{root}/rows", "int64", chunks=(8, 2), storage_options=options).close()
    server.set(**ALL, seed=2)
    options |= {"retries": 1}

    def write(me):
        done = []
        for i in range(5):
            try:
                rows = hub.load(f"{root}/rows", storage_options=options)
                rows.append([[me, i]])
                rows.commit(f"{me}-{i}")
            except HubzarrError:
                rows = None
            else:
                done.append((me, i))
        return done

    with ThreadPoolExecutor(3) as pool:
        acknowledged = [pair for done in pool.map(write, range(3)) for pair in done]
    server.reset()
    clean = hub.load(f"{root}/rows", storage_options=direct)
    stored = [tuple(pair) for pair in clean[:].tolist()]
    assert len(set(stored)) == len(stored)
    assert set(acknowledged) <= set(stored) <= {(me, i) for me in range(3) for i in range(5)}
    messages = [commit.message for commit in clean.log()]
    assert {f"{me}-{i}" for me, i in acknowledged} <= set(messages)
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize("fault", ["lost_rate", "late_error_rate"])
def test_a_commit_whose_answer_is_lost_was_made_once(behind, direct, fault):
    server, root, options = behind()
    server.set(match="PUT .*/versions/", max_faults=1, **{fault: 1})
    grid = hub.array((4,), f"{root}/grid", "int64", storage_options=options)
    assert server.record()["faults"]
    for i in range(3):
        server.reset()
        server.set(match="PUT .*/versions/", max_faults=1, **{fault: 1})
        grid[i] = i + 1
        assert grid.commit(f"commit {i}").number == i + 1
        assert server.record()["faults"]
    clean = hub.load(f"{root}/grid", storage_options=direct)
    assert [c.message for c in clean.log()][:3] == ["commit 2", "commit 1", "commit 0"]
    assert clean[:].tolist() == [1, 2, 3, 0]


def test_a_store_that_comes_back(behind, direct):
    """What was written while it was away is not lost."""
    server, root, options = behind()
    options |= {"retries": 1, "timeout": 0.5}
    grid = hub.array((6, 4), f"{root}/grid", "int64", chunks=(2, 4), storage_options=options)
    grid[:2] = 1
    grid.commit("one")
    server.set(error_rate=1)
    grid[2:4] = 2
    with pytest.raises(HubzarrError, match="can't"):
        grid.commit("two")
    server.reset()
    grid[4:] = 3
    grid.commit("two and three")
    clean = hub.load(f"{root}/grid", storage_options=direct)
    assert clean[:, 0].tolist() == [1, 1, 2, 2, 3, 3]
    assert [c.message for c in clean.log()][:2] == ["two and three", "one"]


def test_chunks_that_always_arrive_damaged_are_an_error(behind):
    server, root, options = behind()
    hub.configure(cache_bytes=0)
    grid = hub.from_numpy(
        np.arange(8000), f"{root}/grid", chunks=1000, codec="none", storage_options=options
    )
    grid.close()
    again = hub.load(f"{root}/grid", storage_options=options)
    for fault in ("corrupt_rate", "short_rate"):
        server.reset()
        server.set(match="GET .*/data/", **{fault: 1})
        with pytest.raises(HubzarrError, match=r"damaged|checksum"):
            np.asarray(again)
    server.reset()
    assert (again[:] == np.arange(8000)).all()
    hub.configure(cache_bytes=None)
