"""Which element of an array each element of a view is: one closed form for every view.

A `Transform` holds, for each axis of the source, the rule that gives the source
index from the view's indices: a constant, a start and a step along one view axis,
or an index array. Indexing a view gives again a `Transform` over the same source,
never a stack of views, so a view of a view of a view reads as fast as the first.

Three properties hold for everything that indexing returns, and plans lean on them:

- the view axes of `Affine` maps increase with the source axis (nothing transposes);
- a view axis belongs to one `Affine` map, or to some `Gather` maps, or to no map;
- a view axis of no map has usually length 1; a longer one repeats the same elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Affine", "Box", "Const", "Gather", "Map", "Transform", "identity", "steps_slice"]

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


class Affine(NamedTuple):
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
        view_axis = dict(zip(self.axes, range(len(self.axes)), strict=True))
        return tuple(
            [
                Affine(view_axis[axis], start, 1) if axis in view_axis else Const(start)
                for axis, (start, _) in enumerate(self.box)
            ]
        )

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


def steps_slice(start: int, step: int, count: int) -> slice:
    """Return the slice of `count` indices from `start` on, all of them non-negative.

    Examples
    --------
    >>> from hubzarr.indexing.maps import steps_slice
    >>> list(range(10))[steps_slice(4, -2, 3)]
    [4, 2, 0]
    """
    if count == 0:
        return slice(0, 0)
    stop = start + step * (count - 1) + (1 if step > 0 else -1)
    return slice(start, stop if stop >= 0 else None, step)
