"""What an answer cost: seconds, requests and bytes, and how to say it to people."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import hubzarr as hub

__all__ = ["Measured", "measured", "say_bytes", "say_seconds"]

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


class Measured:
    """Cost of a ``with`` block; see `measured`.

    Attributes
    ----------
    seconds : float
    reads, read_bytes, writes, write_bytes : int
        Requests to the store of the array, and the bytes that went through them.
    """

    def __init__(self, array: hub.Array) -> None:
        # The storage is no part of the public handle: users measure with this.
        self._counters: Any = array._session.storage.counters
        self.seconds = 0.0
        self.reads = self.read_bytes = self.writes = self.write_bytes = 0

    def __enter__(self) -> Self:
        self._before = self._counters.copy()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        used = self._counters - self._before
        self.reads, self.read_bytes = used.reads, used.read_bytes
        self.writes, self.write_bytes = used.writes, used.write_bytes

    def to_dict(self) -> dict[str, float | int]:
        """The same as plain values."""
        names = ("seconds", "reads", "read_bytes", "writes", "write_bytes")
        return {name: getattr(self, name) for name in names}


def measured(array: hub.Array) -> Measured:
    """Measure what a block of code asks of the store of an array.

    Parameters
    ----------
    array : Array
        Other handles have counts of their own.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((1000, 1000), "examples/measured")
    >>> with measured(a) as cost:
    ...     a.mean()
    np.float64(0.0)
    >>> cost.reads, cost.read_bytes
    (0, 0)
    """
    return Measured(array)


def say_bytes(n: float) -> str:
    """A number of bytes for people, in units of 1000.

    Examples
    --------
    >>> say_bytes(0), say_bytes(2_500), say_bytes(78_643_200_000)
    ('0 B', '2.5 KB', '78.6 GB')
    """
    power = 0
    while n >= 999.95 and power < len(_UNITS) - 1:
        n /= 1000
        power += 1
    return f"{n:.1f} {_UNITS[power]}" if power else f"{n:.0f} B"


def say_seconds(seconds: float) -> str:
    """A time for people.

    Examples
    --------
    >>> say_seconds(0.000012), say_seconds(0.0034), say_seconds(2.5), say_seconds(75)
    ('12 µs', '3.4 ms', '2.5 s', '1 min 15 s')
    """
    if seconds >= 60:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds * 1e6:.0f} µs"
