"""Queries of datasets: every htype, views, groups, commits; against pandas."""

import json

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.datasets.queries import filter_rows, query
from hubzarr.datasets.queryable import DatasetTable
from hubzarr.errors import InvalidError, InvalidTypeError, NotFoundError
from tests.realdata import real

pd = pytest.importorskip("pandas")
pytest.importorskip("duckdb")

NAMES = ["Cloudy", "Rain", "Shine", "Sunrise"]


def make(name="querying/all", n=60):
    """A dataset with a tensor of nearly every kind."""
    rng = np.random.default_rng(0)
    ds = hub.empty(name)
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("labels", htype="class_label", class_names=NAMES)
    ds.create_tensor("tags", htype="class_label", class_names=NAMES)
    ds.create_tensor("words", htype="tag")
    ds.create_tensor("score", dtype="float32")
    ds.create_tensor("caption", htype="text")
    ds.create_tensor("meta", htype="json")
    ds.create_tensor("items", htype="list")
    ds.create_tensor("embedding", htype="embedding")
    ds.create_tensor("boxes/box", htype="bbox")
    ds.create_tensor("boxes/area", dtype="int64")
    ds.create_tensor("mask", htype="binary_mask")
    rows = []
    for i in range(n):
        height, width = rng.integers(3, 9, 2)
        rows.append(
            {
                "images": rng.integers(0, 255, (height, width, 3)).astype("uint8"),
                "labels": NAMES[rng.integers(4)],
                "tags": [NAMES[k] for k in rng.choice(4, rng.integers(0, 3), replace=False)],
                "words": [f"w{i % 3}", "é"],
                "score": np.float32(rng.normal()) if i % 10 else np.nan,
                "caption": f"photo {i} déjà vu",
                "meta": {"key": i, "who": {"name": f"n{i % 3}"}},
                "items": [i, "a"],
                "embedding": rng.normal(size=4).astype("float32"),
                "boxes/box": rng.random((i % 3, 4)).astype("float32"),
                "boxes/area": i,
                "mask": rng.random((height, width)) > 0.5,
            }
        )
    ds.extend({name: [row[name] for row in rows] for name in rows[0]})
    frame = pd.DataFrame(rows)
    frame["height"] = [row["images"].shape[0] for row in rows]
    return ds, frame


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUBZARR_ROOT", str(tmp_path_factory.mktemp("root")))
        yield make()


CONDITIONS = {
    "labels = 'Rain'": lambda f: f.labels == "Rain",
    "labels = 1": lambda f: f.labels == "Rain",
    "labels LIKE 'S%'": lambda f: f.labels.str.startswith("S"),
    "list_contains(tags, 'Rain')": lambda f: f.tags.map(lambda t: "Rain" in t),
    "len(tags) = 0": lambda f: f.tags.map(len) == 0,
    "list_contains(words, 'w1')": lambda f: f.words.map(lambda w: "w1" in w),
    "words[0] = 'w2' AND words[1] = 'é'": lambda f: f.words.map(lambda w: w[0] == "w2"),
    "score > 0.5": lambda f: f.score > 0.5,
    "score IS NULL": lambda f: f.score.isna(),
    "caption LIKE 'photo 1% déjà vu'": lambda f: f.caption.str.startswith("photo 1"),
    "(meta->>'$.key')::INT > 40": lambda f: f.meta.map(lambda m: m["key"] > 40),
    "items->>0 = '7'": lambda f: f["items"].map(lambda x: x[0] == 7),
    "len(items) = 2 AND len(words) = 2": lambda f: f.height > 0,
    "embedding[0] > 0": lambda f: f.embedding.map(lambda v: v[0] > 0),
    "array_distance(embedding, [0, 0, 0, 0]) < 1.5": lambda f: f.embedding.map(
        lambda v: np.linalg.norm(v) < 1.5
    ),
    "len(boxes.box) = 2": lambda f: f["boxes/box"].map(len) == 2,
    "boxes.box[0][2] > 0.5": lambda f: f["boxes/box"].map(lambda b: len(b) > 0 and b[0][2] > 0.5),
    "boxes.area BETWEEN 5 AND 7": lambda f: f["boxes/area"].between(5, 7),
    "images.shape[0] > 6": lambda f: f.height > 6,
    "images.ndim = 3": lambda f: f.height > 0,
    "mask.shape[0] = images.shape[0]": lambda f: f.height > 0,
    "labels = 'Rain' and score > 0 or _row = 3": lambda f: (
        (f.labels == "Rain") & (f.score > 0) | (f.index == 3)
    ),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(condition, made):
    ds, frame = made
    expected = np.flatnonzero(CONDITIONS[condition](frame)).tolist()
    assert filter_rows(ds, condition).sample_indices == expected
    assert query(ds, f"SELECT * WHERE {condition}").sample_indices == expected
    view = ds[10:50:2]
    kept = [i for i in range(10, 50, 2) if i in expected]
    if "_row" not in condition:
        assert filter_rows(view, condition).sample_indices == kept
        picked = ds[[50, 3, 3, 7, 20]]
        kept = [i for i in [50, 3, 3, 7, 20] if i in expected]
        assert filter_rows(picked, condition).sample_indices == kept


def test_views_have_the_reading_api(made):
    ds, frame = made
    view = query(ds, "SELECT labels, images WHERE score > 0 ORDER BY score DESC LIMIT 5")
    expected = frame[frame.score > 0].sort_values("score", ascending=False).index[:5]
    assert view.sample_indices == expected.tolist()
    assert list(view.tensors) == ["labels", "images"]
    assert view.labels.text() == frame.labels[expected].tolist()
    assert view[0].images.numpy().tolist() == frame.images[expected[0]].tolist()
    assert "ORDER BY score" in view.query_text
    again = query(view, "SELECT * WHERE labels <> 'Rain'")
    assert again.sample_indices == [i for i in expected if frame.labels[i] != "Rain"]
    assert list(again.tensors) == ["labels", "images"]
    with pytest.raises(NotFoundError):
        query(view, "SELECT * WHERE caption = 'a'")


def test_tables(made):
    ds, frame = made
    found = query(
        ds,
        "SELECT labels, count(*) AS n, avg(score) AS mean, max(images.shape[0]) AS high "
        "GROUP BY labels ORDER BY labels",
    ).to_pandas()
    expected = frame.groupby("labels").agg(
        n=("score", "size"), mean=("score", "mean"), high=("height", "max")
    )
    assert found.n.tolist() == expected.n.tolist()
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-5)
    assert found.high.tolist() == expected.high.tolist()
    row = query(ds, "SELECT * EXCLUDE (images, mask), 1 AS one LIMIT 1").to_pylist()[0]
    assert row["labels"] == frame.labels[0]
    assert row["tags"] == frame.tags[0]
    assert row["words"] == frame.words[0]
    assert json.loads(row["meta"]) == frame.meta[0]
    assert row["caption"] == frame.caption[0]
    np.testing.assert_array_equal(row["embedding"], frame.embedding[0])
    assert row["boxes/area"] == 0


