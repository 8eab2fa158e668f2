"""What queries say: labels, shapes, subscripts, texts, vectors, groups, errors."""

import json

import numpy as np
import pytest

from hubzarr.errors import InvalidError, NotFoundError
from hubzarr.querying import QueryColumn, run, run_condition
from tests.querying.memory import WEATHER, MemoryTable, weather

pd = pytest.importorskip("pandas")
pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def table():
    return weather(300)


@pytest.fixture(scope="module")
def frame(table):
    """The same in pandas."""
    shapes = table.measures["images"]
    return pd.DataFrame(
        {
            "number": table.values["labels"].to_numpy(),
            "name": [WEATHER[i] for i in table.values["labels"].to_pylist()],
            "score": table.values["score"].to_numpy(),
            "caption": table.values["caption"].to_pylist(),
            "height": shapes[:, 0],
            "width": shapes[:, 1],
            "tags": [[WEATHER[i] for i in row] for row in table.values["tags"].to_pylist()],
            "meta": [json.loads(text) for text in table.values["meta"].to_pylist()],
            "vector": list(np.stack(table.values["embedding"].to_pylist())),
            "size": np.arange(300),
        }
    )


CONDITIONS = {
    "labels = 'Rain'": lambda f: f.name == "Rain",
    "labels == 'Rain'": lambda f: f.name == "Rain",
    "'Rain' = labels": lambda f: f.name == "Rain",
    "labels <> 'Rain'": lambda f: f.name != "Rain",
    "labels != 'Rain'": lambda f: f.name != "Rain",
    "NOT labels = 'Rain'": lambda f: f.name != "Rain",
    "labels = 2": lambda f: f.number == 2,
    "labels >= 2 AND labels < 3.5": lambda f: f.number >= 2,
    "labels % 2 = 1": lambda f: f.number % 2 == 1,
    "labels IN ('Rain', 'Shine')": lambda f: f.name.isin(["Rain", "Shine"]),
    "labels NOT IN ('Rain', 'Shine')": lambda f: ~f.name.isin(["Rain", "Shine"]),
    "labels in ['Rain', 'Shine']": lambda f: f.name.isin(["Rain", "Shine"]),
    "labels IN (1, 2)": lambda f: f.number.isin([1, 2]),
    "labels IN (0, 'Shine')": lambda f: f.number.isin([0, 2]),
    "labels BETWEEN 1 AND 2": lambda f: f.number.between(1, 2),
    "labels BETWEEN 'D' AND 'Shi'": lambda f: f.name.between("D", "Shi"),
    "labels > 'Rain'": lambda f: f.name > "Rain",
    "labels LIKE 'S%'": lambda f: f.name.str.startswith("S"),
    "labels ILIKE 's%e'": lambda f: f.name.isin(["Sunrise", "Shine"]),
    "labels NOT LIKE 'S%'": lambda f: ~f.name.str.startswith("S"),
    "contains(labels, 'un')": lambda f: f.name == "Sunrise",
    "lower(labels) = 'rain'": lambda f: f.name == "Rain",
    "length(labels) = 5": lambda f: f.name == "Shine",
    "labels IS NULL": lambda f: f.number < 0,
    "labels IS NOT DISTINCT FROM 'Rain'": lambda f: f.name == "Rain",
    "labels::INT = 3": lambda f: f.number == 3,
    "CASE WHEN labels = 'Rain' THEN score > 0 ELSE false END": lambda f: (
        (f.name == "Rain") & (f.score > 0)
    ),
    "Labels = 'Rain' AND SCORE > 0": lambda f: (f.name == "Rain") & (f.score > 0),
    "dataset.labels = 'Rain'": lambda f: f.name == "Rain",
    "score > 0 and images.shape[0] > 100": lambda f: (f.score > 0) & (f.height > 100),
    "score > 0 or images.shape[1] <= 100": lambda f: (f.score > 0) | (f.width <= 100),
    "images.shape[0] > images.shape[1]": lambda f: f.height > f.width,
    "images.shape[-2] > 100": lambda f: f.width > 100,
    "images.shape[1 - 1] > 100": lambda f: f.height > 100,
    "images.shape[-1 - 1] > 100": lambda f: f.width > 100,
    "images.shape[0:2] = [100, 100]": lambda f: (f.height == 100) & (f.width == 100),
    "images.shape[7] > 0": lambda f: f.height < 0,
    "images.shape[-7] > 0": lambda f: f.height < 0,
    "len(images) > 100": lambda f: f.height > 100,
    "length(images) > 100": lambda f: f.height > 100,
    "shape(images)[0] > 100": lambda f: f.height > 100,
    "images.ndim = 3 and ndim(images) = 3": lambda f: f.height > 0,
    "len(images.shape) = 3": lambda f: f.height > 0,
    "boxes.size < 7": lambda f: f["size"] < 7,
    '"boxes/size" < 7': lambda f: f["size"] < 7,
    'boxes."size" < 7': lambda f: f["size"] < 7,
    "dataset.boxes.size < 7": lambda f: f["size"] < 7,
    "_row BETWEEN 10 AND 12": lambda f: f["size"].between(10, 12),
    "caption LIKE '%1% of Rain'": lambda f: f.caption.str.contains(r"1.* of Rain$"),
    "caption ILIKE '%RAIN'": lambda f: f.name == "Rain",
    "regexp_matches(caption, '^photo 1[0-9] ')": lambda f: f["size"].between(10, 19),
    "caption SIMILAR TO 'photo 1[0-9] .*'": lambda f: f["size"].between(10, 19),
    "caption[0:5] = 'photo'": lambda f: f["size"] >= 0,
    "caption[6] = '1'": lambda f: f.caption.str[6] == "1",
    "caption[-1] = 'n'": lambda f: f.name == "Rain",
    "caption < 'photo 2'": lambda f: f.caption < "photo 2",
    "(meta->>'$.key')::INT > 200": lambda f: f.meta.str["key"] > 200,
    "(meta->'$.who'->>'$.name') == 'n1'": lambda f: f["size"] % 3 == 1,
    "json_extract_string(meta, '$.who.name') IN ('n0')": lambda f: f["size"] % 3 == 0,
    "list_contains(tags, 'Rain')": lambda f: f.tags.map(lambda t: "Rain" in t),
    "contains(tags, 'Rain')": lambda f: f.tags.map(lambda t: "Rain" in t),
    "'Rain' IN tags": lambda f: f.tags.map(lambda t: "Rain" in t),
    "list_contains(tags, 1)": lambda f: f.tags.map(lambda t: "Rain" in t),
    "list_has_any(tags, ['Rain', 'Shine'])": lambda f: f.tags.map(
        lambda t: bool({"Rain", "Shine"} & set(t))
    ),
    "tags && ['Rain', 'Shine']": lambda f: f.tags.map(lambda t: bool({"Rain", "Shine"} & set(t))),
    "list_has_all(tags, ['Rain', 'Shine'])": lambda f: f.tags.map(
        lambda t: {"Rain", "Shine"} <= set(t)
    ),
    "tags[0] = 'Rain'": lambda f: f.tags.map(lambda t: t[:1] == ["Rain"]),
    "tags[-1] IN ('Rain', 2)": lambda f: f.tags.map(lambda t: t[-1:] in (["Rain"], ["Shine"])),
    "len(tags) = 2": lambda f: f.tags.map(len) == 2,
    "tags.shape[0] = 2": lambda f: f.tags.map(len) == 2,
    "len(list_filter(tags, t -> t LIKE 'S%')) = 2": lambda f: f.tags.map(
        lambda t: set(t) == {"Sunrise", "Shine"}
    ),
    "list_contains(tags, labels)": lambda f: pd.Series(
        [name in tags for name, tags in zip(f.name, f.tags, strict=True)]
    ),
    "embedding[0] > 0": lambda f: f.vector.map(lambda v: v[0] > 0),
    "list_sum(embedding[1:3]) > 0": lambda f: f.vector.map(lambda v: v[1:3].sum() > 0),
    "list_max(embedding[:-2]) > 1": lambda f: f.vector.map(lambda v: v[:-2].max() > 1),
    "array_distance(embedding, [0, 0, 0, 0.0]) < 1.5": lambda f: f.vector.map(
        lambda v: np.linalg.norm(v) < 1.5
    ),
    "list_max(list_transform(embedding, x -> abs(x) - score)) > 2": lambda f: pd.Series(
        [np.abs(v).max() - s > 2 for v, s in zip(f.vector, f.score, strict=True)]
    ),
    "true": lambda f: f["size"] >= 0,
    "NULL": lambda f: f["size"] < 0,
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(condition, table, frame):
    expected = np.flatnonzero(CONDITIONS[condition](frame))
    assert run_condition(condition, table).tolist() == expected.tolist()
    assert run(f"SELECT * WHERE {condition}", table).rows.tolist() == expected.tolist()
    counted = run(f"SELECT count(*) FROM dataset WHERE {condition}", table)
    assert counted.column(0).to_pylist() == [len(expected)]


def test_rows_keep_the_order_of_the_query(table, frame):
    found = run("SELECT * WHERE labels = 'Rain' ORDER BY score DESC LIMIT 5 OFFSET 2", table)
    expected = frame[frame.name == "Rain"].sort_values("score", ascending=False)
    assert found.rows.tolist() == expected.index[2:7].tolist()
    assert found.columns is None
    both = run("SELECT * ORDER BY labels, images.shape[0] DESC", table).rows
    expected = frame.sort_values(["name", "height"], ascending=[True, False], kind="stable")
    assert both.tolist() == expected.index.tolist()
    assert run("SELECT * LIMIT 3", table).rows.tolist() == [0, 1, 2]
    assert run("SELECT * LIMIT 3 OFFSET 299", table).rows.tolist() == [299]
    assert run("SELECT * OFFSET 298", table).rows.tolist() == [298, 299]
    assert run("SELECT * LIMIT 0", table).rows.tolist() == []


def test_columns_of_rows(table):
    assert run("SELECT images, Labels FROM dataset", table).columns == ("images", "labels")
    assert run("FROM dataset", table).columns is None
    assert run("SELECT d.boxes.size FROM dataset AS d", table).columns == ("boxes/size",)
    rest = run('SELECT * EXCLUDE (images, "boxes/size") LIMIT 1', table).columns
    assert rest == ("labels", "score", "caption", "meta", "embedding", "tags")


def test_nearest_vectors(table, frame):
    query = np.array([1, 0, 0, 0.5])
    found = run(
        "SELECT * ORDER BY array_cosine_similarity(embedding, [1, 0, 0, 0.5]) DESC LIMIT 5", table
    )
    similar = frame.vector.map(lambda v: v @ query / np.linalg.norm(v) / np.linalg.norm(query))
    assert found.rows.tolist() == similar.sort_values(ascending=False).index[:5].tolist()
    with pytest.raises(InvalidError, match="2 numbers for rows of 4"):
        run("SELECT * ORDER BY array_distance(embedding, [1, 2])", table)


def test_groups(table, frame):
    answer = run(
        "SELECT labels, count(*) AS n, avg(score) AS mean, max(images.shape[0]) "
        "GROUP BY labels HAVING n > 1 ORDER BY n DESC, labels",
        table,
    )
    assert answer.column_names == ["labels", "n", "mean", "max(images.shape[0])"]
    expected = frame.groupby("name").agg(
        n=("score", "size"), mean=("score", "mean"), height=("height", "max")
    )
    expected = expected.reset_index().sort_values(["n", "name"], ascending=[False, True])
    found = answer.to_pydict()
    assert found["labels"] == expected["name"].tolist()
    assert found["n"] == expected["n"].tolist()
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-6)
    assert found["max(images.shape[0])"] == expected["height"].tolist()


