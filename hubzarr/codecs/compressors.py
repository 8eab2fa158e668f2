"""Compressors of the tight path, straight on top of numcodecs and zlib.

Each turns a buffer into bytes and, knowing how many bytes must come out, back. What
does not give exactly that many bytes is damaged. All of them release the GIL.
"""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Buffer
from struct import Struct, error
from typing import Any, Final

import numpy as np
from numcodecs import blosc, zstd

from hubzarr.codecs.base import Array
from hubzarr.errors import DamagedError, InvalidError

__all__ = ["Blosc", "Compressor", "Gzip", "Zstd"]

# body of a chunk without its checksum: slices without copying
type Body = bytes | memoryview | Array


class Compressor(ABC):
    """One compressor, set up for chunks that decode to `nbytes` bytes."""

    __slots__ = ("nbytes",)
    name: str

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    @abstractmethod
    def encode(self, plain: Buffer) -> bytes:
        """Compress."""

    @abstractmethod
    def decode(self, body: Body, head: Body) -> bytes:
        """Decompress into exactly `nbytes` bytes.

        `head` begins as `body` does; bytes are cheaper to look at than a slice.
        """

    @abstractmethod
    def decode_into(self, body: Body, head: Body, out: Array) -> None:
        """Decompress into a flat array of exactly `nbytes` bytes."""

    def damaged(self, reason: object) -> DamagedError:
        """Make the error for bytes that don't decompress."""
        return DamagedError(
            f"{self.name} can't decompress the chunk: {reason}; expected {self.nbytes} bytes to "
            "come out",
            codec=self.name,
        )


_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LONGEST_FRAME_HEADER: Final = 18


def _single_segment_headers(nbytes: int) -> tuple[bytes, ...]:
    """Return how a frame of `nbytes` starts that was made in one go, the common case."""
    if nbytes < 256:
        flag, size = 0, nbytes.to_bytes(1, "little")
    elif nbytes < 65536 + 256:
        flag, size = 1, (nbytes - 256).to_bytes(2, "little")
    elif nbytes < 2**32:
        flag, size = 2, nbytes.to_bytes(4, "little")
    else:
        flag, size = 3, nbytes.to_bytes(8, "little")
    descriptors = (flag << 6 | 0x20 | checksum << 2 for checksum in (0, 1))
    return tuple(_ZSTD_MAGIC + bytes([descriptor]) + size for descriptor in descriptors)


def _frame_content_size(header: bytes) -> int | None:
    """Return the size that a zstd frame header announces; None if it says nothing."""
    if len(header) < 6 or header[:4] != _ZSTD_MAGIC:
        return None
    descriptor = header[4]
    single = bool(descriptor & 0x20)
    flag = descriptor >> 6
    if flag == 0 and not single:
        return None
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = (1, 2, 4, 8)[flag]
    field = header[start : start + width]
    return int.from_bytes(field, "little") + (256 if flag == 1 else 0)


class Zstd(Compressor):
    """Zstandard."""

    __slots__ = ("_header_length", "_headers", "checksum", "level")
    name = "zstd"

    def __init__(self, nbytes: int, level: int, checksum: bool) -> None:
        super().__init__(nbytes)
        self.level = level
        self.checksum = checksum
        self._headers = _single_segment_headers(nbytes)
        self._header_length = len(self._headers[0])

    def encode(self, plain: Buffer) -> bytes:
        encoded: bytes = zstd.compress(plain, self.level, self.checksum)
        return encoded

    def _announces_size(self, body: Body, head: Body) -> bool:
        if type(head) is bytes:
            if head.startswith(self._headers):
                return True
        elif bytes(head[: self._header_length]) in self._headers:
            return True
        size = _frame_content_size(bytes(body[:_LONGEST_FRAME_HEADER]))
        if size is not None and size > self.nbytes:
            # refuse before memory is taken for what a damaged header claims
            raise self.damaged(f"it announces {size} bytes")
        return size == self.nbytes

    def decode(self, body: Body, head: Body) -> bytes:
        try:
            if not self._announces_size(body, head):
                # Several frames, or a frame without a size. Into a buffer of the right
                # size first: whatever is longer, or of unknown other size, fails there.
                zstd.decompress(body, np.empty(self.nbytes, np.uint8))
            plain: bytes = zstd.decompress(body)
        except (RuntimeError, ValueError, MemoryError) as cause:
            raise self.damaged(cause) from cause
        if len(plain) != self.nbytes:
            raise self.damaged(f"{len(plain)} bytes came out")
        return plain

    def decode_into(self, body: Body, head: Body, out: Array) -> None:
        if not self._announces_size(body, head):
            out[...] = np.frombuffer(self.decode(body, head), np.uint8)
            return
        try:
            zstd.decompress(body, out)
        except (RuntimeError, ValueError) as cause:
            raise self.damaged(cause) from cause


