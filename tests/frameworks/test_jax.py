"""``ds.jax``: NumPy batches, batches on devices, and several devices and processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
jax = pytest.importorskip("jax", reason="JAX is not installed")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import hubzarr as hub  # noqa: E402
from hubzarr.errors import InvalidError, InvalidTypeError, TransformError  # noqa: E402
from hubzarr.loaders.jax import JaxLoader  # noqa: E402


@pytest.fixture
def ds():
    """50 rows: two numbers, the row's number as a label and as text."""
    made = hub.empty("tests/rows")
    made.create_tensor("x").extend(np.arange(100, dtype="f4").reshape(50, 2))
    made.create_tensor("y", htype="class_label").extend(np.arange(50))
    made.create_tensor("t", htype="text").extend([f"row {i}" for i in range(50)])
    return made


def rows(loader, name="y"):
    return [int(n) for batch in loader for n in np.atleast_1d(batch[name])]


def test_numpy_batches_by_default(ds):
    loader = ds.jax(8)
    assert isinstance(loader, JaxLoader)
    batch = next(iter(loader))
    assert type(batch["x"]) is np.ndarray
    assert jax.jit(lambda x: x.sum())(batch["x"]) == np.arange(16).sum()
    assert rows(loader) == list(range(50))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_on_a_device(ds, prefetch):
    device = jax.devices()[0]
    loader = ds.jax(8, device=device, prefetch=prefetch)
    for number, batch in enumerate(loader):
        assert list(batch) == ["x", "y", "t"]
        assert isinstance(batch["x"], jax.Array)
        assert batch["x"].devices() == {device}
        assert batch["y"].dtype == np.uint32
        first = 8 * number
        np.testing.assert_array_equal(batch["y"], np.arange(first, min(first + 8, 50)))
        assert batch["t"][1] == f"row {first + 1}"
    assert isinstance(next(iter(ds.jax(8, device="cpu")))["x"], jax.Array)


def test_batches_stay_as_they_are_while_later_ones_are_made(ds):
    """Memory of batches is used again, but not while a device array lies in it."""
    big = hub.from_numpy(np.arange(64 * 20_000, dtype="f4").reshape(64, 20_000), "tests/big")
    for options in ({}, {"device": "cpu"}):
        batches = list(big.jax(4, **options))
        np.testing.assert_array_equal(np.concatenate(batches), big.numpy())


def test_forms_and_single_values(ds):
    (x, y) = next(iter(ds.jax(8, tensors=["x", "y"], form="tuple", device="cpu")))
    assert (x.shape, y.shape) == ((8, 2), (8,))
    alone = next(iter(ds.x.jax(8, device="cpu")))
    np.testing.assert_array_equal(alone, np.arange(16).reshape(8, 2))
    one = next(iter(ds.jax(None, device="cpu")))
    assert one["x"].shape == (2,)
    assert isinstance(one["y"], jax.Array)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "bfloat16", "complex64"])
def test_dtypes_are_kept(dtype):
    a = hub.array(6, "tests/numbers", dtype=dtype)
    a[:] = np.arange(6).astype("f4" if dtype == "bfloat16" else dtype)
    for device in (None, "cpu"):
        got = list(a.jax(4, device=device))
        assert {one.dtype for one in got} == {a.dtype}
        np.testing.assert_array_equal(np.concatenate(got), a.numpy())


def test_what_is_no_number_stays_in_numpy():
    times = np.array(["2024-01-01", "2024-01-02"], "M8[ns]")
    ds = hub.empty("tests/times")
    ds.create_tensor("when", dtype="datetime64[ns]").extend(times)
    ds.create_tensor("big", dtype=">i2").extend(np.arange(2))
    (batch,) = ds.jax(2, device="cpu")
    np.testing.assert_array_equal(batch["when"], times)
    assert batch["big"].tolist() == [0, 1]


def test_ragged():
    ds = hub.empty("tests/ragged")
    ds.create_tensor("w", dtype="int32").extend([np.arange(i % 3, dtype="i4") for i in range(6)])
    padded = next(iter(ds.jax(6, ragged="pad", device="cpu")))["w"]
    assert padded.shape == (6, 2)
    for way in ("nested", "list"):
        apart = next(iter(ds.jax(6, ragged=way, device="cpu")))["w"]
        assert [one.tolist() for one in apart] == [list(range(i % 3)) for i in range(6)]
        assert all(isinstance(one, jax.Array) for one in apart)


