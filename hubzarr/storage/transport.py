"""Which library carries the requests to a store that is not on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hubzarr.config import get_config
from hubzarr.errors import InvalidError, UnsupportedError
from hubzarr.storage.base import Storage
from hubzarr.storage.clients import installed
from hubzarr.storage.http import HttpStorage
from hubzarr.storage.objects import ObjectStorage
from hubzarr.storage.remote import FsspecStorage

__all__ = ["open_remote"]

_TRANSPORTS: Final = ("auto", "obstore", "fsspec")
_HTTP: Final = frozenset({"http", "https"})


def open_remote(url: str, options: Mapping[str, Any], *, single_writer: bool = False) -> Storage:
    """Open a store through obstore where it is installed and knows the options, else fsspec.

    Parameters
    ----------
    url : str
    options : mapping
        ``transport`` forces one of the two: ``"obstore"`` or ``"fsspec"``; ``"auto"``
        does not. The setting of that name counts where it is missing.
    single_writer : bool

    Examples
    --------
    >>> open_remote("s3://lab/hub", {"anon": True})
    ObjectStorage('s3://lab/hub')
    >>> open_remote("memory://lab", {"transport": "fsspec"})
    FsspecStorage('memory://lab')
    """
    rest = dict(options)
    transport = rest.pop("transport", None) or get_config().transport
    if transport not in _TRANSPORTS:
        raise InvalidError(f"bad transport {transport!r}: expected one of {', '.join(_TRANSPORTS)}")
    if transport == "obstore" or (transport == "auto" and installed()):
        kind = HttpStorage if url.partition("://")[0].lower() in _HTTP else ObjectStorage
        try:
            return kind(url, rest, single_writer=single_writer)
        except UnsupportedError:
            if transport == "obstore":
                raise
    return FsspecStorage(url, rest, single_writer=single_writer)
