"""Memory that two processes share and that has no name: nothing is left of it after a kill."""

from __future__ import annotations

import mmap
import os
import socket
import tempfile
from multiprocessing.connection import Connection
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Segment"]

#: Segments have a multiple of so many bytes.
GRAIN: Final = 1 << 16


class Segment:
    """Some shared memory.

    Parameters
    ----------
    nbytes : int
        At least.
    descriptor : int, optional
        Of a file without a name that is the memory; by default a new one.

    Attributes
    ----------
    memory : ndarray of uint8

    Examples
    --------
    >>> Segment(100_000).memory.nbytes
    131072
    """

    __slots__ = ("_descriptor", "memory")

    def __init__(self, nbytes: int, descriptor: int | None = None) -> None:
        size = -(-max(1, nbytes) // GRAIN) * GRAIN
        self._descriptor = _file(size) if descriptor is None else descriptor
        mapped = mmap.mmap(self._descriptor, size)
        self.memory: npt.NDArray[np.uint8] = np.frombuffer(mapped, np.uint8)

    def send(self, connection: Connection) -> None:
        """Let the process at the other end have the memory too."""
        with socket.socket(fileno=os.dup(connection.fileno())) as other:
            socket.send_fds(other, [b"m"], [self._descriptor])
        self.close()

    @classmethod
    def receive(cls, connection: Connection, nbytes: int) -> Segment:
        """The memory that the process at the other end has just sent."""
        with socket.socket(fileno=os.dup(connection.fileno())) as other:
            _, descriptors, _, _ = socket.recv_fds(other, 1, 1)
        if not descriptors:
            raise EOFError
        found = cls(nbytes, descriptors[0])
        found.close()
        return found

    def close(self) -> None:
        """Close the file; the memory stays as long as somebody uses it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


def _file(nbytes: int) -> int:
    """Descriptor of a file of that size that has no name and lives in memory where it can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("hubzarr-batches")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, nbytes)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
