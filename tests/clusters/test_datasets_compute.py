"""Transforms on a dask cluster: workers store what they compute, and all of it is one commit."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.computing import cluster as clusters
from hubzarr.computing.batches import Batch, Column
from hubzarr.computing.pace import Pace
from hubzarr.datasets import parallel_owner
from hubzarr.errors import NotFoundError, TransformError
from hubzarr.session.forks.forking import open_fork

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def all_is_worth_it(monkeypatch):
    """Small samples are stored by workers, too."""
    monkeypatch.setattr(parallel_owner, "WORTH", 1)


@pytest.fixture
def kinds(monkeypatch):
    """How batches came to the owner: by name of the tensor, how many of each kind."""
    found: dict[str, list[str]] = {}
    take = clusters.Cluster.take

    def taken(self, batch):
        out = take(self, batch)
        for name, column in out.columns.items():
            found.setdefault(name, []).append(type(column.values).__name__)
        return out

    monkeypatch.setattr(clusters.Cluster, "take", taken)
    return found


def picture(number):
    return np.random.default_rng(number).integers(0, 255, (8 + number % 5, 10, 3), "uint8")


@hub.compute
def pictures(number, out, broken=()):
    if number in broken:
        raise ValueError(f"{number} is broken")
    out.append({"images": picture(number), "labels": number % 7})


@hub.compute
def tiles(number, out, odd=()):
    shape = (40, 40, 4) if number not in odd else (40, 41, 4)
    out.tiles.append(np.full(shape, number, "uint16"))


@hub.compute
def deadly(number, out, marker, at):
    """Ends its process the first time that it meets some input."""
    if number == at and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    out.append({"images": picture(number), "labels": number % 7})


def dataset(name="ds", **options):
    ds = hub.empty(name)
    options = {"sample_compression": "png"} | options
    ds.create_tensor("images", htype="image", **options)
    ds.create_tensor("labels", dtype="int64")
    ds.flush()
    return ds


def check(ds, numbers):
    assert ds.labels.numpy().ravel().tolist() == [number % 7 for number in numbers]
    assert len(ds.images) == len(numbers)
    for row, number in enumerate(numbers):
        assert (ds.images[row].numpy() == picture(number)).all(), row


def numbers_of(ds):
    return ds._session.manifest.commit.number


@pytest.mark.parametrize(
    "options", [{}, {"statistics": True}, {"sample_compression": None, "ragged": True}]
)
def test_workers_store_files(client, kinds, options):
    here, there = dataset("here", **options), dataset("there", **options)
    pictures().eval(range(300), here)
    before = numbers_of(there)
    pictures().eval(range(300), there, scheduler="distributed", message="on the cluster")
    assert numbers_of(there) == before + 1
    assert kinds["images"].count("StoredBytes") > kinds["images"].count("list")
    assert "StoredBytes" not in kinds["labels"]
    loaded = hub.load("there")
    check(loaded, range(300))
    assert loaded.images.shapes() == here.images.shapes()
    assert loaded.images.mean() == here.images.mean()
    assert loaded.images.std() == here.images.std()


def test_workers_store_rows_of_uniform_tensors(client, kinds):
    for name, scheduler in (("here", "serial"), ("there", "distributed")):
        ds = hub.empty(name)
        ds.create_tensor("tiles", dtype="uint16")
        tiles().eval(range(250), ds, scheduler=scheduler)
    ds, here = hub.load("there"), hub.load("here")
    assert "StoredRows" in kinds["tiles"]
    assert (ds.tiles.numpy() == here.tiles.numpy()).all()
    assert (ds.tiles.numpy()[:, 0, 0, 0] == np.arange(250)).all()
    assert ds.tiles.mean() == here.tiles.mean()
    ds.tiles.append(np.zeros((40, 40, 4), "uint16"))
    assert ds.tiles[249:].numpy()[:, 3, 3, 3].tolist() == [249, 0]


def test_a_tensor_that_becomes_ragged_meanwhile(client, kinds):
    ds = hub.empty("ds")
    ds.create_tensor("tiles", dtype="uint16")
    tiles(odd=(90, 100)).eval(range(500), ds, scheduler="distributed")
    assert {"StoredRows", "StoredBytes"} <= set(kinds["tiles"])
    assert [shape[1] for shape in ds.tiles.shapes()] == [40 + (i in (90, 100)) for i in range(500)]
    assert [ds.tiles[i].numpy()[0, 0, 0] for i in range(500)] == list(range(500))


def test_a_worker_that_dies_changes_nothing(client, tmp_path, kinds):
    ds = dataset()
    before = numbers_of(ds)
    job = deadly(str(tmp_path / "marker"), 120)
    report = job.eval(range(200), ds, scheduler="distributed", num_workers=2)
    assert (tmp_path / "marker").exists()
    assert (report.rows, numbers_of(ds)) == (200, before + 1)
    assert "StoredBytes" in kinds["images"]
    check(hub.load("ds"), range(200))


def test_inputs_on_which_every_worker_dies(client, monkeypatch):
    @hub.compute
    def fatal(number, out):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    ds = dataset()
    with pytest.raises(TransformError, match="workers of the cluster died again and again"):
        fatal().eval([1], ds, scheduler="distributed")
    assert len(hub.load("ds")) == 0


def test_batches_of_workers_that_store():
    pace = Pace(storing=2)
    pace.tell(Batch(1, seconds=0.001))
    assert pace.size == 4
    pace.tell(Batch(4, seconds=0.004, sent=4 << 20))
    assert pace.size == 8  # tasks with more than some MB of inputs would burden the scheduler
    assert (pace.next(None), pace.next(4), pace.next(0)) == (8, 8, 8)
    pace.tell(Batch(8, {"x": Column(np.zeros((8, 4 << 20), "u1"), [1] * 8)}, seconds=60))
    assert (pace.size, pace.next(2)) == (1, 1)


def test_errors(client, kinds):
    ds = dataset()
    with pytest.raises(TransformError, match=r"input 150 .*150 is broken") as error:
        pictures([150]).eval(range(200), ds, scheduler="distributed")
    assert error.value.index == 150
    assert (len(ds), len(hub.load("ds"))) == (0, 0)
    report = pictures([3, 150, 151]).eval(
        range(200), ds, scheduler="distributed", ignore_errors=True
    )
    assert [skipped.index for skipped in report.skipped] == [3, 150, 151]
    check(hub.load("ds"), [i for i in range(200) if i not in (3, 150, 151)])
    assert "StoredBytes" in kinds["images"]


def test_samples_that_do_not_fit(client):
    @hub.compute
    def named(number, out):
        out.labels.append("cat" if number % 50 else number // 10)  # 50 // 10 is no class
        out.images.append(picture(number))

    ds = hub.empty("ds")
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    report = named().eval(range(120), ds, scheduler="distributed", ignore_errors=True)
    assert [skipped.index for skipped in report.skipped] == [50, 100]
    assert len(ds.labels) == len(ds.images) == 118
    assert (ds.images[50].numpy() == picture(51)).all()


@pytest.mark.parametrize("options", [{}, {"statistics": True}])
def test_in_place(client, kinds, options):
    @hub.compute
    def darker(row, out):
        if row.labels.numpy() != 3:
            out.images.append(row.images.numpy() // 2)

    ds, chosen = dataset(**options), [*range(190, 20, -2)]
    pictures().eval(range(200), ds)
    before = numbers_of(ds)
    darker().eval(ds[chosen], scheduler="distributed")
    assert numbers_of(ds) == before + 1
    assert "StoredBytes" in kinds["images"]
    loaded = hub.load("ds")
    for row in range(200):
        divisor = 2 if row in chosen and row % 7 != 3 else 1
        assert (loaded.images[row].numpy() == picture(row) // divisor).all(), row
    means = [loaded.images[row].numpy().mean() for row in range(200)]
    if options:
        weights = [8 + row % 5 for row in range(200)]
        assert np.isclose(loaded.images.mean(), np.average(means, weights=weights))


def test_rows_of_uniform_tensors_in_place(client, kinds):
    @hub.compute
    def negative(row, out):
        out.tiles.append(1000 - row.tiles.numpy())

    ds = hub.empty("ds")
    ds.create_tensor("tiles", dtype="uint16")
    tiles().eval(range(100), ds)
    negative().eval(ds[::3], scheduler="distributed")
    expected = [1000 - n if n % 3 == 0 else n for n in range(100)]
    assert hub.load("ds").tiles.numpy()[:, 7, 7, 0].tolist() == expected


def test_in_place_where_others_append(client, kinds):
    @hub.compute
    def darker(row, out):
        out.images.append(row.images.numpy() // 2)

    ds = dataset()
    pictures().eval(range(100), ds)
    other = hub.load("ds")

    with ds:
        darker().eval(ds, scheduler="distributed")
        pictures().eval([1000], other)
        other.flush()
    assert "StoredBytes" in kinds["images"]
    loaded = hub.load("ds")
    assert len(loaded) == 101
    for row in range(100):
        assert (loaded.images[row].numpy() == picture(row) // 2).all(), row
    assert (loaded.images[100].numpy() == picture(1000)).all()


def test_inside_a_transaction(client):
    ds = dataset()
    pictures().eval(range(20), ds)
    with ds:
        pictures().eval(range(100, 200), ds, scheduler="distributed")
        with pytest.raises(TransformError):
            pictures([280]).eval(range(200, 300), ds, scheduler="distributed")
        check(ds, [*range(20), *range(100, 200)])
        assert len(hub.load("ds", mode="r")) == 20
        pictures().eval(range(20, 30), ds)
    check(hub.load("ds"), [*range(20), *range(100, 200), *range(20, 30)])


@pytest.mark.parametrize("interval", [0, 60])
def test_others_append_meanwhile(client, kinds, interval):
    ds, other = dataset(), hub.load("ds")

    def numbers():
        for number in range(200):
            if number in (50, 100, 150):
                other.append({"images": picture(1000 + number), "labels": (1000 + number) % 7})
                other.flush()
            yield number

    pictures().eval(numbers(), ds, scheduler="distributed", checkpoint_interval=interval)
    assert kinds["images"].count("StoredBytes") > 2
    loaded = hub.load("ds")
    known = {picture(n).tobytes(): n for n in (*range(200), 1050, 1100, 1150)}
    found = [known[loaded.images[row].numpy().tobytes()] for row in range(len(loaded.images))]
    assert loaded.labels.numpy().ravel().tolist() == [n % 7 for n in found]
    assert [n for n in found if n < 1000] == list(range(200))
    assert [n for n in found if n >= 1000] == [1050, 1100, 1150]


@pytest.mark.parametrize("interval", [0, 70])
def test_others_append_rows_meanwhile(client, kinds, interval):
    ds = hub.empty("ds")
    ds.create_tensor("tiles", dtype="uint16").extend(np.zeros((3, 40, 40, 4), "uint16"))
    ds.flush()
    other = hub.load("ds")

    def numbers():
        for number in range(200):
            if number in (50, 150):
                other.tiles.append(np.full((40, 40, 4), 1000 + number, "uint16"))
                other.flush()
            yield number

    tiles().eval(numbers(), ds, scheduler="distributed", checkpoint_interval=interval)
    assert "StoredRows" in kinds["tiles"]
    values = hub.load("ds").tiles.numpy()
    assert (values == values[:, :1, :1, :1]).all()
    found = values[:, 0, 0, 0].tolist()
    assert [n for n in found if 0 < n < 1000] == list(range(1, 200))
    assert [n for n in found if n >= 1000] == [1050, 1150]


def test_it_goes_on_after_a_crash(client):
    ds = dataset()
    with pytest.raises(TransformError):
        pictures([130]).eval(range(200), ds, scheduler="distributed", checkpoint_interval=50)
    assert len(hub.load("ds")) == 100
    # The same arguments are asked for, so the same inputs are given, of which one is broken.
    report = pictures([130]).eval(
        range(200), ds, scheduler="distributed", checkpoint_interval=50, ignore_errors=True
    )
    assert (report.resumed, report.rows) == (100, 99)
    check(hub.load("ds"), [i for i in range(200) if i != 130])


def test_large_samples_go_to_the_owner(client, kinds):
    @hub.compute
    def mosaic(number, out):
        rows = (1 << 13) + 1 if number == 60 else 3
        out.images.append(np.full((rows, 1 << 13, 1), number, "uint8"))

    ds = hub.empty("ds")
    ds.create_tensor("images", htype="image", chunk_compression="zstd", ragged=True)
    mosaic().eval(range(64), ds, scheduler="distributed")
    assert "StoredBytes" in kinds["images"]
    assert [shape[0] for shape in ds.images.shapes()] == [3] * 60 + [8193] + [3] * 3
    assert ds.images[60][8190:, :2].numpy().ravel().tolist() == [60] * 6
    assert ds.images[63].numpy()[0, 0, 0] == 63


def test_what_is_copied_has_all_samples(client, tmp_path):
    ds = dataset()
    pictures().eval(range(150), ds, scheduler="distributed")
    hub.copy("ds", str(tmp_path / "copy"))
    check(hub.load(str(tmp_path / "copy")), range(150))
    taken = hub.like("taken", ds)
    taken.extend(ds[::3])
    check(taken, range(0, 150, 3))


def cut_off():
    def refuse(fork):
        raise NotFoundError("it is nowhere")

    clusters.open_fork = refuse


def connect():
    clusters.open_fork = open_fork


def test_workers_that_do_not_reach_the_store(client, kinds):
    ds = dataset()
    client.run(cut_off)
    try:
        with pytest.warns(RuntimeWarning, match=r"workers can't store .* it is nowhere"):
            pictures().eval(range(150), ds, scheduler="distributed")
    finally:
        client.run(connect)
    assert "StoredBytes" not in kinds["images"]
    check(hub.load("ds"), range(150))


def test_control_c(client):
    ds = dataset()

    def numbers():
        for number in range(1000):
            if number == 150:
                raise KeyboardInterrupt
            yield number

    with pytest.raises(KeyboardInterrupt):
        pictures().eval(numbers(), ds, scheduler="distributed")
    assert (len(ds), len(hub.load("ds"))) == (0, 0)
    pictures().eval(range(30), ds, scheduler="distributed")
    check(hub.load("ds"), range(30))


def know(secrets):
    os.environ.update(secrets)


def forget(names):
    for name in names:
        os.environ.pop(name)


def test_in_a_bucket(client, s3, kinds):
    """Workers take secrets from their own environment."""
    url, options = s3.url("ds"), s3.options
    secrets = {"AWS_ACCESS_KEY_ID": options["key"], "AWS_SECRET_ACCESS_KEY": options["secret"]}
    client.run(know, secrets)
    ds = hub.empty(url, storage_options=options)
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("labels", dtype="int64")
    ds.flush()
    try:
        pictures().eval(range(150), ds, scheduler="distributed")
    finally:
        client.run(forget, list(secrets))
    assert "StoredBytes" in kinds["images"]
    check(hub.load(url, storage_options=options), range(150))