def test_sums_of_integers_are_integers(table):
    assert run("SELECT sum(labels), sum(boxes.size)", table).schema.types == [pa.int64()] * 2


@pytest.mark.parametrize("by", ["ALL", "tag", "unnest(tags)", "1"])
def test_several_labels_in_groups(by, table, frame):
    answer = run(f"SELECT unnest(tags) AS tag, count(*) AS n GROUP BY {by} ORDER BY tag", table)
    expected = frame.tags.explode().dropna().value_counts().sort_index()
    assert answer.to_pydict() == {"tag": expected.index.tolist(), "n": expected.tolist()}
    values = run("SELECT _row, unnest(tags) AS tag WHERE len(tags) = 2 LIMIT 2", table).to_pydict()
    assert values["_row"][0] == values["_row"][1]


def test_one_row_per_group(table, frame):
    best = run(
        "SELECT * QUALIFY row_number() OVER (PARTITION BY labels ORDER BY score DESC) = 1", table
    )
    expected = frame.groupby("name").score.idxmax().sort_values()
    assert best.rows.tolist() == expected.tolist()
    first = run("SELECT DISTINCT ON (labels) * ORDER BY labels, score", table)
    assert first.rows.tolist() == frame.groupby("name").score.idxmin().tolist()


def test_values(table, frame):
    answer = run(
        "SELECT _row, labels, labels::INT AS k, score * 2 AS twice, images.shape, tags, "
        "embedding[0], upper(labels) WHERE _row IN (5, 3) ORDER BY 1",
        table,
    ).to_pydict()
    assert answer["_row"] == [3, 5]
    assert answer["labels"] == frame.name[[3, 5]].tolist()
    assert answer["k"] == frame.number[[3, 5]].tolist()
    assert answer["images.shape"] == [[*frame.loc[i, ["height", "width"]], 3] for i in (3, 5)]
    assert answer["tags"] == frame.tags[[3, 5]].tolist()
    assert answer["embedding[0]"] == [frame.vector[3][0], frame.vector[5][0]]
    assert answer["upper(labels)"] == frame.name[[3, 5]].str.upper().tolist()


