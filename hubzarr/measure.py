"""What an answer cost: seconds, requests and bytes."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import hubzarr as hub

__all__ = ["Measured", "measured"]


class Measured:
    """Cost of a ``with`` block; see `measured`.

    Attributes
    ----------
    seconds : float
    reads, read_bytes, writes, write_bytes : int
        Requests to the store of the array, and the bytes that went through them.
    """

    def __init__(self, array: hub.Array | hub.Dataset) -> None:
        self._counters = array.io
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


def measured(array: hub.Array | hub.Dataset) -> Measured:
    """Measure what a block of code asks of the store of an array.

    Parameters
    ----------
    array : Array or Dataset
        Other handles have counts of their own.

    Examples
    --------
    >>> import hubzarr as hub
    >>> from hubzarr.measure import measured
    >>> a = hub.array((1000, 1000), "examples/measured")
    >>> with measured(a) as cost:
    ...     a.mean()
    np.float64(0.0)
    >>> cost.reads, cost.read_bytes
    (0, 0)
    """
    return Measured(array)
