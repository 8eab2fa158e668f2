"""Which library carries the requests to a store that is not on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from hubzarr.config import get_config
from hubzarr.errors import InvalidError, UnsupportedError
from hubzarr.storage.base import Storage
from hubzarr.storage.filesystems.remote import FsspecStorage
from hubzarr.storage.network.options import check_options
from hubzarr.storage.objectstores.clients import installed
from hubzarr.storage.objectstores.http import HttpStorage
from hubzarr.storage.objectstores.objects import ObjectStorage

__all__ = ["open_remote"]

_TRANSPORTS: Final = ("auto", "obstore", "fsspec")
_HTTP: Final = frozenset({"http", "https"})
_GOOGLE: Final = frozenset({"gs", "gcs"})


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
    check_options(url, rest)
    protocol = url.partition("://")[0].lower()
    if transport == "auto" and (_is_emulated(protocol, rest) or not installed()):
        transport = "fsspec"
    if transport != "fsspec":
        kind = HttpStorage if protocol in _HTTP else ObjectStorage
        try:
            return kind(url, rest, single_writer=single_writer)
        except UnsupportedError:
            if transport == "obstore":
                raise
    return FsspecStorage(url, rest, single_writer=single_writer)


def _is_emulated(protocol: str, options: Mapping[str, Any]) -> bool:
    """Whether this is an emulator of Google's, which speaks another protocol than obstore."""
    if protocol not in _GOOGLE:
        return False
    return bool(options.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST"))
