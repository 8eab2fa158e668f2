"""Small floats, of the package ml_dtypes: bfloat16, and two of 8 bits."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import hubzarr as hub
from hubzarr.cli import main
from hubzarr.dtypes import SMALL_FLOATS
from hubzarr.errors import InvalidError, SampleError, UnsupportedError
from hubzarr.stats import histogram, measure, measure_axes, measure_many

ml_dtypes = pytest.importorskip(
    "ml_dtypes", reason="needs ml_dtypes: pip install hubzarr[bfloat16]"
)

NAMES = pytest.mark.parametrize("name", SMALL_FLOATS)
FIELDS = ("n", "nan", "sum", "mean", "m2", "min", "max", "unknown")


def numbers(shape, name, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(name)


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# Arrays


@NAMES
@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (7, 20)},
        {"chunks": (5, 10), "shards": (20, 20), "codec": "blosc"},
        {"chunks": (40, 20), "codec": "none"},
        {"chunks": (7, 20), "codec": "lz4", "fill_value": np.nan},
        {"chunks": (7, 20), "codec": "gzip", "fill_value": 1.5},
    ],
    ids=str,
)
def test_all_bits_come_back(name, options):
    dtype = np.dtype(name)
    bits = np.random.default_rng(0).integers(0, 256, (50, 20 * dtype.itemsize), "u1")
    values = bits.view(dtype)
    a = hub.array(values.shape, "small/bits", dtype=name, **options)
    a[:33] = values[:33]
    a.commit("some rows")
    b = hub.load("small/bits")
    assert b.dtype == dtype
    assert same_bits(b[:33], values[:33])
    fill = np.full((17, 20), options.get("fill_value", 0), dtype)
    assert same_bits(b[33:], fill)
    assert same_bits(b[5:33:3, [2, 7, 1]], values[5:33:3, [2, 7, 1]])


@NAMES
@settings(max_examples=20)
@given(data=st.data())
def test_writes_round_as_numpy_does(name, data):
    numbers = st.floats(-400, 400, width=32)
    values = data.draw(st.lists(numbers, min_size=6, max_size=6))
    whole = data.draw(st.lists(st.integers(-16, 16), min_size=6, max_size=6))
    a = hub.array((3, 6), "small/rounded", dtype=name, overwrite=True)
    a[0], a[1], a[2] = values, whole, np.array(values, "f8")
    assert same_bits(a[0], np.array(values).astype(name))
    assert same_bits(a[1], np.array(whole).astype(name))
    assert same_bits(a[2], np.array(values).astype(name))


@NAMES
def test_dtypes_may_be_given_in_many_ways(name):
    dtype = np.dtype(name)
    for i, one in enumerate((name, dtype, dtype.type)):
        assert hub.array((3,), f"small/given{i}", dtype=one).dtype == dtype
    assert hub.from_numpy(numbers((4,), name), "small/from").dtype == dtype


@NAMES
@pytest.mark.parametrize("value", [1e39, "much", 1j])
def test_fill_values_that_do_not_fit(name, value):
    with pytest.raises(InvalidError, match="fill value"):
        hub.array((3,), "small/fill", dtype=name, fill_value=value)


@NAMES
@pytest.mark.parametrize("statistic", ["sum", "mean", "std", "var", "min", "max", "count"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_statistics_are_those_of_float32_rounded_once(name, statistic, axis):
    values = numbers((30, 8), name)
    a = hub.array(values.shape, "small/statistics", dtype=name, chunks=(7, 8))
    a[...] = values
    a.commit("all")
    found = getattr(hub.load("small/statistics"), statistic)(axis=axis)
    if statistic == "count":
        np.testing.assert_array_equal(found, np.count_nonzero(values == values, axis=axis))
        return
    wanted = getattr(values.astype("f8"), statistic)(axis=axis)
    assert np.asarray(found).dtype == np.dtype(name)
    assert same_bits(found, np.asarray(wanted).astype(name))
    if statistic in ("sum", "mean", "std", "var"):
        wide = getattr(a, statistic)(axis=axis, dtype="float64")
        np.testing.assert_allclose(wide, wanted, rtol=1e-12)


def test_sums_do_not_stop_where_numpys_do():
    ones = np.ones((1000, 100), "bfloat16")
    assert ones.sum() == 256  # adding 1 to 256 gives 256
    a = hub.from_numpy(ones, "small/ones")
    assert a.sum(dtype="float32") == 100_000
    assert a.mean() == 1


@NAMES
def test_nan_and_lazy_statistics(name):
    values = numbers((30, 8), name)
    values[::7, 3] = np.nan
    a = hub.array(values.shape, "small/nan", dtype=name, chunks=(7, 8))
    a[...] = values
    assert np.isnan(a.mean())
    wanted = np.nanmean(values.astype("f8")).astype(name)
    assert a.nanmean() == wanted
    assert a.nanmean(compute=False).compute() == wanted
    assert a.nanmax() == np.nanmax(values.astype("f4"))
    counts, edges = a.histogram(bins=5, range=(-4, 4))
    expected = np.histogram(values.astype("f4"), 5, (-4, 4))
    np.testing.assert_array_equal(counts, expected[0])
    np.testing.assert_array_equal(edges, expected[1])
    lazy, _ = a.histogram(bins=5, range=(-4, 4), compute=False)
    np.testing.assert_array_equal(lazy.compute(), expected[0])


@NAMES
@settings(max_examples=30)
@given(data=st.data())
def test_kernels_measure_what_they_measure_of_float32(name, data):
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    values = numbers(shape, name, data.draw(st.integers(0, 99)))
    if data.draw(st.booleans()):
        values = values[..., ::-1]
    if data.draw(st.booleans()):
        values = np.broadcast_to(values.reshape(-1)[0], shape)
    wide = values.astype("f4")
    axis = data.draw(st.integers(0, len(shape) - 1))
    cells = tuple(
        data.draw(st.sampled_from([c for c in range(1, n + 1) if n % c == 0])) for n in shape
    )
    for found, wanted in (
        (measure(values), measure(wide)),
        (measure_axes(values, axis), measure_axes(wide, axis)),
        (measure_many(values, cells), measure_many(wide, cells)),
    ):
        for field in FIELDS:
            np.testing.assert_allclose(found[field], wanted[field], rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(
        histogram(values, [-9, -1, 0, 9]), histogram(wide, [-9, -1, 0, 9])
    )


@NAMES
def test_handles_dask_and_numpy(name):
    values = numbers((12, 6), name)
    a = hub.from_numpy(values, "small/a")
    assert same_bits(pickle.loads(pickle.dumps(a))[:], values)
    assert same_bits(a.to_dask().compute(), values)
    b = hub.from_dask(a.to_dask(), "small/b")
    assert same_bits(b[:], values)
    assert same_bits((a * 2)[:], values * np.array(2, name))
    assert (a == values).all()
    assert not (a != values).any()
    a.append(values[:3])
    assert same_bits(a[12:], values[:3])


@NAMES
def test_copies_and_merges(name):
    values = numbers((12, 6), name)
    values[2, 0] = np.nan  # equals itself in a merge
    a = hub.array(values.shape, "small/a:v0", dtype=name, chunks=(6, 6))
    a[...] = values
    a.commit("all")
    hub.copy("small/a:v0", "small/copied:v0")
    assert same_bits(hub.load("small/copied:v0")[:], values)
    branch = a.branch("v1")
    branch[3] = 1.5
    branch.commit("one row")
    a[4] = 2.5  # in the same chunk
    a.commit("another")
    a.merge("v1")
    values[3], values[4] = 1.5, 2.5
    assert same_bits(hub.load("small/a:v0")[:], values)
    assert hub.load("small/a:v0").nanmax() == np.nanmax(values.astype("f4"))


@NAMES
def test_on_the_command_line(name, capsys):
    hub.from_numpy(numbers((12, 6), name), "small/shown")
    assert main(["info", "small/shown"]) == 0
    assert name in capsys.readouterr().out
    assert main(["--json", "stats", "small/shown"]) == 0
    assert '"mean"' in capsys.readouterr().out


# Zarr


@NAMES
def test_zarr_opens_them(name, tmp_path):
    values = numbers((12, 6), name)
    a = hub.array(values.shape, "small/a", dtype=name, chunks=(5, 3), fill_value=np.nan)
    a[:10] = values[:10]
    plain = zarr.create_array(tmp_path / "plain.zarr", data=a.zarr)
    again = zarr.open_array(tmp_path / "plain.zarr", mode="r")
    assert same_bits(again[:], a[:])
    assert again.metadata.to_dict()["data_type"] == name
    assert np.isnan(plain.fill_value)
    a.zarr[11] = values[11]
    assert same_bits(hub.from_zarr(again, "small/back")[:10], values[:10])
    assert same_bits(a[11], values[11])


@pytest.mark.parametrize(
    ("name", "bits"), [("bfloat16", 0x7FC1), ("float8_e4m3fn", 0xFF), ("float8_e5m2", 0x7D)]
)
def test_fill_values_that_are_bits(name, bits, tmp_path):
    size = np.dtype(name).itemsize
    nan = np.array(bits, f"u{size}").view(name)[()]
    a = hub.array((3,), "small/nan", dtype=name, fill_value=nan)
    assert a.zarr.metadata.to_dict()["fill_value"] == f"0x{bits:0{2 * size}x}"
    assert same_bits(a[:], np.full(3, nan))


def test_other_byte_orders_are_refused(tmp_path):
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    z = zarr.create_array(tmp_path / "x", shape=(4,), dtype="uint16", serializer=big)
    z[:] = 1
    document = (tmp_path / "x" / "zarr.json").read_text()
    (tmp_path / "x" / "zarr.json").write_text(document.replace('"uint16"', '"bfloat16"'))
    with pytest.raises(UnsupportedError, match="big-endian"):
        hub.from_zarr(tmp_path / "x", "small/big")


# Datasets


@NAMES
def test_tensors(name):
    values = numbers((40, 5), name)
    ds = hub.dataset("small/ds")
    ds.create_tensor("x", dtype=name)
    ds.create_tensor("ragged", dtype=np.dtype(name))
    ds.create_tensor("e", htype="embedding", dtype=name)
    ds.create_tensor("boxes", htype="bbox", dtype=name)
    ds.create_tensor("several", htype="sequence[generic]", dtype=name)
    ds.create_tensor("any")
    ds.x.extend(values)
    ds.e.extend(list(values.astype("f4")))
    for i, row in enumerate(values):
        ds.ragged.append(row[: i % 4])
        ds.boxes.append([[1, 2, 3, 4.5]])
        ds.several.append([row, row[:2]])
        ds.any.append(row)
    ds.commit("rows")
    ds = hub.load("small/ds")
    assert ds.any.dtype == np.dtype(name)
    for tensor in (ds.x, ds.e, ds.any):
        assert same_bits(tensor.numpy(), values)
    assert same_bits(ds.ragged[7].numpy(), values[7, :3])
    assert same_bits(ds.boxes[3].numpy(), np.array([[1, 2, 3, 4.5]], name))
    assert same_bits(ds.several[3].data()["value"][()][1], values[3, :2])
    ds.x[0], ds.ragged[0] = [9] * 5, [8, 8]
    assert same_bits(ds.x[0].numpy(), np.full(5, 9, name))
    assert same_bits(ds.ragged[0].numpy(), np.full(2, 8, name))
    assert same_bits(ds.x.max(), np.asarray(ds.x.numpy().max()))
    hub.copy("small/ds", "small/ds2")
    assert hub.load("small/ds2").x.dtype == np.dtype(name)
    ds.summary()


@NAMES
def test_values_too_large_for_a_tensor(name):
    ds = hub.dataset("small/large")
    ds.create_tensor("x", dtype=name)
    for value in (
        1e39,
        np.float32(3.4e38),
        10**30 if name != "bfloat16" else 10**39,
        [70_000.0, 1e39],
    ):
        with pytest.raises(SampleError):
            ds.x.append(value)
    ds.x.append(np.inf if name != "float8_e4m3fn" else 448.0)
    ds.x.append(1)
    assert ds.x.numpy()[1] == 1


def test_bfloat16_goes_into_wider_tensors_only():
    values = numbers((3, 4), "bfloat16")
    ds = hub.dataset("small/wider")
    ds.create_tensor("wide", dtype="float32")
    ds.create_tensor("narrow", dtype="float8_e5m2")
    ds.create_tensor("whole", dtype="int32")
    ds.wide.extend(values)
    np.testing.assert_array_equal(ds.wide.numpy(), values.astype("f4"))
    ds.narrow.extend(values)
    assert same_bits(ds.narrow.numpy(), values.astype("f4").astype("float8_e5m2"))
    with pytest.raises(SampleError, match="round"):
        ds.whole.append(values[0])


@NAMES
def test_queries(name):
    pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    ds = hub.dataset("small/asked")
    ds.create_tensor("x", dtype=name)
    ds.create_tensor("v", dtype=name)
    ds.x.extend(np.arange(8.0))
    ds.v.extend(numbers((8, 3), name))
    ds.commit("rows")
    found = ds.query("SELECT * WHERE x > 5.5")
    assert found.x.numpy().astype("f4").tolist() == [6, 7]
    wanted = int((ds.v.numpy()[:, 0].astype("f4") > 0).sum())
    assert len(ds.query("SELECT * WHERE v[0] > 0")) == wanted


@NAMES
def test_batches(name):
    ds = hub.dataset("small/batches")
    ds.create_tensor("x", dtype=name)
    ds.create_tensor("r", dtype=name)
    values = numbers((10, 3), name)
    ds.x.extend(values)
    for i, row in enumerate(values):
        ds.r.append(row[: 1 + i % 3])
    batch = next(iter(ds.batches(4, ragged={"r": "pad"})))
    assert same_bits(batch["x"], values[:4])
    assert batch["r"].dtype == np.dtype(name)
    assert same_bits(batch["r"][1], np.array([*values[1, :2].astype("f4"), 0], name))


@NAMES
@pytest.mark.parametrize("format", ["csv", "parquet", "webdataset", "mds", "zarr"])
def test_exports_lose_nothing(name, format, tmp_path):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    ds = hub.empty("small/exported")
    for tensor in ("x", "n", "r"):
        ds.create_tensor(tensor, dtype=name)
    ds.create_tensor("s", htype="sequence[generic]", dtype=name)
    values = numbers((6, 3), name)
    for i, row in enumerate(values):
        ds.append({"x": row, "n": row[0], "r": row[: i % 3], "s": [row, row[:1]]})
    ds.commit("rows")
    target = str(tmp_path / ("out" + {"csv": ".csv", "parquet": ".parquet"}.get(format, "")))
    hub.export(ds, target, format=format, progressbar=False)
    back = hub.ingest(target, "small/back", progressbar=False)
    assert len(back) == 6
    if format in ("parquet", "mds", "zarr"):
        found = np.stack([np.asarray(back.x[i].numpy()).reshape(-1) for i in range(6)])
        np.testing.assert_array_equal(found.astype("f4"), values.astype("f4"))