def test_groups_are_datasets(made):
    ds, _ = made
    found = query(ds["boxes"], "SELECT area WHERE area < 3 AND len(box) > 0")
    assert found.sample_indices == [1, 2]
    assert list(found.tensors) == ["area"]
    assert found.area.numpy().tolist() == [1, 2]


def test_results_stay_on_their_commit():
    ds, _ = make("querying/pinned", 20)
    view = filter_rows(ds, "labels = 'Rain'")
    before, rows = view.caption.text(), view.sample_indices
    ds.caption[rows[0]] = "changed"
    ds.labels[:] = ["Shine"] * 20
    ds.extend({name: [ds[name][0].values()] for name in ds.tensors})
    assert view.caption.text() == before
    assert view.labels.text() == ["Rain"] * len(rows)
    assert filter_rows(ds, "labels = 'Rain'").sample_indices == []
    assert len(filter_rows(ds, "labels = 'Shine'")) == 21
    view.save_view(id="rain")
    ds.refresh()
    assert ds.load_view("rain").caption.text() == before
    assert ds.load_view("rain").query_text == "labels = 'Rain'"


def test_functions(made):
    ds, frame = made
    expected = np.flatnonzero(frame.height > 6).tolist()
    for workers in (0, 3):
        view = filter_rows(ds, lambda row: row.images.shape[0] > 6, num_workers=workers)
        assert view.sample_indices == expected
    assert len(filter_rows(ds, lambda row: np.array([True]))) == len(ds)
    assert filter_rows(ds[5:9], lambda row: row.boxes.area.numpy() > 6).sample_indices == [7, 8]
    with pytest.raises(InvalidError, match="None"):
        filter_rows(ds, lambda row: None)
    with pytest.raises(InvalidError, match="True or False"):
        filter_rows(ds, lambda row: row.embedding.numpy() > 0)
    with pytest.raises(InvalidTypeError, match="condition"):
        filter_rows(ds, 3)
    for workers in (0, 2):
        with pytest.raises(ZeroDivisionError) as caught:
            filter_rows(ds, lambda row: 1 / 0, num_workers=workers)
        assert "row 0" in caught.value.__notes__[0]


def test_empty_tensors():
    ds = hub.empty("querying/empty")
    ds.create_tensor("labels", htype="class_label", class_names=NAMES)
    ds.create_tensor("images", htype="image", sample_compression="png")
    ds.create_tensor("words", htype="tag")
    ds.create_tensor("caption", htype="text")
    ds.create_tensor("x", dtype="int16")
    for condition in ("labels = 'Rain'", "x > 3", "len(images) > 3", "len(words) = 1", "true"):
        assert filter_rows(ds, condition).sample_indices == []
    assert query(ds, "SELECT count(*) AS n, max(x) AS m").to_pylist() == [{"n": 0, "m": None}]
    assert query(ds, "SELECT caption, words, labels WHERE x > 1").sample_indices == []


