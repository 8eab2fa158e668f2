"""Files that may be gzipped, read at any position.

A gzipped file is unpacked once to a temporary file, so that parts of it can be read in
any order, by several threads, in bounded memory.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import weakref
import zlib
from typing import BinaryIO, cast

from hubzarr.errors import SampleError
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.shelf import Shelf

__all__ = ["Unpacked", "is_gzip", "stream"]


def is_gzip(place: Place) -> bool:
    """Whether a file begins like gzip.

    Examples
    --------
    >>> import gzip, pathlib
    >>> _ = pathlib.Path("a.gz").write_bytes(gzip.compress(b"abc"))
    >>> is_gzip(Place("a.gz"))
    True
    """
    with place.open() as file:
        return file.read(2) == b"\x1f\x8b"


def stream(place: Place) -> BinaryIO:
    """The content of a file from its start, unpacked on the way.

    Examples
    --------
    >>> import gzip, pathlib
    >>> _ = pathlib.Path("a.gz").write_bytes(gzip.compress(b"abc"))
    >>> with stream(Place("a.gz")) as file:
    ...     file.read(2)
    b'ab'
    """
    if is_gzip(place):
        return cast(BinaryIO, _ClosingGzip(place.open()))
    return place.open()


class _ClosingGzip(gzip.GzipFile):
    """Closes the file that it reads as well."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._inner = file

    def close(self) -> None:
        super().close()
        self._inner.close()


class Unpacked:
    """Opens files, gzipped ones unpacked; keeps the last few that it unpacked.

    Examples
    --------
    >>> import gzip, pathlib
    >>> _ = pathlib.Path("a.gz").write_bytes(gzip.compress(b"abc"))
    >>> with Unpacked().open(Place("a.gz")) as file:
    ...     file.seek(1), file.read()
    (1, b'bc')
    """

    def __init__(self) -> None:
        self._packed: dict[Place, bool] = {}
        self._shelf: Shelf[Place, _Copy] = Shelf(_Copy)

    def open(self, place: Place) -> BinaryIO:
        """The content of a file, to be read at any position."""
        if place not in self._packed:
            self._packed[place] = is_gzip(place)
        return self._shelf.get(place).open() if self._packed[place] else place.open()


class _Copy:
    """A temporary file with the unpacked content, which goes with this object."""

    def __init__(self, place: Place) -> None:
        handle, self._path = tempfile.mkstemp(prefix="hubzarr-")
        weakref.finalize(self, os.remove, self._path)
        try:
            with (
                os.fdopen(handle, "wb") as copy,
                place.open() as file,
                gzip.GzipFile(fileobj=file) as unpacked,
            ):
                shutil.copyfileobj(unpacked, copy, 1 << 20)
        except (OSError, EOFError, zlib.error) as cause:
            raise SampleError(f"{place.url}: broken gzip file, {cause}", path=place.url) from cause

    def open(self) -> BinaryIO:
        return open(self._path, "rb")
