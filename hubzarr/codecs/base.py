"""What every chunk codec can do: turn one cell into bytes and back.

A *cell* is one object in the store: a chunk, or with sharding a whole shard. A
codec is compiled once for an array (see `hubzarr.codecs.compile_codec`), holds no
state that changes, and may be used by any number of threads at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Buffer
from typing import Any

import numpy as np

from hubzarr.dtypes import is_small_float
from hubzarr.errors import InvalidError

__all__ = ["Array", "ChunkCodec", "as_bytes"]

type Array = np.ndarray[Any, np.dtype[Any]]

_BYTE = np.dtype(np.uint8)
# numpy exports no buffer for these, or one that C code can't describe
_OPAQUE_KINDS = frozenset("MmVU")


class ChunkCodec(ABC):
    """Encode and decode the cells of one array.

    Attributes
    ----------
    shape : tuple of int
        Shape of a cell; cells at the edge of the array have it too.
    dtype : numpy.dtype
        Type of decoded cells, in native byte order.
    fill_value
        Value of elements never written, a numpy scalar (a `str` for strings).
    inner_shape : tuple of int or None
        Shape of the inner chunks of a shard; None if the cells are not shards.
    tight : bool
        Whether cells take the short path past zarr's codec classes.
    """

    __slots__ = ("_fill_bytes", "_opaque", "dtype", "fill_value", "inner_shape", "nbytes",
                 "shape", "tight")  # fmt: skip

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: Any
    inner_shape: tuple[int, ...] | None
    tight: bool
    nbytes: int

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], fill_value: Any) -> None:
        self.shape = shape
        self.dtype = dtype
        self.fill_value = fill_value
        self.inner_shape = None
        self.tight = False
        self.nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._opaque = dtype.kind in _OPAQUE_KINDS or is_small_float(dtype)
        self._fill_bytes: bytes | None = None

    @abstractmethod
    def encode(self, array: Array) -> bytes | list[Buffer]:
        """Return the bytes to store for a cell, in one piece or in several.

        Several pieces belong one after the other; they spare a copy.
        """

    @abstractmethod
    def decode_into(self, data: Buffer, out: Array) -> None:
        """Decode stored bytes into `out`, a writable array of the cell's shape and dtype.

        C-contiguous memory is fastest. Damaged bytes raise `DamagedError`; `out` then
        holds nothing of use.
        """

    def decode(self, data: Buffer) -> Array:
        """Decode stored bytes into a new, writable array."""
        out = np.empty(self.shape, self.dtype)
        self.decode_into(data, out)
        return out

    def places(self, out: Array) -> tuple[memoryview, ...] | None:
        """Where the bytes of a stored cell may be put instead of decoding them into `out`.

        They are `out` as it will be, if `is_intact` says so of the filled buffers. None: bytes
        of this codec, or for this array, must be decoded.
        """
        return None

    def is_intact(self, places: tuple[memoryview, ...]) -> bool:
        """Whether what was put into `places` is free of damage, as far as a checksum tells."""
        return False

    def view(self, data: Buffer) -> Array:
        """Decode stored bytes for reading only; the result may share their memory."""
        return self.decode(data)

    def check(self, data: Buffer) -> None:
        """Raise `DamagedError` if stored bytes show damage: what a checksum tells, if there is one.

        A codec that knows no cheaper way decodes them.
        """
        self.view(data)

    @property
    def compressed(self) -> bool:
        """Whether decoding costs more than copying."""
        return True

    def filled(self) -> Array:
        """Return a new cell that holds the fill value only."""
        return np.full(self.shape, self.fill_value, self.dtype)

    def is_fill(self, array: Array) -> bool:
        """Say whether a cell is bit for bit the fill value.

        So -0.0 is not 0.0, and a NaN is the fill value NaN only with the same bits:
        what is left out of the store must come back unchanged.
        """
        if self.dtype.kind in "TO":
            return bool((array == self.fill_value).all())
        fill = self._fill_bytes
        if fill is None:
            fill = self._fill_bytes = self.filled().tobytes()
        if not array.flags.c_contiguous:
            # spare the copy for what is not fill at first sight
            if array.size and array[(0,) * array.ndim].tobytes() != fill[: self.dtype.itemsize]:
                return False
            array = array.copy()
        # startswith is a memcmp that copies nothing and takes any buffer
        return fill.startswith(as_bytes(array) if self._opaque else array)

    def _check(self, array: Array) -> None:
        if array.shape != self.shape or array.dtype != self.dtype:
            raise InvalidError(
                f"an array of shape {array.shape} and dtype {array.dtype} does not fit the chunk; "
                f"expected shape {self.shape} and dtype {self.dtype}: pad it with the fill value "
                "or convert it"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={str(self.dtype)!r})"


def as_bytes(array: Array) -> Array:
    """View a C-contiguous array as a flat array of bytes."""
    return array.reshape(-1).view(_BYTE)
