"""Statistics of a tensor's elements: of arrays from their chunks, of files from what is kept.

The combination of moments follows Chan, Golub and LeVeque (1983).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.datasets import layout
from hubzarr.datasets.entry import default_channels, write_entry
from hubzarr.datasets.ragged import RaggedColumn, measured
from hubzarr.datasets.rows import as_numbers
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.datasets.values import values
from hubzarr.engine.pool import map_all
from hubzarr.errors import InvalidError
from hubzarr.indexing import apply, identity
from hubzarr.media.pixels import combine_statistics
from hubzarr.progress import progress
from hubzarr.session import ArrayState

if TYPE_CHECKING:
    from hubzarr.datasets.tensor import Tensor

__all__ = ["analyze", "reduce"]

type Array = np.ndarray[Any, Any]

#: Samples that are decoded before their statistics are put down.
_BATCH = 256


def reduce(tensor: Tensor, name: str, axis: Any) -> Any:
    """Mean, std, min or max of the selected samples."""
    by_channel = axis == "channel"
    column = tensor._column
    if isinstance(column, UniformColumn):
        return _of_array(tensor, name, axis)
    if column is None:
        raise InvalidError(f"tensor {tensor.name!r} has no samples, so it has no {name}")
    if axis is not None and not by_channel:
        raise InvalidError(
            f"samples of tensor {tensor.name!r} differ in shape: axis is None (all elements) or "
            f"'channel', not {axis!r}"
        )
    rows = as_numbers(tensor._selected())
    state = column.statistics
    if state is None:
        if tensor.spec.stores not in ("array", "file"):
            raise InvalidError(f"tensor {tensor.name!r} of htype {tensor.htype!r} has no {name}")
        found = _measure_now(tensor, column, rows)
    else:
        found = state.engine.read(apply(identity(state.shape), rows))
    total = combine_statistics(found)
    if not by_channel:
        total = combine_statistics(total[:, None, :])
    return _finish(total[total[:, 0] > 0] if by_channel else total, name, by_channel)


def _finish(total: Array, name: str, by_channel: bool) -> Any:
    if not len(total) or not total[0, 0]:
        raise InvalidError(f"no elements are selected, so there is no {name}")
    count, sums, m2, low, high = total.T
    out = {
        "mean": lambda: sums / count,
        "std": lambda: np.sqrt(m2 / count),
        "min": lambda: low,
        "max": lambda: high,
    }[name]()
    return out if by_channel else out[0]


def _of_array(tensor: Tensor, name: str, axis: Any) -> Any:
    array = tensor.array
    view: Any = array
    if tensor._row is not None or tensor._rows is not None:
        rows = tensor._selected()
        if isinstance(rows, range) and rows.step == 1:
            view = array[rows.start : rows.stop]
        else:
            view = array.oindex[as_numbers(rows)]
    if tensor._subs:
        view = np.asarray(tensor.numpy())
    if axis == "channel":
        axis = tuple(range(view.ndim - 1))
    return getattr(view, name)(axis=axis)


def _measure_now(tensor: Tensor, column: RaggedColumn, rows: Array) -> Array:
    """Statistics of samples that none are kept of: they are read."""
    channels = channels_of(column)
    entry = tensor._entry
    parts = []
    for start in range(0, len(rows), _BATCH):
        samples = values(column, entry, rows[start : start + _BATCH])
        parts.append(_measured(samples, channels, column))
    return np.concatenate(parts) if parts else np.zeros((0, channels, 5))


def _measured(samples: Any, channels: int, column: RaggedColumn) -> Array:
    concurrency = column.session.storage.concurrency
    found = map_all(lambda x: measured(np.asarray(x), channels), list(samples), concurrency, 4)
    return np.stack(found)


def channels_of(column: RaggedColumn) -> int:
    """Channels that a tensor's samples have at most; 1 for all but images."""
    if column.spec.base.split(".")[0] != "image" or column.ndim < 3:
        return 1
    return max(1, int(column.interval()[1][-1]))


def analyze(tensor: Tensor, progressbar: bool) -> None:
    """Compute statistics of all samples and keep them, then and for samples to come."""
    session = tensor._session
    with session.lock:
        session.check_writable()
        column = tensor._column
        if isinstance(column, UniformColumn):
            return  # its chunks have statistics
        entry = tensor._entry
        if entry.spec.stores not in ("array", "file"):
            raise InvalidError(
                f"tensor {tensor.name!r} of htype {tensor.htype!r} has no pixels to analyze"
            )
        if column is None:
            write_entry(
                session, tensor.name, replace(entry, statistics=default_channels(entry.spec))
            )
            return
        if column.statistics is not None:
            return
        channels = channels_of(column)
        path = f"{tensor.name}/{layout.STATISTICS}"
        state = session.create_array(path, layout.statistics_document(channels))
        try:
            _fill(tensor, column, state, channels, progressbar)
        except BaseException:
            session.remove(path)
            raise
        write_entry(session, tensor.name, replace(entry, statistics=channels))


def _fill(
    tensor: Tensor, column: RaggedColumn, state: ArrayState, channels: int, progressbar: bool
) -> None:
    starts: Any = range(0, len(column), _BATCH)
    if progressbar:
        starts = progress(starts, f"analyzing {tensor.name}")
    for start in starts:
        rows = range(start, min(start + _BATCH, len(column)))
        state.append(_measured(values(column, tensor._entry, rows), channels, column))