def test_star_with_computed_columns(table):
    answer = run("SELECT * EXCLUDE (images), score + 1 AS more LIMIT 2", table)
    assert answer.column_names[0] == "labels"
    assert answer.column_names[-1] == "more"
    with pytest.raises(InvalidError, match="images"):
        run("SELECT *, score + 1 AS more", table)


def test_missing_numbers():
    values = np.array([1.0, np.nan, -np.inf, np.inf, 0.0])
    table = MemoryTable(x=(QueryColumn("number", "float64"), values))
    assert run("SELECT * WHERE x > 0.5", table).rows.tolist() == [0, 3]
    assert run("SELECT * WHERE x <= 1", table).rows.tolist() == [0, 2, 4]
    assert run("SELECT * WHERE x IS NULL", table).rows.tolist() == [1]
    assert run("SELECT * WHERE isnan(x)", table).rows.tolist() == [1]
    assert run("SELECT * WHERE NOT isnan(x) AND isinf(x)", table).rows.tolist() == [2, 3]
    assert run("SELECT * ORDER BY x", table).rows.tolist() == [2, 4, 0, 3, 1]
    assert run("SELECT count(x) AS n, min(x) AS a", table).to_pylist() == [{"n": 4, "a": -np.inf}]


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int64", "uint64", "float16", "float32", ">i4", ">f8"]
)
def test_dtypes(dtype):
    values = np.array([0, 1, 1, 0]).astype(dtype)
    table = MemoryTable(
        x=(QueryColumn("number", dtype), values.astype(values.dtype.newbyteorder("=")))
    )
    assert run("SELECT * WHERE x = 1", table).rows.tolist() == [1, 2]
    assert run("SELECT max(x) AS m", table).column(0).to_pylist()[0] == 1


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us", "ns"])
def test_times(unit):
    days = np.array(["2024-01-01", "2024-06-01", "NaT", "2025-01-01"], f"datetime64[{unit}]")
    table = MemoryTable(t=(QueryColumn("number", str(days.dtype)), days))
    assert run("SELECT * WHERE t >= '2024-06-01'", table).rows.tolist() == [1, 3]
    assert run("SELECT * WHERE t < DATE '2024-06-01'", table).rows.tolist() == [0]
    assert run("SELECT * WHERE year(t) = 2024", table).rows.tolist() == [0, 1]
    assert run("SELECT * WHERE t > DATE '2024-05-02' + INTERVAL 3 MONTH", table).rows.tolist() == [
        3
    ]


