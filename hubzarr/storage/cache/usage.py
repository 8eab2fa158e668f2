"""How much a disk cache holds: one number that all processes keep, and making room.

The number only errs upwards: a file gets its final name while the lock on the number is
held and after it was added, and what is replaced or deleted is given back at the next
count. So the files never take more than the limit, plus what is being written at that
moment under temporary names.
"""

from __future__ import annotations

import os
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Final, NamedTuple

from hubzarr.storage.cache.filelock import file_lock

__all__ = ["TEMPORARY", "File", "Usage", "files_below", "room_for", "temporary_name"]

TEMPORARY: Final = ".tmp-"
_RECORD: Final = struct.Struct("<QI")
_BLOCK: Final = 4096
#: A count goes down to this part of the limit, so that counts stay rare.
_KEPT: Final = 0.9
#: Seconds after which an unfinished file belongs to nobody.
_ABANDONED: Final = 600.0
_PATIENCE: Final = 1.0


class File(NamedTuple):
    """A file of the cache."""

    used: float  # when it was last used
    size: int
    path: str


def room_for(nbytes: int) -> int:
    """What a file of that many bytes takes on most disks.

    Examples
    --------
    >>> room_for(1), room_for(4096), room_for(4097)
    (4096, 4096, 8192)
    """
    return -(-nbytes // _BLOCK) * _BLOCK


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def temporary_name() -> str:
    """A name for an unfinished file, which says whose it is."""
    return f"{TEMPORARY}{_host()}-{os.getpid()}-{os.urandom(6).hex()}"


def files_below(folder: str) -> Iterator[File]:
    """All files below a folder; those that vanish meanwhile are left out."""
    waiting = [folder]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        found = entry.stat(follow_symlinks=False)
                        yield File(found.st_mtime, room_for(found.st_size), entry.path)
                except OSError:
                    continue


class Usage:
    """What a folder holds, and its limit.

    Parameters
    ----------
    folder : str
        It exists; its own files ``usage`` and ``*.lock`` lie in it, entries in `below`.
    below : str
        The folder of entries.
    limit : int
        Bytes that entries may take.
    """

    def __init__(self, folder: str, below: str, limit: int) -> None:
        self.limit = limit
        self._below = below
        self._record = os.path.join(folder, "usage")
        self._locks = {name: os.path.join(folder, f"{name}.lock") for name in ("usage", "evict")}

    def _locked(self, name: str, patience: float) -> AbstractContextManager[bool]:
        return file_lock(self._locks[name], patience)

    def _read(self) -> int | None:
        with suppress(OSError), open(self._record, "rb") as file:
            data = file.read(_RECORD.size + 1)
            if len(data) == _RECORD.size:
                count, checksum = _RECORD.unpack(data)
                if zlib.crc32(data[:8]) == checksum:
                    return int(count)
        return None

    def _write(self, count: int) -> None:
        number = count.to_bytes(8, "little")
        data = number + zlib.crc32(number).to_bytes(4, "little")
        fd = os.open(self._record, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            os.write(fd, data)
            os.ftruncate(fd, len(data))
        finally:
            os.close(fd)

    def _known(self) -> int:
        known = self._read()
        if known is None:  # nobody counted yet, or the record is damaged
            known = sum(file.size for file in self._finished())
        return known

    def _finished(self) -> list[File]:
        return [file for file in files_below(self._below) if TEMPORARY not in file.path]

    def admit(self, nbytes: int, finish: Callable[[], None]) -> bool:
        """Let a file in, if there is room for it or room can be made.

        Parameters
        ----------
        nbytes : int
            What it takes.
        finish : callable
            Gives the file its final name.

        Returns
        -------
        bool
            False where another process is just making room.

        Raises
        ------
        OSError
            The disk is full, say, or somebody holds the lock for long.
        """
        return self._admit(nbytes, finish) or (self._evict(nbytes) and self._admit(nbytes, finish))

    def _admit(self, nbytes: int, finish: Callable[[], None]) -> bool:
        with self._locked("usage", _PATIENCE) as got:
            if not got:
                raise TimeoutError("a process was stopped while it held the lock")
            count = self._known() + nbytes
            if count > self.limit:
                return False
            self._write(count)
            finish()
            return True

    def recount(self) -> None:
        """Count anew."""
        with self._locked("usage", _PATIENCE) as got:
            if got:
                self._write(sum(file.size for file in self._finished()))

    def count(self) -> tuple[int, int]:
        """Count anew: (files, bytes)."""
        found = [file.size for file in files_below(self._below)]
        return len(found), sum(found)

    def _evict(self, nbytes: int) -> bool:
        """Drop what was not used for longest, so that there is room again."""
        with self._locked("evict", 0.0) as got:
            if not got:
                return False
            with self._locked("usage", _PATIENCE) as still:
                if not still:
                    return False
                before = self._known()
            if before + nbytes <= self.limit:
                return True  # another process has just made room
            left = self._drop_oldest(min(int(self.limit * _KEPT), self.limit - nbytes))
            with self._locked("usage", _PATIENCE) as still:
                if still:
                    # What came in since the count began counts as well, twice perhaps.
                    self._write(left + max(0, self._known() - before))
                return still

    def _drop_oldest(self, target: int) -> int:
        """Drop files until so many bytes are left; returns how many are."""
        now, files, total = time.time(), [], 0
        for file in files_below(self._below):
            if TEMPORARY not in file.path:
                total += file.size
                files.append(file)
            elif _is_abandoned(file, now):
                _unlinked(file.path)
        files.sort()
        for file in files:
            if total <= target:
                break
            if _unlinked(file.path):
                total -= file.size
        return total


def _is_abandoned(file: File, now: float) -> bool:
    """Whether an unfinished file's writer is gone; a living one only loses that one file."""
    if now - file.used > _ABANDONED:
        return True
    host, _, rest = os.path.basename(file.path)[len(TEMPORARY) :].partition("-")
    pid = rest.partition("-")[0]
    if os.name == "nt" or host != _host() or not pid.isdecimal():
        return False  # on Windows, such a question would end the process
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _unlinked(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:  # Windows keeps what somebody has open
        return False
    with suppress(OSError):
        os.rmdir(os.path.dirname(path))  # the last one of a folder takes it along
    return True
