"""Cutting a view into blocks of bounded size, for work in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from hubzarr.errors import InvalidError
from hubzarr.indexing.maps import Affine, Transform
from hubzarr.indexing.plan import plan_steps
from hubzarr.indexing.transform import apply

__all__ = ["blocks"]


def blocks(
    t: Transform, max_elements: int, chunk_shape: Sequence[int] | None = None
) -> Iterator[tuple[Transform, tuple[slice, ...]]]:
    """Cut a view into blocks of at most `max_elements` elements.

    The first axes are cut first, so that blocks come in C order where memory allows;
    along axes that step through the source, cuts lie on chunk borders, so that a chunk
    is read by one block only wherever blocks have room for a chunk.

    Parameters
    ----------
    t : Transform
        The view.
    max_elements : int
        The most elements of a block, at least 1.
    chunk_shape : sequence of int, optional
        The shape of a chunk of the source.

    Yields
    ------
    block : Transform
        A view of the same source.
    out : tuple of slice
        Where the block lies in the view.

    Examples
    --------
    >>> from hubzarr.indexing import blocks, identity
    >>> for block, out in blocks(identity((5, 4)), 12, chunk_shape=(2, 2)):
    ...     print(block.box, out)
    ((0, 2), (0, 4)) (slice(0, 2, None), slice(0, 4, None))
    ((2, 4), (0, 4)) (slice(2, 4, None), slice(0, 4, None))
    ((4, 5), (0, 4)) (slice(4, 5, None), slice(0, 4, None))
    """
    if max_elements < 1:
        raise InvalidError(
            f"max_elements is {max_elements}; a block needs room for at least 1 element"
        )
    if 0 in t.shape:
        return
    periods = _periods(t, chunk_shape)
    lengths = _block_shape(t.shape, periods, max_elements)
    cuts = [
        _cuts(t, axis, length, chunk_shape, period)
        for axis, (length, period) in enumerate(zip(lengths, periods, strict=True))
    ]
    for out in product(*cuts):
        yield apply(t, out), out


def _periods(t: Transform, chunk_shape: Sequence[int] | None) -> list[int]:
    """Return how many steps along each view axis stay within a chunk, at most."""
    periods = [1] * t.ndim
    if chunk_shape is not None:
        for m, chunk in zip(t.maps, chunk_shape, strict=True):
            if isinstance(m, Affine):
                periods[m.axis] = min(-(-chunk // abs(m.step)), t.shape[m.axis])
    return periods


def _block_shape(shape: Sequence[int], periods: Sequence[int], max_elements: int) -> list[int]:
    """Return the lengths of a block: shrink to chunks, first axis first, then below them."""
    lengths = list(shape)
    for smallest in (periods, [1] * len(lengths)):
        for axis, least in enumerate(smallest):
            others = math.prod(lengths) // lengths[axis]
            room = max_elements // others
            if room >= lengths[axis]:
                return lengths
            lengths[axis] = max(room // least * least, least)
    return lengths


def _cuts(
    t: Transform, axis: int, length: int, chunk_shape: Sequence[int] | None, period: int
) -> list[slice]:
    """Return the slices of one axis, each of at most `length` steps."""
    size, source = t.shape[axis], t.axes[axis]
    if length >= size:
        return [slice(0, size)]
    spans = [slice(0, size)]
    if chunk_shape is not None and source >= 0:
        m = t.maps[source]
        if isinstance(m, Affine):
            chunk = chunk_shape[source]
            grown = chunk * max(length * abs(m.step) // chunk, 1) if length >= period else chunk
            spans = list(plan_steps(m.start, m.step, size, grown, 2**62).out)
    return [
        slice(low, min(low + length, span.stop))
        for span in spans
        for low in range(span.start, span.stop, length)
    ]
