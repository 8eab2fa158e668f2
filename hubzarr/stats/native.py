"""Compiled kernels, where the installation has them.

`fill` measures chunks straight into rows, or returns False for what the NumPy kernels have
to do: everything if there was no compiler or ``HUBZARR_NATIVE=0`` is set, else byte orders
and layouts that are best copied first, and sums past the largest double.
"""

from __future__ import annotations

import os
from collections.abc import Buffer, Callable

__all__ = ["AVAILABLE", "compiled", "fill", "refuse"]

type Fill = Callable[[Buffer, Buffer, int, int], bool]


def refuse(data: Buffer, out: Buffer, kept: int, channels: int, /) -> bool:
    """Leave everything to the NumPy kernels."""
    return False


try:
    from hubzarr.stats._kernels import measure as compiled
except ImportError:
    compiled = refuse

#: Whether the compiled kernels are installed, in use or not.
AVAILABLE = compiled is not refuse

#: Fill ``out``, contiguous and of shape ``(*data.shape[:kept], channels)``, with the rows of
#: the chunks ``data[i, j, ...]``.  The dtype of `out` has to be the row dtype of `data`.
fill: Fill = refuse if os.environ.get("HUBZARR_NATIVE") == "0" else compiled
