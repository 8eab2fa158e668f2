"""One locked DuckDB engine for the process, which sees only what is handed to it.

The engine lives in memory. It may not open files or networks, load extensions, look at
variables of Python programs or spill to disk, and its settings can't be changed any more.
Memory and threads are limited. That is the second wall: the first one is that only
allowed nodes of a query ever become SQL (`hubzarr.querying.tree`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from hubzarr.config import get_config
from hubzarr.errors import InvalidError
from hubzarr.media.extras import need

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RELATION", "Deadline", "ask", "parse_json"]

#: The name under which SQL finds the data.
RELATION: Final = "dataset"

_LOCKED = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
    "temp_directory": "",
    "lock_configuration": "true",
}
_LEAST_MEMORY = 1 << 30


class _Mine(threading.local):
    """The connection of this thread."""

    connection: Any = None


_mine = _Mine()


class _Shared:
    """The engine of this process.

    An engine doesn't survive a fork: a child starts its own, and keeps its parent's in
    `inherited` for good, because closing it would wait for threads that aren't there.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine: Any = None
        self.inherited: list[Any] = []

    def after_fork(self) -> None:
        self.lock = threading.Lock()
        self.inherited += [self.engine, _mine.connection]
        self.engine = _mine.connection = None

    def cursor(self) -> Any:
        with self.lock:
            if self.engine is None:
                self.engine = _locked_engine()
            return self.engine.cursor()


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork)


class Deadline:
    """The time when a query is given up, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.time = time.monotonic() + seconds

    def passed(self) -> InvalidError:
        """The error to raise then."""
        return InvalidError(
            f"the query took longer than {self.seconds} s; ask for fewer rows or give it more time",
            timeout=self.seconds,
        )


def parse_json(sql: str) -> str:
    """What DuckDB's parser makes of a text, as JSON.

    Examples
    --------
    >>> '"COMPARE_EQUAL"' in parse_json("SELECT * WHERE labels = 'Rain'")
    True
    """
    rows = _connection().execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    return str(rows[0][0])


def ask(
    sql: str, data: pa.Table | pa.RecordBatchReader, deadline: Deadline | None = None
) -> pa.Table:
    """Run a SELECT over `data`, which the SQL calls ``dataset``.

    Parameters
    ----------
    sql : str
        Made by `hubzarr.querying.printing`; never a user's text.
    data : pyarrow.Table or pyarrow.RecordBatchReader
        The rows. A reader is used up.
    deadline : Deadline, optional
        When the query is given up.

    Raises
    ------
    InvalidError
        DuckDB found types that don't fit, ran out of the memory that queries may use,
        or of time.

    Examples
    --------
    >>> import pyarrow
    >>> ask("SELECT sum(x) AS s FROM dataset", pyarrow.table({"x": [1, 2]})).to_pylist()
    [{'s': Decimal('3')}]
    """
    duckdb = need("duckdb", extra="query", what="running queries")
    connection = _connection()
    try:
        with _watched(connection, deadline):
            connection.register(RELATION, data)
            return _interruptible(connection, lambda: connection.sql(sql).to_arrow_table())
    except duckdb.InterruptException:
        if deadline is None:
            raise
        raise deadline.passed() from None
    except duckdb.Error as error:
        raise InvalidError(_explained(error), engine=str(error)) from None
    finally:
        _forget(connection)


def _forget(connection: Any) -> None:
    """Let go of the data; after a failure the connection itself may be unusable."""
    try:
        connection.unregister(RELATION)
    except Exception:
        _mine.connection = None


def _interruptible(connection: Any, work: Callable[[], Any]) -> Any:
    """Do work such that Ctrl-C ends it at once.

    Python sees an interrupt in the main thread only, and there only when the engine comes
    back from what it does: so another thread does that.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="query", daemon=True)
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        connection.interrupt()
        thread.join()  # it still uses the data
        raise


@contextmanager
def _watched(connection: Any, deadline: Deadline | None) -> Iterator[None]:
    """Interrupt the connection at the deadline."""
    if deadline is None:
        yield
        return
    left = deadline.time - time.monotonic()
    if left <= 0:
        raise deadline.passed()
    timer = threading.Timer(left, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _explained(error: Exception) -> str:
    """The first line of what DuckDB says: what follows quotes SQL that nobody wrote."""
    text = str(error).strip().split("\n", 1)[0]
    kind, _, rest = text.partition(" Error: ")
    if kind == "Out of Memory":
        return f"the query needs more memory than queries may use: {rest}"
    if "json_extract" in text and "BOOLEAN" in text:
        rest += " Arrows bind weakly: put (meta->>'key') in parentheses."
    return f"the query can't be run: {rest or text}"


def _connection() -> Any:
    """This thread's connection to the engine; a new one costs a tenth of a millisecond."""
    if _mine.connection is None:
        _mine.connection = _shared.cursor()
    return _mine.connection


def _locked_engine() -> Any:
    duckdb = need("duckdb", extra="query", what="running queries")
    need("pyarrow", extra="query", what="running queries")
    settings = {
        **_LOCKED,
        "threads": str(get_config().threads),
        "memory_limit": f"{_memory_limit()}B",
    }
    return duckdb.connect(":memory:", config=settings)


def _memory_limit() -> int:
    """A quarter of the machine's memory."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return _LEAST_MEMORY
    return max(total // 4, _LEAST_MEMORY)
