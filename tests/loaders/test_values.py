"""Batches hold what NumPy reads, of every kind of tensor and however rows were chosen."""

from __future__ import annotations

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.errors import HubzarrError, InvalidError, TransformError
from tests.loaders.support import (
    NAMES,
    ROWS,
    encoded,
    fresh_url,
    gallery,
    numbered,
    picture,
    same,
    sample,
)


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    return gallery(tmp_path_factory.mktemp("links"))


def check(batches, names=NAMES):
    """Compare all samples; returns their numbers."""
    seen = []
    for batch in batches:
        assert list(batch) == [*names, "index"]
        numbers = batch["index"].tolist()
        for name in names:
            assert len(batch[name]) == len(numbers)
            for found, number in zip(batch[name], numbers, strict=True):
                assert same(found, sample(name, number)), (name, number, found)
        seen += numbers
    return seen


EVERYTHING = {"ragged": "list", "return_index": True, "window": 7}

SELECTIONS = {
    "all": lambda ds: (ds, range(ROWS)),
    "slice": lambda ds: (ds[3:18], range(3, 18)),
    "step": lambda ds: (ds[2::3], range(2, ROWS, 3)),
    "reversed": lambda ds: (ds[::-1], range(ROWS - 1, -1, -1)),
    "list": lambda ds: (ds[[5, 1, 1, 20]], [5, 1, 1, 20]),
    "row": lambda ds: (ds[4], [4]),
    "nothing": lambda ds: (ds[3:3], []),
    "query": lambda ds: (ds.query("SELECT * WHERE number % 4 = 1"), range(1, ROWS, 4)),
    "ordered": lambda ds: (
        ds.query("SELECT * WHERE number > 15 ORDER BY number DESC"), range(ROWS - 1, 15, -1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("shuffle", [False, True, "full"])
@pytest.mark.parametrize("chosen", SELECTIONS)
def test_samples_of_every_kind(ds, chosen, shuffle):
    view, expected = SELECTIONS[chosen](ds)
    seen = check(view.batches(5, shuffle=shuffle, **EVERYTHING))
    if not shuffle:
        assert seen == list(expected)
    assert sorted(seen) == sorted(expected)


def test_splits_and_draws(ds):
    parts = ds.random_split([0.5, 0.5])
    seen = [check(part.batches(4, shuffle=True, **EVERYTHING)) for part in parts]
    assert sorted(seen[0] + seen[1]) == list(range(ROWS))
    drawn = ds.sample_by("number", replace=True, size=40, seed=1)
    seen = check(drawn.batches(7, shuffle=True, **EVERYTHING))
    assert sorted(seen) == sorted(np.asarray(drawn.number.numpy()).tolist())


@pytest.mark.parametrize("shuffle", [False, True, "full"])
@pytest.mark.parametrize("name", NAMES)
def test_one_tensor(ds, name, shuffle):
    seen = []
    for batch in ds[name].batches(6, shuffle=shuffle, ragged="list", window=9):
        for found in batch:
            numbers = [n for n in range(ROWS) if same(found, sample(name, n))]
            assert numbers, found
            seen.append(numbers[0])
    assert len(seen) == ROWS
    if name not in ("flag", "label", "sequence"):
        assert sorted(seen) == list(range(ROWS))
        assert (seen == list(range(ROWS))) is (not shuffle)


def test_tensors_that_are_asked_for(ds):
    check(ds.batches(5, tensors=["text", "number"], return_index=True), ["text", "number"])
    (batch,) = ds.batches(ROWS, tensors="number")
    assert batch["number"].tolist() == list(range(ROWS))
    for text, number in ds.batches(None, tensors=["text", "number"], form="tuple"):
        assert text == f"row {number}"


def test_groups_have_relative_names():
    ds = hub.empty(fresh_url())
    ds.create_tensor("left/x").extend([1, 2])
    ds.create_tensor("right/x").extend([3, 4])
    (batch,) = ds.batches(2)
    assert {name: column.tolist() for name, column in batch.items()} == {
        "left/x": [1, 2], "right/x": [3, 4],
    }  # fmt: skip
    (batch,) = ds["right"].batches(2)
    assert batch["x"].tolist() == [3, 4]


def test_images_of_one_size_are_one_array():
    ds = hub.empty(fresh_url())
    ds.create_tensor("image", htype="image", sample_compression="png").extend(
        [picture(i) for i in range(9)]
    )
    batches = list(ds.batches(4))
    assert [batch["image"].shape for batch in batches] == [(4, 6, 5, 3), (4, 6, 5, 3), (1, 6, 5, 3)]
    together = np.concatenate([batch["image"] for batch in batches])
    assert np.array_equal(together, np.stack([picture(i) for i in range(9)]))
    assert together.dtype == np.uint8


def test_jpegs_are_decoded_as_elsewhere():
    ds = hub.empty(fresh_url())
    files = [encoded(picture(i, 32, 24), "jpeg") for i in range(5)]
    ds.create_tensor("image", htype="image", sample_compression="jpeg").extend(
        [hub.Sample(file) for file in files]
    )
    (batch,) = ds.batches(5)
    assert np.array_equal(batch["image"], ds.image.numpy())
    (stored,) = ds.batches(5, decode={"image": False})
    assert stored["image"] == files


def test_stored_bytes(ds):
    (batch,) = ds.batches(ROWS, decode=False)
    assert batch["image"][3][:4] == b"\x89PNG"
    assert batch["text"][3] == b"row 3"
    assert batch["ragged"][3] == sample("ragged", 3).tobytes()
    assert batch["link"][3].endswith(b"3.png")
    assert same(batch["uniform"][3], sample("uniform", 3))
    (batch,) = ds.batches(ROWS, tensors=["image", "text"], decode={"text": False}, ragged="list")
    assert batch["text"][3] == b"row 3"
    assert same(batch["image"][3], sample("image", 3))


# -- tensors that are unlike others --------------------------------------------------------


def test_no_rows_at_all():
    empty = hub.empty(fresh_url())
    empty.create_tensor("x")
    empty.create_tensor("t", htype="text")
    assert list(empty.batches(4)) == []
    assert len(empty.batches(4, shuffle=True)) == 0
    with pytest.raises(InvalidError, match="nothing to load"):
        hub.empty(fresh_url()).batches()


def test_one_row():
    for options in ({}, {"pad": True}, {"shuffle": True}, {"shuffle": "full"}):
        (batch,) = numbered(1).batches(3, **options)
        assert batch["x"].tolist() == [[0] * 4] * (3 if "pad" in options else 1)
    assert list(numbered(1).batches(3, drop_last=True)) == []


def test_tensors_of_different_length():
    ds = hub.empty(fresh_url())
    ds.create_tensor("x").extend(range(10))
    ds.create_tensor("y").extend(range(7))
    assert [batch["y"].tolist() for batch in ds.batches(4)] == [[0, 1, 2, 3], [4, 5, 6]]
    assert sum(len(batch) for batch in ds.x.batches(4)) == 10
    ds.create_tensor("z")
    assert len(ds) == 0
    assert len(ds[["x", "y"]].batches(4)) == 2


def test_empty_samples_and_large_ones(monkeypatch):
    monkeypatch.setattr("hubzarr.datasets.layout.LARGE_BYTES", 1000)
    ds = hub.empty(fresh_url())
    values = [np.full((n, 3), n, "i4") for n in (0, 2, 300, 0, 400, 1)]
    ds.create_tensor("x", dtype="int32", ragged=True).extend(values)
    for shuffle in (False, True):
        for batch in ds.batches(4, ragged="list", return_index=True, shuffle=shuffle):
            for found, number in zip(batch["x"], batch["index"], strict=True):
                assert same(found, values[number])
    (batch,) = ds.batches(6, decode=False)
    assert batch["x"] == [value.tobytes() for value in values]


def test_samples_of_several_axes_counts():
    ds = hub.empty(fresh_url())
    values = [np.zeros((2, 2), "f4"), np.ones((3,), "f4"), np.ones((1, 2, 2), "f4")]
    ds.create_tensor("x", dtype="float32", ragged=True).extend([values[2], values[0], values[1]])
    (batch,) = ds.batches(3, ragged="list")
    assert all(map(same, batch["x"], [values[2], values[0], values[1]]))
    with pytest.raises(InvalidError, match="differ in their number of axes, 3 in row 0 and 2"):
        list(ds.batches(3, ragged="pad"))


# -- arrays --------------------------------------------------------------------------------


@pytest.fixture
def array():
    a = hub.array((40, 6), name=fresh_url(), dtype="int32", chunks=(7, 4))
    a[...] = np.arange(240).reshape(40, 6)
    return a


VIEWS = {
    "all": lambda a: a,
    "columns": lambda a: a[:, 1:5],
    "steps": lambda a: a[::2, 3:5],
    "backwards": lambda a: a[::-1, ::-1],
    "mask": lambda a: a[np.arange(40) % 3 == 1],
    "list": lambda a: a[[3, 3, 39, 0]],
    "one axis": lambda a: a[:, 2],
    "a row": lambda a: a[5],
    "a part": lambda a: a[11:29],
    "one more axis": lambda a: a[4:20, None, ::2],
}


@pytest.mark.parametrize("shuffle", [False, True, "full"])
@pytest.mark.parametrize("view", VIEWS)
def test_arrays_and_their_views(array, view, shuffle):
    expected = VIEWS[view](np.arange(240, dtype="i4").reshape(40, 6))
    seen = []
    for batch in VIEWS[view](array).batches(9, shuffle=shuffle, return_index=True, window=11):
        assert same(batch["values"], expected[batch["index"]])
        seen += batch["index"].tolist()
    assert sorted(seen) == list(range(len(expected)))
    (batch,) = VIEWS[view](array).batches(40)
    assert same(batch, expected)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12) % 3 == 0, np.arange(12) / 7, np.arange(12, dtype="c16") * 1j,
        np.arange(12).astype("M8[D]"), np.array([b"a", b"bc", b""]), np.zeros((5, 0)),
        np.zeros((0, 5)),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)  # fmt: skip
def test_arrays_of_any_dtype(values):
    a = hub.array(values.shape, name=fresh_url(), dtype=values.dtype)
    a[...] = values
    batches = list(a.batches(5))
    assert len(batches) == -(-len(values) // 5)
    if len(values):
        assert same(np.concatenate(batches), values)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_small_floats(dtype):
    pytest.importorskip("ml_dtypes")
    a = hub.array((7, 3), name=fresh_url(), dtype=dtype)
    a[...] = np.arange(21).reshape(7, 3)
    for batch in a.batches(4, shuffle=True, return_index=True):
        assert batch["values"].dtype == a.dtype
        assert np.array_equal(batch["values"], a[:][batch["index"]])


def test_strings():
    a = hub.array((3,), name=fresh_url(), dtype="str")
    a[...] = ["one", "", "drei"]
    assert list(a.batches(2)) == [["one", ""], ["drei"]]
    assert list(a.batches(None)) == ["one", "", "drei"]


def test_an_array_without_axes_has_no_samples():
    a = hub.array((), name=fresh_url())
    with pytest.raises(InvalidError, match="without axes"):
        a.batches()


def test_a_part_of_samples_is_no_sample(ds):
    with pytest.raises(InvalidError, match="select rows only"):
        ds.uniform[:, 0].batches(4)


# -- what state of the data ----------------------------------------------------------------


def test_what_was_written_is_there_and_later_writes_are_not():
    ds = hub.empty(fresh_url())
    ds.create_tensor("x").extend(range(10))
    loader = ds.batches(4)
    assert ds._session.dirty is False
    ds.x.extend(range(10, 20))
    ds.x[0] = 99
    assert [batch["x"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert next(iter(ds.batches(3)))["x"].tolist() == [99, 1, 2]


def test_transactions_keep_what_they_wrote_to_themselves():
    ds = numbered(5)
    with ds.transaction():
        assert len(ds.batches(5)) == 1  # nothing written yet
        ds.append({"x": [9] * 4})
        with pytest.raises(InvalidError, match="transaction"):
            ds.batches(5)


def test_older_and_sealed_states():
    url = fresh_url()
    ds = numbered(5, url=url)
    number = ds._session.manifest.commit.number
    ds.extend({"x": [[7] * 4] * 3})
    ds.commit()
    ds.seal("done")
    for name, length in ((f"{url}:main@{number}", 5), (f"{url}:main", 8)):
        loader = hub.load(name).batches(3)
        assert sum(len(batch["x"]) for batch in loader) == length


# -- collate ---------------------------------------------------------------------------------


def test_collate_makes_the_batch(ds):
    seen = []

    def collate(samples):
        seen.append(samples)
        rows = [int(sample["index"]) for sample in samples]
        return {"rows": rows, "sum": sum(sample["number"].sum() for sample in samples)}

    loader = ds.batches(7, tensors=["number"], return_index=True, collate=collate, shuffle=True)
    batches = list(loader)
    assert sorted(row for b in batches for row in b["rows"]) == list(range(len(ds)))
    assert sum(b["sum"] for b in batches) == ds.number.numpy().sum()
    assert all(
        isinstance(one["number"], np.generic | np.ndarray) for samples in seen for one in samples
    )


def test_collate_gets_what_the_transform_gave(ds):
    pairs = ds.batches(
        3,
        tensors=["number"],
        return_index=True,
        form="tuple",
        transform={"number": np.sum},
        collate=list,
    )
    first = next(iter(pairs))
    assert [int(number) for _, number in first] == [0, 1, 2]
    assert [int(total) for total, _ in first] == ds.number[:3].numpy().reshape(3, -1).sum(
        1
    ).tolist()


def test_collate_that_fails_tells_which_rows(ds):
    with pytest.raises(TransformError, match=r"collate failed .* rows 0 to 3: ZeroDivisionError"):
        next(iter(ds.batches(4, tensors=["number"], collate=lambda samples: 1 / 0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"collate": 3}, "expected a function"),
        ({"collate": list, "batch_size": None}, "one by one"),
    ],
)
def test_collate_that_makes_no_sense(ds, options, message):
    with pytest.raises(HubzarrError, match=message):
        ds.batches(**options)
