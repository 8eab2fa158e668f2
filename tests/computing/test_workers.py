"""Other processes and dask clusters give the same as this thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.computing.inputs import RowReader
from hubzarr.computing.packing import packed
from hubzarr.errors import InvalidError, TransformError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Unpicklable(ValueError):
    """An error that says something else when it is made from its arguments."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


@hub.compute
def scale(sample_in, sample_out, factor):
    if sample_in == 13 and factor == 13:
        raise Unpicklable("bad", "luck")
    sample_out.append(
        {"x": sample_in * factor, "image": np.full((sample_in % 5 + 1, 4, 3), sample_in, "uint8")}
    )


def dataset(name="ds"):
    ds = hub.empty(name)
    ds.create_tensor("x")
    ds.create_tensor("image", htype="image", sample_compression="png")
    ds.flush()
    return ds


def check(ds, count, factor):
    assert ds.x.numpy().tolist() == [i * factor for i in range(count)]
    assert ds.image.shapes() == [(i % 5 + 1, 4, 3) for i in range(count)]
    assert (ds.image[count - 1].numpy() == count - 1).all()


def test_processes():
    ds, names = dataset(), ["a", "b"]
    scale(factor=3).eval(range(100), ds, num_workers=2, scheduler="processes")
    check(ds, 100, 3)

    @hub.compute  # of this function only, so it travels by value
    def of_rows(sample_in, sample_out, names):
        sample_out.x.append(sample_in.x.numpy() + len(names))
        sample_out.image.append(sample_in.image)

    other = dataset("other")
    with pytest.raises(TransformError, match=r"input 13 .*Unpicklable: bad luck") as error:
        scale(factor=13).eval(range(100), other, num_workers=1, scheduler="processed")
    assert "raised in a worker" in "".join(error.value.__cause__.__notes__)
    assert len(other) == 0
    of_rows(names).eval(ds[10:], other, num_workers=1, scheduler="processes")
    assert other.x.numpy().tolist() == [i * 3 + 2 for i in range(10, 100)]
    assert other.image[5].tobytes() == ds.image[15].tobytes()


def test_what_does_not_travel():
    @hub.compute
    def locked(sample_in, sample_out, lock):
        pass

    with pytest.raises(InvalidError, match="can't be sent to other processes"):
        locked(threading.Lock()).eval([1], dataset(), num_workers=1, scheduler="processes")
    ds = dataset("dirty")
    with ds:
        ds.append({"x": 1, "image": None})
        with pytest.raises(InvalidError, match="not committed"):
            packed(RowReader(ds))


def test_in_place_by_processes():
    @hub.compute
    def negative(sample_in, sample_out):
        sample_out.x.append(-sample_in.x.numpy())

    ds = dataset()
    scale(factor=1).eval(range(20), ds)
    negative().eval(ds[5:], num_workers=1, scheduler="processes")
    assert ds.x.numpy().tolist() == [i if i < 5 else -i for i in range(20)]


def test_distributed():
    distributed = pytest.importorskip("distributed")
    ds, other = dataset(), dataset("other")
    options = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": ":0"}}
    with distributed.Client(processes=False, n_workers=1, **options):
        scale(factor=2).eval(range(60), ds, scheduler="distributed")
        check(ds, 60, 2)
        with pytest.raises(TransformError, match="input 13"):
            scale(factor=13).eval(range(60), other, scheduler="distributed")

        @hub.compute
        def copied(sample_in, sample_out):
            sample_out.append(sample_in)

        copied().eval(ds, other, scheduler="distributed", num_workers=1)
    check(other, 60, 2)


def test_threads_work_at_the_same_time():
    barrier = threading.Barrier(3, timeout=20)

    @hub.compute
    def meet(sample_in, sample_out):
        barrier.wait()
        sample_out.append({"x": sample_in, "image": None})

    ds = dataset()
    meet().eval(range(6), ds, num_workers=3)
    assert ds.x.numpy().tolist() == list(range(6))


def test_the_look_ahead_is_bounded():
    drawn = []

    @hub.compute
    def wait(sample_in, sample_out):
        if sample_in == 0:
            time.sleep(0.2)
            drawn.append(len(drawn))
        sample_out.append({"x": len(drawn), "image": None})

    def inputs():
        for i in range(1000):
            drawn.append(i)
            yield i

    ds = dataset()
    wait().eval(inputs(), ds, num_workers=2)
    assert ds.x[0].numpy() <= 10
    assert len(ds) == 1000


def test_large_samples_become_tiles():
    @hub.compute
    def mosaic(sample_in, sample_out):
        sample_out.image.append(np.zeros((sample_in, 1 << 13, 1), "uint8"))

    ds = hub.empty("large")
    ds.create_tensor("image", htype="image", chunk_compression="zstd")
    mosaic().eval([10, (1 << 13) + 1], ds, num_workers=1)
    assert ds.image.shapes() == [(10, 8192, 1), (8193, 8192, 1)]
    assert ds.image[1][8190:, :2].numpy().shape == (3, 2, 1)


FOREVER = """
import signal, sys, time
import hubzarr as hub

@hub.compute
def forever(sample_in, sample_out):
    print("begun", flush=True)
    time.sleep(0.2)
    sample_out.x.append(sample_in)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under some runners
    forever().eval(range(100_000), hub.load(sys.argv[1]), 2, sys.argv[2])
"""


@pytest.mark.parametrize("scheduler", ["serial", "threads", "processes"])
def test_control_c(tmp_path, scheduler):
    name = str(tmp_path / "ds")
    with hub.empty(name) as ds:
        ds.create_tensor("x", dtype="int64")
    script = tmp_path / "forever.py"
    script.write_text(FOREVER)
    process = subprocess.Popen(
        [sys.executable, script, name, scheduler],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert len(hub.load(name)) == 0
