"""Plans: which part of which chunk goes where, for any view.

`pieces` yields, for each chunk that a view touches, two plain NumPy indices, so that
``result[out] = chunk[inside]`` reads and ``chunk[inside] = value[out]`` writes. Both
sides always have the same shape, whatever NumPy does with the axes of index arrays:

- A view without index arrays uses slices, integers and None.
- Index arrays whose axes NumPy puts at the same place on both sides are mixed with
  slices, so that whole rows are copied. An axis held at one index is then a slice of
  length 1 inside and None outside.
- All else is an open mesh: integer arrays on both sides that broadcast together.

Points picked by index arrays keep their order within a chunk, so that of repeated
indices the last one wins on writing, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise, product
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from hubzarr.indexing.boxes import AxisPlan, Piece, plan_span, zip_pieces
from hubzarr.indexing.groups import PointGroup, Unit, point_groups, point_unit
from hubzarr.indexing.maps import Affine, Box, Const, Transform, steps_slice

__all__ = ["pieces"]


def pieces(t: Transform, chunk_shape: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[Piece]:
    """Return what each chunk has to do with a view.

    Parameters
    ----------
    t : Transform
        A view of an array.
    chunk_shape : tuple of int
        The shape of a chunk of the array.
    shape : tuple of int
        The shape of the array.

    Returns
    -------
    iterator of Piece
        Each cell once; `out` indexes an array of the shape of the view. (Only a view of
        an array without axes that repeats its one element gives one piece for each.)

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.indexing import apply, identity, pieces
    >>> view = apply(identity((10,)), slice(7, 0, -3))
    >>> x = np.arange(10)
    >>> result = np.empty(view.shape, x.dtype)
    >>> for piece in pieces(view, (4,), (10,)):
    ...     chunk = x[4 * piece.cell[0] : 4 * piece.cell[0] + 4]
    ...     result[piece.out] = chunk[piece.inside]
    >>> result
    array([7, 4, 1])
    """
    if 0 in t.shape:
        return iter(())
    if t.box is not None:
        found = _one_piece(t, t.box, chunk_shape, shape)
        return iter((found,)) if found else _affine_pieces(t, chunk_shape, shape)
    groups = [] if t.is_affine else point_groups(t)
    picked = {a for group in groups for a in group.view_axes}
    free = [a for a, axis in enumerate(t.axes) if axis < 0 and a not in picked]
    repeats = any(t.shape[a] > 1 for a in free)
    if not groups and not repeats:
        return _affine_pieces(t, chunk_shape, shape)
    if not t.source_ndim:
        return (Piece((), (), at, True) for at in np.ndindex(*t.shape))
    layout = None if repeats else _mixed_layout(t, groups)
    units = _axis_units(t, chunk_shape, shape)
    units += [
        point_unit(t, g, chunk_shape, shape, slices=layout is not None and len(groups) == 1)
        for g in groups
    ]
    if layout is not None:
        if len(groups) > 1:
            gathered = units[-len(groups) :]
            units[-len(groups) :] = [
                _on_mesh(unit, i, len(groups)) for i, unit in enumerate(gathered)
            ]
        units += [Unit((), (a,), [()], [()], [(slice(0, 1),)], [True]) for a in free]
        return _assemble(_hold(units, layout.held), layout.inside, layout.out)
    units += [Unit((), (a,), [()], [()], [(np.arange(t.shape[a]),)], [True]) for a in free]
    return _mesh_pieces(t, units)


def plan_steps(start: int, step: int, count: int, chunk: int, size: int) -> AxisPlan:
    """Return the plan of `count` indices of an axis, `step` apart.

    Examples
    --------
    >>> from hubzarr.indexing.plan import plan_steps
    >>> plan_steps(7, -3, 3, 4, 10).cells
    [1, 0]
    """
    if step == 1:
        return plan_span(start, start + count, chunk, size)
    cells, inside, out, whole = [], [], [], []
    v = 0
    while v < count:
        at = start + step * v
        cell = at // chunk
        low = cell * chunk
        left = (low + chunk - 1 - at) // step if step > 0 else (at - low) // -step
        n = min(left + 1, count - v)
        cells.append(cell)
        inside.append(steps_slice(at - low, step, n))
        out.append(slice(v, v + n))
        whole.append(n == min(chunk, size - low))
        v += n
    return AxisPlan(cells, inside, out, whole)


def _affine_pieces(
    t: Transform, chunk_shape: tuple[int, ...], shape: tuple[int, ...]
) -> Iterator[Piece]:
    """Return the pieces of a view by integers, slices and new axes of length 1."""
    cells: list[Sequence[int]] = []
    whole: list[Sequence[bool]] = []
    inside: list[Sequence[Any]] = []
    out: list[Sequence[Any]] = []
    new_axis = ((None,), (slice(0, 1),))
    for m, chunk, size in zip(t.maps, chunk_shape, shape, strict=True):
        if isinstance(m, Affine):
            plan = plan_steps(m.start, m.step, t.shape[m.axis], chunk, size)
            while len(out) < m.axis:
                inside.append(new_axis[0])
                out.append(new_axis[1])
            cells.append(plan.cells)
            inside.append(plan.inside)
            out.append(plan.out)
            whole.append(plan.whole)
        elif isinstance(m, Const):
            cell, offset = divmod(m.index, chunk)
            cells.append((cell,))
            inside.append((offset,))
            whole.append((chunk == 1 or size - cell * chunk == 1,))
    while len(out) < t.ndim:
        inside.append(new_axis[0])
        out.append(new_axis[1])
    return zip_pieces(cells, inside, out, whole)


def _one_piece(
    t: Transform, box: Box, chunk_shape: tuple[int, ...], shape: tuple[int, ...]
) -> Piece | None:
    """Return the piece of a box that lies within one chunk: most single reads."""
    cell, inside, axes, whole = [], [], t.axes, True
    for axis, (start, stop) in enumerate(box):
        chunk = chunk_shape[axis]
        c = start // chunk
        low = c * chunk
        if stop > low + chunk:
            return None
        cell.append(c)
        inside.append(slice(start - low, stop - low) if axis in axes else start - low)
        if start != low or (stop != low + chunk and stop != shape[axis]):
            whole = False
    if -1 in axes:
        return None
    return Piece(tuple(cell), tuple(inside), tuple([slice(0, n) for n in t.shape]), whole)


def _axis_units(t: Transform, chunk_shape: Sequence[int], shape: Sequence[int]) -> list[Unit]:
    """Return the units of the axes without index arrays; constants as slices of length 1."""
    units = []
    for axis, (m, chunk, size) in enumerate(zip(t.maps, chunk_shape, shape, strict=True)):
        if isinstance(m, Affine):
            plan = plan_steps(m.start, m.step, t.shape[m.axis], chunk, size)
            cells: list[tuple[int, ...]] = [(cell,) for cell in plan.cells]
            inside = [(entry,) for entry in plan.inside]
            out = [(entry,) for entry in plan.out]
            units.append(Unit((axis,), (m.axis,), cells, inside, out, list(plan.whole)))
        elif isinstance(m, Const):
            c, at = divmod(m.index, chunk)
            whole = min(chunk, size - c * chunk) == 1
            units.append(Unit((axis,), (), [(c,)], [(slice(at, at + 1),)], [()], [whole]))
    return units


class _Layout(NamedTuple):
    """The order of axes on both sides of a mixed index; None stands for an axis of length 1."""

    inside: list[int | None]
    out: list[int | None]
    held: set[int]  # source axes at one index that are given as integers


def _mixed_layout(t: Transform, groups: list[PointGroup]) -> _Layout | None:
    """Return how to mix index arrays and slices, None where the two sides would differ.

    Between two neighbouring slices that the sides share, the inside has constants and
    arrays, the outside has new axes and arrays; each side has None for what only the
    other has, before or after its arrays as there.
    """
    gathered = {a for g in groups for a in g.source_axes}
    picked = {a for g in groups for a in g.view_axes}
    shared = [(axis, a) for a, axis in enumerate(t.axes) if axis >= 0]
    layout = _Layout([], [], set())
    for (axis, a), (next_axis, next_a) in pairwise([(-1, -1), *shared, (t.source_ndim, t.ndim)]):
        if axis >= 0:
            layout.inside.append(axis)
            layout.out.append(a)
        source, view = range(axis + 1, next_axis), range(a + 1, next_a)
        arrays = [d for d in source if d in gathered]
        held: set[int] = set()
        if len(arrays) == len(gathered):  # all are here: integers between keep them together
            held = {d for d in range(arrays[0], arrays[-1]) if d not in gathered}
        constants = [d for d in source if d not in gathered and d not in held]
        new = [v for v in view if v not in picked]
        before = len([d for d in constants if arrays and d < arrays[0]])
        new_before = len([v for v in new if picked.intersection(view) and v < min(picked)])
        layout.inside.extend([*[None] * new_before, *source, *[None] * (len(new) - new_before)])
        layout.out.extend([*[None] * before, *view, *[None] * (len(constants) - before)])
        layout.held.update(held)
    agree = _array_place(layout.inside, gathered | layout.held) == _array_place(layout.out, picked)
    return layout if agree else None


def _array_place(axes: list[int | None], advanced: set[int]) -> int:
    """Return where NumPy puts the axes of index arrays: in place, or in front if separated."""
    at = [i for i, axis in enumerate(axes) if axis in advanced]
    return at[0] if at[-1] - at[0] == len(at) - 1 else 0


def _hold(units: list[Unit], held: set[int]) -> list[Unit]:
    """Return the units with integers in place of slices of length 1 for some axes."""
    return [
        u._replace(inside=[(u.inside[0][0].start,)]) if held.intersection(u.source_axes) else u
        for u in units
    ]


def _on_mesh(unit: Unit, at: int, ndim: int) -> Unit:
    """Return a unit with its index arrays laid along axis `at` of a mesh; integers stay."""
    if not unit.view_axes:
        return unit._replace(inside=[tuple([s.start for s in entry]) for entry in unit.inside])
    mesh_shape = [1] * ndim
    mesh_shape[at] = -1

    def lay(entry: tuple[Any, ...]) -> tuple[Any, ...]:
        arrays = [np.arange(*e.indices(2**62)) if isinstance(e, slice) else e for e in entry]
        return tuple([array.reshape(mesh_shape) for array in arrays])

    return unit._replace(inside=[lay(e) for e in unit.inside], out=[lay(e) for e in unit.out])


def _mesh_pieces(t: Transform, units: list[Unit]) -> Iterator[Piece]:
    """Return the pieces of any view, by integer arrays on both sides."""
    along = sorted([u for u in units if u.view_axes], key=lambda unit: unit.view_axes[0])
    ndim = len(along)
    repeated = [t.shape[u.view_axes[0]] if not u.source_axes else 1 for u in along]
    laid = [_on_mesh(u, i, ndim) for i, u in enumerate(along)]
    laid += [_on_mesh(u, 0, ndim) for u in units if not u.view_axes]
    for i, unit in enumerate(laid):
        if 0 in unit.source_axes and max(repeated) > 1:  # the repeats ride on one axis
            at = unit.source_axes.index(0)
            laid[i] = unit._replace(
                inside=[
                    (*entry[:at], _repeat(entry[at], repeated), *entry[at + 1 :])
                    for entry in unit.inside
                ]
            )
    return _assemble(laid, list(range(t.source_ndim)), list(range(t.ndim)))


def _repeat(index: Any, repeated: list[int]) -> Any:
    return np.broadcast_to(index, np.broadcast_shapes(np.shape(index), tuple(repeated)))


def _assemble(
    units: list[Unit], inside: list[int | None], out: list[int | None]
) -> Iterator[Piece]:
    """Return the pieces of all combinations of entries, elements in the given order."""
    source = [a for u in units for a in u.source_axes]
    view = [a for u in units for a in u.view_axes]
    cells = _join([u.cells for u in units], source, list(range(len(source))))
    insides = _join([u.inside for u in units], source, inside)
    outs = _join([u.out for u in units], view, out)
    wholes = map(all, product(*[u.whole for u in units]))
    return map(Piece, cells, insides, outs, wholes)


def _join(
    columns: list[list[tuple[Any, ...]]], axes: list[int], order: Sequence[int | None]
) -> Iterator[tuple[Any, ...]]:
    """Return the combinations of entries as flat tuples, their elements sorted into order."""
    with_none = [*columns, [(None,)]]
    flat = map(tuple, map(chain.from_iterable, product(*with_none)))
    where = [len(axes) if axis is None else axes.index(axis) for axis in order]
    if len(where) == 1:
        only = where[0]
        return ((f[only],) for f in flat)
    if not where:
        return (() for _ in flat)
    return map(itemgetter(*where), flat)
