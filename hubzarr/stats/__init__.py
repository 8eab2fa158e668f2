"""Statistics kernels: pure functions from arrays to rows of numbers and back.

A chunk is measured once (`measure`), rows of any number of chunks combine exactly or
to the last digits (`combine`), and `finish` gives what NumPy would have given.
"""

from __future__ import annotations

from hubzarr.stats.finish import STATISTICS, finish, result_dtype
from hubzarr.stats.measure import measure
from hubzarr.stats.rows import (
    Rows,
    channels,
    combine,
    constant,
    merge_channels,
    row_dtype,
    stats_dtype,
)

__all__ = [
    "STATISTICS",
    "Rows",
    "channels",
    "combine",
    "constant",
    "finish",
    "measure",
    "merge_channels",
    "result_dtype",
    "row_dtype",
    "stats_dtype",
]
