"""Queries touch nothing but the table: whatever else they try is refused."""

import os
import socket
from contextlib import suppress

import numpy as np
import pytest

import hubzarr.querying.running as running
from hubzarr.errors import HubzarrError, InvalidError, UnsupportedError
from hubzarr.querying import run, run_condition
from hubzarr.querying.arrow import arrow_numbers
from hubzarr.querying.connection import ask
from hubzarr.querying.functions import FUNCTIONS, TYPES, WINDOWS
from tests.querying.memory import weather

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")

secret_frame = None  # what a replacement scan would find

STATEMENTS = [
    "COPY (SELECT 1) TO '{new}'",
    "COPY dataset TO '{new}'",
    "COPY dataset FROM '{file}'",
    "ATTACH '{new}' AS other",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FORCE INSTALL spatial FROM community",
    "PRAGMA database_list",
    "PRAGMA version",
    "PRAGMA table_info('dataset')",
    "SET threads = 1",
    "SET enable_external_access = true",
    "SET GLOBAL lock_configuration = false",
    "RESET memory_limit",
    "SET VARIABLE x = 1",
    "CALL pragma_version()",
    "EXPORT DATABASE '{new}'",
    "IMPORT DATABASE '{new}'",
    "CREATE TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW dataset AS SELECT 1",
    "CREATE MACRO avg(x) AS 1",
    "CREATE FUNCTION f() AS TABLE SELECT 1",
    "CREATE SECRET s (TYPE s3)",
    "CREATE SEQUENCE s",
    "DROP VIEW dataset",
    "ALTER TABLE dataset RENAME TO other",
    "INSERT INTO dataset VALUES (1)",
    "UPDATE dataset SET labels = 1",
    "DELETE FROM dataset",
    "TRUNCATE dataset",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "EXPLAIN SELECT * FROM dataset",
    "EXPLAIN ANALYZE SELECT * FROM dataset",
    "DESCRIBE dataset",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SUMMARIZE dataset",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "BEGIN TRANSACTION",
    "COMMIT",
    "VALUES (1)",
    "PIVOT dataset ON labels",
    "UNPIVOT dataset ON labels INTO NAME n VALUE v",
    "SELECT 1; SELECT 2",
    "SELECT * FROM dataset; DROP VIEW dataset",
    "SELECT * FROM dataset; COPY dataset TO '{new}'",
    "",
    ";",
    "-- nothing",
]

TABLES = [
    "read_csv('{file}')",
    "read_csv_auto('{file}')",
    "read_text('{file}')",
    "read_blob('{file}')",
    "read_json('{file}')",
    "read_parquet('{file}')",
    "parquet_metadata('{file}')",
    "sniff_csv('{file}')",
    "glob('/*')",
    "'{file}'",
    '"{file}"',
    "'https://127.0.0.1:{port}/x.csv'",
    "read_csv('http://127.0.0.1:{port}/x.csv')",
    "query('SELECT 1')",
    "query_table('dataset')",
    "duckdb_settings()",
    "duckdb_functions()",
    "duckdb_secrets()",
    "duckdb_extensions()",
    "duckdb_tables()",
    "pragma_database_list()",
    "information_schema.tables",
    "pg_catalog.pg_class",
    "sqlite_master",
    "main.dataset",
    "memory.main.dataset",
    "system.main.dataset",
    "secret_frame",
    "local_frame",
    "range(10)",
    "generate_series(1, 10)",
    "unnest([1, 2])",
    "repeat_row(1, num_rows=10)",
    "arrow_scan(1, 2, 3)",
    "arrow_scan_dumb(140000000000000, 140000000000000, 140000000000000)",
    "pandas_scan(140000000000000)",
    "python_map_function(1)",
    "seq_scan(dataset)",
    "checkpoint()",
    "json_execute_serialized_sql('x')",
    "from_substrait('x')",
    "postgres_scan('host=127.0.0.1', 'a', 'b')",
    "sqlite_scan('{file}', 'a')",
    "(SELECT 1)",
    "(FROM read_text('{file}'))",
    "dataset, dataset",
    "dataset JOIN dataset USING (labels)",
    "dataset, LATERAL (SELECT 1)",
    "dataset POSITIONAL JOIN read_text('{file}')",
    "dataset ASOF JOIN dataset USING (score)",
    "dataset SEMI JOIN dataset USING (labels)",
    "dataset AT (VERSION => 1)",
    "dataset TABLESAMPLE 10%",
    "dataset AS d(a, b)",
    "(VALUES (1))",
    "(PIVOT dataset ON labels)",
    "(DESCRIBE dataset)",
    "(SHOW TABLES)",
]