def test_rows_stop_where_the_shortest_tensor_does():
    ds = hub.empty("querying/uneven")
    ds.create_tensor("a").extend(np.arange(10))
    ds.create_tensor("b").extend(np.arange(7))
    assert filter_rows(ds, "a > 4").sample_indices == [5, 6]
    assert query(ds, "SELECT max(a) AS a, max(b) AS b").to_pylist() == [{"a": 6, "b": 6}]


def test_labels_as_arrays_of_one():
    ds = hub.empty("querying/ones")
    ds.create_tensor("labels", htype="class_label", class_names=NAMES)
    ds.labels.extend(np.array([[1], [2], [1]], "uint32"))
    assert filter_rows(ds, "labels = 'Rain'").sample_indices == [0, 2]


def test_statistics_of_chunks_prune():
    ds = hub.empty("querying/pruned")
    ds.create_tensor("x", dtype="float64")
    values = np.repeat(np.arange(8.0), 50_000)
    values[3] = np.nan
    ds.x.extend(values)
    bounds = DatasetTable(ds.pinned()).bounds("x")
    assert bounds is not None
    ends = [*bounds.starts[1:], len(values)]
    for start, stop, low, high in zip(*bounds[:1], ends, *bounds[1:], strict=True):
        piece = values[start:stop]
        assert np.nanmin(piece) == low
        assert np.nanmax(piece) == high
    assert filter_rows(ds, "x = 8").sample_indices == []
    assert len(filter_rows(ds, "x >= 7")) == 50_000
    part = ds[120_000:170_001]
    assert len(filter_rows(part, "x = 3")) == 20_001
    assert len(filter_rows(part, "x = 2")) == 30_000
    pruned = DatasetTable(part).bounds("x")
    assert pruned.starts[0] == 0
    assert pruned.largest.max() == 3


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "uint64", "float16", "float32"])
def test_bounds_of_all_dtypes(dtype):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2, 200_000).astype(dtype)
    values[:100_000] = 0
    ds = hub.empty("querying/bounds")
    ds.create_tensor("x", dtype=dtype).extend(values)
    assert filter_rows(ds, "x = 1").sample_indices == np.flatnonzero(values == 1).tolist()
    assert len(filter_rows(ds, "x < 1")) == (values == 0).sum()
    bounds = DatasetTable(ds.pinned()).bounds("x")
    assert bounds is not None
    assert bounds.largest[0] == 0
    assert bounds.largest[-1] == 1


def test_unwritten_rows_count_as_fill_values():
    ds = hub.empty("querying/fill")
    ds.create_tensor("x", dtype="int32").extend(np.arange(5, 10))
    ds.x[2] = 0
    assert filter_rows(ds, "x < 1").sample_indices == [2]
    ds.pop(0)
    assert filter_rows(ds, "x < 1").sample_indices == [1]


def test_vectors_of_different_lengths():
    ds = hub.empty("querying/vectors")
    ds.create_tensor("v", dtype="float64")
    for vector in ([1.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.8]):
        ds.v.append(np.array(vector))
    found = query(ds, "SELECT * WHERE len(v) = 2 ORDER BY array_cosine_similarity(v, [1, 1]) DESC")
    assert found.sample_indices == [2, 0]


def test_links_are_addresses():
    ds = hub.empty("querying/links")
    ds.create_tensor("photos", htype="link[image]")
    for name in ("a", "b"):
        ds.photos.append(hub.link(f"s3://bucket/{name}.jpg"))
    assert filter_rows(ds, "photos LIKE '%/b.jpg'").sample_indices == [1]


def test_one_row_and_unknown_names(made):
    ds, frame = made
    assert query(ds[5], "SELECT caption || '!' AS c").to_pylist() == [{"c": frame.caption[5] + "!"}]
    with pytest.raises(NotFoundError, match="labels"):
        query(ds, "SELECT * WHERE lables = 'Rain'")
    with pytest.raises(InvalidError, match=r"images.shape\[0\]"):
        filter_rows(ds, "images > 3")
    with pytest.raises(InvalidError, match=r"mask.shape\[0\]"):
        filter_rows(ds, "mask = 1")


def test_the_weather():
    folder = real("images/weather4")
    ds = hub.empty("querying/weather")
    ds.create_tensor("images", htype="image", sample_compression="jpeg")
    ds.create_tensor("labels", htype="class_label", class_names=NAMES)
    files = sorted(path for path in folder.rglob("*.jp*g"))[::40]
    names = [next(n for n in NAMES if n.lower() in str(path).lower()) for path in files]
    ds.extend({"images": [hub.read(str(path)) for path in files], "labels": names})
    from PIL import Image

    widths = []
    for path in files:
        with Image.open(path) as image:
            widths.append(image.size[0])
    found = query(ds, "SELECT * WHERE images.shape[1] > 400 AND labels IN ('Rain', 'Shine')")
    expected = [
        i
        for i, (name, width) in enumerate(zip(names, widths, strict=True))
        if width > 400 and name in ("Rain", "Shine")
    ]
    assert found.sample_indices == expected
