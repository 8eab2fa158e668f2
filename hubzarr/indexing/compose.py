"""Indexing a view: the maps of the view and the steps of a key become the maps of a new view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hubzarr.indexing.errors import InvalidIndexError
from hubzarr.indexing.keys import Step
from hubzarr.indexing.maps import Affine, Const, Gather, Map, Transform, steps_slice

__all__ = ["compose"]


def compose(
    t: Transform, steps: list[Step], *, orthogonal: bool = False, front: bool = False
) -> Transform:
    """Return the view of a view: lay out the new axes, then carry each map over.

    Parameters
    ----------
    t : Transform
        The view to index.
    steps : list of Step
        From `parse_key`, for the shape of the view.
    orthogonal : bool
        Whether each index array has an axis to itself.
    front : bool
        Whether the axes of index arrays come first in any case.

    Returns
    -------
    Transform
        A view of the same source.

    Examples
    --------
    >>> from hubzarr.indexing import identity
    >>> from hubzarr.indexing.compose import compose
    >>> from hubzarr.indexing.keys import parse_key
    >>> compose(identity((6,)), parse_key(slice(None, None, -2), (6,))).maps
    (Affine(axis=0, start=5, step=-2),)
    """
    block: tuple[int, ...] = ()
    if not orthogonal:
        arrays = [s.pick for s in steps if isinstance(s.pick, np.ndarray)]
        if arrays:
            block = _broadcast(arrays)
            front = front or _is_separated(steps)
    block_at = 0 if front else -1
    shape = list(block) if front else []
    places: list[int] = []
    for _, pick in steps:
        if orthogonal or not isinstance(pick, np.ndarray):
            places.append(len(shape))
            if pick is None:
                shape.append(1)
            elif isinstance(pick, (range, np.ndarray)):
                shape.append(len(pick))
        else:
            if block_at < 0:
                block_at = len(shape)
                shape += block
            places.append(block_at + len(block) - pick.ndim)
    carried: list[Map] = [Const(0)] * t.ndim
    for step, place in zip(steps, places, strict=True):
        if step.axis >= 0:
            carried[step.axis] = _map_of_step(step, place, len(shape))
    new_shape = tuple(shape)
    return _transform(new_shape, tuple([_carry(m, carried, new_shape) for m in t.maps]))


def _broadcast(arrays: list[NDArray[np.intp]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*[a.shape for a in arrays])
    except ValueError:
        shapes = " ".join(str(a.shape) for a in arrays)
        raise InvalidIndexError(
            f"index arrays of shapes {shapes} can't be broadcast together; "
            "give arrays of one shape, or use oindex to select along each axis by itself"
        ) from None


def _is_separated(steps: list[Step]) -> bool:
    """Return whether anything stands between index arrays; integers then count as arrays."""
    runs, inside = 0, False
    for _, pick in steps:
        advanced = isinstance(pick, (int, np.ndarray))
        runs += advanced and not inside
        inside = advanced
    return runs > 1


def _map_of_step(step: Step, place: int, ndim: int) -> Map:
    pick = step.pick
    if isinstance(pick, range):
        return Affine(place, pick.start, pick.step)
    if isinstance(pick, np.ndarray):
        return _gather(pick.reshape((1,) * place + pick.shape + (1,) * (ndim - place - pick.ndim)))
    return Const(pick if isinstance(pick, int) else 0)


def _gather(index: NDArray[np.intp]) -> Const | Gather:
    if index.size == 1:
        return Const(int(index.item()))
    index.flags.writeable = False
    return Gather(index)


def _carry(m: Map, carried: Sequence[Map], shape: tuple[int, ...]) -> Map:
    """Return a source map over the new view axes, given a map for each old view axis."""
    if isinstance(m, Const):
        return m
    if isinstance(m, Gather):
        return _carry_gather(m.index, carried, shape)
    inner = carried[m.axis]
    if isinstance(inner, Const):
        return Const(m.start + m.step * inner.index)
    if isinstance(inner, Affine):
        step = m.step * inner.step if shape[inner.axis] > 1 else 1
        return Affine(inner.axis, m.start + m.step * inner.start, step)
    if m.start == 0 and m.step == 1:
        return inner
    return _gather(m.start + m.step * inner.index)


def _carry_gather(
    index: NDArray[np.intp], carried: Sequence[Map], shape: tuple[int, ...]
) -> Const | Gather:
    ndim = len(shape)
    tied = [(Const(0) if n == 1 else inner) for n, inner in zip(index.shape, carried, strict=True)]
    if any(isinstance(inner, Gather) for inner in tied):
        return _gather(index[tuple([_mesh_pick(inner, shape) for inner in tied])])
    sub = index[tuple([_slice_pick(inner, shape) for inner in tied])]
    new_shape = [1] * ndim
    for inner in tied:
        if isinstance(inner, Affine):
            new_shape[inner.axis] = shape[inner.axis]
    return _gather(np.reshape(sub, new_shape))


def _mesh_pick(m: Map, shape: tuple[int, ...]) -> int | NDArray[np.intp]:
    if isinstance(m, Const):
        return m.index
    if isinstance(m, Gather):
        return m.index
    index = m.start + m.step * np.arange(shape[m.axis])
    return index.reshape([-1 if a == m.axis else 1 for a in range(len(shape))])


def _slice_pick(m: Map, shape: tuple[int, ...]) -> int | slice:
    if isinstance(m, Affine):
        return steps_slice(m.start, m.step, shape[m.axis])
    return m.index if isinstance(m, Const) else 0


def _transform(shape: tuple[int, ...], maps: tuple[Map, ...]) -> Transform:
    """Return the transform of the maps; as a box where they are one."""
    axes = [-1] * len(shape)
    box: list[tuple[int, int]] | None = []
    for axis, m in enumerate(maps):
        if type(m) is Affine:
            axes[m.axis] = axis
            if box is not None and m.step == 1:
                box.append((m.start, m.start + shape[m.axis]))
            else:
                box = None
        elif type(m) is Const and box is not None:
            box.append((m.index, m.index + 1))
        else:
            box = None
    if box is not None and all(n == 1 or a >= 0 for n, a in zip(shape, axes, strict=True)):
        return Transform(shape, tuple(box), tuple(axes))
    return Transform(shape, None, tuple(axes), maps)
