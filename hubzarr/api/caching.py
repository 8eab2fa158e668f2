"""Looking at the disk cache, and emptying it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hubzarr.config import get_config
from hubzarr.errors import InvalidError
from hubzarr.storage.cache.diskcache import DiskCache, disk_cache
from hubzarr.wording import say_bytes

__all__ = ["CacheInfo", "cache_info", "clear_cache"]


@dataclass(frozen=True)
class CacheInfo:
    """What is in the disk cache.

    Attributes
    ----------
    folder : str
    files, nbytes : int
        How much it holds.
    limit : int
        How much it may hold.
    stores : mapping
        Bytes by repository, the largest first.

    Examples
    --------
    >>> print(CacheInfo("/home/ann/.cache/hubzarr", 12, 3_000_000, 10**9, {}))
    /home/ann/.cache/hubzarr: 12 files, 3.0 MB of 1.0 GB
    """

    folder: str
    files: int
    nbytes: int
    limit: int
    stores: Mapping[str, int]

    def __str__(self) -> str:
        files = f"{self.files:,} file{'s' * (self.files != 1)}"
        return f"{self.folder}: {files}, {say_bytes(self.nbytes)} of {say_bytes(self.limit)}"


def cache_info() -> CacheInfo:
    """What the disk cache holds, of which repositories.

    Raises
    ------
    InvalidError
        None is configured.

    Examples
    --------
    >>> import tempfile
    >>> import hubzarr as hub
    >>> _ = hub.configure(cache_dir=tempfile.mkdtemp())
    >>> hub.cache_info().files
    0
    >>> _ = hub.configure(cache_dir=None)
    """
    folder, cache = _configured()
    stores: Counter[str] = Counter()
    for head, size in cache.heads():
        stores[head.key.partition("\n")[0].partition(" ")[0]] += size
    files, nbytes = cache.count()
    return CacheInfo(folder, files, nbytes, cache.limit, dict(stores.most_common()))


def clear_cache() -> CacheInfo:
    """Empty the disk cache. What is read afterwards comes over the network again.

    Returns
    -------
    CacheInfo
        What was in it.

    Raises
    ------
    InvalidError
        None is configured.

    Examples
    --------
    >>> import tempfile
    >>> import hubzarr as hub
    >>> _ = hub.configure(cache_dir=tempfile.mkdtemp())
    >>> hub.clear_cache().nbytes, hub.cache_info().nbytes
    (0, 0)
    >>> _ = hub.configure(cache_dir=None)
    """
    found = cache_info()
    _configured()[1].clear()
    return found


def _configured() -> tuple[str, DiskCache]:
    config = get_config()
    if config.cache_dir is None:
        raise InvalidError(
            "no disk cache is configured: set one with hub.configure(cache_dir='~/.cache/hubzarr') "
            "or HUBZARR_CACHE_DIR"
        )
    return config.cache_dir, disk_cache(config.cache_dir, config.cache_size)
