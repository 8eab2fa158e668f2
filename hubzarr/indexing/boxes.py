"""Plans for boxes: blocks of neighbouring elements, one (start, stop) per axis.

Nearly every access to an array is one. The work per axis is done once, and the
product over the axes runs in C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product, repeat
from typing import Any, NamedTuple, cast

from hubzarr.indexing.maps import Box

__all__ = ["AxisPlan", "Piece", "box_cells", "box_pieces", "split_box", "zip_pieces"]


class Piece(NamedTuple):
    """What one chunk has to do with a view.

    Parameters
    ----------
    cell : tuple of int
        The chunk's position in the grid.
    inside, out : tuple
        Indices with which plain NumPy reads, ``result[out] = chunk[inside]``, and
        writes, ``chunk[inside] = value[out]``; both sides have one shape.
    whole : bool
        Whether the piece covers every element of the chunk that lies in the array,
        so that a write needn't know what the chunk held.

    Examples
    --------
    >>> from hubzarr.indexing import box_pieces
    >>> for piece in box_pieces(((2, 6),), (4,), (6,)):
    ...     print(piece)
    Piece(cell=(0,), inside=(slice(2, 4, None),), out=(slice(0, 2, None),), whole=False)
    Piece(cell=(1,), inside=(slice(0, 2, None),), out=(slice(2, 4, None),), whole=True)
    """

    cell: tuple[int, ...]
    inside: tuple[Any, ...]
    out: tuple[Any, ...]
    whole: bool


class AxisPlan(NamedTuple):
    """The plan of one axis: for each cell along it, which part goes where.

    Examples
    --------
    >>> from hubzarr.indexing.boxes import plan_span
    >>> plan_span(2, 6, 4, 6).cells
    range(0, 2)
    """

    cells: Sequence[int]
    inside: Sequence[Any]
    out: Sequence[Any]
    whole: Sequence[bool]


_piece = cast("Callable[[tuple[Any, ...]], Piece]", partial(tuple.__new__, Piece))


def plan_span(start: int, stop: int, chunk: int, size: int) -> AxisPlan:
    """Return the plan of the indices from `start` to `stop` of an axis.

    Examples
    --------
    >>> from hubzarr.indexing.boxes import plan_span
    >>> plan_span(2, 6, 4, 6).whole
    [False, True]
    """
    first, last = start // chunk, (stop - 1) // chunk
    low = start - first * chunk
    high = stop - last * chunk
    reaches = high == chunk or stop == size
    if first == last:
        whole = low == 0 and reaches
        return AxisPlan((first,), (slice(low, high),), (slice(0, stop - start),), (whole,))
    cells = range(first, last + 1)
    full = slice(0, chunk)
    inside = [full] * len(cells)
    inside[0], inside[-1] = slice(low, chunk), slice(0, high)
    out = [slice(o, o + chunk) for o in range(-low, stop - start, chunk)]
    out[0] = slice(0, chunk - low)
    out[-1] = slice(out[-1].start, stop - start)
    wholes = [True] * len(cells)
    wholes[0], wholes[-1] = low == 0, reaches
    return AxisPlan(cells, inside, out, wholes)


def zip_pieces(
    cells: Sequence[Sequence[int]],
    inside: Sequence[Sequence[Any]],
    out: Sequence[Sequence[Any]],
    whole: Sequence[Sequence[bool]],
) -> Iterator[Piece]:
    """Return the pieces of all combinations of entries, in C order.

    `inside` may hold more columns of one entry (new axes), `out` fewer (axes held at
    one index): they don't change the order of the product.

    Examples
    --------
    >>> from hubzarr.indexing.boxes import zip_pieces
    >>> next(zip_pieces([[3]], [[0], [None]], [[slice(0, 1)]], [[True]]))
    Piece(cell=(3,), inside=(0, None), out=(slice(0, 1, None),), whole=True)
    """
    wholes: Iterator[bool] = repeat(True) if all(map(all, whole)) else map(all, product(*whole))
    return map(_piece, zip(product(*cells), product(*inside), product(*out), wholes, strict=False))


def box_pieces(box: Box, chunk_shape: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[Piece]:
    """Return the pieces of a box; `out` indexes an array of the shape of the box.

    Parameters
    ----------
    box : tuple of (int, int)
        Start and stop for each axis, inside the array.
    chunk_shape : tuple of int
        The shape of a chunk.
    shape : tuple of int
        The shape of the array.

    Returns
    -------
    iterator of Piece
        In C order of the cells, each cell once; all indices are slices.

    Examples
    --------
    >>> from hubzarr.indexing import box_pieces
    >>> [piece.cell for piece in box_pieces(((0, 5), (7, 8)), (4, 4), (10, 10))]
    [(0, 1), (1, 1)]
    """
    cell, inside, out, whole = [], [], [], True
    for (start, stop), chunk, size in zip(box, chunk_shape, shape, strict=True):
        if start >= stop:
            return iter(())
        c = start // chunk
        low = c * chunk
        if stop > low + chunk:
            break
        cell.append(c)
        inside.append(slice(start - low, stop - low))
        out.append(slice(0, stop - start))
        if start != low or (stop != low + chunk and stop != size):
            whole = False
    else:
        return iter((_piece((tuple(cell), tuple(inside), tuple(out), whole)),))
    if any(start >= stop for start, stop in box):
        return iter(())
    plans = [
        plan_span(start, stop, chunk, size)
        for (start, stop), chunk, size in zip(box, chunk_shape, shape, strict=True)
    ]
    return zip_pieces(*zip(*plans, strict=True))


def box_cells(box: Box, chunk_shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the first and the last cell that a box touches, for each axis.

    Parameters
    ----------
    box : tuple of (int, int)
        Start and stop for each axis.
    chunk_shape : tuple of int
        The shape of a chunk.

    Returns
    -------
    first, last : tuple of int
        Both inclusive; along an empty axis the last is smaller than the first.

    Examples
    --------
    >>> from hubzarr.indexing import box_cells
    >>> box_cells(((0, 5), (7, 8)), (4, 4))
    ((0, 1), (1, 1))
    """
    first, last = [], []
    for (start, stop), chunk in zip(box, chunk_shape, strict=True):
        c = start // chunk
        first.append(c)
        last.append((stop - 1) // chunk if stop > start else c - 1)
    return tuple(first), tuple(last)


def split_box(
    box: Box, chunk_shape: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[Box | None, list[Piece]]:
    """Split a box into the cells that it covers wholly and the pieces of those it cuts.

    Parameters
    ----------
    box : tuple of (int, int)
        Start and stop for each axis, inside the array.
    chunk_shape : tuple of int
        The shape of a chunk.
    shape : tuple of int
        The shape of the array. A cell that its end cuts counts as covered where the
        box reaches the end.

    Returns
    -------
    inner : tuple of (int, int), or None
        The covered cells: first and one past the last for each axis; None if there
        are none.
    border : list of Piece
        One piece for each other cell, as from `box_pieces`. Only the border is walked,
        not the covered cells.

    Examples
    --------
    >>> from hubzarr.indexing import split_box
    >>> inner, border = split_box(((0, 10), (3, 10)), (4, 4), (10, 10))
    >>> inner, [piece.cell for piece in border]
    (((0, 3), (1, 3)), [(0, 0), (1, 0), (2, 0)])
    """
    if any(start >= stop for start, stop in box):
        return None, []
    covered = [
        _covered(start, stop, chunk, size)
        for (start, stop), chunk, size in zip(box, chunk_shape, shape, strict=True)
    ]
    if any(low >= high for low, high in covered):
        return None, list(box_pieces(box, chunk_shape, shape))
    border: list[Piece] = []
    rest = list(box)
    for axis, ((low, high), chunk) in enumerate(zip(covered, chunk_shape, strict=True)):
        # Peel the cut cells off this axis, and go on with what is left.
        start, stop = box[axis]
        first, last = max(start, low * chunk), min(stop, high * chunk)
        for cut in ((start, first), (last, stop)):
            if cut[0] < cut[1]:
                part = (*rest[:axis], cut, *rest[axis + 1 :])
                border += _pieces_of_part(part, box, chunk_shape, shape)
        rest[axis] = (first, last)
    return tuple(covered), border


def _covered(start: int, stop: int, chunk: int, size: int) -> tuple[int, int]:
    """Return the first cell wholly inside a span and one past the last."""
    return -(-start // chunk), -(-stop // chunk) if stop == size else stop // chunk


def _pieces_of_part(
    part: Box, box: Box, chunk_shape: tuple[int, ...], shape: tuple[int, ...]
) -> Iterator[Piece]:
    """Return the pieces of a part of a box; `out` is relative to the box."""
    plans = []
    for (start, stop), (origin, _), chunk, size in zip(part, box, chunk_shape, shape, strict=True):
        plan = plan_span(start, stop, chunk, size)
        shift = start - origin
        if shift:
            out = [slice(o.start + shift, o.stop + shift) for o in plan.out]
            plan = plan._replace(out=out)
        plans.append(plan)
    return zip_pieces(*zip(*plans, strict=True))