EXPRESSIONS = [
    "getenv('HOME')",
    "current_setting('memory_limit')",
    "getvariable('x')",
    "current_database()",
    "current_schema()",
    "current_user",
    "current_query()",
    "version()",
    "nextval('s')",
    "txid_current()",
    "write_log('x')",
    "sleep_ms(10000)",
    "pg_sleep(10)",
    "json_execute_serialized_sql('x')",
    "json_serialize_sql('SELECT 1')",
    "json_deserialize_sql('{{}}')",
    "json_serialize_plan('SELECT 1')",
    "parse_duckdb_log_message('a', 'b')",
    "in_search_path('a', 'b')",
    "setseed(0.5)",
    "create_sort_key(labels, 'ASC')",
    "enum_range(NULL)",
    "st_geomfromwkb('a')",
    "read_text('{file}')",
    "main.read_text('{file}')",
    "system.main.getenv('HOME')",
    "labels.upper()",
    "error('x')",
    "COLUMNS('.*')",
    "COLUMNS(*)",
    "#1",
    "?",
    "$1",
    "$name",
    "(SELECT 1)",
    "(SELECT content FROM read_text('{file}'))",
    "(SELECT count(*) FROM duckdb_settings())",
    "labels IN (SELECT 1)",
    "labels IN (FROM read_csv('{file}'))",
    "labels = ANY (SELECT 1)",
    "labels > ALL (SELECT 1)",
    "EXISTS (SELECT 1)",
    "EXISTS (FROM glob('*'))",
    "EXISTS(SELECT 1 FROM read_blob('{file}'))",
    "ARRAY(SELECT 1)",
    "list_aggregate([1], 'getenv')",
    "list_transform([1], x -> getenv('HOME'))",
    "list_transform([1], x -> (SELECT content FROM read_text('{file}')))",
    "coalesce(NULL, getenv('HOME'))",
    "CASE WHEN true THEN getenv('HOME') END",
    "count(*) FILTER (WHERE getenv('HOME') IS NOT NULL)",
    "sum(score) OVER (PARTITION BY getenv('HOME'))",
    "sum(score) OVER (ORDER BY getenv('HOME'))",
    "string_agg('a' ORDER BY getenv('HOME'))",
    "'a'::mytype",
    "'a'::main.secret",
    "labels::ENUM('a', 'b')",
    "{{'a': getenv('HOME')}}",
    "score COLLATE nocase",
    "score BETWEEN 1 AND (SELECT 2)",
    "score[getenv('HOME')]",
    "dataset",
    "rowid",
    "unknown_column",
    "secret_frame.x",
]

