"""The engine under threads, forks, interrupts and deadlines."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hubzarr.errors import InvalidError, UnsupportedError
from hubzarr.querying import QueryColumn, run
from hubzarr.querying.arrow import arrow_texts
from tests.querying.memory import MemoryTable, weather

duckdb = pytest.importorskip("duckdb")

SLOW = "SELECT sum(len(list_sort(list_transform(range(30000), lambda i: hash(i + _row)))))"


def test_threads_have_their_own_data():
    tables = [weather(100, seed=seed) for seed in range(8)]
    queries = ["SELECT * WHERE labels = 'Rain' ORDER BY score", "SELECT sum(score) AS s"]
    expected = [[answer(table, query) for query in queries] for table in tables]

    def work(i):
        return [answer(tables[i % 8], query) for query in queries]

    with ThreadPoolExecutor(8) as pool:
        for i, found in enumerate(pool.map(work, range(64))):
            assert found == expected[i % 8]


def answer(table, query):
    found = run(query, table)
    return found.rows.tolist() if isinstance(found, tuple) else found.to_pylist()


def child(queue):
    queue.put(run("SELECT * WHERE labels = 'Rain'", weather(50)).rows.tolist())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_start_their_own_engine():
    expected = run("SELECT * WHERE labels = 'Rain'", weather(50)).rows.tolist()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert queue.get() == expected


def test_deadlines():
    table = weather(3000)
    with pytest.raises(InvalidError, match=r"longer than 0\.3 s"):
        run(SLOW, table, timeout=0.3)
    assert len(run("SELECT * LIMIT 3", table, timeout=60).rows) == 3
    with pytest.raises(InvalidError, match="longer than 0 s"):
        run("SELECT count(*)", table, timeout=0)


@pytest.fixture
def interrupts():
    """Ctrl-C raises KeyboardInterrupt, also under runners that ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_ends_a_query():
    table = weather(3000)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(SLOW, table)
    timer.join()
    assert len(run("SELECT * WHERE labels >= 0", table).rows) == 3000


def test_without_the_engine(monkeypatch):
    code = """
import sys
sys.modules["duckdb"] = None
from hubzarr.errors import UnsupportedError
from hubzarr.querying import run
try:
    run("SELECT *", None)
except UnsupportedError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'hubzarr[query]'" in done.stdout
    assert issubclass(UnsupportedError, RuntimeError)


@pytest.mark.skipif(duckdb.__version__ < "2", reason="older releases of DuckDB import pandas")
def test_pandas_stays_out():
    """Its import would take longer than a query."""
    code = """
import sys
import numpy as np
from hubzarr.querying import QueryColumn, run
from hubzarr.querying.arrow import arrow_numbers

class Table:
    length = 1000
    columns = {
        "k": QueryColumn("label", "int64", ("a", "b")),
        "x": QueryColumn("number", "float64"),
    }

    def read(self, name, rows):
        values = {"k": np.arange(1000) % 2, "x": np.where(np.arange(1000) % 3, np.nan, 1.5)}
        return arrow_numbers(values[name][rows])

    def bounds(self, name):
        return None

assert len(run("SELECT * WHERE k = 'b' AND x > 1 ORDER BY x", Table()).rows) == 167
assert run("SELECT k, count(*) GROUP BY k", Table()).num_rows == 2
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_texts_that_are_no_utf8():
    with pytest.raises(OSError, match="UTF-8"):
        arrow_texts([b"abc", b"\xff\xfe"])


def test_many_queries_leave_nothing_behind():
    table = MemoryTable(x=(QueryColumn("number", "int64"), np.arange(10)))
    for i in range(50):
        assert len(run(f"SELECT * WHERE x < {i % 10}", table).rows) == i % 10
        with pytest.raises(InvalidError):
            run("SELECT * WHERE x > 'a'", table)