def test_labels_without_names_are_their_numbers():
    numbers = np.array([0, 5, 1, 5, -1])
    table = MemoryTable(k=(QueryColumn("label", "int64", ("a", "b")), numbers))
    answer = run("SELECT k, count(*) AS n GROUP BY k ORDER BY k", table).to_pydict()
    assert answer == {"k": ["-1", "5", "a", "b"], "n": [1, 2, 1, 1]}
    assert run("SELECT * WHERE k = 5", table).rows.tolist() == [1, 3]


def test_labels_of_two_tensors():
    truth, guess = np.array([0, 1, 1]), np.array([0, 1, 0])
    other = QueryColumn("label", "int64", ("b", "a"))
    column = QueryColumn("label", "int64", ("a", "b"))
    table = MemoryTable(truth=(column, truth), guess=(column, guess), turned=(other, guess))
    assert run("SELECT * WHERE truth = guess", table).rows.tolist() == [0, 1]
    assert run("SELECT * WHERE truth = turned", table).rows.tolist() == [2]


def test_samples_of_different_dimensions():
    shapes = np.array([[4, 5, -1], [6, 7, 8], [-1, -1, -1]])
    table = MemoryTable(x=(QueryColumn("shape"), None, shapes))
    answer = run("SELECT x.shape, x.ndim, x.shape[-1] AS last, x.shape[2] AS third", table)
    assert answer.to_pydict() == {
        "x.shape": [[4, 5], [6, 7, 8], []],
        "x.ndim": [2, 3, 0],
        "last": [5, 8, None],
        "third": [None, 8, None],
    }