def test_a_transform_may_use_jax(ds):
    loader = ds.jax(8, tensors=["x"], transform={"x": lambda x: jnp.flip(x) * 2})
    batch = next(iter(loader))["x"]
    np.testing.assert_array_equal(batch, 2 * np.arange(16).reshape(8, 2)[:, ::-1])


def test_errors_name_the_row(ds):
    def broken(x):
        if x[0] == 34:
            raise ValueError("too warm")
        return x

    with pytest.raises(TransformError, match=r"row 17 of the dataset.*'x'.*too warm"):
        list(ds.jax(8, transform={"x": broken}, device="cpu"))
    loader = ds.jax(8, transform={"x": broken}, device="cpu", on_error="skip")
    assert rows(loader) == [i for i in range(50) if i != 17]


def test_resuming_and_ranks(ds):
    options = {"tensors": ["y"], "shuffle": True, "window": 20}
    loader = ds.jax(6, device="cpu", **options)
    steps = iter(loader)
    seen = [int(y) for _ in range(3) for y in next(steps)["y"]]
    state = json.loads(json.dumps(loader.state_dict()))
    for world in (1, 2):
        rest = []
        for rank in range(world):
            later = ds.jax(4, rank=rank, world_size=world, **options)
            later.load_state_dict(state)
            rest += rows(later)
        assert sorted(seen + rest) == list(range(50))


@pytest.mark.parametrize(
    ("device", "error", "told"),
    [
        (3, InvalidTypeError, "expected one of jax.devices"),
        ("warp", InvalidError, "device='warp'"),
    ],
)
def test_devices_that_are_none(ds, device, error, told):
    with pytest.raises(error, match=told):
        ds.jax(8, device=device)


def test_unknown_options_are_named(ds):
    with pytest.raises(InvalidTypeError, match="did you mean shuffle"):
        ds.jax(8, shufle=True)


# -- several devices, several processes --------------------------------------------

SHARDED = """
import numpy as np, jax, hubzarr as hub
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from hubzarr.errors import InvalidError

ds = hub.load("tests/rows")
mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("data", "model"))
for spec in (P("data"), P(("data", "model")), P("data", None)):
    where = NamedSharding(mesh, spec)
    if len(spec) == 1:
        whole = list(ds.jax(8, device=where, tensors=["x", "y"], pad=True))
        assert all(batch["y"].sharding == where for batch in whole), whole[0]["y"].sharding
        assert sorted(int(y) for b in whole for y in b["y"])[-1] == 49
    values = np.concatenate([np.asarray(x) for x in ds.x.jax(8, device=where, drop_last=True)])
    np.testing.assert_array_equal(values, ds.x.numpy()[:48])

where = NamedSharding(mesh, P(("data", "model")))
ds.jax(25, device=NamedSharding(mesh, P()))  # a copy on each device
for options, told in (({"batch_size": 8}, "the last batch, of 2"), ({"batch_size": 6}, "multiple")):
    try:
        ds.jax(device=where, **options)
    except InvalidError as error:
        assert told in str(error), error
    else:
        raise SystemExit(f"{options} were taken")
print("fine")
"""

PROCESS = """
import sys, numpy as np, jax, hubzarr as hub
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

rank, port = int(sys.argv[1]), sys.argv[2]
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
ds = hub.load("tests/rows")
plain = ds.jax(5, shuffle=True)
assert (plain.options.rank, plain.options.world_size) == (rank, 2)
print("rows", *[int(y) for batch in plain for y in batch["y"]])
where = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), P("data"))
shapes = {batch["y"].shape for batch in ds.jax(5, device=where, tensors=["y"])}
assert shapes == {(10,)}, shapes
"""


def started(code, *arguments, devices):
    """A fresh process with so many devices of its own."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    here = str(Path(__file__).parents[2])
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": here}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_batches_divided_among_devices(ds):
    ds.commit("rows")
    process = started(SHARDED, devices=4)
    out, errors = process.communicate(timeout=100)
    assert out.strip() == "fine", errors


def test_processes_share_the_samples(ds):
    ds.commit("rows")
    port = free_port()
    processes = [started(PROCESS, str(rank), port, devices=1) for rank in range(2)]
    done = [process.communicate(timeout=100) for process in processes]
    got = [int(n) for out, _ in done for n in out.split()[1:]]
    assert sorted(got) == list(range(50)), done


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])
