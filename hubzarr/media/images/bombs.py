"""Files of some bytes that claim gigabytes of pixels: refused before memory is taken."""

from __future__ import annotations

from math import prod

from hubzarr.errors import SampleError

__all__ = ["refuse_bomb"]

_HARMLESS = 1 << 30  # bytes of pixels
_MAX_RATIO = 10_000  # real images of one colour stay below


def refuse_bomb(shape: tuple[int, ...], itemsize: int, size: int) -> None:
    """Raise if a file can't hold the pixels that its header claims.

    Parameters
    ----------
    shape : tuple of int
        Of the pixels.
    itemsize : int
        Bytes of one number.
    size : int
        Of the file in bytes.

    Raises
    ------
    SampleError
        More than a gigabyte, and more than 10,000 times the file.
    """
    claimed = prod(shape) * itemsize
    if claimed > max(_HARMLESS, _MAX_RATIO * size):
        raise SampleError(
            f"broken image: a file of {size} bytes that claims {claimed} bytes of pixels"
        )