def test_names_that_differ_by_capitals_only():
    column = QueryColumn("number", "int64")
    table = MemoryTable(a=(column, [1, 2]), A=(column, [2, 2]))
    assert run("SELECT * WHERE a < A", table).rows.tolist() == [0]
    table = MemoryTable(**{"order": (column, [3, 1]), "ünï cødé": (column, [1, 2])})
    assert run('SELECT * ORDER BY "order"', table).rows.tolist() == [1, 0]
    assert run('SELECT * WHERE "ünï cødé" = 2', table).rows.tolist() == [1]


def test_only_what_is_mentioned_is_read():
    table = weather(100)
    run("SELECT images, caption WHERE labels = 'Rain'", table)
    assert table.read_rows == {"labels": 100}
    table = weather(100)
    passed = run("SELECT * WHERE caption LIKE '%1%' AND len(images) > 0 AND labels = 'Rain'", table)
    rain = len(run("SELECT * WHERE labels = 'Rain'", weather(100)).rows)
    assert table.read_rows == {"labels": 100, "images.shape": rain, "caption": rain}
    assert 0 < len(passed.rows) < rain
    table = weather(100)
    run("SELECT avg(score), max(score) WHERE labels = 'Rain' GROUP BY labels", table)
    assert table.read_rows == {"labels": 100 + rain, "score": rain}
    table = weather(100)
    run("SELECT * LIMIT 10", table)
    run("SELECT * WHERE true LIMIT 10", table)
    assert table.read_rows == {}


def test_limits_end_the_search(monkeypatch):
    monkeypatch.setattr("hubzarr.querying.running._EAGER", 10)
    table = weather(1000)
    assert run("SELECT * WHERE labels >= 0 LIMIT 15", table).rows.tolist() == list(range(15))
    assert table.read_rows == {"labels": 20}


def test_blocks_give_the_same(monkeypatch, table):
    queries = [
        "SELECT * WHERE labels = 'Rain' AND caption LIKE '%1%' AND score > 0",
        "SELECT * ORDER BY score",
        "SELECT * ORDER BY caption DESC LIMIT 7",
    ]
    expected = [run(query, table).rows.tolist() for query in queries]
    grouped = "SELECT labels, count(*) AS n, min(caption) AS c GROUP BY labels ORDER BY labels"
    groups = run(grouped, table).to_pydict()
    monkeypatch.setattr("hubzarr.querying.scanning._BLOCK", 1)
    monkeypatch.setattr("hubzarr.querying.scanning._FEWEST", 7)
    assert [run(query, table).rows.tolist() for query in queries] == expected
    assert run(grouped, table).to_pydict() == groups


