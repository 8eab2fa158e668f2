"""Samples that are too large for memory, to be filled part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError

__all__ = ["Tiled", "tiled"]

#: Elements of a tile along each of the first two axes, if none is given.
_SIDE = 1024


class Tiled:
    """A sample of zeros; made by `tiled`.

    Parameters
    ----------
    shape : tuple of int
    tile_shape : tuple of int
    dtype : numpy.dtype

    Examples
    --------
    >>> Tiled((50_000, 50_000, 3), (1024, 1024, 3), np.dtype("uint8"))
    Tiled((50000, 50000, 3), tile_shape=(1024, 1024, 3), dtype=uint8)
    """

    #: Nothing of it needs to be stored.
    blank = True

    def __init__(
        self, shape: tuple[int, ...], tile_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.shape = shape
        self.tile_shape = tile_shape
        self.dtype = dtype

    def read(self, box: Sequence[slice]) -> np.ndarray[Any, Any]:
        """Zeros of the box's shape."""
        extents = [len(range(*part.indices(n))) for part, n in zip(box, self.shape, strict=True)]
        return np.zeros(extents, self.dtype)

    def __repr__(self) -> str:
        return f"Tiled({self.shape}, tile_shape={self.tile_shape}, dtype={self.dtype})"


def tiled(
    sample_shape: Sequence[int], tile_shape: Sequence[int] | None = None, dtype: Any = "uint8"
) -> Tiled:
    """Give a sample of zeros of any size, to be appended and then filled part by part.

    Parameters
    ----------
    sample_shape : sequence of int
    tile_shape : sequence of int, optional
        Shape of the parts that are stored and read at once; 1024 × 1024 by default.
    dtype : dtype-like, default "uint8"

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/tiled")
    >>> _ = ds.create_tensor("maps", htype="image")
    >>> ds.maps.append(hub.tiled((50_000, 50_000, 3)))
    >>> ds.maps[0][1000:1002, 3000:3004, 0] = 7
    >>> ds.maps[0].shape, ds.maps[0, 999:1002, 3000].numpy().tolist()
    ((50000, 50000, 3), [[0, 0, 0], [7, 0, 0], [7, 0, 0]])
    """
    shape = _extents("sample_shape", sample_shape)
    if tile_shape is None:
        tile = tuple(min(_SIDE, n) if axis < 2 else n for axis, n in enumerate(shape))
    else:
        tile = _extents("tile_shape", tile_shape)
    if len(tile) != len(shape):
        raise InvalidError(
            f"tile_shape={tile} for a sample of shape {shape}; expected as many axes"
        )
    return Tiled(shape, tile, np.dtype(dtype))


def _extents(name: str, values: Sequence[int]) -> tuple[int, ...]:
    extents = tuple(values)
    if not extents or any(isinstance(n, bool) or int(n) != n or n < 1 for n in extents):
        raise InvalidError(f"{name}={values!r}; expected whole numbers above 0, one for each axis")
    return tuple(int(n) for n in extents)
