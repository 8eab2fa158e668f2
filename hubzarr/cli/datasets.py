"""What info, diff and stats say of datasets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import hubzarr as hub
from hubzarr.cli import show
from hubzarr.cli.selection import Item
from hubzarr.datasets.layout import BYTES, INDEX, LARGE, STATISTICS
from hubzarr.dtypes import kind_of
from hubzarr.errors import HubzarrError, InvalidError
from hubzarr.wording import say_bytes

__all__ = [
    "describe",
    "rows_of",
    "say_changes",
    "say_shapes",
    "show_info",
    "show_statistics",
    "statistics_of",
    "stored_bytes",
    "tensor_documents",
]

_STATISTICS = ("mean", "std", "min", "max")


def tensor_documents(ds: hub.DatasetView) -> list[dict[str, Any]]:
    """The tensors of a dataset for ``--json``."""
    found = []
    for name, tensor in ds.tensors.items():
        low, high = tensor.shape_interval
        found.append(
            {
                "name": name,
                "htype": tensor.htype,
                "length": tensor.num_samples,
                "shape": tensor.shape,
                "shape_min": low,
                "shape_max": high,
                "dtype": None if tensor.dtype is None else str(tensor.dtype),
                "sample_compression": tensor.sample_compression,
                "chunk_compression": tensor.chunk_compression,
                "info": dict(tensor.info),
            }
        )
    return found


def say_changes(changes: Mapping[str, Mapping[str, Any]], tensors: Collection[str]) -> str:
    """What a commit of a dataset changed, in rows of tensors.

    Examples
    --------
    >>> stored = {"image/index": {"appended": 3}, "image/bytes": {"appended": 8388608}}
    >>> say_changes(stored | {"label": {"appended": 3, "cells": 1}}, ["image", "label"])
    'image, label: 3 rows'
    """
    found: dict[str, list[str]] = {}
    for path, what in changes.items():
        tensor = _tensor_of(path, tensors)
        words = found.setdefault(tensor, [])
        if path == tensor or path == f"{tensor}/{INDEX}":
            words += [word for word in _said_of(what) if word not in words]
        elif not {"created", "cells"}.isdisjoint(what) and not words:
            words.append("values")
    together: dict[str, list[str]] = {}
    for tensor, words in found.items():
        if len(words) > 1 and "values" in words:
            words.remove("values")
        together.setdefault(", ".join(words), []).append(tensor)
    return "; ".join(
        (f"{_listed(names)}: " if any(names) else "") + words for words, names in together.items()
    )


def _listed(names: Sequence[str]) -> str:
    """Names of tensors, the first few of many."""
    more = len(names) - 4
    return ", ".join(names) if more < 2 else f"{', '.join(names[:4])} and {more} more"


def _tensor_of(path: str, tensors: Collection[str]) -> str:
    """The tensor that a stored array belongs to: samples of any shape take several."""
    above, _, name = path.rpartition("/")
    if name in (INDEX, BYTES, STATISTICS) and path not in tensors:
        return above
    group, _, folder = above.rpartition("/")
    return group if folder == LARGE and path not in tensors else path


def _said_of(what: Mapping[str, Any]) -> list[str]:
    """What changed of one tensor."""
    rows = what.get("appended")
    words = [f"{rows:,} row{'s' * (rows != 1)}"] if rows else []
    if not rows and what.get("cells"):
        words.append("values")
    if not rows and "shape" in what:
        words.append("shape")
    others = (key for key, value in what.items() if value not in (False, None))
    return [*words, *(key for key in others if key not in ("appended", "cells", "shape"))]


def describe(ds: hub.Dataset) -> dict[str, Any]:
    """What `info` says of a dataset, versions apart."""
    manifest = ds.store.session.manifest
    return {
        "name": ds.name,
        "version": ds.version,
        "commit": manifest.commit.id,
        "number": manifest.commit.number,
        "sealed": manifest.sealed,
        "kind": "dataset",
        "rows": len(ds),
        "tensors": tensor_documents(ds),
        "attributes": dict(ds.info),
        "storage": ds.store.session.storage.url,
    }


def stored_bytes(ds: hub.Dataset) -> int:
    """Bytes that the chunks of all arrays take on the store."""
    session = ds.store.session
    arrays = [p for p in session.paths() if (session.document(p) or {})["node_type"] == "array"]
    return sum(hub.Array(session, ds.name, path).nbytes_stored for path in arrays)


def say_shapes(tensor: Mapping[str, Any]) -> str:
    """The shapes of samples for people: ``100 × 180…512 × 3``."""
    pairs = list(zip(tensor["shape_min"], tensor["shape_max"], strict=True))
    return " × ".join(f"{a:,}" if a == b else f"{max(a, 0):,}…{b:,}" for a, b in pairs)


def show_info(info: Mapping[str, Any]) -> None:
    """Print what `describe` found."""
    rows = [
        ("name", f"{info['name']}:{info['version']}"),
        ("commit", f"{info['number']} ({info['commit']})"),
        ("state", "sealed: frozen for ever" if info["sealed"] else "open: takes commits"),
        ("rows", f"{info['rows']:,}"),
        ("stored", None if info["nbytes_stored"] is None else say_bytes(info["nbytes_stored"])),
        ("place", info["storage"]),
    ]
    show.pairs((k, v) for k, v in rows if v is not None)
    for key, value in info["attributes"].items():
        show.line(f"info {key} = {_short(value)}")
    show.line("")
    show.table(
        ("tensor", "htype", "shape", "dtype", "compression", "info"),
        (
            (
                t["name"], t["htype"], say_shapes(t), t["dtype"] or "–",
                t["sample_compression"] or t["chunk_compression"] or "none",
                ", ".join(f"{k} = {_short(v)}" for k, v in t["info"].items() if v),
            )
            for t in info["tensors"]
        ),
    )  # fmt: skip


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def rows_of(ds: hub.DatasetView, selection: tuple[Item, ...]) -> hub.DatasetView:
    """The rows that ``--slice`` selects."""
    items = [item for item in selection if item is not Ellipsis]
    if not items:
        return ds
    if len(items) > 1:
        raise InvalidError("of a dataset, --slice selects rows alone, as in 0:100")
    item = items[0]
    view: hub.DatasetView = ds[[item] if isinstance(item, int) else item]
    return view


def statistics_of(
    view: hub.DatasetView, only: str | None, axis: str | None
) -> dict[str, dict[str, Any] | None]:
    """Mean, std, min and max of tensors; None where all samples would have to be decoded.

    Parameters
    ----------
    view : DatasetView
    only : str, optional
        The one tensor to look at, decoding what there is.
    axis : str, optional
        "channel", for each channel.
    """
    if axis not in (None, "channel"):
        raise InvalidError(f"--axis {axis}: of a dataset, it is 'channel' or nothing")
    if only is not None:
        tensor = view[only]
        if not hasattr(tensor, "htype"):
            raise InvalidError(f"{only!r} is a group; name a tensor: {only}/...")
        return {only: {name: getattr(tensor, name)(axis=axis) for name in _STATISTICS}}
    return {name: _quick(tensor, axis) for name, tensor in view.tensors.items()}


def _quick(tensor: hub.Tensor, axis: str | None) -> dict[str, Any] | None:
    """Statistics that cost no decoding."""
    uniform = not tensor.is_dynamic and tensor.dtype is not None and kind_of(tensor.dtype) in "biuf"
    if not tensor.num_samples or not (uniform or tensor._entry.statistics):
        return None
    scalar = len(tensor.shape) < 2
    try:
        return {name: getattr(tensor, name)(axis=None if scalar else axis) for name in _STATISTICS}
    except HubzarrError:
        return None


def show_statistics(name: str, found: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Print statistics of tensors."""
    rows: list[Iterable[Any]] = []
    for tensor, values in found.items():
        if values is None:
            continue
        arrays = [np.asarray(values[key]).reshape(-1) for key in _STATISTICS]
        for channel, row in enumerate(zip(*arrays, strict=True)):
            label = tensor if len(arrays[0]) == 1 else f"{tensor}, channel {channel}"
            rows.append((label, *(f"{value:.6g}" for value in row)))
    show.table(("tensor", *_STATISTICS), [tuple(row) for row in rows], right=_STATISTICS)
    without = [tensor for tensor, values in found.items() if values is None]
    if without:
        show.line(f"none kept of {', '.join(without)}; to compute them: "
                  f"hubzarr stats {name} --tensor {without[0]}")  # fmt: skip
