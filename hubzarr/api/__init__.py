"""The functions of the package: arrays and datasets by name."""

from __future__ import annotations

from hubzarr.api.caching import cache_info, clear_cache
from hubzarr.api.creation import array
from hubzarr.api.datasets import dataset, deepcopy, empty, like
from hubzarr.api.doctoring import doctor
from hubzarr.api.filling import from_dask, from_numpy, from_zarr
from hubzarr.api.listing import catalog, list
from hubzarr.api.moving import copy, delete, rename
from hubzarr.api.opening import exists, load, store, versions
from hubzarr.api.prefetching import prefetch
from hubzarr.api.pushing import clone, pull, push
from hubzarr.config import configure

__all__ = [
    "array",
    "cache_info",
    "catalog",
    "clear_cache",
    "clone",
    "configure",
    "copy",
    "dataset",
    "deepcopy",
    "delete",
    "doctor",
    "empty",
    "exists",
    "from_dask",
    "from_numpy",
    "from_zarr",
    "like",
    "list",
    "load",
    "prefetch",
    "pull",
    "push",
    "rename",
    "store",
    "versions",
]