_BLOSC_HEADER: Final = Struct("<4xIII")
_BLOSC_SHUFFLES: Final = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


class Blosc(Compressor):
    """Blosc 1, on the context functions: no global lock, no threads of its own.

    zarr switches numcodecs to these (`numcodecs.blosc.use_threads = False`) as it is
    imported.
    """

    __slots__ = ("_arguments",)
    name = "blosc"

    def __init__(self, nbytes: int, settings: dict[str, Any]) -> None:
        super().__init__(nbytes)
        if nbytes > blosc.MAX_BUFFERSIZE:
            raise InvalidError(
                f"blosc can't take chunks of {nbytes} bytes; expected at most "
                f"{blosc.MAX_BUFFERSIZE}: use smaller chunks or the zstd codec"
            )
        self._arguments = (
            settings["cname"].encode(),
            settings["clevel"],
            _BLOSC_SHUFFLES[settings["shuffle"]],
            settings["blocksize"],
            settings["typesize"],
        )

    def encode(self, plain: Buffer) -> bytes:
        encoded: bytes = blosc.compress(plain, *self._arguments)
        return encoded

    def _check_header(self, body: Body) -> None:
        # blosc trusts these sizes and would read or write past the buffers
        try:
            plain_size, _, body_size = _BLOSC_HEADER.unpack_from(body)
        except error:
            raise self.damaged(f"{len(body)} bytes are less than a header") from None
        if plain_size != self.nbytes:
            raise self.damaged(f"it announces {plain_size} bytes")
        if body_size != len(body):
            raise self.damaged(f"it has {len(body)} bytes and announces {body_size}")

    def decode(self, body: Body, head: Body) -> bytes:
        self._check_header(body)
        try:
            plain: bytes = blosc.decompress(body)
        except (RuntimeError, ValueError) as cause:
            raise self.damaged(cause) from cause
        return plain

    def decode_into(self, body: Body, head: Body, out: Array) -> None:
        self._check_header(body)
        try:
            blosc.decompress(body, out)
        except (RuntimeError, ValueError) as cause:
            raise self.damaged(cause) from cause


_GZIP_WINDOW: Final = 31  # zlib's sign for: gzip header, largest window


class Gzip(Compressor):
    """Gzip, without a time stamp: equal chunks have equal bytes."""

    __slots__ = ("level",)
    name = "gzip"

    def __init__(self, nbytes: int, level: int) -> None:
        super().__init__(nbytes)
        self.level = level

    def encode(self, plain: Buffer) -> bytes:
        return zlib.compress(plain, self.level, _GZIP_WINDOW)

    def decode(self, body: Body, head: Body) -> bytes:
        inflate = zlib.decompressobj(_GZIP_WINDOW)
        try:
            # one byte more, so that the trailer is read and too much shows
            plain = inflate.decompress(body, self.nbytes + 1)
            if inflate.eof and inflate.unused_data:
                plain = gzip.decompress(body)  # several members
            elif not inflate.eof:
                raise self.damaged("it ends too early or too late")
        except (zlib.error, OSError, EOFError) as cause:
            if isinstance(cause, DamagedError):
                raise
            raise self.damaged(cause) from cause
        if len(plain) != self.nbytes:
            raise self.damaged(f"{len(plain)} bytes came out")
        return plain

    def decode_into(self, body: Body, head: Body, out: Array) -> None:
        out[...] = np.frombuffer(self.decode(body, head), np.uint8)
