"""Chunks of fixed-size elements: bytes, at most one compressor, at most one checksum.

Nearly every array is stored so. The path from bytes to array has no zarr code in it
and no copy beyond the one into the output.
"""

from __future__ import annotations

from collections.abc import Buffer, Callable
from typing import Any, Final

import google_crc32c
import numpy as np

from hubzarr.codecs.base import Array, ChunkCodec, as_bytes
from hubzarr.codecs.compressors import Body, Compressor
from hubzarr.errors import DamagedError

__all__ = ["PlainCodec"]

# CRC-32C of any bytes followed by their own CRC-32C, little-endian
_RESIDUE: Final = 0x48674BC7

# Below this, numcodecs needs longer to look at an output array (4 µs) than it takes to
# copy the result there.
_COPY_BELOW: Final = 32 * 1024
# Chunks smaller than this are stored in one piece: that is quicker than two.
_JOIN_BELOW: Final = 256 * 1024

# types that a memoryview can cast to bytes
_CASTABLE: Final = frozenset("?bBhHiIlLqQfd")

_crc: Final[Callable[[Buffer], int]] = google_crc32c.value


class PlainCodec(ChunkCodec):
    """Codec chain `[transpose …] bytes [compressor] [crc32c]`.

    Parameters
    ----------
    shape, dtype, fill_value
        See `ChunkCodec`.
    compressor : Compressor or None
        Bytes to bytes.
    checksum : bool
        Whether a CRC-32C follows the bytes.
    order : tuple of int or None
        Axes of the stored order; None: as they are.
    stored_dtype : numpy.dtype or None
        `dtype` in the stored byte order; None: native.
    """

    __slots__ = ("_castable", "_checksum", "_compressor", "_direct", "_inverse", "_order",
                 "_stored_dtype", "_stored_shape")  # fmt: skip

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        fill_value: Any,
        *,
        compressor: Compressor | None = None,
        checksum: bool = False,
        order: tuple[int, ...] | None = None,
        stored_dtype: np.dtype[Any] | None = None,
    ) -> None:
        super().__init__(shape, dtype, fill_value)
        self.tight = True
        self._compressor = compressor
        self._checksum = checksum
        identity = tuple(range(len(shape)))
        self._order = None if order in (None, identity) else order
        self._inverse = identity if order is None else tuple(map(int, np.argsort(order)))
        self._stored_shape = shape if order is None else tuple(shape[axis] for axis in order)
        self._stored_dtype = dtype if stored_dtype is None else stored_dtype
        self._direct = self._order is None and self._stored_dtype == dtype
        self._castable = dtype.char in _CASTABLE and len(shape) > 0

    @property
    def compressed(self) -> bool:
        """Whether the length of encoded chunks depends on their content."""
        return self._compressor is not None

    def encode(self, array: Array) -> bytes | list[Buffer]:
        """Return the bytes to store; see `ChunkCodec.encode`."""
        if array.shape != self.shape or array.dtype != self.dtype:
            self._check(array)
        if not self._direct:
            array = array if self._order is None else array.transpose(self._order)
            array = array.astype(self._stored_dtype, order="C", copy=False)
        if not array.flags.c_contiguous:
            array = array.copy()
        plain = as_bytes(array) if self._opaque else array
        if self._compressor is not None:
            body: Buffer = self._compressor.encode(plain)
        else:
            body = plain
        checksum = _crc(body).to_bytes(4, "little") if self._checksum else b""
        if self.nbytes < _JOIN_BELOW:
            return b"".join((body, checksum)) if checksum or body is plain else bytes(body)
        return [body, checksum]  # two pieces spare a copy

    def decode_into(self, data: Buffer, out: Array) -> None:
        """Decode into `out`; see `ChunkCodec.decode_into`."""
        if out.shape != self.shape or out.dtype != self.dtype:
            self._check(out)
        head, body = self._checked(data)
        whole = self._direct and out.flags.c_contiguous
        if whole and self._compressor is not None and self.nbytes >= _COPY_BELOW:
            self._compressor.decode_into(body, head, as_bytes(out))
            return
        plain = self._plain(head, body)
        if whole and self._castable:  # half the time of an assignment between arrays
            memoryview(out).cast("B")[:] = plain
        else:
            out[...] = self._shaped(plain)

    def places(self, out: Array) -> tuple[memoryview, ...] | None:
        """Memory of `out`, and of the checksum; see `ChunkCodec.places`."""
        if self._compressor is not None or not self._direct or not out.flags.c_contiguous:
            return None
        if out.shape != self.shape or out.dtype != self.dtype:
            return None
        memory = memoryview(as_bytes(out))
        return (memory, memoryview(bytearray(4))) if self._checksum else (memory,)

    def is_intact(self, places: tuple[memoryview, ...]) -> bool:
        """Compare the checksum; see `ChunkCodec.is_intact`."""
        if not self._checksum:
            return True
        body, checksum = places
        return _crc(np.frombuffer(body, np.uint8)) == int.from_bytes(checksum, "little")

    def view(self, data: Buffer) -> Array:
        """Decode for reading only; see `ChunkCodec.view`."""
        if self._compressor is not None:
            return self.decode(data)
        value = self._shaped(self._plain(*self._checked(data)))
        return value if value.dtype == self.dtype else value.astype(self.dtype)

    def check(self, data: Buffer) -> None:
        """Look at checksum and length; see `ChunkCodec.check`."""
        head, body = self._checked(data)
        if self._compressor is None:
            self._plain(head, body)

    def _checked(self, data: Buffer) -> tuple[Body, Body]:
        """Check the checksum; return the chunk with and without it."""
        head: Body
        if type(data) is bytes or (type(data) is np.ndarray and data.dtype == np.uint8):
            head = data
        else:
            head = np.frombuffer(data, np.uint8)
        if not self._checksum:
            return head, head
        # One pass over the whole buffer; for large `bytes` it releases the GIL.
        if _crc(head) != _RESIDUE or len(head) < 4:
            raise DamagedError(
                f"the crc32c checksum of the chunk ({len(head)} bytes) does not match: the "
                "stored bytes are not what was written",
                codec="crc32c",
            )
        return head, (memoryview(head) if type(head) is bytes else head)[:-4]

    def _plain(self, head: Body, body: Body) -> Body:
        """Decompress; check the length."""
        if self._compressor is not None:
            return self._compressor.decode(body, head)
        if len(body) != self.nbytes:
            raise DamagedError(
                f"the chunk has {len(body)} bytes; expected {self.nbytes} for shape {self.shape} "
                f"and dtype {self.dtype}",
                codec="bytes",
            )
        return body

    def _shaped(self, plain: Body) -> Array:
        """View decoded bytes as an array with the cell's axes."""
        stored = np.ndarray(self._stored_shape, self._stored_dtype, plain)
        return stored if self._order is None else stored.transpose(self._inverse)
