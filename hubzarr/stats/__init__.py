"""Statistics kernels: pure functions from arrays to rows of numbers and back.

A chunk is measured once (`measure`), rows of any number of chunks combine exactly or
to the last digits (`combine`), and `finish` gives what NumPy would have given.
"""

from __future__ import annotations

from hubzarr.stats.axes import measure_axes, measure_many
from hubzarr.stats.finish import STATISTICS, finish, result_dtype
from hubzarr.stats.generic import (
    Part,
    combine_parts,
    fallback_supported,
    finish_part,
    measure_part,
)
from hubzarr.stats.histogram import histogram
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
    "Part",
    "Rows",
    "channels",
    "combine",
    "combine_parts",
    "constant",
    "fallback_supported",
    "finish",
    "finish_part",
    "histogram",
    "measure",
    "measure_axes",
    "measure_many",
    "measure_part",
    "merge_channels",
    "result_dtype",
    "row_dtype",
    "stats_dtype",
]
