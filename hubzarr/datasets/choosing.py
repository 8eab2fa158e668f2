"""Choosing rows at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hubzarr.datasets.rows import Rows, as_numbers
from hubzarr.errors import InvalidError

__all__ = ["draw", "split"]

type Numbers = np.ndarray[Any, np.dtype[np.int64]]


def split(rows: Rows, lengths: Sequence[int | float], seed: int | None) -> list[Numbers]:
    """Deal rows out at random."""
    total = len(rows)
    if not len(lengths) or any(n < 0 for n in lengths):
        raise InvalidError(f"lengths {lengths!r}; expected numbers of rows, or fractions")
    if any(isinstance(n, float) and not n.is_integer() for n in lengths) or sum(lengths) == 1:
        if not np.isclose(sum(lengths), 1):
            raise InvalidError(f"fractions {lengths!r} add up to {sum(lengths)}, not to 1")
        counts = [int(total * fraction) for fraction in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [int(n) for n in lengths]
        if sum(counts) != total:
            raise InvalidError(f"lengths {lengths!r} add up to {sum(counts)}, not to {total} rows")
    order = np.random.default_rng(seed).permutation(as_numbers(rows))
    return np.split(order, np.cumsum(counts)[:-1])


def draw(rows: Rows, weights: Any, replace: bool, size: int | None, seed: int | None) -> Numbers:
    """Draw rows by weights."""
    chances = np.asarray(weights, np.float64)
    if chances.shape != (len(rows),):
        raise InvalidError(f"weights of shape {chances.shape} for {len(rows)} rows")
    if not np.isfinite(chances).all() or (chances < 0).any() or not chances.any():
        raise InvalidError("weights must be finite, not negative, and not all 0")
    size = len(rows) if size is None else size
    if not replace and size > np.count_nonzero(chances):
        raise InvalidError(
            f"{size} rows can't be drawn once each: {np.count_nonzero(chances)} have a weight"
        )
    chosen = np.random.default_rng(seed).choice(
        len(rows), size, replace=replace, p=chances / chances.sum()
    )
    return as_numbers(rows)[chosen]
