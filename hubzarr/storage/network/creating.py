"""Creating an object at most once, on stores whose answers may be lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from hubzarr.errors import StorageError
from hubzarr.storage.network.failures import is_final
from hubzarr.storage.network.patience import Patience

__all__ = ["create_once"]

_ATTEMPTS = 5


def create_once(
    attempt: Callable[[], bool],
    read: Callable[[], bytes | None],
    content: bytes,
    patience: Patience,
) -> bool:
    """Return whether an object holds our content after some attempts to create it.

    Clients send a request again when its answer was lost, so that our own first attempt
    may look like somebody else's: after "exists" and after doubt, what is stored tells.

    Parameters
    ----------
    attempt : callable
        Sends the request once: True if the store says that it created the object, False if
        that the name is taken; StorageError in doubt.
    read : callable
        Returns what is stored, None if nothing is.
    content : bytes
        What was to be stored; it should name its writer.
    patience : Patience
        How long to wait between attempts.

    Examples
    --------
    >>> create_once(lambda: False, lambda: b"mine", b"mine", Patience())
    True
    >>> create_once(lambda: False, lambda: b"theirs", b"mine", Patience())
    False
    """
    end = time.monotonic() + patience.total()
    for number in range(1, _ATTEMPTS + 1):
        doubt: StorageError | None = None
        try:
            if attempt():
                return True
        except StorageError as error:
            if is_final(error):
                raise
            doubt = error
        stored = read()
        if stored is not None:
            # What differs may have been damaged on its way.
            return stored == content or read() == content
        if number == _ATTEMPTS or time.monotonic() > end:
            break
        time.sleep(patience.pause(number, random.uniform(0.5, 1.0)))
    if doubt is not None:
        raise doubt
    raise StorageError(
        "the store says that an object exists, and that it does not: check it with "
        "'hubzarr doctor', then try again",
        reason="contradiction",
    )
