"""Pages: immutable, compressed, checked blocks of bytes, kept together in packs.

A page is ``b"HZP" + version byte + uint32 length of the header + 8 bytes of checksum +
header + body``. The checksum is BLAKE2b-64 of header and body. The header is JSON; the
body is zstd, or empty. Two kinds of page exist:

* *rows*: a NumPy array, possibly structured. The header gives ``dtype`` (the list that
  `numpy.dtype` takes) and ``shape``; the body holds the array's bytes transposed, byte
  position first (all first bytes, then all second bytes, …), which is what makes
  neighbouring counters and floats compress.
* *document*: any JSON value, UTF-8. The header is ``{"document": true}``.

The pages that one commit adds for one array are stored as one object, a *pack*: creating
objects is most of what a small commit costs, on disks and on object stores alike. The
address of a page is 16 bytes: 64 random bits that name the pack, 40 bits of offset and 24
bits of length, all big-endian.
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import struct
from typing import Any, Final

import numpy as np
from numcodecs.zstd import compress, decompress

from hubzarr.errors import DamagedError, UnsupportedError

__all__ = [
    "Pack",
    "check_page",
    "decode_document",
    "decode_rows",
    "encode_document",
    "encode_rows",
    "pack_path",
    "page_place",
]

MAGIC: Final = b"HZP"
VERSION: Final = 1
LEVEL: Final = 1
_HEAD: Final = struct.Struct("<3sBI8s")


def pack_path(address: bytes) -> str:
    """Path below the repository of the pack that holds a page."""
    return f"pages/{address[:8].hex()}"


def page_place(address: bytes) -> tuple[int, int]:
    """First byte of a page in its pack, and one past its last."""
    offset, length = int.from_bytes(address[8:13], "big"), int.from_bytes(address[13:], "big")
    return offset, offset + length


class Pack:
    """Pages that will be stored as one object.

    Parameters
    ----------
    name : bytes, optional
        8 bytes that name the object, random by default; not all zero.

    Examples
    --------
    >>> pack = Pack(bytes(range(8)))
    >>> pack.add(b"abc").hex(), pack.add(b"de").hex()
    ('00010203040506070000000000000003', '00010203040506070000000003000002')
    >>> pack.objects()
    {'pages/0001020304050607': [b'abc', b'de']}
    """

    def __init__(self, name: bytes | None = None) -> None:
        self._name = name or secrets.token_bytes(7) + b"\1"
        self._pages: list[bytes] = []
        self._size = 0

    def add(self, page: bytes) -> bytes:
        """Put a page into the pack; returns its address."""
        if len(page) >= 1 << 24:
            raise UnsupportedError(f"a page of {len(page)} bytes is larger than 16 MiB")
        address = self._name + self._size.to_bytes(5, "big") + len(page).to_bytes(3, "big")
        self._pages.append(page)
        self._size += len(page)
        return address

    def objects(self) -> dict[str, list[bytes]]:
        """What to store: path to content; nothing for a pack without pages."""
        return {pack_path(self._name): self._pages} if self._pages else {}


@functools.lru_cache(256)
def _dtype_header(dtype: np.dtype[Any]) -> Any:
    """A dtype as it stands in a header."""
    return dtype.descr if dtype.names else dtype.str


def _frame(header: dict[str, Any], body: bytes) -> bytes:
    head = json.dumps(header, separators=(",", ":")).encode()
    rest = head + (compress(body, LEVEL) if body else b"")
    return _HEAD.pack(MAGIC, VERSION, len(head), _checksum(rest)) + rest


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def check_page(data: bytes) -> tuple[int, bytes]:
    """Compare a page with its checksum.

    Returns
    -------
    length : int
        Of its header.
    rest : bytes
        Header and body.

    Raises
    ------
    DamagedError
        Not the bytes that were written.
    UnsupportedError
        A layout that this release doesn't know.
    """
    if len(data) < _HEAD.size or data[:3] != MAGIC:
        raise DamagedError("a page does not begin as pages do: it is truncated or foreign")
    _, version, length, checksum = _HEAD.unpack_from(data)
    if version != VERSION:
        raise UnsupportedError(
            f"a page has layout {version}; this release of hubzarr reads layout {VERSION}: "
            "upgrade hubzarr"
        )
    rest = data[_HEAD.size :]
    if _checksum(rest) != checksum:
        raise DamagedError("a page's checksum does not match its content")
    return length, rest


def _unframe(data: bytes) -> tuple[dict[str, Any], bytes]:
    length, rest = check_page(data)
    try:
        body = rest[length:]
        return json.loads(rest[:length]), bytes(decompress(body)) if body else b""
    except (ValueError, RuntimeError) as error:
        raise DamagedError(f"a page can't be decoded: {error}") from error


def encode_rows(rows: np.ndarray[Any, Any]) -> bytes:
    """Encode an array of any fixed-size dtype as a page."""
    flat = np.ascontiguousarray(rows).reshape(-1)
    octets = flat.view(np.uint8).reshape(-1, rows.dtype.itemsize) if flat.size else flat.view("u1")
    return _frame({"dtype": _dtype_header(rows.dtype), "shape": rows.shape}, octets.T.tobytes())


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
