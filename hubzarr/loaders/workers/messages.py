"""What a pool and its workers tell each other."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from hubzarr.errors import HubzarrError, TransformError
from hubzarr.loaders.assembling import Skipped
from hubzarr.loaders.workers.packing import Packed

__all__ = ["Free", "Given", "Quit", "Run", "Stop", "portable", "portable_skipped"]


class Run(NamedTuple):
    """Begin an epoch. `serial` is the number of the loop that wants it."""

    serial: int
    epoch: int
    position: int


class Stop(NamedTuple):
    """Leave the epoch: nobody wants its batches any more."""


class Free(NamedTuple):
    """The batch in a slot has been taken out of it."""

    slot: int


class Quit(NamedTuple):
    """Leave."""


class Given(NamedTuple):
    """What a worker has for a loop.

    Attributes
    ----------
    serial : int
        Number of the loop.
    items : Packed or None
        Pairs of the number of steps and a batch (of ``batch_size=None``: some samples); None
        at the end of the epoch.
    slot : int
        Where its arrays are.
    grown : int
        Bytes of new memory for the slot, which comes behind this message; 0: as before.
    skipped : list
        Samples that were skipped or replaced since the last message.
    error : exception, optional
        What ended the epoch.
    note : str
        What led to the error.
    """

    serial: int
    items: Packed | None = None
    slot: int = -1
    grown: int = 0
    skipped: list[Skipped] = []  # noqa: RUF012
    error: Exception | None = None
    note: str = ""


def portable(error: Exception) -> Exception:
    """The error, if pickle can bring it back; one that says the same otherwise."""
    try:
        again: Any = pickle.loads(pickle.dumps(error))
    except Exception:
        again = None
    if type(again) is type(error) and str(again) == str(error):
        return error
    if isinstance(error, HubzarrError):
        return TransformError(str(error))
    return TransformError(f"{type(error).__name__}: {error}")


def portable_skipped(skipped: list[Skipped]) -> list[Skipped]:
    """Samples that were skipped, with errors that can be pickled."""
    return [(row, tensor, portable(error)) for row, tensor, error in skipped]