CLAUSES = [
    "WITH a AS (SELECT 1) SELECT * FROM dataset",
    "WITH dataset AS (SELECT * FROM read_text('{file}')) SELECT * FROM dataset",
    "WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT 1 FROM t) SELECT * FROM dataset",
    "WITH x AS MATERIALIZED (FROM glob('*')) SELECT * FROM dataset",
    "WITH x AS (DELETE FROM dataset RETURNING *) SELECT * FROM dataset",
    "SELECT * FROM dataset UNION SELECT * FROM dataset",
    "SELECT * FROM dataset UNION ALL BY NAME FROM read_text('{file}')",
    "SELECT * FROM dataset EXCEPT SELECT * FROM dataset",
    "SELECT * FROM dataset USING SAMPLE 10",
    "SELECT * FROM dataset LIMIT (SELECT 1)",
    "SELECT * FROM dataset LIMIT 10%",
    "SELECT * FROM dataset LIMIT -1",
    "SELECT * FROM dataset OFFSET getenv('HOME')",
    "SELECT * FROM dataset ORDER BY (SELECT 1)",
    "SELECT * FROM dataset ORDER BY getenv('HOME')",
    "SELECT count(*) FROM dataset GROUP BY getenv('HOME')",
    "SELECT count(*) FROM dataset GROUP BY labels HAVING getenv('HOME') = 'x'",
    "SELECT * FROM dataset QUALIFY getenv('HOME') = 'x'",
    "SELECT DISTINCT ON (getenv('HOME')) * FROM dataset",
    "SELECT * REPLACE (getenv('HOME') AS labels) FROM dataset",
    "SELECT * FROM dataset WINDOW w AS (ORDER BY getenv('HOME')) QUALIFY row_number() OVER w = 1",
    "SELECT * INTO other FROM dataset",
    "SELECT * FROM dataset FOR UPDATE",
    "FROM read_text('{file}') SELECT content",
    "FROM dataset SELECT getenv('HOME')",
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    file = folder / "secret.csv"
    file.write_text("secret\n42\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        yield {"file": file, "new": folder / "new", "port": server.getsockname()[1]}
        with pytest.raises(TimeoutError):
            server.accept()  # nobody called
    assert os.listdir(folder) == ["secret.csv"]
    assert file.read_text() == "secret\n42\n"


@pytest.fixture
def nothing_runs(monkeypatch):
    """Refusals come before anything reaches the engine."""

    def refuse(sql, data, deadline=None):
        raise AssertionError(f"ran {sql}")

    monkeypatch.setattr(running, "ask", refuse)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("statement", [*STATEMENTS, *CLAUSES])
def test_statements_are_refused(statement, places):
    with pytest.raises(InvalidError):
        run(statement.format(**places), weather(5))


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("table", TABLES)
def test_tables_are_refused(table, places):
    local_frame = pa.table({"x": [1]})
    for query in (f"SELECT * FROM {table}", f"SELECT count(*) FROM {table} AS dataset"):
        with pytest.raises(InvalidError):
            run(query.format(**places), weather(5))
    assert local_frame.num_rows == 1


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_are_refused(expression, places):
    text = expression.format(**places)
    table = weather(5)
    for query in (f"SELECT {text} AS x", f"SELECT * WHERE {text}", f"SELECT * ORDER BY {text}"):
        with pytest.raises(HubzarrError):
            run(query, table)
    with pytest.raises(HubzarrError):
        run_condition(text, table)
    assert table.read_rows == {}


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    "condition",
    [
        "true) ORDER BY (score",
        "true); DROP VIEW dataset; --",
        "true) UNION SELECT * FROM dataset WHERE (true",
        "1 = 1) LIMIT 1 --",
        "/* */",
        "",
        "true ORDER BY score",
        "true) FROM read_text('x') WHERE (true",
        None,
        3,
    ],
)
def test_conditions_have_no_clauses(condition):
    with pytest.raises(InvalidError):
        run_condition(condition, weather(5))


def test_the_engine_itself_is_locked(places):
    """The second wall: SQL that never comes from users, run on the engine directly."""
    local_frame = pa.table({"x": [1]})
    data = pa.table({"x": arrow_numbers(np.arange(3))})
    for sql in (
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM 'http://127.0.0.1:{port}/x.csv'",
        "SELECT * FROM local_frame",
        "SELECT * FROM secret_frame",
        "COPY dataset TO '{new}'",
        "ATTACH '{new}' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '1TB'",
        "SET temp_directory = '{new}'",
        "EXPORT DATABASE '{new}'",
    ):
        with pytest.raises(InvalidError):
            ask(sql.format(**places), data)
    assert ask("SELECT sum(x) AS s FROM dataset", data).column(0).to_pylist() == [3]
    assert local_frame.num_rows == 1


def test_memory_is_limited():
    table = weather(2000)
    with pytest.raises(InvalidError, match=r"memory|size"):
        run("SELECT string_agg(repeat(caption, 1000000), '') AS s", table)
    assert len(run("SELECT * LIMIT 3", table).rows) == 3


def test_deep_and_long_queries():
    """They end, in an answer or in an error that says why."""
    table = weather(5)
    for condition in ("(" * 5000 + "1" + ")" * 5000, "NOT " * 5000 + "true", "1" * 2_000_000):
        with suppress(InvalidError):
            run(f"SELECT * WHERE {condition}", table)
    with pytest.raises(InvalidError, match="characters"):
        run(f"SELECT * WHERE {'1' * 2_000_000}", table)
    many = " OR ".join(f"score > {i}" for i in range(300))
    assert len(run(f"SELECT * WHERE {many}", table).rows) <= 5


def test_allowed_functions_exist():
    found = duckdb.connect(":memory:").execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
        "WHERE function_type NOT IN ('table', 'table_macro', 'pragma')"
    )
    known = {name for (name,) in found.fetchall()}
    # Parts of SQL's syntax, ours, and those that releases don't list or lack.
    odd = {"->", "ifnull", "ndim", "shape", "unnest", "if", "overlay", "struct_keys"}
    odd |= {"struct_values", "days_in_month", "char_length", "character_length"} | WINDOWS
    assert {name.lower() for name in FUNCTIONS} - known <= odd
    assert TYPES["INT"] == "INTEGER"
    forbidden = {"getenv", "current_setting", "getvariable", "sleep_ms", "pg_sleep", "write_log"}
    assert not forbidden & FUNCTIONS


def test_unknown_dialects_of_the_parser(monkeypatch):
    monkeypatch.setattr(
        "hubzarr.querying.parsing.parse_json",
        lambda sql: '{"error": false, "statements": [{"node": {"type": "SELECT_NODE"}}]}',
    )
    with pytest.raises(UnsupportedError, match="release of DuckDB"):
        run("SELECT *", weather(5))


def test_names_and_texts_are_quoted():
    table = weather(5)
    assert len(run("SELECT * WHERE caption = 'x'' OR true --'", table).rows) == 0
    answer = run('SELECT score AS "a"" FROM x; --" LIMIT 1', table)
    assert answer.column_names == ['a" FROM x; --']
    assert run("SELECT 'a' || chr(0) || 'b' AS t LIMIT 1", table).num_rows == 1
