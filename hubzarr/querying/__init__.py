"""Queries over rows: one SELECT of SQL, run by DuckDB, that touches nothing but the rows."""

from hubzarr.querying.running import RowsResult, run, run_condition
from hubzarr.querying.table import Bounds, QueryColumn, Rows, RowTable

__all__ = [
    "Bounds",
    "QueryColumn",
    "RowTable",
    "Rows",
    "RowsResult",
    "run",
    "run_condition",
]
