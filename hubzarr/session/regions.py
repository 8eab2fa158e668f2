"""Grids of cells as few boxes: pure NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.indexing import Box

__all__ = ["element_boxes", "joined", "labelled_boxes"]

type Array = np.ndarray[Any, Any]
type Cell = tuple[int, ...]
#: Labels, starts and stops of boxes: shapes (n,), (n, axes), (n, axes).
type Boxes = tuple[Array, Array, Array]


def labelled_boxes(labels: Array, origin: Cell) -> Boxes:
    """Boxes that cover each label of a grid; cells with label 0 are left out.

    Parameters
    ----------
    labels : ndarray
        One label per cell.
    origin : tuple of int
        Where the grid begins.

    Examples
    --------
    >>> import numpy as np
    >>> grid = np.array([[5, 5, 0], [5, 5, 7]])
    >>> labels, starts, stops = labelled_boxes(grid, (10, 0))
    >>> labels.tolist(), starts.tolist(), stops.tolist()
    ([5, 7], [[10, 0], [11, 2]], [[12, 2], [12, 3]])
    """
    nd = labels.ndim
    first = labels.flat[0] if labels.size else 0
    if not labels.size or (labels == first).all():
        count = int(bool(labels.size and first))
        start = np.array([origin] * count, np.int64).reshape(count, nd)
        return np.full(count, first, labels.dtype), start, start + np.array(labels.shape)
    # Runs along the last axis that is longer than 1, the others are joined afterwards.
    axis = max(d for d in range(nd) if labels.shape[d] > 1)
    rows = np.moveaxis(labels, axis, -1)
    flat = np.ascontiguousarray(rows).reshape(-1, rows.shape[-1])
    begins = np.ones(flat.shape, bool)
    np.not_equal(flat[:, 1:], flat[:, :-1], out=begins[:, 1:])
    where = np.flatnonzero(begins)
    lengths = np.diff(where, append=flat.size)
    values = flat.reshape(-1)[where]
    keep = values != 0
    where, lengths, values = where[keep], lengths[keep], values[keep]
    at = np.unravel_index(where, rows.shape)
    order = [*(d for d in range(nd) if d != axis), axis]
    starts = np.empty((len(where), nd), np.int64)
    for place, d in enumerate(order):
        starts[:, d] = at[place]
    stops = starts + 1
    stops[:, axis] += lengths - 1
    shift = np.array(origin, np.int64)
    return joined(values, starts + shift, stops + shift)


def joined(labels: Array, starts: Array, stops: Array) -> Boxes:
    """Join boxes of one label that lie side by side, axis by axis from the last.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(2, int)
    >>> joined(one, np.array([[0], [4]]), np.array([[4], [6]]))[2].tolist()
    [[6]]
    """
    nd = starts.shape[1]
    for axis in reversed(range(nd)):
        if len(labels) < 2:
            break
        others = [d for d in range(nd) if d != axis]
        keys = [starts[:, axis]]
        for d in others:
            keys += [stops[:, d], starts[:, d]]
        order = np.lexsort([*keys, labels])
        labels, starts, stops = labels[order], starts[order], stops[order]
        new = np.ones(len(labels), bool)
        same = (labels[1:] == labels[:-1]) & (starts[1:, axis] == stops[:-1, axis])
        for d in others:
            same &= (starts[1:, d] == starts[:-1, d]) & (stops[1:, d] == stops[:-1, d])
        new[1:] = ~same
        firsts = np.flatnonzero(new)
        lasts = np.append(firsts[1:], len(labels)) - 1
        labels, starts = labels[firsts], starts[firsts]
        stops = stops[lasts]
    order = np.lexsort([*starts.T[::-1]]) if nd else np.arange(len(labels))
    return labels[order], starts[order], stops[order]


def element_boxes(starts: Array, stops: Array, cell_shape: Cell, limits: Box) -> list[Box]:
    """Boxes of cells as boxes of elements, clipped to `limits`; empty ones are left out.

    Examples
    --------
    >>> import numpy as np
    >>> element_boxes(np.array([[1]]), np.array([[3]]), (4,), ((0, 10),))
    [((4, 10),)]
    """
    if not cell_shape:
        return [()] if len(starts) else []
    low = np.array([a for a, _ in limits])
    high = np.array([b for _, b in limits])
    size = np.array(cell_shape)
    first = np.maximum(starts * size, low)
    last = np.minimum(stops * size, high)
    keep = (first < last).all(axis=1)
    pairs = np.stack([first[keep], last[keep]], axis=-1).tolist()
    return [tuple((a, b) for a, b in box) for box in pairs]
