"""Random keys, and reading and writing by plan as an engine does, to compare with NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hubzarr.indexing import Transform, pieces

UNSET = -77


def shapes(max_dims: int = 4):
    return st.lists(st.integers(0, 6), max_size=max_dims).map(tuple)


def chunks_for(shape: tuple[int, ...]):
    return st.tuples(*[st.integers(1, 5) for _ in shape])


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array whose elements tell where they come from."""
    return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)


def slices(size: int):
    bound = st.none() | st.integers(-size - 2, size + 2)
    return st.builds(slice, bound, bound, st.sampled_from([None, 1, 1, 2, 3, -1, -2, 7]))


@st.composite
def index_arrays(draw: Any, size: int, block: tuple[int, ...]) -> Any:
    """Draw an integer array that broadcasts to `block`, as an array or a list."""
    shape = tuple(n if draw(st.booleans()) else 1 for n in block[draw(st.integers(0, 1)) :])
    if size == 0 and 0 not in shape:
        shape = (0,)
    count = int(np.prod(shape))
    one = st.integers(-size, size - 1) if size else st.nothing()
    values = draw(st.lists(one, min_size=count, max_size=count))
    if draw(st.booleans()):
        values = sorted(values)
    array = np.array(values, draw(st.sampled_from([np.intp, np.int8]))).reshape(shape)
    return array.tolist() if array.ndim == 1 and draw(st.booleans()) else array


@st.composite
def keys(draw: Any, shape: tuple[int, ...]) -> Any:
    """Draw any key that NumPy takes for an array of this shape."""
    ndim = len(shape)
    front = draw(st.integers(0, ndim))
    back = draw(st.integers(0, ndim - front)) if draw(st.booleans()) else 0
    axes = [*range(front), *range(ndim - back, ndim)]
    arrays = draw(st.sampled_from(["none", "none", "integers", "mask"]))
    block = draw(st.sampled_from([(3,), (2, 3), (4, 1), (1,), (0,), (2, 1, 2)]))
    elements: list[Any] = []
    mask_left = arrays == "mask"
    i = 0
    while i < len(axes):
        run = [a for a in axes[i:] if a - axes[i] == axes.index(a) - i]
        if mask_left and draw(st.booleans()):
            width = draw(st.integers(1, min(2, len(run))))
            mask_shape = tuple(shape[a] for a in axes[i : i + width])
            count = int(np.prod(mask_shape))
            bits = draw(st.lists(st.booleans(), min_size=count, max_size=count))
            mask = np.array(bits, bool).reshape(mask_shape)
            elements.append(mask)
            block, mask_left = (int(mask.sum()),), False
            i += width
            continue
        elements.append(draw(_element(shape[axes[i]], arrays == "integers", block)))
        i += 1
        if i == front and (back or draw(st.booleans())):
            elements.append(Ellipsis)
    if front == 0 and back:
        elements.insert(0, Ellipsis)
    elif back and not any(e is Ellipsis for e in elements):
        return Ellipsis  # a mask lay across the gap
    for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
        at = draw(st.integers(0, len(elements)))
        new = None if arrays == "mask" or draw(st.booleans()) else draw(_zero_dim(block))
        elements.insert(at, new)
    if len(elements) == 1 and draw(st.booleans()):
        return elements[0]
    return tuple(elements)


def _zero_dim(block: tuple[int, ...]):
    return st.sampled_from([True, np.True_, None])


@st.composite
def _element(draw: Any, size: int, arrays: bool, block: tuple[int, ...]) -> Any:
    if arrays and draw(st.booleans()) and (size or 0 in block):
        return draw(index_arrays(size, block))
    if size and draw(st.booleans()):
        index = draw(st.integers(-size, size - 1))
        return draw(st.sampled_from([index, np.int64(index), np.array(index)]))
    return draw(slices(size))


def read(t: Transform, x: np.ndarray, chunk_shape: tuple[int, ...]) -> np.ndarray:
    """Return the view, put together from chunks."""
    result = np.full(t.shape, UNSET, x.dtype)
    seen = set()
    for piece in pieces(t, chunk_shape, x.shape):
        assert piece.cell not in seen or x.ndim == 0
        seen.add(piece.cell)
        part = _chunk(x, piece.cell, chunk_shape)[piece.inside]
        assert part.shape == result[piece.out].shape
        result[piece.out] = part
    return result


def write(t: Transform, x: np.ndarray, value: np.ndarray, chunk_shape: tuple[int, ...]) -> None:
    """Write through the view chunk by chunk; where a piece is whole, from a blank chunk."""
    for piece in pieces(t, chunk_shape, x.shape):
        chunk = _chunk(x, piece.cell, chunk_shape)
        if piece.whole:
            chunk[...] = UNSET
        chunk[piece.inside] = value[piece.out]
        assert not piece.whole or (chunk != UNSET).all()


def whole_cells(t: Transform, x: np.ndarray, chunk_shape: tuple[int, ...]) -> set[Any]:
    """Return the cells whose elements in the array are all in the view, one by one."""
    picked = np.zeros(x.shape, bool)
    if t.size:
        picked.flat[read(t, x, chunk_shape).ravel()] = True
    grid = [range(-(-n // c)) for n, c in zip(x.shape, chunk_shape, strict=True)]
    return {
        cell
        for cell in product(*grid)
        if _chunk(picked, cell, chunk_shape).size and _chunk(picked, cell, chunk_shape).all()
    }


def _chunk(x: np.ndarray, cell: tuple[int, ...], chunk_shape: tuple[int, ...]) -> np.ndarray:
    where = [slice(i * n, i * n + n) for i, n in zip(cell, chunk_shape, strict=True)]
    return x[(*where, ...)]  # the ellipsis keeps an array of no axes an array
