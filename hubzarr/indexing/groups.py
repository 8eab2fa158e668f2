"""Points picked by index arrays, sorted into chunks without a loop over points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hubzarr.indexing.maps import Gather, Transform

__all__ = ["PointGroup", "Unit", "point_groups", "point_unit"]


class Unit(NamedTuple):
    """Axes that must be planned together, and for each choice of cells what goes where.

    Parameters
    ----------
    source_axes, view_axes : tuple of int
        The axes that the unit covers.
    cells, inside, out : list of tuple
        One entry for each choice; each has one element for each of the axes.
    whole : list of bool
        Whether an entry covers all of its part of the chunk.

    Examples
    --------
    >>> from hubzarr.indexing.groups import Unit
    >>> Unit((0,), (), [(2,)], [(slice(1, 2),)], [()], [False]).cells
    [(2,)]
    """

    source_axes: tuple[int, ...]
    view_axes: tuple[int, ...]
    cells: list[tuple[int, ...]]
    inside: list[tuple[Any, ...]]
    out: list[tuple[Any, ...]]
    whole: list[bool]


class PointGroup(NamedTuple):
    """Source axes whose index arrays share view axes, so that they pick points together.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> from hubzarr.indexing.groups import point_groups
    >>> point_groups(apply(identity((5, 6, 7)), ([0, 1], slice(None), [2, 3])))
    [PointGroup(source_axes=(0, 2), view_axes=(0,))]
    """

    source_axes: tuple[int, ...]
    view_axes: tuple[int, ...]


def point_groups(t: Transform) -> list[PointGroup]:
    """Return the groups of a view, by their first source axis.

    Examples
    --------
    >>> from hubzarr.indexing import apply_oindex, identity
    >>> from hubzarr.indexing.groups import point_groups
    >>> len(point_groups(apply_oindex(identity((5, 6)), ([0, 1], [2, 3]))))
    2
    """
    groups: list[tuple[set[int], set[int]]] = []
    for axis, m in enumerate(t.maps):
        if not isinstance(m, Gather):
            continue
        sources, views = {axis}, {a for a, n in enumerate(m.index.shape) if n != 1}
        apart = []
        for group in groups:
            if group[1] & views:
                sources |= group[0]
                views |= group[1]
            else:
                apart.append(group)
        groups = [*apart, (sources, views)]
    found = [PointGroup(tuple(sorted(s)), tuple(sorted(v))) for s, v in groups]
    return sorted(found, key=lambda group: group.source_axes[0])


def point_unit(
    t: Transform,
    group: PointGroup,
    chunk_shape: Sequence[int],
    shape: Sequence[int],
    *,
    slices: bool,
) -> Unit:
    """Return the unit of one group: its points, sorted stably by cell.

    Parameters
    ----------
    t : Transform
        The view.
    group : PointGroup
        The group.
    chunk_shape, shape : sequence of int
        Of the array.
    slices : bool
        Whether runs of neighbours on a lone axis may be given as slices.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> from hubzarr.indexing.groups import point_groups, point_unit
    >>> view = apply(identity((9,)), [8, 0, 7])
    >>> unit = point_unit(view, point_groups(view)[0], (4,), (9,), slices=False)
    >>> unit.cells, unit.out
    ([(0,), (1,), (2,)], [(array([1]),), (array([2]),), (array([0]),)])
    """
    sizes = [t.shape[a] for a in group.view_axes]
    maps = t.maps
    offsets, cells = [], []
    for axis in group.source_axes:
        m = maps[axis]
        index = m.index if isinstance(m, Gather) else np.zeros(1, np.intp)
        points = np.broadcast_to(
            index.reshape([index.shape[a] for a in group.view_axes]), sizes
        ).ravel()
        cell = points // chunk_shape[axis]
        cells.append(cell)
        offsets.append(points - cell * chunk_shape[axis])
    order, starts = _sort_by_cell(cells)
    if order is not None:
        offsets = [o[order] for o in offsets]
        cells = [c[order[starts]] for c in cells]
    else:
        cells = [c[starts] for c in cells]
    unit_cells = list(zip(*[c.tolist() for c in cells], strict=True))
    bounds = [*starts.tolist(), math.prod(sizes)]
    sizes_inside = [
        np.minimum(chunk_shape[a], shape[a] - c * chunk_shape[a])
        for a, c in zip(group.source_axes, cells, strict=True)
    ]
    whole = _wholes(
        offsets, [chunk_shape[a] for a in group.source_axes], bounds, math.prod(sizes_inside)
    )
    if slices and len(group.source_axes) == len(group.view_axes) == 1:
        inside, out = _runs(offsets[0], order, bounds)
    else:
        places = _places(order, sizes)
        inside, out = _cut(offsets, bounds), _cut(places, bounds)
    return Unit(*group, unit_cells, inside, out, whole)


def _sort_by_cell(
    cells: list[NDArray[np.intp]],
) -> tuple[NDArray[np.intp] | None, NDArray[np.intp]]:
    """Return the order that sorts points by cell (None: they are), and where each starts."""
    key = cells[0] - cells[0].min()
    extent = int(key.max()) + 1
    for cell in cells[1:]:
        low = cell.min()
        width = int(cell.max() - low) + 1
        if extent * width >= 2**62:  # a grid too large to number: number its used part
            key = np.unique(key, return_inverse=True)[1].reshape(-1)
            extent = int(key.max()) + 1
        key = key * width + (cell - low)
        extent *= width
    if extent <= 2**16:
        key = key.astype(np.uint16)  # NumPy then sorts by radix
    order = None
    if key.size > 1 and not bool(np.all(key[1:] >= key[:-1])):
        order = np.argsort(key, kind="stable")
        key = key[order]
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    return order, starts


def _places(order: NDArray[np.intp] | None, sizes: list[int]) -> list[NDArray[np.intp]]:
    """Return the view indices of the sorted points, one array for each view axis."""
    flat = np.arange(math.prod(sizes)) if order is None else order
    return [flat] if len(sizes) == 1 else list(np.unravel_index(flat, sizes))


def _cut(columns: list[NDArray[np.intp]], bounds: list[int]) -> list[tuple[Any, ...]]:
    return [tuple([column[low:high] for column in columns]) for low, high in pairwise(bounds)]


def _wholes(
    offsets: list[NDArray[np.intp]], chunk: list[int], bounds: list[int], extents: Any
) -> list[bool]:
    """Return which cells are covered by their points, each element at least once."""
    whole = [False] * len(extents)
    for i in np.flatnonzero(np.diff(bounds) >= extents).tolist():
        flat = np.ravel_multi_index([o[bounds[i] : bounds[i + 1]] for o in offsets], chunk)
        seen = np.zeros(math.prod(chunk), bool)
        seen[flat] = True
        whole[i] = bool(np.count_nonzero(seen) == extents[i])
    return whole


def _runs(
    offset: NDArray[np.intp], order: NDArray[np.intp] | None, bounds: list[int]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the indices of a lone axis, as slices where the points are neighbours."""
    steps = np.diff(offset) == 1
    if order is not None:
        steps &= np.diff(order) == 1
    breaks = np.concatenate(([0], np.cumsum(~steps)))
    first, last = np.array(bounds[:-1]), np.array(bounds[1:]) - 1
    straight = (breaks[last] == breaks[first]).tolist()
    firsts = offset[first].tolist()
    outs = bounds[:-1] if order is None else order[first].tolist()
    inside: list[tuple[Any, ...]] = []
    out: list[tuple[Any, ...]] = []
    for i, (low, high) in enumerate(pairwise(bounds)):
        n = high - low
        if straight[i]:
            inside.append((slice(firsts[i], firsts[i] + n),))
            out.append((slice(outs[i], outs[i] + n),))
        else:
            inside.append((offset[low:high],))
            out.append((np.arange(low, high) if order is None else order[low:high],))
    return inside, out
