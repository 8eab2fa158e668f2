"""xarray, dask and zarr on a cluster: what they write through a fork is exact, in one commit."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import hubzarr as hub
from hubzarr.errors import ConflictError
from hubzarr.session.store import VersionedStore

xr = pytest.importorskip("xarray")
da = pytest.importorskip("dask.array")

PLAIN = {"consolidated": False}


@pytest.fixture
def name(tmp_path: Path) -> str:
    return str(tmp_path / "weather")


@pytest.fixture
def weather() -> Any:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {"t": (("time", "x"), rng.normal(size=(40, 6))), "rain": (("time",), np.arange(40.0))},
        {"time": np.arange(40), "x": np.arange(6) * 10},
        {"title": "weather"},
    )


@pytest.fixture
def store(name: str, weather: Any) -> VersionedStore:
    """The dataset as it is, in chunks of 5 days."""
    made = hub.store(name)
    encoding = {"t": {"chunks": (5, 6)}, "rain": {"chunks": (5,)}}
    weather.to_zarr(made, mode="w", encoding=encoding, **PLAIN)
    made.session.commit("as it is")
    return made


def stored(name: str) -> Any:
    return xr.open_zarr(hub.store(name, mode="r"), **PLAIN).compute(scheduler="sync")


def messages(name: str) -> list[str | None]:
    session = hub.store(name, mode="r").session
    head = session.manifest.commit
    return [entry["message"] for entry in session.manifest.log["recent"]] + [head.message]


def test_round_trip(client: Any, name: str, weather: Any) -> None:
    store = hub.store(name)
    with store.fork("all of it") as fork:
        weather.chunk(time=5).to_zarr(fork, mode="w", **PLAIN)
        assert len(pickle.dumps(fork)) < 1000
    assert messages(name) == ["created", "all of it"]
    read = hub.store(name, mode="r")
    assert len(pickle.dumps(read)) < 1000
    got = xr.open_zarr(read, chunks={}, **PLAIN)
    assert got.t.chunks[0] == (5,) * 8
    xr.testing.assert_identical(got.compute(), weather)
    xr.testing.assert_identical(stored(name), weather)


def test_appending_and_regions(client: Any, store: VersionedStore, name: str, weather: Any) -> None:
    more = weather.assign_coords(time=np.arange(40, 80)) + 100
    with store.fork("more") as fork:
        more.chunk(time=5).to_zarr(fork, append_dim="time", **PLAIN)
    patch = weather.isel(time=slice(10, 20)) * 0 - 5
    with store.fork("patch") as fork:
        patch.chunk(time=5).to_zarr(fork, region="auto", **PLAIN)
    want = xr.concat([weather, more], "time")
    want["t"][10:20] = -5
    want["rain"][10:20] = -5
    xr.testing.assert_identical(stored(name), want)
    assert messages(name)[2:] == ["more", "patch"]


def test_a_transformation_of_itself(
    client: Any, store: VersionedStore, name: str, weather: Any
) -> None:
    """Tasks read the commit and write the fork."""
    with store.fork("doubled") as fork:
        lazy = xr.open_zarr(hub.store(name, mode="r"), chunks={}, **PLAIN)
        (lazy * 2).drop_vars(["time", "x"]).to_zarr(fork, mode="r+", **PLAIN)
    xr.testing.assert_identical(
        stored(name), weather.assign(t=weather.t * 2, rain=weather.rain * 2)
    )


def write_days(fork: VersionedStore, day: int) -> None:
    """A worker that writes a region by itself."""
    days = np.arange(day, day + 5)
    part = xr.Dataset(
        {
            "t": (("time", "x"), np.repeat(days[:, None], 6, 1).astype(float)),
            "rain": (("time",), days * 1.0),
        },
        {"time": days},
    )
    part.to_zarr(fork, region="auto", **PLAIN)


def test_workers_that_write_regions_by_themselves(
    client: Any, store: VersionedStore, name: str, weather: Any
) -> None:
    with store.fork("by many") as fork:
        client.gather([client.submit(write_days, fork, day, pure=False) for day in range(0, 40, 5)])
    want = weather.copy(deep=True)
    want["t"][:] = np.arange(40)[:, None]
    xr.testing.assert_identical(stored(name), want)
    assert messages(name)[2:] == ["by many"]


def test_two_owners_at_once(client: Any, store: VersionedStore, name: str, weather: Any) -> None:
    """Both fork the same commit; the second to commit is put on top of the first."""
    other = hub.store(name)
    halves = [weather.isel(time=slice(20)) + 1, weather.isel(time=slice(20, 40)) + 2]
    with store.fork("one") as one, other.fork("two") as two:
        lazy = [
            half.chunk(time=5).to_zarr(fork, region="auto", compute=False, **PLAIN)
            for half, fork in zip(halves, (one, two), strict=True)
        ]
        client.gather(client.compute(lazy))
    xr.testing.assert_identical(stored(name), xr.concat(halves, "time"))
    assert messages(name)[2:] == ["two", "one"]


def test_dask_arrays(client: Any, name: str) -> None:
    x = da.random.default_rng(0).integers(0, 100, (60, 40), chunks=(10, 40))
    store = hub.store(name)
    with store.fork("arrays") as fork:
        da.to_zarr(x, fork, component="a/x")
        y = zarr.create_array(fork, name="y", shape=(60, 40), chunks=(10, 10), dtype="i8")
        da.store(x + 1, y, lock=False)
    read = hub.store(name, mode="r")
    want = x.compute()
    np.testing.assert_array_equal(da.from_zarr(zarr.open_array(read, path="a/x")), want)
    np.testing.assert_array_equal(zarr.open_array(read, path="y")[:], want + 1)
    assert messages(name) == ["created", "arrays"]


def dying(block: np.ndarray, marker: str) -> np.ndarray:
    """The first task that finds no marker takes its worker along."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return block + 1
    os.kill(os.getpid(), signal.SIGKILL)
    return block


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_worker_that_is_killed(
    client: Any, store: VersionedStore, name: str, weather: Any, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    lazy = weather.chunk(time=5).map_blocks(
        lambda part: part.assign(t=part.t.copy(data=dying(part.t.data, str(marker)))),
        template=weather.chunk(time=5),
    )
    with store.fork("in spite of it") as fork:
        lazy.drop_vars("x").to_zarr(fork, region="auto", **PLAIN)
    assert marker.exists()
    xr.testing.assert_identical(stored(name), weather.assign(t=weather.t + 1))
    assert messages(name)[2:] == ["in spite of it"]


def set_rows(fork: VersionedStore, first: int, value: float) -> None:
    zarr.open_array(fork, path="t")[first : first + 6] = value


def test_regions_that_overlap(client: Any, store: VersionedStore, name: str, weather: Any) -> None:
    def overlapping() -> None:
        with store.fork("never") as fork:
            client.gather([client.submit(set_rows, fork, day, day) for day in (4, 9)])

    with pytest.raises(ConflictError, match=r"main t: elements \[9, 0:6\]"):
        overlapping()
    xr.testing.assert_identical(stored(name), weather)
    with store.fork("side by side") as fork:  # though they share chunks
        client.gather([client.submit(set_rows, fork, day, day) for day in (4, 10)])
    got = stored(name).t.values
    assert got[:, 0].tolist() == [*weather.t.values[:4, 0], *[4] * 6, *[10] * 6,
                                  *weather.t.values[16:, 0]]  # fmt: skip
    assert messages(name)[2:] == ["side by side"]


def failing(block: np.ndarray) -> np.ndarray:
    raise ZeroDivisionError("in a task")


def test_a_task_that_fails(client: Any, store: VersionedStore, name: str, weather: Any) -> None:
    def run() -> None:
        with store.fork("never") as fork:
            bad = weather.chunk(time=5)
            bad["rain"] = bad.rain.copy(data=bad.rain.data.map_blocks(failing, dtype=float))
            bad.drop_vars("x").to_zarr(fork, region="auto", **PLAIN)

    with pytest.raises(ZeroDivisionError):
        run()
    xr.testing.assert_identical(stored(name), weather)
    assert messages(name) == ["created", "as it is"]
    assert not store.session.dirty


def reads(store: VersionedStore, at: int) -> tuple[int, int, float]:
    """Which process read it, how many requests that process has made of it so far, a value."""
    value = float(zarr.open_array(store, path="t", mode="r")[at, 0])
    return os.getpid(), store.session.storage.counters.reads, value


def test_readers_see_one_commit_and_open_it_once(
    client: Any, store: VersionedStore, name: str, weather: Any
) -> None:
    lazy = xr.open_zarr(hub.store(name, mode="r"), chunks={}, **PLAIN)
    pinned = hub.store(name)  # writable: its copies read the commit of now
    copies = [client.submit(reads, pinned, at, pure=False) for at in range(40)]
    client.gather(copies)
    zarr.open_array(store, path="t")[:] = -1
    store.session.commit("later")
    xr.testing.assert_identical(lazy.compute(), weather)
    seen = client.gather(copies)
    assert [value for _, _, value in seen] == weather.t.values[:, 0].tolist()
    for process in {process for process, _, _ in seen}:
        mine = [count for p, count, _ in seen if p == process]
        assert max(mine) <= len(mine) + 1  # one chunk for each task, and the manifest once


def credentials() -> None:
    """What a cluster's workers are given to reach a bucket: secrets don't travel with stores."""
    os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")


def test_s3(client: Any, s3: Any, weather: Any) -> None:
    client.run(credentials)
    name, options = s3.url("weather"), s3.options
    store = hub.store(name, storage_options=options)
    with store.fork("on S3") as fork:
        assert b"testing" not in pickle.dumps(fork)
        weather.chunk(time=10).to_zarr(fork, mode="w", **PLAIN)
    with store.fork("a region") as fork:
        (weather.isel(time=slice(10, 30)) + 1).drop_vars("x").chunk(time=10).to_zarr(
            fork, region="auto", **PLAIN
        )
    read = hub.store(name, mode="r", storage_options=options)
    want = weather.copy(deep=True)
    want["t"][10:30] += 1
    want["rain"][10:30] += 1
    xr.testing.assert_identical(xr.open_zarr(read, chunks={}, **PLAIN).compute(), want)
    assert read.session.manifest.commit.number == 2
    assert list(read.session.storage.list_all("forks")) == []
