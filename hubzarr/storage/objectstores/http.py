"""Reading from plain HTTP servers: static files, mirrors, buckets that are public.

They differ: some have no ranges, some don't say how long an object is or what is missing,
none can be written to, and few can list. A repository is read without listings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from hubzarr.errors import ReadOnlyError, StorageError
from hubzarr.storage.base import Data
from hubzarr.storage.objectstores.objects import ObjectStorage

__all__ = ["HttpStorage"]


# Answers without a length; and servers that know GET alone.
_NOT_UNDERSTOOD: Final = frozenset({"unknown", "405", "501"})


class HttpStorage(ObjectStorage):
    """Objects below an HTTP or HTTPS address, to be read.

    Parameters
    ----------
    url : str
        Such as ``https://host/folder``.
    options : mapping, optional
        ``headers`` to send; ``timeout`` in seconds and ``retries``.

    Examples
    --------
    >>> storage = HttpStorage("https://data.example.org/hub")
    >>> storage.put("a", b"1")
    Traceback (most recent call last):
    ...
    hubzarr.errors.ReadOnlyError: can't write 'https://data.example.org/hub/a': HTTP stores are \
read-only; write to the store behind it
    """

    atomic_create = False

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        *,
        single_writer: bool = False,
    ) -> None:
        super().__init__(url, options, single_writer=single_writer)
        self._has_ranges = True

    def get(self, path: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        ask = super().get
        return self._second_try(lambda: ask(path), lambda: self.by_fsspec().get(path))

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Read an object into buffers and return its size, None if it does not exist."""
        ask = super().get_into
        return self._second_try(
            lambda: ask(path, *out), lambda: self.by_fsspec().get_into(path, *out)
        )

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Return bytes ``start:stop``, or the last ``-start`` bytes if start is negative."""
        if self._has_ranges:
            try:
                return super().get_range(path, start, stop)
            except StorageError as error:
                if error.reason != "unknown":
                    raise
                self._has_ranges = False
        data = self.get(path)
        if data is None or stop is None or start <= stop:
            return None if data is None else data[start:stop]
        return b""

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        ask = super().size
        return self._second_try(lambda: ask(path), lambda: self.by_fsspec().size(path))

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Return what a page of links says; refused where every name must be there."""
        return self.by_fsspec().list_dir(path, after, limit)

    def list_all(self, prefix: str) -> Iterator[str]:
        """Refuse: nobody knows all that is there."""
        return self.by_fsspec().list_all(prefix)

    def put(self, path: str, data: Data) -> None:
        """Refuse."""
        raise self._read_only(path)

    def create(self, path: str, data: Data) -> bool:
        """Refuse."""
        raise self._read_only(path)

    def delete(self, paths: Iterable[str]) -> None:
        """Refuse."""
        raise self._read_only(next(iter(paths), ""), "delete")

    def delete_dir(self, path: str) -> None:
        """Refuse."""
        raise self._read_only(path, "delete")

    def _second_try[T](self, ask: Callable[[], T], other: Callable[[], T]) -> T:
        """Ask in a second way if the first one does not understand the answer."""
        try:
            return ask()
        except StorageError as error:
            if error.reason not in _NOT_UNDERSTOOD:
                raise
            return other()

    def _is_missing(self, error: Exception, failed: StorageError) -> bool:
        return failed.status in (404, 410)

    def _read_only(self, path: str, verb: str = "write") -> ReadOnlyError:
        where = f"{self.url}/{path}" if path else self.url
        return ReadOnlyError(
            f"can't {verb} {where!r}: HTTP stores are read-only; write to the store behind it"
        )
