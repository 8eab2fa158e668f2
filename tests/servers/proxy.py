"""A proxy in front of an object store that is slow, refuses, loses and spoils on request.

As a program, for benchmarks and by hand::

    python -m tests.servers.proxy --target 127.0.0.1:5555 --listen 127.0.0.1:7000 \
        --latency-ms 30 --error-rate 0.05

Each request meets at most one fault, drawn by the seed, if "METHOD /path" fits `match`:

=====================  =====================================================================
setting                what happens (rates from 0 to 1)
=====================  =====================================================================
``error_rate``         not passed on; answered ``error_status`` with the XML ``error_code``
``reset_rate``         not passed on; connection reset: the request is lost
``lost_rate``          done by the server, then reset: the answer is lost
``late_error_rate``    done by the server, then answered ``error_status``
``truncate_rate``      half of the body, then the connection is closed
``cut_rate``           half of the body, then the connection is reset
``corrupt_rate``       one byte of the body is wrong
``short_rate``         half of the body, with a Content-Length that agrees
``stall_rate``         half of the body (or no answer, if it has none), then silence for
                       ``stall_s`` seconds, then reset
``latency_ms``         each request waits so long, plus up to ``jitter_ms``
``bandwidth``          bytes a second of each connection
``total_bandwidth``    bytes a second of all connections together
``cache_get``          repeated GETs are answered from memory, so that a slow server does not
                       limit a benchmark; only while nothing is written
``max_faults``         no more faults than that; 0: no limit
``spare``              after a corrupt or short body, bodies of that path are neither for so
                       many requests: it was damaged on its way, not where it is stored
=====================  =====================================================================

``GET /__fault__`` answers settings, counts and the log of requests; ``PUT /__fault__``
changes settings while it runs: ``{"reset": true, "error_rate": 1}``. The Host header goes
through unchanged, so that signed requests stay valid.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import socket
import struct
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field, fields, replace

from tests.servers.wire import Closed, Head, read_body, read_head, whole_body

CONTROL = "/__fault__"
FAULTS = ("error", "reset", "lost", "late_error", "truncate", "cut", "corrupt", "short", "stall")
DAMAGE = ("corrupt", "short")
_LOGGED = 20_000
_LINE = 1 << 20
_MESSAGES = {"SlowDown": "Please reduce your request rate."}


@dataclass(frozen=True)
class Settings:
    """What goes wrong; see the module."""

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    error_rate: float = 0.0
    error_status: int = 503
    error_code: str = "SlowDown"
    reset_rate: float = 0.0
    lost_rate: float = 0.0
    late_error_rate: float = 0.0
    truncate_rate: float = 0.0
    cut_rate: float = 0.0
    corrupt_rate: float = 0.0
    short_rate: float = 0.0
    stall_rate: float = 0.0
    stall_s: float = 3600.0
    bandwidth: float = 0.0
    total_bandwidth: float = 0.0
    cache_get: int = 0
    match: str = ""
    max_faults: int = 0
    spare: int = 0
    seed: int = 0

    def changed(self, changes: dict[str, object]) -> Settings:
        kinds = {part.name: type(part.default) for part in fields(Settings)}
        return replace(self, **{key: kinds[key](value) for key, value in changes.items()})


@dataclass
class Record:
    """What went through so far."""

    requests: int = 0
    max_in_flight: int = 0
    bytes_down: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    log: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=_LOGGED))

    def as_json(self) -> dict[str, object]:
        plain = {key: getattr(self, key) for key in ("requests", "max_in_flight", "bytes_down")}
        return plain | {"faults": self.faults, "methods": self.methods, "log": list(self.log)}


@dataclass
class Exchange:
    """One request with its body, and the connection that it came by."""

    head: Head
    body: bytes
    writer: asyncio.StreamWriter
    fault: str | None
    entry: dict[str, str]

    @property
    def method(self) -> bytes:
        return self.head.first.split(b" ")[0]


class Upstream:
    """Connections to the server, kept open for the next request."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self.host, self.port = host, int(port)
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(
        self, head: Head, body: bytes
    ) -> tuple[Head, asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request and return the head of the answer, and where its body comes from."""
        raw = head.encoded()
        while True:
            reused = bool(self.idle)
            reader, writer = self.idle.pop() if reused else await self._connect()
            try:
                writer.write(raw)
                writer.write(body)
                await writer.drain()
                return await read_head(reader), reader, writer
            except (Closed, ConnectionError):
                writer.close()
                if not reused:
                    raise Closed from None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port, limit=_LINE)
        except OSError:
            raise Closed from None
        _no_delay(writer)
        return reader, writer

    def keep(
        self, answer: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        old = answer.first.startswith(b"HTTP/1.0")
        if answer.closes or old or reader.at_eof() or writer.is_closing():
            writer.close()
        else:
            self.idle.append((reader, writer))


class FaultProxy:
    """Passes requests on, and does what the settings say."""

    def __init__(self, target: str, settings: Settings) -> None:
        self.upstream = Upstream(target)
        self.record = Record()
        self.cache: dict[tuple[bytes, bytes | None], tuple[Head, bytes]] = {}
        self.paid_until = 0.0
        self.in_flight = 0
        self.damaged: dict[str, int] = {}
        self.use(settings)

    def use(self, settings: Settings) -> None:
        self.settings = settings
        self.random = random.Random(settings.seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        _no_delay(writer)
        try:
            while await self._next(reader, writer):
                pass
        except (Closed, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False if the connection is used up."""
        head = await read_head(reader)
        if (head.get(b"expect") or b"").lower() == b"100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = head.without(b"expect")
        body = await whole_body(reader, head)
        method, path = head.first.decode("latin-1").split(" ")[:2]
        if path == CONTROL:
            await self._control(method, body, writer)
            return True
        head = head.sized(len(body)) if head.framed else head
        record, entry = self.record, {"method": method, "path": path, "fault": ""}
        entry["range"] = (head.get(b"range") or b"").decode("latin-1")
        fault = self._draw(f"{method} {path}")
        record.log.append(entry)
        record.requests += 1
        record.methods[method] += 1
        self.in_flight += 1
        record.max_in_flight = max(record.max_in_flight, self.in_flight)
        try:
            await self._wait()
            return await self._answer(Exchange(head, body, writer, fault, entry))
        finally:
            self.in_flight -= 1

    def _draw(self, line: str) -> str | None:
        settings = self.settings
        if settings.match and not re.search(settings.match, line):
            return None
        if settings.max_faults and self.record.faults.total() >= settings.max_faults:
            return None
        point = self.random.random()
        for fault in FAULTS:
            point -= getattr(settings, f"{fault}_rate")
            if point < 0:
                return None if fault in DAMAGE and self._is_spared(line) else fault
        return None

    def _is_spared(self, line: str) -> bool:
        number = self.record.requests
        if number < self.damaged.get(line, 0):
            return True
        self.damaged[line] = number + self.settings.spare
        return False

    async def _wait(self) -> None:
        settings = self.settings
        delay = settings.latency_ms + settings.jitter_ms * self.random.random()
        if delay:
            await asyncio.sleep(delay / 1e3)

    async def _answer(self, asked: Exchange) -> bool:
        if asked.fault == "error":
            return await self._refuse(asked)
        if asked.fault == "reset":
            return self._reset(asked)
        key = (asked.head.first, asked.head.get(b"range"))
        caching = self.settings.cache_get and asked.method == b"GET" and asked.fault is None
        if caching and key in self.cache:
            await self._send(asked.writer, *self.cache[key])
            return True
        answer, reader, upstream = await self.upstream.send(asked.head, asked.body)
        empty = asked.method == b"HEAD" or answer.status in (204, 304)
        if asked.fault is None and not caching:
            return await self._pass_on(asked, answer, empty, reader, upstream)
        body = b"" if empty else await whole_body(reader, answer, until_closed=True)
        self.upstream.keep(answer, reader, upstream)
        answer = answer.without(b"connection")
        answer = answer if empty else answer.sized(len(body))
        if asked.fault is not None:
            return await self._spoil(asked, answer, body)
        if answer.status in (200, 206):
            self.cache[key] = answer, body
        await self._send(asked.writer, answer, body)
        return True

    async def _pass_on(
        self,
        asked: Exchange,
        answer: Head,
        empty: bool,
        reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> bool:
        """Pass an answer on piece by piece, which for large ones saves time and memory."""
        bare = answer.without(b"connection")
        if empty or answer.get(b"content-length") is None:
            body = b"" if empty else await whole_body(reader, answer, until_closed=True)
            await self._send(asked.writer, bare if empty else bare.sized(len(body)), body)
        else:
            asked.writer.write(bare.encoded())
            async for piece in read_body(reader, answer):
                await self._write(asked.writer, piece)
            await asked.writer.drain()
        self.upstream.keep(answer, reader, upstream)
        return True

    async def _spoil(self, asked: Exchange, answer: Head, body: bytes) -> bool:
        """Do to the answer what the fault is; False if the connection is gone."""
        writer, half = asked.writer, body[: len(body) // 2]
        if asked.fault == "lost":
            return self._reset(asked)
        if asked.fault == "late_error":
            return await self._refuse(asked)
        if asked.fault == "stall":
            self._note(asked)
            if body:
                await self._send(writer, answer, half)
            await asyncio.sleep(self.settings.stall_s)
            _reset(writer)
            return False
        if not body:
            await self._send(writer, answer, body)
            return True
        self._note(asked)
        if asked.fault == "short":
            await self._send(writer, answer.sized(len(half)), half)
            return True
        if asked.fault == "corrupt":
            wrong = bytes([body[len(half)] ^ 0xFF])
            await self._send(writer, answer, half + wrong + body[len(half) + 1 :])
            return True
        await self._send(writer, answer, half)
        if asked.fault == "cut":
            await asyncio.sleep(0.05)  # or the reset overtakes what was sent
            _reset(writer)
        return False

    def _note(self, asked: Exchange) -> None:
        asked.entry["fault"] = asked.fault or ""
        self.record.faults[asked.fault or ""] += 1

    def _reset(self, asked: Exchange) -> bool:
        self._note(asked)
        _reset(asked.writer)
        return False

    async def _refuse(self, asked: Exchange) -> bool:
        self._note(asked)
        code = self.settings.error_code
        text = f"<Code>{code}</Code><Message>{_MESSAGES.get(code, 'injected fault')}</Message>"
        xml = f'<?xml version="1.0" encoding="UTF-8"?><Error>{text}</Error>'.encode()
        first = b"HTTP/1.1 %d Injected" % self.settings.error_status
        head = Head(first, ((b"Content-Type", b"application/xml"),)).sized(len(xml))
        await self._send(asked.writer, head, b"" if asked.method == b"HEAD" else xml)
        return True

    async def _send(self, writer: asyncio.StreamWriter, head: Head, body: bytes) -> None:
        writer.write(head.encoded())
        if body:
            await self._write(writer, body)
        await writer.drain()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        settings = self.settings
        if settings.bandwidth:
            await asyncio.sleep(len(data) / settings.bandwidth)
        if settings.total_bandwidth:
            now = time.monotonic()
            self.paid_until = max(now, self.paid_until) + len(data) / settings.total_bandwidth
            await asyncio.sleep(self.paid_until - now)
        writer.write(data)
        self.record.bytes_down += len(data)
        if writer.transport.get_write_buffer_size() > _LINE:
            await writer.drain()

    async def _control(self, method: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        status, answer = 200, {}
        try:
            if method == "PUT":
                self._change(json.loads(body or b"{}"))
            answer = {"settings": asdict(self.settings), **self.record.as_json()}
        except (KeyError, TypeError, ValueError) as error:
            status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
        data = json.dumps(answer).encode()
        head = Head(b"HTTP/1.1 %d Control" % status, ((b"Content-Type", b"application/json"),))
        writer.write(head.sized(len(data)).encoded() + data)
        await writer.drain()

    def _change(self, changes: dict[str, object]) -> None:
        settings = self.settings
        if changes.pop("reset", False):
            settings = Settings()
            self.cache.clear()
            changes.setdefault("clear", True)
        if changes.pop("clear", False):
            self.record = Record()
            self.damaged.clear()
        settings = settings.changed(changes)
        if settings != self.settings:
            self.use(settings)


def _no_delay(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side sees a reset."""
    try:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    except OSError:
        pass
    writer.transport.abort()


async def _run(listen: str, proxy: FaultProxy, parent: int) -> None:
    host, _, port = listen.rpartition(":")
    server = await asyncio.start_server(proxy.serve, host, int(port), limit=_LINE, backlog=1024)
    address = server.sockets[0].getsockname()
    print(f"listening on {address[0]}:{address[1]}", flush=True)
    async with server:
        while not parent or os.getppid() == parent:
            await asyncio.sleep(0.5)


def main() -> None:
    about = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about[0], epilog=about[2], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--target", required=True, help="HOST:PORT of the server")
    parser.add_argument("--listen", default="127.0.0.1:0", help="port 0: a free one")
    parser.add_argument("--parent", type=int, default=0, help="end with this process")
    for part in fields(Settings):
        option = "--" + part.name.replace("_", "-")
        parser.add_argument(option, type=type(part.default), default=part.default)
    given = vars(parser.parse_args())
    target, listen, parent = (given.pop(key) for key in ("target", "listen", "parent"))
    try:
        asyncio.run(_run(listen, FaultProxy(target, Settings(**given)), parent))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
