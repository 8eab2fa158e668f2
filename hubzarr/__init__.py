"""hubzarr: named, versioned, numpy-like arrays and datasets of any size, stored as plain Zarr.

>>> import hubzarr as hub
>>> a = hub.array((100, 32, 32), "hello/images:v0", dtype="uint8")
>>> a[0] = 255
>>> hub.load("hello/images:v0")[0:10].mean()
np.float64(25.5)

>>> ds = hub.dataset("hello/pets")
>>> _ = ds.create_tensor("photos", htype="image")
>>> _ = ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
>>> ds.append({"photos": a[0, :, :, None], "labels": "dog"})
>>> ds.photos.shape, ds.labels.text()
((1, 32, 32, 1), ['dog'])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubzarr import errors, loaders
    from hubzarr.api import (
        array,
        cache_info,
        catalog,
        clear_cache,
        clone,
        copy,
        dataset,
        deepcopy,
        delete,
        doctor,
        empty,
        exists,
        from_dask,
        from_numpy,
        from_zarr,
        like,
        list,
        load,
        prefetch,
        pull,
        push,
        rename,
        store,
        versions,
    )
    from hubzarr.api.ingesting import ingest, ingest_report
    from hubzarr.arrays import Array, View
    from hubzarr.computing import compose, compute
    from hubzarr.config import configure
    from hubzarr.datasets import Dataset, DatasetView, Tensor
    from hubzarr.exporting import export
    from hubzarr.media import Sample, link, read, tiled

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Dataset",
    "DatasetView",
    "Sample",
    "Tensor",
    "View",
    "array",
    "cache_info",
    "catalog",
    "clear_cache",
    "clone",
    "compose",
    "compute",
    "configure",
    "copy",
    "dataset",
    "deepcopy",
    "delete",
    "doctor",
    "empty",
    "errors",
    "exists",
    "export",
    "from_dask",
    "from_numpy",
    "from_zarr",
    "ingest",
    "ingest_report",
    "like",
    "link",
    "list",
    "load",
    "loaders",
    "prefetch",
    "pull",
    "push",
    "read",
    "rename",
    "store",
    "tiled",
    "versions",
]

#: Where each name lives. Modules are imported when a name is first used, so that
#: ``import hubzarr`` is quick.
_HOMES = {
    "Array": "hubzarr.arrays",
    "Dataset": "hubzarr.datasets",
    "DatasetView": "hubzarr.datasets",
    "Tensor": "hubzarr.datasets",
    "Sample": "hubzarr.media",
    "link": "hubzarr.media",
    "read": "hubzarr.media",
    "tiled": "hubzarr.media",
    "View": "hubzarr.arrays",
    "compose": "hubzarr.computing",
    "compute": "hubzarr.computing",
    "configure": "hubzarr.config",
    "errors": "",
    "loaders": "",
    "export": "hubzarr.exporting",
    "ingest": "hubzarr.api.ingesting",
    "ingest_report": "hubzarr.api.ingesting",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'hubzarr' has no attribute {name!r}")
    home = _HOMES.get(name, "hubzarr.api")
    value = (
        getattr(importlib.import_module(home), name)
        if home
        else importlib.import_module(f"hubzarr.{name}")
    )
    globals()[name] = value
    return value


def __dir__() -> Any:
    return sorted([*globals(), *__all__])
