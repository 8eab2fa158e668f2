"""Selections of rows, by anything that NumPy takes along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.errors import InvalidTypeError, OutOfBoundsError

__all__ = ["Rows", "check_rows", "select_rows"]

#: Row numbers in order; a range where they are regular.
type Rows = range | np.ndarray[Any, np.dtype[np.int64]]


def as_numbers(rows: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Row numbers as an array; of a range in no time."""
    if isinstance(rows, range):
        return np.arange(rows.start, rows.stop, rows.step, dtype=np.int64)
    return np.asarray(rows, np.int64)


def select_rows(rows: Rows, key: Any, name: str) -> int | Rows:
    """Rows that a key selects among `rows`; an integer key gives one row's number."""
    if isinstance(key, bool | np.bool_):
        raise InvalidTypeError(f"{name}: a row can't be selected by {key!r}")
    if isinstance(key, int | np.integer):
        if not -len(rows) <= key < len(rows):
            raise OutOfBoundsError(f"row {key} of {name}, which has {len(rows)} rows", index=key)
        return int(rows[int(key)])
    if key is Ellipsis:
        return rows
    if isinstance(key, slice):
        return rows[_checked(key, name)]
    wanted = np.asarray(key)
    if wanted.size == 0 and wanted.dtype.kind == "f":
        wanted = wanted.astype(np.int64)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iub":
        raise InvalidTypeError(
            f"{name}: rows are selected by an integer, a slice, a list of integers or a mask, not "
            f"by {key!r}"
        )
    if wanted.dtype.kind == "b":
        if len(wanted) != len(rows):
            raise OutOfBoundsError(f"a mask of {len(wanted)} for the {len(rows)} rows of {name}")
        wanted = np.flatnonzero(wanted)
    wanted = wanted.astype(np.int64)
    if len(wanted) and not (wanted.min() >= -len(rows) and wanted.max() < len(rows)):
        bad = wanted[(wanted < -len(rows)) | (wanted >= len(rows))][0]
        raise OutOfBoundsError(f"row {bad} of {name}, which has {len(rows)} rows", index=int(bad))
    chosen: np.ndarray[Any, np.dtype[np.int64]] = as_numbers(rows)[wanted]
    return chosen


def check_rows(rows: Rows, length: int, name: str) -> None:
    """Refuse rows, selected earlier, that have been removed since."""
    if not len(rows):
        return
    last = max(rows[0], rows[-1]) if isinstance(rows, range) else int(rows.max())
    if last >= length:
        raise OutOfBoundsError(
            f"row {last} of {name}, which has {length} rows by now: select the rows again",
            index=last,
        )


def _checked(key: slice, name: str) -> slice:
    try:
        key.indices(0)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{name}: bad slice {key!r}: {error}") from error
    return key
