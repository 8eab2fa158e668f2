"""A store that must not be asked: offline, every request is refused before it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from hubzarr.errors import OfflineError
from hubzarr.storage.base import Counters, Data, check_range

__all__ = ["UnreachableStorage"]

PREFETCH: Final = "go online (offline=False) and read it, or keep it with `hubzarr prefetch NAME`"


class UnreachableStorage:
    """Stands for a store while the setting ``offline`` is on.

    Parameters
    ----------
    url : str
        Address of the store.
    advice : str, optional
        What to do; the end of each error's message.

    Examples
    --------
    >>> UnreachableStorage("s3://bucket/x", "go online").get("a")
    Traceback (most recent call last):
    ...
    hubzarr.errors.OfflineError: offline=True, and the disk cache does not hold s3://bucket/x/a: \
go online
    """

    is_local = False
    concurrency = 8
    atomic_create = True

    def __init__(self, url: str, advice: str = PREFETCH) -> None:
        protocol, separator, place = url.partition("://")
        self.url = f"{protocol.lower()}{separator}{place.rstrip('/')}"
        self.advice = advice
        self.counters = Counters()

    def __repr__(self) -> str:
        return f"UnreachableStorage({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (UnreachableStorage, (self.url, self.advice))

    def get(self, path: str) -> bytes | None:
        """Refuse."""
        raise self._missing(path)

    def get_range(self, path: str, start: int, stop: int | None) -> bytes | None:
        """Refuse."""
        check_range(start, stop)
        raise self._missing(path)

    def get_into(self, path: str, *out: memoryview) -> int | None:
        """Refuse."""
        raise self._missing(path)

    def get_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Refuse."""
        return [self.get(path) for path in paths]

    def exists(self, path: str) -> bool:
        """Refuse."""
        raise self._missing(path)

    def size(self, path: str) -> int | None:
        """Refuse."""
        raise self._missing(path)

    def list_dir(self, path: str, after: str = "", limit: int | None = None) -> list[str]:
        """Refuse."""
        raise self._missing(path)

    def list_all(self, prefix: str) -> Iterator[str]:
        """Refuse."""
        raise self._missing(prefix)

    def distrust(self, path: str) -> bool:
        """Whether reading a damaged object again may help: not offline."""
        return False

    def put(self, path: str, data: Data) -> None:
        """Refuse."""
        raise self._no_writing(path)

    def put_atomic(self, path: str, data: Data) -> None:
        """Refuse."""
        raise self._no_writing(path)

    def create(self, path: str, data: Data) -> bool:
        """Refuse."""
        raise self._no_writing(path)

    def delete(self, paths: Iterable[str]) -> None:
        """Refuse."""
        raise self._no_writing(next(iter(paths), ""))

    def delete_dir(self, path: str) -> None:
        """Refuse."""
        raise self._no_writing(path)

    def _where(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url

    def _missing(self, path: str) -> OfflineError:
        return OfflineError(
            f"offline=True, and the disk cache does not hold {self._where(path)}: {self.advice}",
            path=path,
        )

    def _no_writing(self, path: str) -> OfflineError:
        return OfflineError(
            f"offline=True, so nothing can be written to {self._where(path)}: go online, or write "
            "to a local folder",
            path=path,
        )
