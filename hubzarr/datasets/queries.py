"""Views of datasets by queries, conditions and functions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubzarr.datasets.catalog import join
from hubzarr.datasets.queryable import DatasetTable
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.progress import progress
from hubzarr.querying.running import RowsResult, run, run_condition

if TYPE_CHECKING:
    import pyarrow as pa

    from hubzarr.datasets.view import DatasetView

__all__ = ["filter_rows", "query"]

_BATCH = 64  # rows that a thread takes at a time


def query(
    dataset: DatasetView, sql: str, *, timeout: float | None = None
) -> DatasetView | pa.Table:
    """Run a query in SQL over the rows; see `DatasetView.query`."""
    source = dataset.pinned()
    table = DatasetTable(source)
    found = run(sql, table, timeout=timeout)
    if not isinstance(found, RowsResult):
        return found
    return _selected(source, table.numbers(found.rows), sql, found.columns)


def filter_rows(
    dataset: DatasetView,
    condition: str | Callable[[DatasetView], Any],
    *,
    num_workers: int = 0,
    progressbar: bool = True,
    timeout: float | None = None,
) -> DatasetView:
    """Select the rows that satisfy a condition; see `DatasetView.filter`."""
    source = dataset.pinned()
    if isinstance(condition, str):
        table = DatasetTable(source)
        rows = run_condition(condition, table, timeout=timeout)
        return _selected(source, table.numbers(rows), condition)
    if not callable(condition):
        raise InvalidTypeError(
            "filter takes a condition such as \"labels == 'Rain'\" or a function of a row, "
            f"not {type(condition).__name__}"
        )
    rows = np.flatnonzero(_kept(source, condition, num_workers, progressbar))
    numbers = DatasetTable(source).numbers(rows)
    return _selected(source, numbers, getattr(condition, "__name__", ""))


def _selected(
    source: DatasetView,
    rows: npt.NDArray[np.int64],
    text: str,
    columns: tuple[str, ...] | None = None,
) -> DatasetView:
    """The view of some rows of the dataset."""
    changes: dict[str, Any] = {"rows": rows}
    if columns is not None:
        changes["chosen"] = tuple(join(source._group, name) for name in columns)
    return source._select(**changes, row=None, query=text)


def _kept(
    source: DatasetView, keep: Callable[[DatasetView], Any], num_workers: int, progressbar: bool
) -> npt.NDArray[np.bool_]:
    """What a function says of each row."""
    total = len(source)
    kept = np.zeros(total, bool)
    bar = progress(total, "filtering")

    def judge(start: int) -> None:
        for row in range(start, min(start + _BATCH, total)):
            kept[row] = _judged(keep, source[row], row)
            if progressbar:
                bar.advance()

    starts = range(0, total, _BATCH)
    if num_workers <= 0:
        with bar:
            for start in starts:
                judge(start)
        return kept
    with bar, ThreadPoolExecutor(num_workers, "filter") as pool:
        tasks = [pool.submit(judge, start) for start in starts]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return kept


def _judged(keep: Callable[[DatasetView], Any], row: DatasetView, number: int) -> bool:
    try:
        answer = keep(row)
    except Exception as error:
        error.add_note(f"while filtering row {number}")
        raise
    if answer is None:
        raise InvalidError("the function of a filter returned None instead of True or False")
    try:
        return bool(answer)
    except ValueError:
        raise InvalidError(
            f"the function of a filter returned {answer!r} instead of True or False"
        ) from None
