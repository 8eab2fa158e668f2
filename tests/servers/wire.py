"""Just enough of HTTP/1.1 to pass requests and answers on: heads, and where bodies end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

PIECE = 1 << 16


class Closed(Exception):
    """The other side closed the connection."""


@dataclass(frozen=True)
class Head:
    """The first line of a message and its headers, as they came."""

    first: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def get(self, name: bytes) -> bytes | None:
        """Return the value of a header, whose name is given in small letters."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def without(self, *names: bytes) -> Head:
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return Head(self.first, kept)

    def sized(self, length: int) -> Head:
        """Return a head that announces a body of so many bytes."""
        bare = self.without(b"content-length", b"transfer-encoding", b"trailer")
        return Head(self.first, (*bare.headers, (b"Content-Length", b"%d" % length)))

    def encoded(self) -> bytes:
        lines = [self.first, *(key + b": " + value for key, value in self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def chunked(self) -> bool:
        return (self.get(b"transfer-encoding") or b"").lower() == b"chunked"

    @property
    def closes(self) -> bool:
        return (self.get(b"connection") or b"").lower() == b"close"

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(b" ")[1])

    @property
    def framed(self) -> bool:
        """Whether it tells where the body ends; else that is where the connection does."""
        return self.chunked or self.get(b"content-length") is not None


async def read_head(reader: asyncio.StreamReader) -> Head:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Closed from None
    first, *lines = raw[:-4].split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return Head(first, tuple((key.strip(), value.strip()) for key, _, value in pairs))


async def read_body(
    reader: asyncio.StreamReader, head: Head, *, until_closed: bool = False, piece: int = PIECE
) -> AsyncIterator[bytes]:
    """Yield the body in pieces, without the marks of chunked encoding."""
    if head.chunked:
        async for data in _chunks(reader):
            yield data
        return
    length = head.get(b"content-length")
    if length is None:
        while until_closed and (data := await reader.read(piece)):
            yield data
        return
    left = int(length)
    while left:
        data = await reader.read(min(piece, left))
        if not data:
            raise Closed
        left -= len(data)
        yield data


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if not size:
            break
        yield (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers


async def whole_body(
    reader: asyncio.StreamReader, head: Head, *, until_closed: bool = False
) -> bytes:
    pieces = read_body(reader, head, until_closed=until_closed)
    return b"".join([piece async for piece in pieces])
