"""Pages: immutable, compressed, content-addressed blocks, and the bytes they are made of.

A page is ``b"HZP" + version byte + uint32 length of the header + header + body``. The
header is JSON; the body is zstd. Two kinds exist:

* *rows*: a NumPy array, possibly structured. The header gives ``dtype`` (the list that
  `numpy.dtype` takes) and ``shape``; the body holds the array's bytes transposed, byte
  position first (all first bytes, then all second bytes, …), which is what makes
  neighbouring counters and floats compress.
* *document*: any JSON value, UTF-8. The header is ``{"document": true}``.

The address of a page is the BLAKE2b-128 digest of all of its bytes, so reading one
checks it.
"""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections import OrderedDict
from typing import Any, Final

import numpy as np
from numcodecs.zstd import compress, decompress

from hubzarr.errors import DamagedError, UnsupportedError
from hubzarr.storage.base import Storage

__all__ = [
    "PageReader",
    "decode_document",
    "decode_rows",
    "encode_document",
    "encode_rows",
    "page_hash",
    "page_path",
]

MAGIC: Final = b"HZP"
VERSION: Final = 1
LEVEL: Final = 1
_HEAD: Final = struct.Struct("<3sBI")


def page_hash(data: bytes) -> bytes:
    """Address of a page: 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()


def page_path(address: bytes) -> str:
    """Path of a page below the repository."""
    return f"pages/{address.hex()}"


def _frame(header: dict[str, Any], body: bytes) -> bytes:
    head = json.dumps(header, separators=(",", ":")).encode()
    return _HEAD.pack(MAGIC, VERSION, len(head)) + head + (compress(body, LEVEL) if body else b"")


def _unframe(data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) < _HEAD.size or data[:3] != MAGIC:
        raise DamagedError("a page does not begin as pages do: it is truncated or foreign")
    _, version, length = _HEAD.unpack_from(data)
    if version != VERSION:
        raise UnsupportedError(
            f"a page has layout {version}; this release of hubzarr reads layout {VERSION}: "
            "upgrade hubzarr"
        )
    start = _HEAD.size + length
    try:
        body = data[start:]
        return json.loads(data[_HEAD.size : start]), bytes(decompress(body)) if body else b""
    except (ValueError, RuntimeError) as error:
        raise DamagedError(f"a page can't be decoded: {error}") from error


def encode_rows(rows: np.ndarray[Any, Any]) -> bytes:
    """Encode an array of any fixed-size dtype as a page."""
    flat = np.ascontiguousarray(rows).reshape(-1)
    octets = flat.view(np.uint8).reshape(-1, rows.dtype.itemsize) if flat.size else flat.view("u1")
    descr = rows.dtype.descr if rows.dtype.names else rows.dtype.str
    return _frame({"dtype": descr, "shape": rows.shape}, octets.T.tobytes())


def _dtype_of(spec: Any) -> np.dtype[Any]:
    if isinstance(spec, str):
        return np.dtype(spec)
    fields: list[Any] = []
    for name, kind, *shape in spec:
        fields.append((name, _dtype_of(kind), *(tuple(s) for s in shape)))
    return np.dtype(fields)


def decode_rows(data: bytes) -> np.ndarray[Any, Any]:
    """Decode a page of rows; the result is read-only."""
    header, body = _unframe(data)
    try:
        dtype = _dtype_of(header["dtype"])
        octets = np.frombuffer(body, np.uint8).reshape(dtype.itemsize, -1)
        rows = np.ascontiguousarray(octets.T).reshape(-1).view(dtype).reshape(header["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"a page of rows can't be decoded: {error}") from error
    rows.flags.writeable = False
    return rows


def encode_document(value: Any) -> bytes:
    """Encode a JSON value as a page."""
    return _frame({"document": True}, json.dumps(value, separators=(",", ":")).encode())


def decode_document(data: bytes) -> Any:
    """Decode a page that holds a JSON value."""
    _, body = _unframe(data)
    try:
        return json.loads(body)
    except ValueError as error:
        raise DamagedError(f"a page of documents can't be decoded: {error}") from error


class PageReader:
    """Reads pages of one repository, checks them and keeps the recent ones decoded.

    Pages never change, so what is kept never goes stale.
    """

    def __init__(self, storage: Storage, limit: int = 32 << 20) -> None:
        self.storage = storage
        self.limit = limit
        self._kept: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def rows(self, address: bytes) -> np.ndarray[Any, Any]:
        """The array in a page of rows."""
        value: np.ndarray[Any, Any] = self._read(address, decode_rows)
        return value

    def document(self, address: bytes) -> Any:
        """The JSON value in a page of documents; treat it as read-only."""
        return self._read(address, decode_document)

    def _read(self, address: bytes, decode: Any) -> Any:
        kept = self._kept.get(address)
        if kept is not None:
            return kept[0]
        path = page_path(address)
        data = self.storage.get(path)
        if data is None:
            raise DamagedError(
                f"page {path} is missing from {self.storage.url}: restore it from a copy",
                path=path,
            )
        if page_hash(data) != address:
            raise DamagedError(
                f"page {path} in {self.storage.url} does not match its address: its bytes were "
                "changed after they were written; restore it from a copy",
                path=path,
            )
        value = decode(data)
        self._keep(address, value, value.nbytes if isinstance(value, np.ndarray) else 3 * len(data))
        return value

    def remember(self, address: bytes, rows: np.ndarray[Any, Any]) -> None:
        """Keep the decoded rows of a page that was just stored."""
        self._keep(address, rows, rows.nbytes)

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _keep(self, address: bytes, value: Any, size: int) -> None:
        with self._lock:
            if address not in self._kept:
                self._kept[address] = (value, size)
                self._size += size
            while self._size > self.limit and len(self._kept) > 1:
                _, (_, gone) = self._kept.popitem(last=False)
                self._size -= gone
