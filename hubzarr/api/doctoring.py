"""Trying out a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from hubzarr.api.opening import exists
from hubzarr.config import get_config, is_root_name, merged_options, refuse_unknown_root
from hubzarr.errors import HubzarrError
from hubzarr.names import parse_name
from hubzarr.session.place import Options, address_of
from hubzarr.storage import open_storage
from hubzarr.storage.probing import Check, Report, probe

__all__ = ["doctor"]


def doctor(
    place: str = "",
    *,
    storage_options: Options = None,
    processes: int = 0,
    told: Callable[[Check], None] | None = None,
    begun: Callable[[str], None] | None = None,
) -> Report:
    """Try out a store: what works there, how fast it is, and how many may write to it.

    Some small objects and 8 MiB are written, read, raced for and deleted, in a folder of
    its own. A few seconds on most stores.

    Parameters
    ----------
    place : str
        URL, path, name of a configured root, or name of an array or dataset; the
        default root if empty.
    storage_options : mapping, optional
        Options of the store.
    processes : int
        Processes that race for names, besides 16 threads. They are started anew, so in a
        script call this below ``if __name__ == "__main__":``.
    told : callable, optional
        Called with each check as it ends.
    begun : callable, optional
        Called with the name of each check as it begins.

    Returns
    -------
    Report

    Raises
    ------
    NotFoundError
        The place is a single word, and there is no root, folder, array or dataset of
        that name.

    Examples
    --------
    >>> import hubzarr as hub
    >>> report = hub.doctor("./folder")
    >>> report.verdict, report.transport
    ('many writers', 'local disk')
    """
    url = _url_of(place, storage_options)
    options = merged_options(url, storage_options)
    storage = open_storage(url, options)
    return probe(
        storage,
        _transport_of(storage),
        options=options,
        processes=0 if url.startswith("memory://") else processes,
        open_again=(open_storage, url, options),
        told=told,
        begun=begun,
    )


def _url_of(place: str, storage_options: Options) -> str:
    config = get_config()
    word = place.removeprefix("hub://").strip("/")
    if not word and not place.startswith("/"):
        return config.root
    if is_root_name(word) and word in config.roots:
        return config.roots[word].url
    if is_root_name(place):
        if os.path.isdir(place):
            return os.path.abspath(place)
        if not _may_exist(place, storage_options):
            refuse_unknown_root(place, "root, folder, array or dataset")
    return address_of(parse_name(place))


def _may_exist(name: str, storage_options: Options) -> bool:
    try:
        return exists(name, storage_options=storage_options)
    except HubzarrError:  # what is wrong there is for the checks to find out
        return True


_LIBRARIES: Final = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "abfss": "adlfs", "http": "aiohttp", "https": "aiohttp",
}  # fmt: skip
_KINDS: Final = {
    "ObjectStorage": "obstore",
    "HttpStorage": "obstore",
    "UnreachableStorage": "none: offline=True",
    "LocalStorage": "local disk",
    "MemoryStorage": "memory",
}


def _transport_of(storage: Any) -> str:
    """What carries the requests, as people call it."""
    while hasattr(storage, "inner"):  # a disk cache in front of it
        storage = storage.inner
    kind = type(storage).__name__
    if kind == "FsspecStorage":
        protocol = str(storage.protocol)
        carried = f"fsspec ({_LIBRARIES.get(protocol, protocol)})"
    else:
        carried = _KINDS.get(kind, kind)
    return carried if storage.is_local else f"{carried}, {storage.concurrency} requests at a time"
