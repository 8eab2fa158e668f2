"""Sizes and times as people say them."""

from __future__ import annotations

__all__ = ["say_bytes", "say_seconds"]

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def say_bytes(n: float) -> str:
    """A number of bytes for people, in units of 1000.

    Examples
    --------
    >>> from hubzarr.wording import say_bytes
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
    >>> from hubzarr.wording import say_seconds
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
