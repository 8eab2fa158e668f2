"""Lazy views of stored arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.arrays.printing import edge_text
from hubzarr.arrays.readable import Readable
from hubzarr.errors import InvalidError
from hubzarr.indexing import Transform, apply, apply_oindex, apply_vindex, identity

if TYPE_CHECKING:
    from hubzarr.arrays.array import Array
    from hubzarr.arrays.handle import Source
    from hubzarr.engine import ArrayEngine

__all__ = ["Blocks", "Indexer", "View"]


class View(Readable):
    """Some elements of an array, read when they are asked for.

    A view of a view is one selection of the array, never a stack, so it reads as fast.
    It shows the array as it is when it is read. Assigning to a view writes the array.

    Parameters
    ----------
    array : Array
        What it is a view of.
    transform : Transform
        Which elements.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.from_numpy(np.arange(12).reshape(3, 4), "views/example")
    >>> view = a[1:, ::2]
    >>> view.shape, view[0, 1]
    ((2, 2), np.int64(6))
    >>> print(view)
    [[ 4  6]
     [ 8 10]]
    """

    __slots__ = ("_array", "_t")

    def __init__(self, array: Array, transform: Transform) -> None:
        self._array = array
        self._t = transform

    def _engine(self) -> ArrayEngine:
        return self._array._engine()

    def _transform(self) -> Transform:
        return self._t

    def _handle(self) -> Source:
        return self._array._handle()

    def _lazy(self, name: str | None, **options: Any) -> Any:
        return self._array._lazy_of(self._t, name, **options)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._t.shape

    def __getitem__(self, key: Any) -> Any:
        return select(self._array, apply(self._t, key), key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._array._write(apply(self._t, key), value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if dtype is None and copy is None:
            return self._array._engine().read(self._t)
        return super().__array__(dtype, copy)

    @property
    def oindex(self) -> Indexer:
        """Orthogonal indexing: each index array selects along its own axis."""
        return Indexer(self._array, lambda: self._t, apply_oindex)

    @property
    def vindex(self) -> Indexer:
        """Vectorised indexing: index arrays select points; their axes come first."""
        return Indexer(self._array, lambda: self._t, apply_vindex)

    def __repr__(self) -> str:
        text = edge_text(self, prefix="View(")
        return f"View({text}, shape={self.shape}, dtype={self.dtype}, of={self._array.name!r})"


def select(array: Array, t: Transform, key: Any) -> Any:
    """A view, or the element itself where NumPy gives a scalar."""
    if t.shape or key is Ellipsis or (type(key) is tuple and any(k is Ellipsis for k in key)):
        return View(array, t)
    return array._engine().read(t)[()]


class Indexer:
    """``a.oindex[...]`` and ``a.vindex[...]``, for reading and writing."""

    __slots__ = ("_apply", "_array", "_of")

    def __init__(
        self,
        array: Array,
        of: Callable[[], Transform],
        apply_key: Callable[[Transform, Any], Transform],
    ) -> None:
        self._array = array
        self._of = of
        self._apply = apply_key

    def __getitem__(self, key: Any) -> Any:
        return select(self._array, self._apply(self._of(), key), key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._array._write(self._apply(self._of(), key), value)


class Blocks:
    """Views of the cells of an array, by their position in the chunk grid.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.from_numpy(np.arange(12).reshape(4, 3), "views/blocks", chunks=(2, 2))
    >>> a.blocks.shape, a.blocks[1, 0].tolist(), a.blocks[0].shape
    ((2, 2), [[6, 7], [9, 10]], (2, 3))
    """

    def __init__(self, array: Array) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent of the chunk grid."""
        return self._array._engine().table.grid

    def __getitem__(self, cell: Any) -> View:
        found = apply(identity(self.shape), cell)
        if found.box is None:
            raise InvalidError(
                f"blocks are chosen by integers and slices of step 1, not {cell!r}; use a[...] "
                "for other selections"
            )
        size = self._array._engine().cells.cell_shape
        box = tuple(slice(a * c, b * c) for (a, b), c in zip(found.box, size, strict=False))
        view: View = self._array[(*box, ...)]
        return view
