"""Whole reads and writes on file descriptors: the system may do less than it was asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hubzarr.storage.base import Data, joined

__all__ = ["SMALL", "read_at", "read_into", "read_rest", "write_all"]

SMALL = 1 << 16
"""Most objects are smaller than this: reading them needs no fstat first."""

_IOV_MAX = 1024


def read_rest(fd: int, data: bytes) -> bytes:
    """Return a whole file of which `data` was read, which is not all of it."""
    size = os.fstat(fd).st_size
    # Reading a large file anew, in one piece, is cheaper than joining two.
    if size > SMALL and hasattr(os, "pread"):
        whole = os.pread(fd, size, 0)
        if len(whole) == size:
            return whole
    parts = [data]
    while part := os.read(fd, max(SMALL, size)):
        parts.append(part)
    return b"".join(parts)


def read_at(fd: int, start: int, stop: int) -> bytes:
    """Return the bytes ``start:stop`` of a file, fewer at its end."""
    wanted = stop - start
    if wanted <= 0:
        return b""
    parts = []
    if not hasattr(os, "pread"):
        os.lseek(fd, start, os.SEEK_SET)
    while wanted > 0:
        part = os.pread(fd, wanted, start) if hasattr(os, "pread") else os.read(fd, wanted)
        if not part:
            break
        parts.append(part)
        start += len(part)
        wanted -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_into(fd: int, out: Sequence[memoryview]) -> int:
    """Fill buffers of bytes from a file; return the count, one more if the file goes on."""
    left, count = [part for part in out if len(part)], 0
    while left:
        if hasattr(os, "readv"):
            got = os.readv(fd, left)
        else:
            part = os.read(fd, len(left[0]))
            got = len(part)
            left[0][:got] = part
        if not got:
            return count
        count += got
        while left and got >= len(left[0]):
            got -= len(left.pop(0))
        if got:
            left[0] = left[0][got:]
    return count + 1 if os.read(fd, 1) else count


def write_all(fd: int, data: Data) -> int:
    """Write one buffer or several in a row; return the number of bytes."""
    if isinstance(data, (list, tuple)):
        return _write_list(fd, data)
    if type(data) is not bytes:
        data = _flat(data)
    count, total = os.write(fd, data), len(data)
    if count < total:
        rest = memoryview(data)
        while count < total:
            count += os.write(fd, rest[count:])
    return total


def _write_list(fd: int, data: Sequence[Any]) -> int:
    views = [view for view in map(_flat, data) if view.nbytes]
    total = sum(view.nbytes for view in views)
    # Copying little is cheaper than a gathering write.
    if total <= SMALL or not hasattr(os, "writev"):
        return write_all(fd, joined(views))
    while views:
        count = os.writev(fd, views[:_IOV_MAX])
        while views and count >= views[0].nbytes:
            count -= views.pop(0).nbytes
        if count:
            views[0] = views[0][count:]
    return total


def _flat(data: Any) -> memoryview:
    view = memoryview(data)
    if view.ndim == 1 and view.format == "B":
        return view
    return view.cast("B") if view.nbytes else memoryview(b"")