def test_failures_of_reading_keep_their_kind(monkeypatch):
    monkeypatch.setattr("hubzarr.querying.scanning._BLOCK", 1)
    monkeypatch.setattr("hubzarr.querying.scanning._FEWEST", 10)
    table = weather(100)
    read = table.read

    def broken(name, rows):
        if (rows.start if isinstance(rows, slice) else rows[0]) >= 50:
            raise OSError("disk gone")
        return read(name, rows)

    monkeypatch.setattr(table, "read", broken)
    for query in ("SELECT sum(score)", "SELECT * WHERE score > 0", "SELECT * ORDER BY score"):
        with pytest.raises(OSError, match="disk gone"):
            run(query, table)


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("SELECT * WHERE label = 'Rain'", NotFoundError, ["'label'", "labels", "▶label"]),
        ("SELECT * WHERE labels = 'Rainy'", NotFoundError, ["'Rainy'", "'Rain'"]),
        ('SELECT * WHERE labels = "Rain"', NotFoundError, ["single quotes", "'Rain'"]),
        ("SELECT * WHERE images > 3", InvalidError, ["images.shape[0]", "▶images"]),
        ("SELECT * WHERE tags = 'Rain'", InvalidError, ["list_contains(tags"]),
        ("SELECT * WHERE caption == 'é' AND scor > 1", NotFoundError, ["score", "▶scor > 1"]),
        ("SELECT * WHERE score > * 1", InvalidError, ["syntax error", "▶"]),
        (
            "SELECT * WHERE embedding[0, 1] > 1",
            InvalidError,
            ["syntax error", "boxes[0][2]", "▶, 1"],
        ),
        ("SELECT * WHERE meta.a.b = 1", NotFoundError, ["meta->>'$.a.b'", "▶meta.a.b"]),
        ("SELECT * WHERE score > 'abc'", InvalidError, ["'abc'"]),
        ("SELECT * WHERE nofunction(score)", InvalidError, ["nofunction"]),
        ("SELECT avg(caption)", InvalidError, ["avg"]),
        ("SELECT score AS s WHERE s > 1", NotFoundError, ["'s'"]),
        ("SELECT images.foo", NotFoundError, ["images"]),
        ("SELECT * WHERE embedding['a'] > 1", InvalidError, ["whole number"]),
        ("SELECT * FROM other", InvalidError, ["dataset", "▶other"]),
    ],
)
def test_errors_say_what_and_where(query, error, words, table):
    with pytest.raises(error) as caught:
        run(query, table)
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.skipif(
    pytest.importorskip("duckdb").__version__ < "2", reason="older releases say something else"
)
def test_arrows_without_parentheses(table):
    with pytest.raises(InvalidError, match="parentheses"):
        run("SELECT * WHERE meta->'who'->>'name' = 'n1'", table)


def test_places_in_conditions(table):
    with pytest.raises(InvalidError) as caught:
        run_condition("labels == 'Rain' && score > 1", table)
    assert "AND" in str(caught.value)
    with pytest.raises(InvalidError) as caught:
        run_condition("labels === 'Rain'", table)
    assert "SELECT" not in str(caught.value)
    with pytest.raises(NotFoundError) as missing:
        run_condition("scor > 1", table)
    assert "character 1 of the query: ▶scor" in str(missing.value)
    assert "SELECT" not in str(missing.value)


def test_empty_tables():
    table = weather(0)
    assert run("SELECT * WHERE labels = 'Rain' ORDER BY score", table).rows.tolist() == []
    assert run("SELECT count(*) AS n, sum(score) AS s", table).to_pylist() == [{"n": 0, "s": None}]
    assert run("SELECT labels, count(*) GROUP BY labels", table).num_rows == 0
