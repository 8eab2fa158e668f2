"""Queries over rows: one SELECT of SQL, run by DuckDB, that touches nothing but the rows."""

from hubzarr.querying.adapter import DatasetTable
from hubzarr.querying.running import RowsResult, run, run_condition
from hubzarr.querying.selecting import filter_rows, query
from hubzarr.querying.table import Bounds, QueryColumn, Rows, RowTable

__all__ = [
    "Bounds",
    "DatasetTable",
    "QueryColumn",
    "RowTable",
    "Rows",
    "RowsResult",
    "filter_rows",
    "query",
    "run",
    "run_condition",
]
