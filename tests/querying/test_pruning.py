"""Pruning leaves out only what can't be found: against NumPy, with bounds of all kinds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.querying import Bounds, QueryColumn, run, run_condition
from tests.querying.memory import WEATHER, MemoryTable, weather

pytest.importorskip("duckdb")

COMPARE = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
INTS = [-(2**63), -(2**31), -129, -1, 0, 1, 2, 3, 100, 127, 128, 255, 2**31, 2**53, 2**63 - 1]
FLOATS = [0.0, -0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, -1.0, 1e-30, 1e30, 16777216.0, 16777217.0]


def number_of(dtype):
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        fitting = [i for i in INTS if limits.min <= i <= limits.max]
        return st.sampled_from(fitting) | st.integers(limits.min, limits.max)
    special = st.sampled_from([*FLOATS, np.nan, np.inf, -np.inf])
    return special | st.floats(width=dtype.itemsize * 8)


@st.composite
def tables(draw):
    """A table of two columns, its chunk length, and the values."""
    n = draw(st.integers(0, 40))
    values = {}
    for name in ("x", "y"):
        dtype = draw(st.sampled_from(["int8", "uint8", "int32", "int64", "float32", "float64"]))
        found = draw(st.lists(number_of(dtype), min_size=n, max_size=n))
        with np.errstate(over="ignore"):
            values[name] = np.array(found, dtype)
        if draw(st.booleans()):
            values[name] = np.sort(values[name])
    return values, draw(st.integers(1, 12))


@st.composite
def comparisons(draw):
    """A comparison as SQL and as a function of columns; whole and dyadic constants only.

    These are the same number to SQL, which compares decimals, and to NumPy.
    """
    name = draw(st.sampled_from(["x", "y"]))
    constant = draw(st.sampled_from([-3, -1, 0, 1, 2, 3, 100, 127, 0.5, 1.5, -0.25, 1024.0]))
    form = draw(st.sampled_from(["compare", "mirrored", "in", "between", "chain"]))
    kind = draw(st.sampled_from(list(COMPARE)))

    def valid(values):
        return ~np.isnan(values[name].astype("float64"))

    if form == "compare":
        return f"{name} {kind} {constant}", lambda v: COMPARE[kind](v[name], constant) & valid(v)
    if form == "mirrored":
        return f"{constant} {kind} {name}", lambda v: COMPARE[kind](constant, v[name]) & valid(v)
    other = draw(st.sampled_from([-2, 0, 2, 7, 99.5]))
    if form == "in":
        return (
            f"{name} IN ({constant}, {other})",
            lambda v: (v[name] == constant) | (v[name] == other),
        )
    if form == "between":
        return (
            f"{name} BETWEEN {constant} AND {other}",
            lambda v: (v[name] >= constant) & (v[name] <= other),
        )
    return f"{name} * 2 > {constant}", lambda v: v[name].astype("float64") * 2 > constant


@st.composite
def conditions(draw, depth=2):
    if depth == 0 or draw(st.booleans()):
        return draw(comparisons())
    word = draw(st.sampled_from(["AND", "OR"]))
    left, right = draw(conditions(depth - 1)), draw(conditions(depth - 1))
    join = np.logical_and if word == "AND" else np.logical_or
    return f"({left[0]} {word} {right[0]})", lambda v: join(left[1](v), right[1](v))


@settings(max_examples=150, deadline=None)
@given(table=tables(), condition=conditions())
def test_the_same_rows_as_numpy(table, condition):
    values, chunk = table
    text, expected = condition
    if any(v.dtype == "int8" for v in values.values()) and "* 2" in text:
        text = text.replace("x * 2", "x::DOUBLE * 2").replace("y * 2", "y::DOUBLE * 2")
    text = text.replace(" * 2 >", "::DOUBLE * 2 >") if "::DOUBLE" not in text else text
    columns = {name: (QueryColumn("number", v.dtype.name), v) for name, v in values.items()}
    found = [run_condition(text, MemoryTable(step, **columns)).tolist() for step in (None, chunk)]
    with np.errstate(invalid="ignore", over="ignore"):
        assert found[0] == np.flatnonzero(expected(values)).tolist()
    assert found[1] == found[0]


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(["float16", "float32", "float64", "int64", "uint64"]),
    kind=st.sampled_from(list(COMPARE)),
)
def test_pruned_or_not_the_same(data, dtype, kind):
    """Constants at the edges of what types can tell apart."""
    value = data.draw(number_of(dtype).filter(np.isfinite))
    with np.errstate(over="ignore"):
        values = np.array([value, *data.draw(st.lists(number_of(dtype), max_size=5))], dtype)
    literal = data.draw(
        st.sampled_from([repr(value), f"{value:.6e}", f"{float(value):.3f}", f"{value}::DOUBLE"])
    )
    if "inf" in literal or "nan" in literal:
        return
    column = QueryColumn("number", dtype)
    answers = []
    for chunk in (None, 1, 3):
        try:
            found = run_condition(f"x {kind} {literal}", MemoryTable(chunk, x=(column, values)))
            answers.append(found.tolist())
        except ValueError:  # the constant is out of the engine's range
            return
    assert answers[0] == answers[1] == answers[2]


def test_only_chunks_that_may_hold_something_are_read():
    values = np.arange(1000)
    table = MemoryTable(100, x=(QueryColumn("number", "int64"), values))
    assert run_condition("x BETWEEN 250 AND 320", table).tolist() == list(range(250, 321))
    assert table.read_rows == {"x": 200}
    for condition, rows in {
        "x < 0": 0,
        "x = 999": 100,
        "999 <= x": 100,
        "x IN (5, 995)": 200,
        "x < 100 OR x >= 900.5": 200,
        "x > 150 AND x < 250": 200,
        "NOT x < 900 + 0": 1000,
        "x <> 5": 1000,
        "x + 0 = 5": 1000,
        "x = 5 OR x + 0 = 7": 1000,
        "x = 5 AND x + 0 = 5": 100,
        "x > 1e3": 0,
        "x > 18446744073709551616": 0,
    }.items():
        table.read_rows.clear()
        expected = np.flatnonzero([in_python(condition, x) for x in values.tolist()])
        assert run_condition(condition, table).tolist() == expected.tolist(), condition
        assert table.read_rows.get("x", 0) == rows, condition


def in_python(condition, x):
    """The few conditions of the test above in Python."""
    return {
        "x < 0": x < 0,
        "x = 999": x == 999,
        "999 <= x": x >= 999,
        "x IN (5, 995)": x in (5, 995),
        "x < 100 OR x >= 900.5": x < 100 or x >= 900.5,
        "x > 150 AND x < 250": 150 < x < 250,
        "NOT x < 900 + 0": x >= 900,
        "x <> 5": x != 5,
        "x + 0 = 5": x == 5,
        "x = 5 OR x + 0 = 7": x in (5, 7),
        "x = 5 AND x + 0 = 5": x == 5,
        "x > 1e3": False,
        "x > 18446744073709551616": False,
    }[condition]


def test_labels_are_pruned_by_their_numbers():
    numbers = np.repeat([0, 1, 2, 3], 50)
    table = MemoryTable(50, labels=(QueryColumn("label", "int64", WEATHER), numbers))
    assert run_condition("labels = 'Shine'", table).tolist() == list(range(100, 150))
    assert table.read_rows == {"labels": 50}
    assert len(run_condition("labels IN ('Rain', 'Sunrise')", table)) == 100
    assert table.read_rows == {"labels": 150}


@pytest.mark.parametrize("unit", ["D", "s", "us", "ns"])
def test_times_are_pruned(unit):
    days = np.arange("2024-01-01", "2024-04-10", dtype="datetime64[D]").astype(
        f"datetime64[{unit}]"
    )
    table = MemoryTable(10, t=(QueryColumn("number", str(days.dtype)), days))
    for condition, expected in {
        "t >= '2024-04-05'": range(95, 100),
        "t < DATE '2024-01-03'": range(2),
        "t = TIMESTAMP '2024-01-15 00:00:00'": range(14, 15),
    }.items():
        table.read_rows.clear()
        assert run_condition(condition, table).tolist() == list(expected)
        assert table.read_rows["t"] <= 20
    assert run_condition("t > '2024-01-01 12:00'", table).tolist() == list(range(1, 100))


def test_unknown_bounds_rule_nothing_out():
    class Partly(MemoryTable):
        def bounds(self, name):
            nan = np.array([np.nan, 5.0, np.nan])
            return Bounds(np.array([0, 2, 4]), nan, nan)

    values = np.array([5.0, 1.0, 5.0, 5.0, 5.0, np.nan])
    table = Partly(x=(QueryColumn("number", "float64"), values))
    assert run_condition("x > 5", table).tolist() == []
    assert table.read_rows == {"x": 4}
    assert run_condition("x = 5", table).tolist() == [0, 2, 3, 4]


def test_runs_of_columns_with_different_chunks():
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.integers(0, 50, 500)), rng.integers(0, 50, 500)

    class Mixed(MemoryTable):
        def bounds(self, name):
            self.chunk = {"a": 7, "b": 3}[name]
            return super().bounds(name)

    table = Mixed(a=(QueryColumn("number", "int64"), a), b=(QueryColumn("number", "int64"), b))
    found = run("SELECT * WHERE a = 20 AND b < 5 OR a > 48 AND b BETWEEN 3 AND 4", table).rows
    expected = np.flatnonzero((a == 20) & (b < 5) | (a > 48) & (b >= 3) & (b <= 4))
    assert found.tolist() == expected.tolist()
    assert table.read_rows["a"] < 60


def test_pruning_of_the_weather():
    plain, pruned = weather(400), weather(400, chunk=16)
    for query in ("SELECT * WHERE score > 2", "SELECT * WHERE labels = 'Rain' AND score < -2"):
        assert run(query, plain).rows.tolist() == run(query, pruned).rows.tolist()
    assert pruned.read_rows["score"] < plain.read_rows["score"]
