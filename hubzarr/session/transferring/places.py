"""Whether two storages are one place, whatever they are called.

A folder may be reached by links, a bucket by several protocols and servers, and one URL may
mean two places on two servers. So only the places themselves can tell.
"""

from __future__ import annotations

import contextlib
import pickle
import secrets

from hubzarr.errors import HubzarrError
from hubzarr.storage.base import Storage

__all__ = ["are_one_place"]


def are_one_place(written: Storage, other: Storage) -> bool:
    """Whether what is written to one storage is in the other.

    Parameters
    ----------
    written : Storage
        A note is stored there, and deleted again.
    other : Storage

    Examples
    --------
    >>> from hubzarr.storage import open_storage
    >>> x, y = open_storage("memory://one-place/x"), open_storage("memory://one-place/y")
    >>> are_one_place(x, open_storage("memory://one-place/x")), are_one_place(x, y)
    (True, False)
    """
    if written is other or (written.url == other.url and _opened_alike(written, other)):
        return True
    folder = f"forks/{secrets.token_hex(8)}"  # which readers ignore
    written.put_atomic(f"{folder}/here", b"is this one place?\n")
    try:
        return other.exists(f"{folder}/here")
    finally:
        with contextlib.suppress(HubzarrError):
            written.delete_dir(folder)


def _opened_alike(a: Storage, b: Storage) -> bool:
    """Whether two storages were opened with the same options, as far as others may see them."""
    try:
        return pickle.dumps(a) == pickle.dumps(b)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
