"""Reading pages: checked, the recent ones kept decoded, few requests where each one is slow."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import numpy as np

from hubzarr.errors import DamagedError, HubzarrError
from hubzarr.storage.base import Storage
from hubzarr.table.pages import decode_document, decode_rows, pack_path, page_place
from hubzarr.threads import map_all

__all__ = ["PageReader"]

type Decode = Callable[[bytes], Any]
#: A piece of a pack: path, first byte, one past the last, and the pages in it.
type Span = tuple[str, int, int, list[bytes]]

#: Where a request costs milliseconds, this much is read along with a page: a pack holds the
#: pages of one commit, those further down a tree before those above them.
BEFORE: Final = 256 << 10
BEHIND: Final = 16 << 10
#: Such pieces of packs that are kept, in bytes.
WINDOWS: Final = 8 << 20
#: How often a page is asked for that comes damaged.
AGAIN: Final = 3
#: Pages of a pack that lie at most so far apart are read together, up to a size.
GAP: Final = 64 << 10
LARGEST: Final = 4 << 20


class PageReader:
    """Reads pages of one repository, checks them and keeps the recent ones decoded.

    Pages never change, so what is kept never goes stale.
    """

    def __init__(self, storage: Storage, limit: int = 32 << 20) -> None:
        self.storage = storage
        self.limit = limit
        self._kept: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
        self._size = 0
        self._windows: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, address: bytes) -> np.ndarray[Any, Any]:
        """The array in a page of rows."""
        value: np.ndarray[Any, Any] = self._read(address, decode_rows)
        return value

    def document(self, address: bytes) -> Any:
        """The JSON value in a page of documents; treat it as read-only."""
        return self._read(address, decode_document)

    def fetch(self, addresses: Iterable[bytes], decode: Decode = decode_rows) -> None:
        """Read pages that will be asked for, in as few requests as possible, all at once.

        On a local disk, where that gains nothing, it does nothing. Nor does it raise: who
        asks for a page that can't be had is told then.
        """
        if self.storage.is_local:
            return
        missing = []
        for address in dict.fromkeys(addresses):
            if address in self._kept:
                with suppress(KeyError):  # another thread may have dropped it just now
                    self._kept.move_to_end(address)
            else:
                missing.append(address)
        if len(missing) < 2:
            return  # one page is read when it is asked for, with what lies around it

        def read(span: Span) -> None:
            path, start, stop, pages = span
            with suppress(HubzarrError):
                data = self.storage.get_range(path, start, stop) or b""
                for page in pages:
                    first, last = page_place(page)
                    self._decode(page, data[first - start : last - start], decode)

        map_all(read, list(_spans(missing)), self.storage.concurrency)

    def remember(self, address: bytes, rows: np.ndarray[Any, Any]) -> None:
        """Keep the decoded rows of a page that was just stored."""
        self._keep(address, rows, rows.nbytes)

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _read(self, address: bytes, decode: Decode) -> Any:
        kept = self._kept.get(address)
        if kept is not None:
            return kept[0]
        path = pack_path(address)
        start, stop = page_place(address)
        for _ in range(0 if self.storage.is_local else AGAIN):
            try:
                return self._decode(address, self._window(path, start, stop), decode)
            except DamagedError:  # perhaps only on its way here
                with self._lock:
                    self._windows.pop(path, None)
                self.storage.distrust(path)
        data = self.storage.get_range(path, start, stop)
        if data is None:
            raise DamagedError(
                f"pack {path} is missing from {self.storage.url}: restore it from a copy",
                path=path,
            )
        try:
            return self._decode(address, data, decode)
        except DamagedError as error:
            raise DamagedError(
                f"pack {path} in {self.storage.url} is damaged at bytes {start}:{stop}: {error}; "
                "restore it from a copy",
                path=path,
            ) from error

    def _decode(self, address: bytes, data: bytes, decode: Decode) -> Any:
        value = decode(data)
        self._keep(address, value, value.nbytes if isinstance(value, np.ndarray) else 3 * len(data))
        return value

    def _window(self, path: str, start: int, stop: int) -> bytes:
        """Bytes of a pack, read together with those around them."""
        window = self._windows.get(path)
        if window is None or start < window[0] or stop > window[0] + len(window[1]):
            first = max(0, start - BEFORE)
            data = self.storage.get_range(path, first, stop + BEHIND)
            if data is None:
                raise DamagedError(f"pack {path} is missing")
            window = first, data
            with self._lock:
                self._windows.pop(path, None)
                self._windows[path] = window
                while sum(len(data) for _, data in self._windows.values()) > WINDOWS:
                    self._windows.popitem(last=False)
        return window[1][start - window[0] : stop - window[0]]

    def _keep(self, address: bytes, value: Any, size: int) -> None:
        with self._lock:
            if address not in self._kept:
                self._kept[address] = (value, size)
                self._size += size
            while self._size > self.limit and len(self._kept) > 1:
                _, (_, gone) = self._kept.popitem(last=False)
                self._size -= gone


def _spans(addresses: Iterable[bytes]) -> Iterable[Span]:
    """Neighbouring pages of a pack together."""
    found: list[Span] = []
    for address in sorted(addresses):
        path = pack_path(address)
        first, last = page_place(address)
        if found:
            before, start, stop, pages = found[-1]
            if path == before and first - stop <= GAP and last - start <= LARGEST:
                found[-1] = (path, start, max(stop, last), [*pages, address])
                continue
        found.append((path, first, last, [address]))
    return found
