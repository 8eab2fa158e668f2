"""Which element of an array each element of a view is: one closed form for every view.

A `Transform` holds, for each axis of the source, the rule that gives the source
index from the view's indices: a constant, a start and a step along one view axis,
or an index array. Indexing a view gives again a `Transform` over the same source,
never a stack of views, so a view of a view of a view reads as fast as the first.

Three properties hold for everything that `apply` and its kin return; plans lean on them:

- the view axes of `Affine` maps increase with the source axis (nothing transposes);
- a view axis belongs to one `Affine` map, or to some `Gather` maps, or to no map;
- a view axis of no map has usually length 1; a longer one repeats the same elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubzarr.indexing.errors import InvalidIndexError
from hubzarr.indexing.keys import Step, parse_key

__all__ = [
    "Affine",
    "Box",
    "Const",
    "Gather",
    "Map",
    "Transform",
    "apply",
    "apply_oindex",
    "apply_vindex",
    "identity",
]

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Const:
    """The source axis is held at one index.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> apply(identity((4, 5)), -1).maps[0]
    Const(index=3)
    """

    index: int


@dataclass(frozen=True, slots=True)
class Affine:
    """The source index is ``start + step * view_index[axis]``; the step may be negative.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> apply(identity((10,)), slice(8, None, -3)).maps
    (Affine(axis=0, start=8, step=-3),)
    """

    axis: int
    start: int
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """The source index is looked up in an array with as many axes as the view.

    The array has length 1 along the view axes that it doesn't depend on.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> apply(identity((10, 2)), [5, 0, -1]).maps[0].index
    array([[5],
           [0],
           [9]])
    """

    index: NDArray[np.intp]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gather) and np.array_equal(self.index, other.index)

    def __hash__(self) -> int:
        return hash((self.index.shape, self.index.tobytes()))


Map = Const | Affine | Gather


@dataclass(frozen=True, slots=True)
class Transform:
    """A view of an array, as a rule from view indices to source indices.

    Parameters
    ----------
    shape : tuple of int
        The shape of the view.
    box : tuple of (int, int), optional
        Where the view is a block of neighbouring elements (all maps `Const`, or
        `Affine` with step 1): for each source axis, its start and stop; otherwise
        None. The block read from the source, reshaped to `shape`, is the view.
    axes : tuple of int
        For each view axis, the source axis that an `Affine` map ties to it, or -1.
    rules : tuple of Map
        The maps of a view that isn't a box; a box says it all. Use `maps`.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> view = apply(identity((10, 20, 30)), (3, slice(5, 9)))
    >>> view.shape, view.box
    ((4, 30), ((3, 4), (5, 9), (0, 30)))
    >>> apply(view, (slice(None, None, -1), 7)).maps
    (Const(index=3), Affine(axis=0, start=8, step=-1), Const(index=7))
    """

    shape: tuple[int, ...]
    box: Box | None
    axes: tuple[int, ...]
    rules: tuple[Map, ...] = ()

    @property
    def maps(self) -> tuple[Map, ...]:
        """One map for each source axis."""
        if self.box is None:
            return self.rules
        maps: list[Map] = [Const(start) for start, _ in self.box]
        for view_axis, axis in enumerate(self.axes):
            if axis >= 0:
                maps[axis] = Affine(view_axis, self.box[axis][0], 1)
        return tuple(maps)

    @property
    def ndim(self) -> int:
        """The number of view axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements in the view."""
        return math.prod(self.shape)

    @property
    def source_ndim(self) -> int:
        """The number of axes of the source."""
        return len(self.rules if self.box is None else self.box)

    @property
    def is_box(self) -> bool:
        """Whether the view is a block of neighbouring elements, in their order."""
        return self.box is not None

    @property
    def is_affine(self) -> bool:
        """Whether the view uses no index arrays: integers, slices and new axes only."""
        return self.box is not None or not any(type(m) is Gather for m in self.rules)


def identity(shape: Sequence[int]) -> Transform:
    """Return the view of a whole array.

    Parameters
    ----------
    shape : sequence of int
        The shape of the array.

    Returns
    -------
    Transform
        A view that is the array itself.

    Examples
    --------
    >>> from hubzarr.indexing import identity
    >>> identity((2, 3)).box
    ((0, 2), (0, 3))
    """
    shape = tuple(shape)
    return Transform(shape, tuple([(0, n) for n in shape]), tuple(range(len(shape))))


def apply(t: Transform, key: Any) -> Transform:
    """Return the view ``view[key]``, with NumPy's meaning of every key.

    Parameters
    ----------
    t : Transform
        The view to index.
    key : object
        Integers, slices of any step and sign, ``...``, None, boolean masks, arrays or
        lists of integers, or a tuple of these.

    Returns
    -------
    Transform
        A view of the same source.

    Raises
    ------
    OutOfBoundsError
        An index lies outside its axis.
    InvalidError
        Too many indices, a mask of another shape, arrays that don't broadcast.
    InvalidTypeError
        An element of a type that can't index, such as a float.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> apply(identity((10, 20)), (slice(2, 6), None, 3)).shape
    (4, 1)
    >>> apply(identity((10, 20)), ([1, 5, 5], slice(3))).shape
    (3, 3)
    """
    if t.box is not None:
        found = _apply_to_box(t, t.box, key)
        if found is not None:
            return found
    return _compose(t, parse_key(key, t.shape))


def apply_oindex(t: Transform, key: Any) -> Transform:
    """Return the view by orthogonal indexing: each array selects along its own axis.

    Parameters
    ----------
    t : Transform
        The view to index.
    key : object
        As for `apply`; arrays and masks have one axis each.

    Returns
    -------
    Transform
        A view of the same source; its axes stay in the order of the key.

    Examples
    --------
    >>> from hubzarr.indexing import apply_oindex, identity
    >>> apply_oindex(identity((10, 20, 30)), ([1, 5], slice(None), [0, 7, 7])).shape
    (2, 20, 3)
    """
    steps = parse_key(key, t.shape)
    for element in key if type(key) is tuple else (key,):
        if not isinstance(element, slice) and np.ndim(element) > 1:
            raise InvalidIndexError(
                f"orthogonal indexing takes arrays of one axis, not of {np.ndim(element)}; "
                "give one array per axis, or use vindex"
            )
    return _compose(t, steps, orthogonal=True)


def apply_vindex(t: Transform, key: Any) -> Transform:
    """Return the view by vectorised indexing: arrays select points, their axes come first.

    Parameters
    ----------
    t : Transform
        The view to index.
    key : object
        As for `apply`.

    Returns
    -------
    Transform
        A view of the same source: the axes of the broadcast arrays, then the rest.

    Examples
    --------
    >>> from hubzarr.indexing import apply_vindex, identity
    >>> apply_vindex(identity((10, 20, 30)), (slice(None), [1, 5], [0, 7])).shape
    (2, 10)
    """
    return _compose(t, parse_key(key, t.shape), front=True)


def _apply_to_box(t: Transform, box: Box, key: Any) -> Transform | None:
    """Index a box by integers and unit-step slices; None where the general way must go.

    Nearly every access is of this kind, so this path does nothing that it needn't; all
    that is unusual, errors included, is left to the general way.
    """
    shape, axes = t.shape, t.axes
    if type(key) is not tuple:
        key = (key,)
    ndim = len(shape)
    bounds = list(box)
    kept_shape: list[int] = []
    kept_axes: list[int] = []
    v = 0
    for k in key:
        if k is Ellipsis:
            wider = _without_ellipsis(key, v, ndim)
            return None if wider is None else _apply_to_box(t, box, wider)
        if v >= ndim or axes[v] < 0:
            return None
        axis, size = axes[v], shape[v]
        v += 1
        if type(k) is int or isinstance(k, np.integer):
            i = int(k)
            if not -size <= i < size:
                return None
            first = bounds[axis][0] + (i + size if i < 0 else i)
            bounds[axis] = (first, first + 1)
            continue
        if type(k) is not slice or not (k.step is None or k.step == 1):
            return None
        if k.start is not None or k.stop is not None:
            try:
                low, high, _ = k.indices(size)
            except TypeError:
                return None
            if high <= low:
                low = high = 0
            first = bounds[axis][0]
            bounds[axis] = (first + low, first + high)
            size = high - low
        kept_shape.append(size)
        kept_axes.append(axis)
    if v < ndim:
        kept_shape += shape[v:]
        kept_axes += axes[v:]
    return Transform(tuple(kept_shape), tuple(bounds), tuple(kept_axes))


def _without_ellipsis(key: tuple[Any, ...], at: int, ndim: int) -> tuple[Any, ...] | None:
    after = key[at + 1 :]
    if any(k is Ellipsis for k in after):
        return None
    return key[:at] + (slice(None),) * (ndim - len(key) + 1) + after


def _compose(
    t: Transform, steps: list[Step], *, orthogonal: bool = False, front: bool = False
) -> Transform:
    """Apply checked steps to a view: lay out the new axes, then carry each map over."""
    arrays = [s.pick for s in steps if isinstance(s.pick, np.ndarray)]
    block: tuple[int, ...] = ()
    if arrays and not orthogonal:
        try:
            block = np.broadcast_shapes(*[a.shape for a in arrays])
        except ValueError:
            shapes = " ".join(str(a.shape) for a in arrays)
            raise InvalidIndexError(
                f"index arrays of shapes {shapes} can't be broadcast together; "
                "give arrays of one shape, or use oindex to select along each axis by itself"
            ) from None
        front = front or _is_separated(steps)
    shape: list[int] = []
    places: list[int] = []
    block_at = -1
    if front and arrays:
        block_at, shape = 0, list(block)
    for _, pick in steps:
        if isinstance(pick, np.ndarray) and not orthogonal:
            if block_at < 0:
                block_at = len(shape)
                shape += block
            places.append(block_at + len(block) - pick.ndim)
        else:
            places.append(len(shape))
            if pick is None:
                shape.append(1)
            elif isinstance(pick, (range, np.ndarray)):
                shape.append(len(pick))
    carried: list[Map] = [Const(0)] * t.ndim
    for step, place in zip(steps, places, strict=True):
        if step.axis >= 0:
            carried[step.axis] = _map_of_step(step, place, len(shape))
    new_shape = tuple(shape)
    return _transform(new_shape, tuple([_carry(m, carried, new_shape) for m in t.maps]))


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
    tied = [
        (Const(0) if n == 1 else inner) for n, inner in zip(index.shape, carried, strict=True)
    ]
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


def steps_slice(start: int, step: int, count: int) -> slice:
    """Return the slice of `count` indices from `start` on, all of them non-negative.

    Examples
    --------
    >>> from hubzarr.indexing.transform import steps_slice
    >>> list(range(10))[steps_slice(4, -2, 3)]
    [4, 2, 0]
    """
    if count == 0:
        return slice(0, 0)
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return slice(start, stop if stop >= 0 else None, step)


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
