"""The functions of the package: arrays by name."""

from __future__ import annotations

from hubzarr.api.creation import array
from hubzarr.api.filling import from_dask, from_numpy, from_zarr
from hubzarr.api.moving import copy, delete, rename
from hubzarr.api.opening import exists, list, load, store, versions
from hubzarr.config import configure

__all__ = [
    "array",
    "configure",
    "copy",
    "delete",
    "exists",
    "from_dask",
    "from_numpy",
    "from_zarr",
    "list",
    "load",
    "rename",
    "store",
    "versions",
]
